"""Training curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._figure import BLUE, GREEN, ORANGE, Path, finish, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

_RATES = ("lr", "learning_rate")
_SHARES = ("accuracy", "top_", "precision", "recall", "f1", "auc")  # numbers from 0 to 1


def training_curves(history: Any, *, path: Path = None, title: str = "") -> Figure:
    """Loss, metrics and learning rate over the epochs, training beside validation.

    The best epoch of the validation, or of the training where there is none, has a ring and its value.

    Parameters
    ----------
    history : History or dict of str to list
        What `Trainer.fit` returned, or its `history`: a number an epoch for each name; `val_` before a
        name marks the validation's.
    path : str or path, optional
        Where to save the picture.
    title : str, optional
        Above all of it.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the loss, each metric and the learning rate.

    Raises
    ------
    ValueError
        If the history has no epochs.
    ImportError
        matplotlib is not installed: ``pip install fastnn[plot]``.

    Examples
    --------
    >>> from fastnn import plot
    >>> numbers = {"loss": [0.9, 0.5], "val_loss": [0.8, 0.6], "accuracy": [0.7, 0.8]}
    >>> [a.get_title(loc="left") for a in plot.training_curves(numbers).axes]
    ['loss', 'accuracy']
    """
    numbers = history if isinstance(history, dict) else history.history
    names = [name for name in numbers if not name.startswith("val_")]
    names += [n[4:] for n in numbers if n.startswith("val_") and n[4:] not in names]
    names.sort(key=lambda name: (name in _RATES, name != "loss"))
    if not names or not any(len(values) for values in numbers.values()):
        raise ValueError("training_curves: the history has no epochs yet; call fit first")
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure("training_curves", 4.6 * columns, 3.3 * rows + 0.4 * bool(title))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        _panel(axis, name, numbers.get(name), numbers.get(f"val_{name}"))
    for axis in axes[len(names) :]:
        axis.remove()
    if title:
        figure.suptitle(title, fontsize=13)
    return finish(figure, path)


def _values(values: Any) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _panel(axis: Any, name: str, training: Any, validation: Any) -> None:
    from matplotlib.ticker import MaxNLocator  # type: ignore[import-not-found, unused-ignore]

    rate, share = name in _RATES, any(part in name for part in _SHARES)
    plain(axis, "learning rate" if rate else name.replace("_", " "), "epoch")
    drawn = []
    for numbers, label, colour, line, marker in (
        (training, "training", GREEN if rate else BLUE, "-", "o"),
        (validation, "validation", ORANGE, "--", "s"),
    ):
        if numbers is None:
            continue
        values = _values(numbers)
        axis.plot(
            np.arange(1, len(values) + 1), values, line, color=colour, label=label, linewidth=1.8,
            marker=marker if len(values) <= 30 else None, markersize=3.5,
        )  # fmt: skip
        drawn.append((values, colour))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.margins(y=0.14)
    values, colour = drawn[-1]
    if rate:
        if (values > 0).all() and values.max() > 30 * values.min():
            axis.set_yscale("log")
        return
    _mark_best(axis, name, values, colour, share)
    if share:
        axis.yaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.6g} %")
    if len(drawn) > 1:
        axis.legend(frameon=False, loc="best")


def _mark_best(axis: Any, name: str, values: np.ndarray, colour: str, share: bool) -> None:
    """A ring around the best epoch, and its number where the curve is not: below a top, above a bottom."""
    if np.isnan(values).all():
        return
    large = share or name == "r2"
    best = int(np.nanargmax(values) if large else np.nanargmin(values))
    axis.plot(best + 1, values[best], "o", markersize=9, markerfacecolor="none", color=colour)
    text = f"{values[best]:.2%}".replace("%", " %") if share else f"{values[best]:.4g}"
    place = (best + 0.5) / len(values)
    axis.annotate(
        f"best {text}", (best + 1, values[best]), color=colour, fontsize=9,
        xytext=(0, -15 if large else 15), textcoords="offset points", va="center",
        ha="right" if place > 0.85 else "left" if place < 0.15 else "center",
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )  # fmt: skip
