"""Axes padded or brought to another length: one function and its gradient, each of which is the other's.

In C there are arrays (outer, A, B, inner), of which A and B change: two axes that follow each other in
memory, as rows and columns of images do, take one pass, and so does a single one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._core import empty, launch
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor
from .layout import as_it_lies, permuted, put_back

__all__: list[str] = []

CONSTANT, REFLECT, REPLICATE, CIRCULAR, NEAREST, LINEAR, CORNERS = range(7)


class Change(NamedTuple):
    """How an axis changes: see csrc/ops/resample.c."""

    axis: int
    length: int
    new_length: int
    before: int = 0
    scale: float = 0.0


class Pass(NamedTuple):
    """One call: a kind, one or two axes, and what constant padding puts there."""

    name: str
    kind: int
    changes: tuple[Change, ...]
    value: float = 0.0

    def scalars(self) -> tuple[float, ...]:
        h, w = (Change(-1, 1, 1), *self.changes)[-2:]
        return (self.kind, h.before, w.before, h.scale, w.scale, self.value)


def resampled(
    x: Tensor, name: str, kind: int, changes: Sequence[Change], value: float = 0.0
) -> Tensor:
    """x with its axes changed, in x's order of memory."""
    for part in _passes(x, name, kind, changes, value):
        x = _forward(x, part)
    return x


def _passes(x: Tensor, name: str, kind: int, changes: Sequence[Change], value: float) -> list[Pass]:
    """The changes in the order of memory, two in a pass where the axes follow each other."""
    _, order = as_it_lies(x)
    place = list(range(x.ndim)) if order is None else [order.index(a) for a in range(x.ndim)]
    passes: list[Pass] = []
    for change in sorted(changes, key=lambda change: place[change.axis]):
        last = passes[-1].changes if passes else ()
        if len(last) == 1 and place[last[0].axis] + 1 == place[change.axis]:
            passes[-1] = passes[-1]._replace(changes=(*last, change))
        else:
            passes.append(Pass(name, kind, (change,), value))
    return passes


def _run(number: int, x: Tensor, part: Pass, lengths: Sequence[int]) -> Tensor:
    """The call; the axes get these lengths."""
    lies, order = _lying(x, [change.axis for change in part.changes])
    axes = [order.index(change.axis) for change in part.changes]
    shape = list(lies.shape)
    for axis, length in zip(axes, lengths, strict=True):
        shape[axis] = length
    y: Tensor = empty(Tensor, shape, x.code)
    if y.size:
        launch(number, (_four(lies, axes), _four(y, axes)), part.scalars())
    return put_back(y, order)


def _lying(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Sequence[int]]:
    """x contiguous, with its axes in an order in which these follow each other, and that order."""
    lies, order = as_it_lies(x)
    if order is None:
        order = tuple(range(x.ndim))
    if len(axes) == 2 and order.index(axes[0]) + 1 != order.index(axes[1]):
        rest = [axis for axis in range(x.ndim) if axis not in axes]
        order = (*rest[:1], *axes, *rest[1:])
        lies = permuted(x, order)
    if lies.is_contiguous():
        return lies, order
    copied: Tensor = empty(Tensor, lies.shape, lies.code)
    launch(op.copy, (lies, copied))
    return copied, order


def _four(x: Tensor, axes: Sequence[int]) -> Tensor:
    """A view (outer, A, B, inner) of a contiguous tensor, A of length 1 where there is one axis."""
    shape = x.shape
    outer, inner = math.prod(shape[: axes[0]]), math.prod(shape[axes[-1] + 1 :])
    a, b = (1, *(shape[axis] for axis in axes))[-2:]
    return x._as_view((outer, a, b, inner), (a * b * inner, b * inner, inner, 1))


def _forward(x: Tensor, part: Pass) -> Tensor:
    y = _run(op.resample, x, part, [c.new_length for c in part.changes])
    if not x.dtype.is_float:
        return y
    return record(y, part.name, _forward_backward, (x,), (part,))


def _forward_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (_adjoint(dy, node.saved[0]),)


def _adjoint(dy: Tensor, part: Pass) -> Tensor:
    dx = _run(op.resample_grad, dy, part, [c.length for c in part.changes])
    return record(dx, f"{part.name}_grad", _adjoint_backward, (dy,), (part._replace(value=0.0),))


def _adjoint_backward(node: Node, ddx: Tensor) -> tuple[Tensor]:
    return (_forward(ddx, node.saved[0]),)
