"""Grids of images, and those that a network is wrong about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._figure import GREY, ORANGE, Path, array, as_pictures, finish, grid, new_figure, show
from .confusion import predicted_classes, true_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]


def images(
    x: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    path: Path = None,
    title: str = "",
) -> Figure:
    """Images in a grid, row by row.

    Parameters
    ----------
    x : array-like, (N, 1, H, W), (N, 3, H, W) or (N, H, W)
        uint8, or real numbers from 0 to 1; those of normalised images are spread over what there is.
    titles : sequence of str, optional
        Above each.
    columns : int, default 8
    path : str or path, optional
        Where to save the picture.
    title : str, optional
        Above all of it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import plot
    >>> len(plot.images(np.zeros((5, 3, 8, 8), "uint8"), columns=3).axes)
    5
    """
    pictures = as_pictures(x, "images")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"images: {len(titles)} titles for {len(pictures)} images")
    return _grid("images", pictures, titles, columns, path, title)


def misclassified(
    x: Any,
    labels: Any,
    outputs: Any,
    *,
    names: Sequence[str] | None = None,
    count: int = 24,
    columns: int = 8,
    path: Path = None,
    title: str = "",
) -> Figure:
    """The images that a network takes for another class, those first of which it is most sure.

    Above each is the class it was taken for, with what the network gave for its chance, and the true one.

    Parameters
    ----------
    x : array-like, (N, C, H, W) or (N, H, W)
        Images, with one channel or three.
    labels : array-like of int, (N,)
        The true classes.
    outputs : array-like, (N, classes) or (N,)
        The network's outputs, logits or probabilities; or the classes predicted.
    names : sequence of str, optional
        Of the classes.
    count : int, default 24
        At most so many.
    columns : int, default 8
    path : str or path, optional
        Where to save the picture.
    title : str, optional
        Instead of how many are wrong.

    Returns
    -------
    matplotlib.figure.Figure
        Without images where none is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import plot
    >>> scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    >>> figure = plot.misclassified(np.zeros((3, 1, 8, 8)), [0, 0, 1], scores, names=["cat", "dog"])
    >>> figure.axes[0].get_title().splitlines()
    ['dog (80 %)', 'is cat']
    """
    found = predicted_classes(outputs, "misclassified")
    true = true_classes(labels, len(found), "misclassified")
    x = array(x)
    if len(x) != len(found):
        raise ValueError(f"misclassified: {len(x)} images for {len(found)} predictions")
    sure = _chances(array(outputs))
    wrong = np.flatnonzero(found != true)
    if sure is not None:
        wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    chosen = wrong[:count]
    titles = []
    for i in chosen:
        seen, real = (str(k) if names is None else names[k] for k in (found[i], true[i]))
        chance = "" if sure is None else f" ({100 * sure[i]:.0f} %)"
        titles.append(f"{seen}{chance}\nis {real}")
    heading = (
        title
        or f"{len(wrong):,} of {len(true):,} wrong ({100 * len(wrong) / max(len(true), 1):.1f} %)"
    )
    pictures = as_pictures(x[chosen], "misclassified") if len(chosen) else x[:0]
    return _grid("misclassified", pictures, titles, columns, path, heading)


def _chances(scores: np.ndarray) -> np.ndarray | None:
    """The chance of the class that each row of logits or probabilities prefers."""
    if scores.ndim != 2:
        return None
    scores = scores.astype(np.float64)
    if scores.size and scores.min() >= 0 and np.allclose(scores.sum(1), 1, atol=1e-3):
        return scores.max(1)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    best: np.ndarray = (shares / shares.sum(1, keepdims=True)).max(1)
    return best


def _grid(
    name: str,
    pictures: np.ndarray,
    titles: Sequence[str] | None,
    columns: int,
    path: Path,
    title: str,
) -> Figure:
    rows, columns = grid(len(pictures), columns)
    lines = 0 if not titles else max(t.count("\n") + 1 for t in titles)
    high, wide = pictures.shape[1:3] if len(pictures) else (1, 1)
    figure = new_figure(
        name,
        1.15 * columns + 0.2,
        max(1.0, rows * (1.05 * high / wide + 0.19 * lines) + 0.4 * bool(title)),
    )
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    axes = figure.subplots(max(rows, 1), columns, squeeze=False).ravel()
    for i, axis in enumerate(axes):
        if i >= len(pictures):
            axis.remove()
            continue
        show(axis, pictures[i])
        if titles:
            axis.set_title(
                titles[i], fontsize=8, color=ORANGE if name == "misclassified" else GREY, pad=3
            )
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return finish(figure, path)
