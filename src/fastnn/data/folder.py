"""Images in a folder for each class, read with Pillow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["image_folder"]

_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_MODES = {"RGB": 3, "L": 1}


def image_folder(
    root: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    mode: str = "RGB",
    scale: bool = False,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images from ``root/class/.../file.png``, a folder for each class; needs Pillow.

    Parameters
    ----------
    root : str or path
        The folder around the classes' folders. Names that begin with a dot are passed over.
    size : int or (int, int), optional
        Height and width that all images are brought to, by bilinear interpolation. Without it all must
        have the same size.
    mode : {"RGB", "L"}
        Colours, or grey.
    scale : bool
        Pixels as float32 in [0, 1], else as uint8, which `Trainer.fit(..., augment=...)` takes.

    Returns
    -------
    x : ndarray of shape (n, C, H, W)
        Over memory (n, H, W, C), in the order of classes and of file names.
    y : ndarray of int64, shape (n,)
        Places in `names`.
    names : list of str
        The classes' folders, in alphabetical order.

    Raises
    ------
    ImportError
        Pillow is not installed: ``pip install fastnn[images]``.
    FileNotFoundError
        There are no folders, or one has no images.
    ValueError
        A file is damaged or has another size than the first; the message names it.
    """
    image_module = _pillow()
    if mode not in _MODES:
        raise ValueError(f"image_folder: mode is {mode!r}; it must be 'RGB' or 'L'")
    wanted = _size(size)
    files, labels, names = _listed(Path(root))
    pixels: np.ndarray | None = None
    for i, file in enumerate(files):
        image = _read(image_module, file, mode, wanted)
        if pixels is None:
            pixels = np.empty((len(files), *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise ValueError(
                f"{file}: {image.shape[0]} x {image.shape[1]} pixels, but {files[0]} has "
                f"{pixels.shape[1]} x {pixels.shape[2]}; give size=(height, width)"
            )
        pixels[i] = image
    assert pixels is not None
    x = pixels.transpose(0, 3, 1, 2)
    if scale:
        x = (pixels * np.float32(1 / 255)).transpose(0, 3, 1, 2)
    return x, np.array(labels, np.int64), names


def _pillow() -> Any:
    try:
        from PIL import Image  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError("image_folder needs Pillow: pip install fastnn[images]") from error
    return Image


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(s, int) and s > 0 for s in sides):
        raise ValueError(
            f"image_folder: size must be a whole number or (height, width), got {size!r}"
        )
    return sides


def _listed(root: Path) -> tuple[list[Path], list[int], list[str]]:
    """The files, their classes, and the classes' names."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; it should have a folder for each class")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise FileNotFoundError(f"{root}: has no folders; put the images of each class into one")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(
            p
            for p in folder.rglob("*")
            if p.suffix.lower() in _ENDINGS and p.is_file() and not p.name.startswith(".")
        )
        if not found:
            raise FileNotFoundError(f"{folder}: has no images ({', '.join(sorted(_ENDINGS))})")
        files += found
        labels += [label] * len(found)
    return files, labels, [folder.name for folder in folders]


def _read(image_module: Any, file: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    """An image as (H, W, C) uint8."""
    try:
        with image_module.open(file) as opened:
            image = opened.convert(mode)
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], image_module.Resampling.BILINEAR)
            return np.asarray(image, np.uint8).reshape(image.size[1], image.size[0], _MODES[mode])
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise ValueError(f"{file}: damaged, or no image: {error}") from None
