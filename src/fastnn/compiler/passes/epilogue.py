"""What a matrix product ends with: calls on its result that are made part of it."""

from __future__ import annotations

from dataclasses import replace

from ... import _core
from ..._core import ops as op
from ..program import Call, Program, View

__all__ = ["fuse_activations"]


def fuse_activations(program: Program) -> Program:
    """With each pointwise function that alone reads a matrix product made part of the product.

    It is then computed while the product is in registers' reach, and what lies between them is never
    written. The same kernel runs on the same values: the bits do not change.
    """
    readers: dict[int, list[int]] = {}
    touched: dict[int, list[int]] = {}
    for i, call in enumerate(program.calls):
        inputs, _ = call.split()
        for view in inputs:
            readers.setdefault(id(view.buffer), []).append(i)
        for view in filter(None, call.views):
            touched.setdefault(id(view.buffer), []).append(i)
    calls: list[Call | None] = list(program.calls)
    for i, call in enumerate(program.calls):
        if call.op != op.matmul or call.scalars[0] or call.scalars[1]:
            continue
        product = call.views[3]
        assert product is not None
        readings = readers.get(id(product.buffer), [])
        if product.buffer.array is not None or len(readings) != 1:
            continue
        j = readings[0]
        after = program.calls[j]
        if touched[id(product.buffer)] != [i, j] or not _is_function_of(after, product):
            continue
        y = after.views[1]
        assert y is not None
        if (
            any(i <= k < j for k in touched[id(y.buffer)])
            or y.code != product.code
            or not y.contiguous
        ):
            continue
        y = replace(y, shape=product.shape, strides=product.strides, array=_as(y, product))
        scalars = (0, after.op, *after.scalars, *(0.0,) * (2 - len(after.scalars)))
        calls[i] = replace(call, views=(*call.views[:3], y), scalars=scalars)
        calls[j] = None
    return Program([call for call in calls if call is not None])


def _is_function_of(call: Call, x: View) -> bool:
    """Whether a call is one that a product can end with, and takes all of x."""
    _, family, arrays, scalars = _core.op_info(call.op)
    if family != "map" or arrays != "x -> y" or len(scalars.split()) > 2 or call.op == 0:
        return False
    seen, y = call.views
    assert seen is not None and y is not None
    return (
        seen.offset == x.offset
        and seen.code == x.code
        and seen.contiguous
        and x.contiguous
        and seen.elements == x.elements == y.elements
    )


def _as(y: View, layout: View) -> _core.Array | None:
    """The array of a contiguous view in fixed memory, laid out as another contiguous one."""
    if y.array is None:
        return None
    return _core.view(_core.Array, y.array, layout.shape, layout.strides)
