"""Data sets of images: digits, MNIST and Fashion-MNIST, CIFAR-10."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from .files import Root, content, find
from .idx import read_idx
from .preparation import train_test_split

__all__ = [
    "CIFAR10_CLASSES", "FASHION_MNIST_CLASSES", "cifar10", "cifar10_subset", "digits",
    "fashion_mnist", "mnist",
]  # fmt: skip

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_IDX_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
_CIFAR_FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_CIFAR_PARTS = ("train_images", "train_labels", "test_images", "test_labels")
_CIFAR_BYTES = 1 + 3 * 32 * 32  # of an image, its label first
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip


def digits(
    *,
    test_size: float = 0.2,
    seed: int = 0,
    scale: bool = True,
    flatten: bool = False,
    channels: bool = False,
) -> Split:
    """1,797 handwritten digits of 8x8 pixels: part of the package, no file needed.

    Source: Alpaydin and Kaynak, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49,
    CC BY 4.0.

    Parameters
    ----------
    test_size, seed : float, int
        The share of each digit that is held out, and which ones.
    scale : bool
        Pixels as float32 in [0, 1], else as uint8 in 0 to 16.
    flatten, channels : bool
        Rows of 64, or images (n, 1, 8, 8), instead of (n, 8, 8).

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (n, 8, 8), y (n,) int64.

    Examples
    --------
    >>> (x, y), (x_test, y_test) = digits()
    >>> x.shape, x_test.shape
    ((1438, 8, 8), (359, 8, 8))
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        images, labels = stored["images"], stored["labels"].astype(np.int64)
    parts = train_test_split(images, labels, test_size=test_size, seed=seed, stratify=labels)
    pixels = [_pixels(part, 16, scale, flatten, channels) for part in parts[:2]]
    return (pixels[0], parts[2]), (pixels[1], parts[3])


def mnist(
    root: Root = None, *, scale: bool = True, flatten: bool = False, channels: bool = False
) -> Split:
    """MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels, from the four IDX files.

    Parameters
    ----------
    root : str or path, optional
        The folder with the files, or with a folder `mnist` of them; the default is $FASTNN_DATA.
    scale : bool
        Pixels as float32 in [0, 1], else as uint8.
    flatten, channels : bool
        Rows of 784, or images (n, 1, 28, 28) as convolutions take them, instead of (n, 28, 28).

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (n, 28, 28), y (n,) int64.

    Raises
    ------
    FileNotFoundError
        A file is missing; the message names the four and where to put them.
    ValueError
        A file is damaged.
    """
    return _idx_images("mnist", "MNIST", root, scale, flatten, channels)


def fashion_mnist(
    root: Root = None, *, scale: bool = True, flatten: bool = False, channels: bool = False
) -> Split:
    """Fashion-MNIST: as `mnist`, with ten kinds of clothing, in the folder `fashion-mnist`.

    Labels are places in `FASHION_MNIST_CLASSES`.
    """
    return _idx_images("fashion-mnist", "Fashion-MNIST", root, scale, flatten, channels)


def cifar10(root: Root = None, *, scale: bool = True, subset: bool | None = None) -> Split:
    """CIFAR-10: 50,000 and 10,000 photos of 32x32 pixels of ten kinds of things, or a sample of it.

    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.

    Parameters
    ----------
    root : str or path, optional
        The folder with the files, or with a folder `cifar10` or `cifar-10-batches-bin` of them; the
        default is $FASTNN_DATA. The files are those of the binary version (data_batch_1.bin to
        data_batch_5.bin, test_batch.bin), or the arrays train_images (n, 32, 32, 3), train_labels,
        test_images and test_labels in cifar10.npz or cifar10_subset.npz.
    scale : bool
        Pixels as float32 in [0, 1], else as uint8.
    subset : bool, optional
        Whether it is to be cifar10_subset.npz; if not given, only where there is nothing else.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (n, 3, 32, 32), over memory (n, 32, 32, 3); y (n,) int64, places in `CIFAR10_CLASSES`.

    Raises
    ------
    FileNotFoundError
        There is none of the files; the message says where to put them.
    ValueError
        A file is damaged.
    """
    folders = ("cifar10", "cifar-10-batches-bin")
    kinds: list[tuple[str, ...]] = [_CIFAR_FILES, ("cifar10.npz",), ("cifar10_subset.npz",)]
    missing = []
    for files in kinds[2:] if subset else kinds[:2] if subset is False else kinds:
        try:
            paths = find("CIFAR-10", folders, files, root)
        except FileNotFoundError as error:
            missing.append((error, files))
            continue
        parts = _cifar_binary(paths) if len(paths) > 1 else _cifar_arrays(paths[0])
        train, test = (_last(parts[i], scale) for i in (0, 2))
        return (train, parts[1]), (test, parts[3])
    (first, _), *others = missing
    instead = " or ".join(files[0] for _, files in others)
    raise FileNotFoundError(f"{first}; {instead} will do, too" if instead else str(first))


