"""Data sets: the digits that come with fastnn, and readers of well-known ones on your disk.

Nothing is downloaded. Files are looked for in `root`, or in the folder that the environment
variable FASTNN_DATA names, both directly and in the data set's own folder there. Images are
returned as float32 in [0, 1] (`scale=False`: as the uint8 of the file), labels as int64,
everything as numpy arrays.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .idx import read_idx
from .preparation import train_test_split

__all__ = [
    "california_housing", "cifar10_subset", "digits", "etth1", "fashion_mnist", "mnist", "names",
    "series", "sms_spam", "tiny_shakespeare",
]  # fmt: skip

Root = str | os.PathLike[str] | None
Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_IDX_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
_SERIES = ("airline-passengers", "daily-min-temperatures", "monthly-sunspots")
HOUSING_FEATURES = (
    "longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population",
    "households", "median_income",
)  # fmt: skip


def digits(
    *, test_size: float = 0.2, seed: int = 0, scale: bool = True, flatten: bool = False
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
    flatten : bool
        Rows of 64 instead of 8x8 images.

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
    pixels = [_pixels(part, 16, scale, flatten) for part in parts[:2]]
    return (pixels[0], parts[2]), (pixels[1], parts[3])


def mnist(root: Root = None, *, scale: bool = True, flatten: bool = False) -> Split:
    """MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels, from the four IDX files.

    Parameters
    ----------
    root : str or path, optional
        The folder with the files, or with a folder `mnist` of them; the default is $FASTNN_DATA.
    scale : bool
        Pixels as float32 in [0, 1], else as uint8.
    flatten : bool
        Rows of 784 instead of 28x28 images.

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
    return _idx_images("mnist", "MNIST", root, scale, flatten)


def fashion_mnist(root: Root = None, *, scale: bool = True, flatten: bool = False) -> Split:
    """Fashion-MNIST: as `mnist`, with ten kinds of clothing, in the folder `fashion-mnist`."""
    return _idx_images("fashion-mnist", "Fashion-MNIST", root, scale, flatten)


