"""What a matrix product ends with: pointwise calls on its result that are made part of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ... import _core
from ..._core import ops as op
from ..chaincode import OUTPUT, encode
from ..program import Call, Program, View
from .chain import constant_view
from .group import Group, regroup
from .part import laid_out, plain, region

__all__ = ["fuse_epilogues"]

ROOM = 3  # inputs of a product's chain
# What a chain at the end of a product was measured to bring, beside the calls on their own. Where results are
# small: a call and a meeting less, 10 to 40 % on two threads, within 2 % on one; below FEW elements readying
# it costs as much. Above MANY: the way to memory and back, 5 to 30 %, where there is little to add up and the
# formulas are short; else up to 3 % less, as the operands leave the cache meanwhile. A second result (the
# input of GELU, which its gradient needs) costs 2 to 15 % wherever it was tried.
FEW, MANY = 4096, 16384
SHORT_SUMS = 128
SHORT = frozenset(
    [
        *(op.add, op.sub, op.mul, op.neg, op.abs, op.square, op.maximum, op.minimum, op.where),
        *(op.relu, op.relu_grad, op.leaky_relu, op.leaky_relu_grad, op.clip, op.clip_grad),
        *(op.hardtanh_grad, op.tanh_grad, op.sigmoid_grad, op.less, op.less_equal),
    ]
)


def fuse_epilogues(program: Program) -> Program:
    """With the pointwise calls that follow on a matrix product made part of the product, where it pays.

    Activations, their gradients, dropout, residuals and scales are then computed on rows that are still in
    cache, and what lies between them is never written. The same kernels run on the same values: the bits
    do not change.
    """
    return regroup(program, _begin, _product)


def _begin(i: int, call: Call) -> Group | None:
    if call.op != op.conv and (call.op != op.matmul or call.scalars[0] or call.scalars[1]):
        return None
    product = call.views[3]
    assert product is not None
    fits = product.contiguous and product.elements and product.buffer.array is None
    return Group.headed(i, call, ROOM) if fits else None


def _product(group: Group, readers: dict[int, set[int]]) -> Call | None:
    """The group as one product."""
    assert group.head is not None
    shape, last = group.values[0].shape, len(group.steps)
    if group.needed(readers) != [last] or group.values[last].code != group.values[0].code:
        return None  # several results, or one of another type, such as of a comparison
    only = group.steps[0][0]
    if group.head.op == op.conv:
        return _chained(group) if _convolution_pays(group) else None
    if last == 1 and _is_activation(only):
        y = _as(group.values[1], shape)
        scalars = (0, only.op, *only.scalars, *(0.0,) * (2 - len(only.scalars)))
        return replace(group.head, views=(*group.head.views[:3], y), scalars=scalars)
    return _chained(group) if len(shape) == 2 and _pays(group) else None


def _is_activation(call: Call) -> bool:
    """Whether a product can end with this call, without a chain."""
    _, family, arrays, scalars = _core.op_info(call.op)
    return family == "map" and arrays == "x -> y" and len(scalars.split()) <= 2


def _pays(group: Group) -> bool:
    assert group.head is not None and group.head.views[0] is not None
    elements, sums = group.values[0].elements, group.head.views[0].shape[-1]
    short = all(call.op in SHORT for call, _ in group.steps)
    return FEW <= elements <= MANY or (elements > MANY and short and sums <= SHORT_SUMS)


def _convolution_pays(group: Group) -> bool:
    return all(call.op in SHORT for call, _ in group.steps)


def _chained(group: Group) -> Call | None:
    """The product, or convolution, with a chain."""
    assert group.head is not None
    shape, last = group.values[0].shape, len(group.steps)
    c = group.values[last]
    if any(o.place.overlaps(region(c)) for o in group.operands):
        return None  # the product is made where something lies that is read after it
    steps = group.coded({last: OUTPUT}, {0: OUTPUT}, (OUTPUT,))
    if steps is None:
        return None
    inputs = [v if s is None else _spread(v, s, shape) for v, s, _ in group.operands]
    views: list[View | None] = [*group.head.views[:3], constant_view(encode(steps)), *inputs]
    views += [*[None] * (ROOM - len(inputs)), _as(c, shape)]
    if group.head.op == op.matmul:
        return replace(group.head, op=op.matmul_chain, views=tuple(views), scalars=())
    if not all(_even(v, shape) for v in inputs):
        return None
    return replace(group.head, op=op.conv_chain, views=tuple(views))


def _even(view: View, shape: tuple[int, ...]) -> bool:
    """Whether an operand's pixels lie evenly, or are one, along all but the last axis of a shape."""
    lead = len(shape) - len(view.shape)
    along = [
        view.strides[i - lead] if i >= lead and view.shape[i - lead] > 1 else 0
        for i in range(len(shape) - 1)
    ]
    axes = [i for i in range(len(shape) - 1) if shape[i] > 1]
    return all(along[i] == along[j] * shape[j] for i, j in pairwise(axes))


def _spread(view: View, strides: tuple[int, ...], shape: tuple[int, ...]) -> View:
    """An operand of the group, whose axes of length 1 are left out, along the product's rows and columns."""
    along = iter(strides)
    return laid_out(view, shape, [0 if n == 1 else next(along) for n in shape])


def _as(view: View, shape: tuple[int, ...]) -> View:
    """A contiguous view with another shape."""
    if view.shape == shape:
        return view
    array = view.array
    if array is not None:
        array = _core.view(_core.Array, array, shape, plain(shape))
    return replace(view, shape=shape, strides=plain(shape), array=array)