def cifar10_subset(root: Root = None, *, scale: bool = True) -> Split:
    """A balanced sample of CIFAR-10: 6,000 and 2,000 images, from `cifar10/cifar10_subset.npz`.

    The same as ``cifar10(root, subset=True)``.
    """
    return cifar10(root, scale=scale, subset=True)


def _cifar_binary(paths: list[Path]) -> list[np.ndarray]:
    """Images (n, 32, 32, 3) and labels of all batches but the last, and of the last."""
    images, labels = [], []
    for path in paths:
        data = np.frombuffer(content(path), np.uint8)
        if not data.size or data.size % _CIFAR_BYTES:
            raise ValueError(
                f"{path}: damaged: {data.size} bytes are not some images of {_CIFAR_BYTES} bytes each"
            )
        rows = data.reshape(-1, _CIFAR_BYTES)
        labels.append(_labels(path, rows[:, 0], len(rows)))
        images.append(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return [
        np.concatenate(images[:-1]), np.concatenate(labels[:-1]),
        np.ascontiguousarray(images[-1]), labels[-1],
    ]  # fmt: skip


def _cifar_arrays(path: Path) -> list[np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            parts = [stored[name] for name in _CIFAR_PARTS]
    except (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    for i in (0, 2):
        images = parts[i]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (32, 32, 3):
            raise ValueError(
                f"{path}: {_CIFAR_PARTS[i]} is {images.dtype} {images.shape}, not uint8 (n, 32, 32, 3)"
            )
        parts[i + 1] = _labels(path, parts[i + 1], len(images))
    return parts


def _labels(path: Path, labels: np.ndarray, images: int) -> np.ndarray:
    """Labels as int64, of ten classes, one an image."""
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise ValueError(f"{path}: {labels.dtype} labels {labels.shape} for {images} images")
    if labels.size and not 0 <= labels.min() <= labels.max() <= 9:
        raise ValueError(f"{path}: damaged: a label is {labels.max()}, wanted 0 to 9")
    return labels.astype(np.int64)


def _last(images: np.ndarray, scale: bool) -> np.ndarray:
    """Images (n, H, W, C) as (n, C, H, W), in the memory order that they have."""
    return _pixels(images, 255, scale, False).transpose(0, 3, 1, 2)


def _idx_images(
    folder: str, title: str, root: Root, scale: bool, flatten: bool, channels: bool
) -> Split:
    paths = find(title, folder, _IDX_FILES, root)
    arrays = [read_idx(path) for path in paths]
    for (images, labels), (image_path, label_path) in zip(
        (arrays[:2], arrays[2:]), (paths[:2], paths[2:]), strict=True
    ):
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"{image_path}: holds {images.dtype} {images.shape}, not uint8 images")
        _labels(label_path, labels, len(images))
    train, test = (_pixels(arrays[i], 255, scale, flatten, channels) for i in (0, 2))
    return (train, arrays[1].astype(np.int64)), (test, arrays[3].astype(np.int64))


def _pixels(
    images: np.ndarray, largest: int, scale: bool, flatten: bool, channels: bool = False
) -> np.ndarray:
    if flatten and channels:
        raise ValueError("flatten and channels exclude each other: rows, or images with a channel")
    if flatten:
        images = images.reshape(len(images), -1)
    if channels:
        images = images[:, None]
    if not scale:
        return np.ascontiguousarray(images)
    scaled = np.empty(images.shape, np.float32)
    return np.multiply(images, np.float32(1 / largest), out=scaled)