def cifar10_subset(root: Root = None, *, scale: bool = True) -> Split:
    """A balanced sample of CIFAR-10: 6,000 and 2,000 images, from `cifar10/cifar10_subset.npz`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (n, 3, 32, 32) float32 in [0, 1] (or uint8), y (n,) int64.
    """
    path = _find("CIFAR-10 (subset)", "cifar10", ("cifar10_subset.npz",), root)[0]
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            parts = [
                stored[k] for k in ("train_images", "train_labels", "test_images", "test_labels")
            ]
    except (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    train, test = (_pixels(parts[i].transpose(0, 3, 1, 2), 255, scale, False) for i in (0, 2))
    return (train, parts[1].astype(np.int64)), (test, parts[3].astype(np.int64))


def sms_spam(root: Root = None) -> tuple[list[str], np.ndarray]:
    """SMS Spam Collection: 5,574 messages, spam or not, from `sms_spam/SMSSpamCollection`.

    Source: Almeida and Gomez Hidalgo, https://doi.org/10.24432/C5CC84. Some texts occur more than
    once: split by text.

    Returns
    -------
    texts : list of str
    labels : ndarray of int64, shape (n,)
        1 for spam, 0 for ham.
    """
    path = _find("SMS Spam Collection", "sms_spam", ("SMSSpamCollection",), root)[0]
    texts, labels = [], []
    for number, line in enumerate(_text(path).splitlines(), 1):
        label, tab, text = line.partition("\t")
        if not tab or label not in ("ham", "spam"):
            raise ValueError(f"{path}: line {number} is not 'ham' or 'spam', a tab and a text")
        texts.append(text)
        labels.append(int(label == "spam"))
    return texts, np.array(labels, np.int64)


def names(root: Root = None) -> list[str]:
    """32,033 given names in lower case, from `names/names.txt` (karpathy/makemore)."""
    return _text(_find("names", "names", ("names.txt",), root)[0]).split()


def tiny_shakespeare(root: Root = None) -> str:
    """1.1 MB of Shakespeare as one string, from `tinyshakespeare/input.txt` (karpathy/char-rnn)."""
    return _text(_find("tiny shakespeare", "tinyshakespeare", ("input.txt",), root)[0])


def california_housing(root: Root = None) -> tuple[np.ndarray, np.ndarray]:
    """California housing: 20,640 districts of the 1990 census, from `tabular/cal_housing.data`.

    Source: Pace and Barry, Sparse Spatial Autoregressions, 1997.

    Returns
    -------
    x : ndarray of float64, shape (n, 8)
        The columns `HOUSING_FEATURES`, not scaled.
    y : ndarray of float64, shape (n,)
        The median house value in dollars.
    """
    path = _find("California housing", "tabular", ("cal_housing.data",), root)[0]
    table = _numbers(path, _rows(path), 9)
    return table[:, :8].copy(), table[:, 8].copy()


def etth1(root: Root = None) -> tuple[np.ndarray, list[str], list[str]]:
    """ETTh1: 17,420 hours of an electricity transformer, from `timeseries/ETTh1.csv`.

    Source: Zhou et al., Informer, 2021, https://github.com/zhouhaoyi/ETDataset, CC BY-ND 4.0.

    Returns
    -------
    values : ndarray of float64, shape (n, 7)
    columns, dates : list of str
        The names of the columns (the last, OT, is the oil's temperature) and the hours.
    """
    path = _find("ETTh1", "timeseries", ("ETTh1.csv",), root)[0]
    header, *rows = _rows(path)
    return _numbers(path, [r[1:] for r in rows], 7), header[1:], [r[0] for r in rows if r]


def series(name: str, root: Root = None) -> tuple[np.ndarray, list[str]]:
    """A small time series: "airline-passengers", "daily-min-temperatures" or "monthly-sunspots".

    Returns
    -------
    values : ndarray of float64, shape (n,)
    dates : list of str
    """
    if name not in _SERIES:
        raise ValueError(f"no series is named {name!r}; known are {', '.join(_SERIES)}")
    path = _find(name, "timeseries", (f"{name}.csv",), root)[0]
    rows = [row for row in _rows(path)[1:] if row]
    return _numbers(path, [row[1:] for row in rows], 1)[:, 0], [row[0] for row in rows]


# --- looking for files and reading them ---


def _find(title: str, folder: str, files: tuple[str, ...], root: Root) -> list[Path]:
    """The files, each plain or with .gz, in root/folder or in root itself."""
    wanted = ", ".join(f"{name}[.gz]" if not name.endswith(".npz") else name for name in files)
    given = os.fspath(root) if root is not None else os.environ.get("FASTNN_DATA")
    if not given:
        raise FileNotFoundError(
            f"{title} is not part of fastnn. Put the file{'s' * (len(files) > 1)} {wanted} into a "
            f"folder '{folder}' and name the folder around it: root=..., or the environment "
            "variable FASTNN_DATA"
        )
    places = (Path(given) / folder, Path(given))
    best: list[str] = list(files)
    for place in places:
        found = [
            next((p for p in (place / n, place / f"{n}.gz") if p.is_file()), None) for n in files
        ]
        if all(found):
            return [p for p in found if p is not None]
        missing = [name for name, path in zip(files, found, strict=True) if path is None]
        best = min(best, missing, key=len)
    raise FileNotFoundError(
        f"{title}: did not find {', '.join(best)} (or .gz) in {places[0]} or {places[1]}; "
        f"put {wanted} there, or point root= or FASTNN_DATA to where they are"
    )


def _idx_images(folder: str, title: str, root: Root, scale: bool, flatten: bool) -> Split:
    paths = _find(title, folder, _IDX_FILES, root)
    arrays = [read_idx(path) for path in paths]
    for (images, labels), (image_path, label_path) in zip(
        (arrays[:2], arrays[2:]), (paths[:2], paths[2:]), strict=True
    ):
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"{image_path}: holds {images.dtype} {images.shape}, not uint8 images")
        if labels.shape != images.shape[:1] or labels.dtype != np.uint8:
            raise ValueError(
                f"{label_path}: labels {labels.shape} for {len(images)} images in {image_path.name}"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"{label_path}: damaged: a label is {labels.max()}, wanted 0 to 9")
    train, test = (_pixels(arrays[i], 255, scale, flatten) for i in (0, 2))
    return (train, arrays[1].astype(np.int64)), (test, arrays[3].astype(np.int64))


def _pixels(images: np.ndarray, largest: int, scale: bool, flatten: bool) -> np.ndarray:
    if flatten:
        images = images.reshape(len(images), -1)
    if not scale:
        return np.ascontiguousarray(images)
    scaled = np.empty(images.shape, np.float32)
    return np.multiply(images, np.float32(1 / largest), out=scaled)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged or truncated: {error}") from None


def _rows(path: Path) -> list[list[str]]:
    lines: Iterator[list[str]] = csv.reader(io.StringIO(_text(path)))
    rows = [row for row in lines if row]
    if not rows:
        raise ValueError(f"{path}: the table is empty")
    return rows


def _numbers(path: Path, rows: list[list[str]], columns: int) -> np.ndarray:
    try:
        table = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: not a table of numbers: {error}") from None
    if table.ndim != 2 or table.shape[1] != columns:
        raise ValueError(f"{path}: wanted {columns} columns of numbers, got shape {table.shape}")
    return table
