"""Channels as the kernels of batch, group and instance normalisation take them.

Images whose channels come last in memory are rows of channels, side by side; else each channel lies along
a line of its sample. Both are read where they lie.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .._core import empty, launch
from .._core import ops as op
from ..tensor import Tensor
from .shape import _row_major

__all__: list[str] = []

# The limits of y for each activation that a normalisation can end with.
LIMITS: dict[str | None, tuple[float, float]] = {
    None: (-math.inf, math.inf),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
}


class Lay(NamedTuple):
    """How the elements of (N, C, ...) lie: the kernel's shape, and the user's with its strides."""

    flat: tuple[int, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    columns: bool  # whether channels lie side by side

    def room(self, code: int) -> tuple[Tensor, Tensor]:
        """Memory for a result: as the kernel sees it, and as the user does."""
        y: Tensor = empty(Tensor, self.flat, code)
        return y, self.seen(y)

    def seen(self, flat: Tensor) -> Tensor:
        """A result of the kernel as the user sees it."""
        return flat if flat.shape == self.shape else flat._as_view(self.shape, self.strides)

    def of(self, x: Tensor) -> Tensor:
        """A tensor of the same shape as the kernel takes it; copied where it lies differently."""
        if any(s != t for n, s, t in zip(x.shape, x.strides, self.strides, strict=True) if n != 1):
            y, seen = self.room(x.code)
            launch(op.copy, (x, seen))
            return y
        return x._as_view(self.flat, _row_major(self.flat))


def lay_of(x: Tensor, by_sample: bool) -> Lay:
    """How results are to lie for x, of two axes or more: with its channels last in memory, or row by row.

    Parameters
    ----------
    x : Tensor
        (N, C, ...)
    by_sample : bool
        Whether the kernel is to tell samples apart: (N, C, L) or (N, L, C) instead of (N * L, C).
    """
    shape, n, c = x.shape, x.shape[0], x.shape[1]
    length = math.prod(shape[2:])
    rows = tuple(_row_major(shape))
    if length > 1 and c > 1 and x.strides[1] == 1:
        flat = (n, length, c) if by_sample else (n * length, c)
        return Lay(flat, shape, _channels_last(shape), True)
    if length == 1:
        return Lay((n, c), shape, rows, False)
    return Lay((n, c, length), shape, rows, False)


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of (N, C, ...) where it lies as (N, ..., C)."""
    inner = tuple(_row_major((*shape[2:], shape[1])))
    return (math.prod(shape[1:]), 1, *inner[:-1])


def checked(x: Any, what: str, like: Tensor, name: str) -> Tensor:
    """A residual or the like, which must be as x is."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {what} must be a tensor, not {type(x).__name__}")
    if x.shape != like.shape or x.code != like.code:
        raise ValueError(
            f"{name}: {what} must be {like.dtype} {like.shape} as x is, not {x.dtype} {x.shape}"
        )
    return x
