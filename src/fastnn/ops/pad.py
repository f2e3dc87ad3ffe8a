"""Padding of any axes: with a number, a reflection, the border or the other side."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor, as_tensor
from .operands import BOOL, number_as
from .resample import CIRCULAR, CONSTANT, REFLECT, REPLICATE, Change, resampled

__all__ = ["pad"]

_KINDS = {
    "constant": CONSTANT, "reflect": REFLECT, "edge": REPLICATE, "replicate": REPLICATE,
    "wrap": CIRCULAR, "circular": CIRCULAR,
}  # fmt: skip


def pad(x: Any, widths: Any, mode: str = "constant", value: float = 0) -> Tensor:
    """x with elements added around it.

    Parameters
    ----------
    x : Tensor
        Gradients pass if it is float; padding takes any dtype.
    widths : int, (int, int) or sequence of (int, int)
        How many before and after: for every axis alike, or a pair an axis (numpy's pad).
    mode : {"constant", "edge", "reflect", "wrap"}
        ``value``; the nearest element; mirrored without the border itself; from the other side.
        PyTorch's "replicate" and "circular" are "edge" and "wrap".
    value : float, default 0

    Returns
    -------
    Tensor
        With its axes in x's order of memory.

    Raises
    ------
    ValueError
        If the widths do not fit x's axes or are negative, or an axis is too short: "reflect" adds
        fewer elements than there are, and nothing but a number can be put beside none.

    Examples
    --------
    >>> pad(Tensor([1.0, 2.0, 3.0]), 1)
    Tensor([0., 1., 2., 3., 0.])
    >>> pad(Tensor([1.0, 2.0, 3.0]), (2, 0), mode="reflect")
    Tensor([3., 2., 1., 2., 3.])
    """
    x = as_tensor(x)
    if mode not in _KINDS:
        raise ValueError(f"pad: mode {mode!r} is none of {', '.join(map(repr, _KINDS))}")
    changes = [
        _change(x.shape, axis, pair, mode)
        for axis, pair in enumerate(_pairs(widths, x.ndim))
        if pair != (0, 0)
    ]
    number = _number(value, x) if mode == "constant" else 0.0
    return resampled(x, "pad", _KINDS[mode], changes, number) if changes else x


def _pairs(widths: Any, ndim: int) -> list[tuple[int, int]]:
    try:
        given = np.asarray(widths)
        if (given.dtype.kind not in "iu" and given.size) or given.ndim > 2:
            raise ValueError
        pairs = [(int(a), int(b)) for a, b in np.broadcast_to(given, (ndim, 2))]
    except ValueError:
        raise ValueError(
            f"pad: widths {widths!r} are neither an integer, a pair, nor one pair of integers "
            f"for each of {ndim} axes"
        ) from None
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError(
            f"pad: widths must not be negative, got {widths!r}; slice to make x smaller"
        )
    return pairs


def _number(value: float, x: Tensor) -> float:
    """What constant padding puts there, checked to be a number that x's dtype can hold."""
    if x.code != BOOL:
        number_as(value, x.code, "pad")
    return float(value)


def _change(shape: tuple[int, ...], axis: int, pair: tuple[int, int], mode: str) -> Change:
    n, (before, after) = shape[axis], pair
    if mode != "constant" and (n == 0 or (mode == "reflect" and max(pair) >= n)):
        raise ValueError(
            f"pad: axis {axis} of length {n} is too short for {mode!r} padding of ({before}, {after})"
        )
    return Change(axis, n, n + before + after, before)
