"""What rows are made of: a call of ours on arrays, and what numpy and PyTorch do on the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn import _core

try:
    import torch
except ImportError:
    torch = None

Thunk = Callable[[], Any]
twins_wanted = True  # False: PyTorch is not even called, where another library is timed alone
RNG = np.random.default_rng(0)


@dataclass
class Row:
    """One op on one size; peers do the same work or are None."""

    name: str
    ours: Thunk
    moved: int  # bytes that must be read and written
    numpy: Thunk | None = None
    torch: Thunk | None = None


Maker = Callable[[int, str], Row]
FAMILIES: dict[str, dict[str, Maker]] = {}


def family(name: str) -> Callable[[Callable[[], Iterator[tuple[str, Maker]]]], None]:
    """Put the rows that the decorated generator yields under a family's name."""

    def put(rows: Callable[[], Iterator[tuple[str, Maker]]]) -> None:
        FAMILIES[name] = dict(rows())

    return put


def call(op: str, arrays: list[np.ndarray | None], *scalars: float) -> tuple[Thunk, int]:
    """A launch of one of our ops on numpy arrays, and the bytes of these."""
    number = getattr(_core.ops, op)
    ours = tuple(None if a is None else fastnn.Tensor(a) for a in arrays)
    values = tuple(scalars)
    moved = sum(a.nbytes for a in arrays if a is not None)
    return lambda: _core.launch(number, ours, values), moved


def reals(shape: Any, dtype: str, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(dtype)


def twin(make: Callable[..., Thunk], *arrays: np.ndarray) -> Thunk | None:
    """What PyTorch does on the same memory, None without PyTorch or without such a function."""
    if torch is None or not twins_wanted:
        return None
    try:
        thunk = make(*(torch.from_numpy(a) for a in arrays))
        thunk()
        return thunk
    except (AttributeError, TypeError, RuntimeError, NotImplementedError):
        return None


def matrix(n: int, columns: int) -> tuple[int, int]:
    """A shape of about n elements in rows of so many."""
    return max(1, n // columns), columns
