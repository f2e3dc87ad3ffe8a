"""Pointwise calls as parts of a group: which memory they touch, and how it lies along what they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from ... import _core
from ..._core import ops as op
from ..program import Call, View, addresses, span

__all__ = [
    "Operand",
    "Part",
    "Region",
    "Strides",
    "collapse",
    "kind_of",
    "laid_out",
    "part_of",
    "plain",
    "region",
    "reshaped",
]

REALS, BOOL = (0, 1), 5  # dtype codes

Strides = tuple[int, ...]


class Region(NamedTuple):
    """A stretch of memory: whose, and the first byte and the one behind the last."""

    memory: int
    low: int
    high: int

    def overlaps(self, other: Region) -> bool:
        return self.memory == other.memory and self.low < other.high and other.low < self.high


def region(view: View) -> Region:
    """Where a view lies. Memory that is not fastnn's own is told apart by its address alone."""
    if view.array is not None and not view.buffer.size:
        return Region(0, *addresses(view))
    return Region(id(view.buffer), *span(view))


def plain(shape: Sequence[int]) -> Strides:
    """The strides of a contiguous array."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@cache
def _signature(number: int) -> str | None:
    """The kinds of a pointwise op's arrays, a letter each: r real, b bool, k a key. None for other ops."""
    name, family, arrays, _ = _core.op_info(number)
    if number == op.dropout:
        return "rkr"
    if family != "map" or name in ("floor_divide", "mod", "copy"):
        return None
    words = arrays.replace("->", "").split()
    return "".join("b" if word.endswith(":b") else "r" for word in words)


def kind_of(view: View) -> str:
    """The letter of its elements' kind, as in a signature."""
    return "r" if view.code in REALS else "b" if view.code == BOOL else "k"


class Operand(NamedTuple):
    """What a group reads, where it lies, and how along the group's shape (None for a key)."""

    view: View
    strides: Strides | None
    place: Region


class Part(NamedTuple):
    """A pointwise call as a group sees it: axes of length 1 are left out, what is broadcast has stride 0."""

    shape: tuple[int, ...]
    inputs: list[View]
    strides: list[Strides | None]  # None for a key
    places: list[Region]  # where the inputs lie
    output: View
    code: int  # the real dtype, -1 if all are bools

    @property
    def flat(self) -> bool:
        """Whether each input lies like the output, or is one number."""
        return all(s is None or s == plain(self.shape) or not any(s) for s in self.strides)


def part_of(call: Call) -> Part | None:
    """The call as a part of a group, None if it cannot be one."""
    signature = _signature(call.op)
    if signature is None or None in call.views:
        return None
    views = [v for v in call.views if v is not None]
    *inputs, y = views
    reals = {v.code for v in views if v.code in REALS}
    if [kind_of(v) for v in views] != list(signature) or len(reals) > 1:
        return None
    if not y.contiguous or not y.elements:
        return None
    axes = [i for i, n in enumerate(y.shape) if n != 1]
    strides = [_along(v, y, axes) if kind_of(v) != "k" else None for v in inputs]
    return Part(
        tuple(y.shape[i] for i in axes),
        inputs,
        strides,
        [region(v) for v in inputs],
        y,
        reals.pop() if reals else -1,
    )


def _along(view: View, y: View, axes: list[int]) -> Strides:
    """The strides of an input along axes of the output."""
    lead = len(y.shape) - len(view.shape)
    return tuple(
        view.strides[i - lead] if i >= lead and view.shape[i - lead] != 1 else 0 for i in axes
    )


def collapse(
    shape: Sequence[int], strides: Sequence[Strides]
) -> tuple[tuple[int, ...], list[Strides]]:
    """With axes joined where all arrays go on from one to the next."""
    joined, along = list(shape), [list(s) for s in strides]
    for i in range(len(joined) - 2, -1, -1):
        if all(s[i] == s[i + 1] * joined[i + 1] for s in along):
            joined[i : i + 2] = [joined[i] * joined[i + 1]]
            for s in along:
                del s[i]
    return tuple(joined), [tuple(s) for s in along]


def reshaped(strides: Strides | None, shape: tuple[int, ...]) -> Strides | None:
    """Strides that are contiguous or all 0, for another shape of as many elements."""
    if strides is None:
        return None
    return plain(shape) if any(strides) else (0,) * len(shape)


def laid_out(view: View, shape: Sequence[int], strides: Sequence[int]) -> View:
    """The view with these axes, those along which it is broadcast left out or of length 1."""
    axes = [(n, s) if s else (1, 1) for n, s in zip(shape, strides, strict=True)]
    while axes and axes[0] == (1, 1):
        axes.pop(0)
    shape, strides = tuple(n for n, _ in axes), tuple(s for _, s in axes)
    array = view.array
    if array is not None:
        array = _core.view(_core.Array, array, shape, strides)
    return replace(view, shape=shape, strides=strides, array=array)
