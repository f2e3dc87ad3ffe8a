"""What an augmentation does, to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Generator
from ...tensor import as_tensor
from .compose import Compose, Transform
from .plan import pair

__all__ = ["examples", "preview"]


def examples(
    images: Any,
    transforms: Transform | list[Transform],
    *,
    rows: int = 4,
    columns: int = 8,
    seed: int = 0,
) -> np.ndarray:
    """Some images, and what becomes of them, as colours from 0 to 1.

    Parameters
    ----------
    images : array-like of shape (N, C, H, W)
        The first `rows` are taken.
    transforms : Transform or list of Transform
        Where the last of them is a `Normalize`, it is undone, so that colours are colours.
    rows, columns : int
        How many images, and of how many kinds: the first column has them as they are.
    seed : int
        Which chances.

    Returns
    -------
    ndarray of shape (rows, columns, H, W, C)
        float32. An image that is smaller than its original lies in the middle, and the other way round.
    """
    rows, columns = pair("preview: rows and columns", (rows, columns), 1)
    change = transforms if isinstance(transforms, Compose) else Compose(transforms)
    x = as_tensor(images)[:rows]
    plain = Compose([])(x).numpy()
    generator = Generator(seed)
    labels = np.zeros((len(plain), change._for(x).plan.classes or 1), np.float32)
    shown = [plain]
    for _ in range(columns - 1):
        made = change(x, labels, generator=generator)[0].numpy()
        shown.append(_units(change, made))
    size = np.max([part.shape[2:] for part in shown], axis=0)
    grid = np.stack([_centred(part, size) for part in shown], axis=1)
    return np.clip(np.moveaxis(grid, 2, -1), 0, 1).astype(np.float32)


def _units(change: Compose, x: np.ndarray) -> np.ndarray:
    """Images without the normalisation that they went through."""
    for transform in reversed(change.transforms):
        undo = transform.inverse_scale()
        if undo is not None:
            factor, summand = (np.reshape(np.atleast_1d(v), (-1, 1, 1)) for v in undo)
            x = x * factor + summand
    return x


def _centred(x: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Images in the middle of white ones of that size."""
    out = np.ones((*x.shape[:2], *size), x.dtype)
    top, left = (size - x.shape[2:]) // 2
    out[..., top : top + x.shape[2], left : left + x.shape[3]] = x
    return out


def preview(
    images: Any,
    transforms: Transform | list[Transform],
    *,
    rows: int = 4,
    columns: int = 8,
    seed: int = 0,
    path: Any = None,
) -> Any:
    """A picture of some images, and of what an augmentation makes of each; needs matplotlib.

    Parameters
    ----------
    images, transforms, rows, columns, seed
        As to `examples`, which gives the same as an array.
    path : str or path, optional
        Where to save it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed: ``pip install fastnn[plot]``.
    """
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError("preview needs matplotlib: pip install fastnn[plot]") from error
    grid = examples(images, transforms, rows=rows, columns=columns, seed=seed)
    figure = Figure(figsize=(1.1 * grid.shape[1], 1.1 * grid.shape[0] + 0.3), layout="constrained")
    axes = figure.subplots(*grid.shape[:2], squeeze=False)
    for row, pictures in zip(axes, grid, strict=True):
        for axis, picture in zip(row, pictures, strict=True):
            grey = picture.shape[-1] == 1
            axis.imshow(picture[..., 0] if grey else picture[..., :3], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
    axes[0][0].set_title("original", fontsize=9)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
