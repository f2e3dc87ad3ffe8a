"""What all pictures share: a figure without pyplot, colours, and how it is saved."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

Path = str | os.PathLike[str] | None

# Okabe and Ito's colours, which are told apart with any kind of colour vision (https://jfly.uni-koeln.de/color/).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"


def new_figure(name: str, width: float, height: float) -> Figure:
    """An empty figure of so many inches, that lays itself out."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"plot.{name} needs matplotlib: pip install fastnn[plot] (or matplotlib)"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def finish(figure: Figure, path: Path) -> Figure:
    """The figure, saved if there is a path; its ending tells the format (.png, .pdf, .svg)."""
    if path is not None:
        figure.savefig(os.fspath(path), dpi=150)
    return figure


def plain(axis: Any, title: str = "", x: str = "", y: str = "") -> None:
    """Titles, a faint grid, and no frame where nothing is read."""
    axis.set_title(title, fontsize=11, loc="left", fontweight="bold")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(axis="y", color="#E3E3E3", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def array(x: Any) -> np.ndarray:
    """A tensor or anything like an array, as numpy's."""
    if hasattr(x, "detach"):
        x = x.detach()
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x)


def as_pictures(x: Any, name: str) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3) from 0 to 1, of images (N, C, H, W), (N, H, W) or a single one.

    uint8 is taken from 0 to 255; real numbers beyond [0, 1] (normalised images) from their least to their
    largest.
    """
    x = array(x)
    if x.ndim in (2, 3) and not (x.ndim == 3 and x.shape[0] not in (1, 3)):
        x = x[None]
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(
            f"{name}: images must be (N, 1, H, W), (N, 3, H, W) or (N, H, W), not {x.shape}"
        )
    real = x.astype(np.float64) / (255 if x.dtype == np.uint8 else 1)
    if real.size and (real.min() < 0 or real.max() > 1):
        low, high = real.min(), real.max()
        real = (real - low) / (high - low if high > low else 1)
    return real[:, 0] if x.shape[1] == 1 else real.transpose(0, 2, 3, 1)


def show(axis: Any, picture: np.ndarray, **options: Any) -> None:
    """One picture, without ticks; grey where it has no colours."""
    options = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest", **options}
    axis.imshow(picture, **options)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("#CCCCCC")
        spine.set_linewidth(0.6)


def grid(count: int, columns: int) -> tuple[int, int]:
    """Rows and columns for so many pictures."""
    columns = max(1, min(count, columns))
    return -(-count // columns), columns
