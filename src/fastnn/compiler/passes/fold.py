"""Batch normalisation in evaluation as part of the convolution before it.

With fixed statistics it multiplies a channel by one number and adds another: so may the convolution's weights
and bias, once, in the program's prologue. Then nothing of it is left.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ... import _core
from ..._core import ops as op
from ...dtypes import BY_CODE
from ..program import Call, Program, View
from .chain import constant_view
from .uses import Uses, lasting, new_view, writers_of

__all__ = ["fold_norms"]

WAYS, GROUPS = 7, 6  # among a convolution's scalars
FREE = (-math.inf, math.inf)  # no limits of the result


def fold_norms(program: Program) -> Program:
    """With batch normalisation in evaluation folded into convolutions whose weights are not in training.

    Products are rounded at other places than in separate calls: an element of the result differs by a few
    ``eps`` of the sum of its products' magnitudes. Not where `deterministic_precision` is set.
    """
    calls: list[Call | None] = list(program.calls)
    uses, writers = Uses(program.calls), writers_of(program)
    prologue = list(program.prologue)
    for j, norm in enumerate(program.calls):
        i = _before(program, uses, j) if norm.op == op.batch_norm_eval else None
        if i is None:
            continue
        conv = program.calls[i]
        fixed = [v for v in (*conv.views[1:3], *norm.views[1:5]) if v is not None]
        if not all(lasting(v, writers) for v in fixed):
            continue
        weights, bias = _folded(conv, norm, prologue)
        calls[i] = None
        calls[j] = replace(conv, views=(conv.views[0], weights, bias, _result(conv, norm)))
    return replace(program, calls=[c for c in calls if c is not None], prologue=prologue)


def _before(program: Program, uses: Uses, j: int) -> int | None:
    """The convolution whose result call j normalises and nobody else reads, if it may be made there."""
    norm = program.calls[j]
    x, y = norm.views[0], norm.views[6]
    assert x is not None and y is not None
    touches = uses.of(x.buffer)
    if x.buffer.array is not None or [(t.call, t.writes) for t in touches[1:]] != [(j, False)]:
        return None
    i = touches[0].call
    conv = program.calls[i]
    if not (conv.op == op.conv or (conv.op == op.conv_grad_x and conv.scalars[GROUPS] == 1)):
        return None
    made = conv.views[3]
    if (
        not conv.scalars[WAYS]
        or norm.views[5] is not None
        or norm.scalars[1:] != FREE
        or made is None
        or x.shape != (made.elements // max(made.shape[-1], 1), made.shape[-1])
        or not y.contiguous
    ):
        return None
    reads = [v for v in conv.views[:3] if v is not None]
    late = any(i < t.call < j and t.writes for v in reads for t in uses.near(v))
    onto = any(
        v.buffer is y.buffer for v in reads
    )  # the normalisation may lie on its input's input
    return None if late or onto else i


def _result(conv: Call, norm: Call) -> View:
    """What the normalisation writes, as the convolution sees it."""
    made, y = conv.views[3], norm.views[6]
    assert made is not None and y is not None
    array = y.array
    if array is not None:
        array = _core.view(_core.Array, array, made.shape, made.strides)
    return replace(y, shape=made.shape, strides=made.strides, array=array)


def _folded(conv: Call, norm: Call, prologue: list[Call]) -> tuple[View, View]:
    """Weights and bias with the normalisation in them; the calls that make them join the prologue."""
    weights, bias = conv.views[1:3]
    gain, shift, mean, variance = norm.views[1:5]
    assert weights is not None and mean is not None and variance is not None

    def made(number: int, *inputs: View) -> View:
        shape = np.broadcast_shapes(*(v.shape for v in inputs))
        result = new_view(shape, inputs[0])
        prologue.append(Call(number, (*inputs, result), (), norm.layer))
        return result

    scale = made(op.rsqrt, made(op.add, variance, _constant(norm.scalars[0], variance.code)))
    scale = scale if gain is None else made(op.mul, scale, gain)
    offset = made(op.neg, mean) if bias is None else made(op.sub, bias, mean)
    offset = made(op.mul, offset, scale)
    offset = offset if shift is None else made(op.add, offset, shift)
    if conv.op == op.conv:  # weights of an output are a row, else a column
        scale = _shaped(scale, (*scale.shape, 1, 1, 1))
    return made(op.mul, weights, scale), offset


def _constant(value: float, code: int) -> View:
    array = _core.from_buffer(_core.Array, np.array([value], BY_CODE[code].numpy))
    assert array is not None
    return constant_view(array)


def _shaped(view: View, shape: tuple[int, ...]) -> View:
    assert view.array is not None
    array = _core.view(_core.Array, view.array, shape, (1,) * len(shape))
    return replace(view, shape=shape, strides=(1,) * len(shape), array=array)
