"""Pointwise calls with their axes in the order of memory."""

from __future__ import annotations

from dataclasses import replace

from ... import _core
from ..program import Call, Program, View

__all__ = ["in_memory_order"]


def in_memory_order(program: Program) -> Program:
    """With the axes of pointwise calls and copies in the order in which their results lie in memory.

    What works element by element does not care in which order its axes are named. Results without gaps, such
    as images whose channels come last, are contiguous then, so that other passes treat all layouts alike.
    """
    return replace(program, calls=[_ordered(call) for call in program.calls])


def _ordered(call: Call) -> Call:
    if call.family != "map":
        return call
    y = call.views[-1]
    assert y is not None
    if y.contiguous or not y.elements:
        return call
    order = sorted(range(len(y.shape)), key=lambda axis: -abs(y.strides[axis]))
    if not _permuted(y, order).contiguous:
        return call
    views = [None if v is None else _permuted(_widened(v, len(order)), order) for v in call.views]
    arrays = [v if v is None or v.array is None else replace(v, array=_array(v)) for v in views]
    return replace(call, views=tuple(arrays))


def _permuted(view: View, order: list[int]) -> View:
    shape = tuple(view.shape[axis] for axis in order)
    return replace(view, shape=shape, strides=tuple(view.strides[axis] for axis in order))


def _widened(view: View, ndim: int) -> View:
    """The view with axes of length 1 before its own."""
    lead = ndim - len(view.shape)
    return replace(view, shape=(1,) * lead + view.shape, strides=(0,) * lead + view.strides)


def _array(view: View) -> _core.Array:
    assert view.array is not None
    return _core.view(_core.Array, view.array, view.shape, view.strides)
