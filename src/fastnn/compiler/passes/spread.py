"""Pointwise calls on repeated values: each value is computed once."""

from __future__ import annotations

import math
from dataclasses import replace

from ... import _core
from ..._core import ops as op
from ..program import Buffer, Call, Program, View
from .part import plain
from .uses import Uses

__all__ = ["shrink_repeated"]


def shrink_repeated(program: Program) -> Program:
    """With pointwise calls done once along axes on which all their inputs repeat the same values.

    Their readers, if they can, repeat the result instead: the gradient of a mean is one number until it
    meets the weights.
    """
    calls = list(program.calls)
    uses = Uses(program.calls)
    for i, call in enumerate(program.calls):
        y = call.views[-1]
        if call.family != "map" or y is None or y.buffer.array is not None:
            continue
        touches = uses.of(y.buffer)
        axes = _repeated(calls[i])
        if not axes or [t.call for t in touches if t.writes] != [i]:
            continue
        shape = tuple(1 if k in axes else n for k, n in enumerate(y.shape))
        small = _small(y, shape)
        readers = {t.call: _reading(calls[t.call], y, small) for t in touches if not t.writes}
        if all(readers.values()):
            calls[i] = _shrunk(calls[i], axes, small)
            calls = [readers.get(k) or each for k, each in enumerate(calls)]
    return replace(program, calls=calls)


def _repeated(call: Call) -> set[int]:
    """The axes of a pointwise call's result along which no input changes."""
    *inputs, y = call.views
    assert y is not None
    axes = {k for k, n in enumerate(y.shape) if n > 1}
    for x in inputs:
        assert x is not None
        lead = len(y.shape) - len(x.shape)
        axes -= {k + lead for k, n in enumerate(x.shape) if n > 1 and x.strides[k]}
    return axes


def _small(y: View, shape: tuple[int, ...]) -> View:
    itemsize = y.buffer.size // max(y.elements, 1) if y.contiguous else 0
    return View(Buffer(math.prod(shape) * itemsize), 0, shape, plain(shape), y.code)


def _shrunk(call: Call, axes: set[int], small: View) -> Call:
    views: list[View | None] = []
    for x in call.views[:-1]:
        assert x is not None
        lead = len(small.shape) - len(x.shape)
        shape = tuple(1 if k + lead in axes else n for k, n in enumerate(x.shape))
        array = None if x.array is None else _core.view(_core.Array, x.array, shape, x.strides)
        views.append(replace(x, shape=shape, array=array))
    return replace(call, views=(*views, small))


def _reading(call: Call, y: View, small: View) -> Call | None:
    """The call with the large result's place taken by the small one repeated; None if it cannot read that."""
    strides = tuple(0 if n == 1 else s for n, s in zip(small.shape, small.strides, strict=True))
    views = list(call.views)
    pointwise = call.family == "map"
    for k, view in enumerate(views):
        if view is None or view.buffer is not y.buffer:
            continue
        if not (pointwise or (call.op == op.matmul and k < 2)) or view.code != y.code:
            return None
        if (view.offset, view.shape, view.strides) == (y.offset, y.shape, y.strides):
            views[k] = replace(small, shape=view.shape, strides=strides)
        elif small.elements == 1:
            views[k] = replace(small, shape=view.shape, strides=(0,) * len(view.shape))
        else:
            return None
    return replace(call, views=tuple(views))
