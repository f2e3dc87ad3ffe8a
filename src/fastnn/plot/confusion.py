"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._figure import Path, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

_LABELLED = 20  # classes, above which cells are too small for numbers


def predicted_classes(outputs: Any, name: str) -> np.ndarray:
    """Classes (N,), given as such or as scores (N, classes)."""
    found = array(outputs)
    if found.ndim == 2:
        return found.argmax(1)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: predictions must be classes (N,) or scores (N, classes), not "
            f"{found.dtype} of shape {found.shape}"
        )
    return found


def true_classes(labels: Any, count: int, name: str) -> np.ndarray:
    """Integer labels (N,), as many as there are predictions."""
    found = array(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu" or len(found) != count:
        raise ValueError(
            f"{name}: labels must be {count} whole numbers, one for each prediction, not "
            f"{found.dtype} of shape {found.shape}"
        )
    return found


def confusion_matrix(
    labels: Any,
    predictions: Any,
    *,
    names: Sequence[str] | None = None,
    path: Path = None,
    title: str = "",
) -> Figure:
    """How often each class is taken for each: a row for a true class, a column for what it was taken for.

    Cells have the count; their colour is the share of the row, by its square root, so that rare confusions
    are seen too.

    Parameters
    ----------
    labels : array-like of int, (N,)
        The true classes.
    predictions : array-like, (N,) or (N, classes)
        The classes predicted, or scores for all of them.
    names : sequence of str, optional
        Of the classes.
    path : str or path, optional
        Where to save the picture.
    title : str, optional
        Instead of the accuracy.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If labels and predictions do not fit together.
    ImportError
        matplotlib is not installed: ``pip install fastnn[plot]``.

    Examples
    --------
    >>> from fastnn import plot
    >>> figure = plot.confusion_matrix([0, 1, 1], [0, 1, 0], names=["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    'accuracy 66.7 % of 3'
    """
    from_scores = array(predictions)
    found = predicted_classes(predictions, "confusion_matrix")
    true = true_classes(labels, len(found), "confusion_matrix")
    if not len(true):
        raise ValueError("confusion_matrix: there are no examples")
    classes = max(len(names or ()), int(max(true.max(), found.max())) + 1)
    if from_scores.ndim == 2:
        classes = max(classes, from_scores.shape[1])
    names = [str(i) for i in range(classes)] if names is None else list(names)
    if len(names) < classes or min(true.min(), found.min()) < 0:
        raise ValueError(
            f"confusion_matrix: there are classes from {min(true.min(), found.min())} to "
            f"{classes - 1}, and {len(names)} names"
        )
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, found), 1)
    accuracy = np.trace(counts) / len(true)
    return _draw(counts, names, title or f"accuracy {100 * accuracy:.1f} % of {len(true):,}", path)


def _draw(counts: np.ndarray, names: list[str], title: str, path: Path) -> Figure:
    from matplotlib.colors import PowerNorm  # type: ignore[import-not-found, unused-ignore]
    from matplotlib.ticker import PercentFormatter  # type: ignore[import-not-found, unused-ignore]

    classes = len(names)
    side = min(12.0, max(4.0, 0.52 * classes + 1.6))
    figure = new_figure("confusion_matrix", side + 0.9, side)
    axis = figure.subplots()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axis.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    small = 9 if classes <= 12 else 7
    if classes <= _LABELLED:
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[i, j] > 0.4 else "#20364C"
            weight = "bold" if i == j else "normal"
            axis.text(
                j, i, f"{counts[i, j]}", ha="center", va="center", color=colour, fontsize=small,
                fontweight=weight,
            )  # fmt: skip
    long = max(map(len, names)) > 2
    step = -(-classes // 40)
    ticks = list(range(0, classes, step))
    shown = [names[i].replace("_", " ") for i in ticks]
    axis.set_xticks(ticks, shown, rotation=45 if long else 0, ha="right" if long else "center")
    axis.set_yticks(ticks, shown)
    axis.set_xticks(np.arange(-0.5, classes), minor=True)
    axis.set_yticks(np.arange(-0.5, classes), minor=True)
    axis.grid(which="minor", color="white", linewidth=1)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.set_title(title, fontsize=11, loc="left", fontweight="bold")
    bar = figure.colorbar(image, ax=axis, shrink=0.75, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return finish(figure, path)
