"""Data sets: the digits that come with fastnn, and readers of well-known ones on your disk.

Nothing is downloaded. Files are looked for in `root`, or in the folder that the environment
variable FASTNN_DATA names, both directly and in the data set's own folder there. Images are
returned as float32 in [0, 1] (`scale=False`: as the uint8 of the file), labels as int64,
everything as numpy arrays.

Images with channels are (n, C, H, W), seen over memory in which the channels come last, as
convolutions want them: `x.transpose(0, 2, 3, 1)` is that array, not a copy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .files import Root, content, find
from .folder import image_folder
from .pictures import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    cifar10,
    cifar10_subset,
    digits,
    fashion_mnist,
    mnist,
)

__all__ = [
    "CIFAR10_CLASSES", "FASHION_MNIST_CLASSES", "california_housing", "cifar10", "cifar10_subset",
    "digits", "etth1", "fashion_mnist", "image_folder", "mnist", "names", "series", "sms_spam",
    "tiny_shakespeare",
]  # fmt: skip

_SERIES = ("airline-passengers", "daily-min-temperatures", "monthly-sunspots")
HOUSING_FEATURES = (
    "longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population",
    "households", "median_income",
)  # fmt: skip


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
    path = find("SMS Spam Collection", "sms_spam", ("SMSSpamCollection",), root)[0]
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
    return _text(find("names", "names", ("names.txt",), root)[0]).split()


def tiny_shakespeare(root: Root = None) -> str:
    """1.1 MB of Shakespeare as one string, from `tinyshakespeare/input.txt` (karpathy/char-rnn)."""
    return _text(find("tiny shakespeare", "tinyshakespeare", ("input.txt",), root)[0])


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
    path = find("California housing", "tabular", ("cal_housing.data",), root)[0]
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
    path = find("ETTh1", "timeseries", ("ETTh1.csv",), root)[0]
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
    path = find(name, "timeseries", (f"{name}.csv",), root)[0]
    rows = [row for row in _rows(path)[1:] if row]
    return _numbers(path, [row[1:] for row in rows], 1)[:, 0], [row[0] for row in rows]


# --- reading files ---


def _text(path: Path) -> str:
    try:
        return content(path).decode("utf-8")
    except UnicodeDecodeError as error:
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
