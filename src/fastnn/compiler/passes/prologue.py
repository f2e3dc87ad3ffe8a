"""What need not be done at every run: calls on memory that the program does not write.

They become its prologue, which is run before the first run and again when what it reads was written since.
That is seen for all writes of launches and programs; memory that a numpy array or another library may write
counts as written for as long as that array lives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ... import _core
from ..._core import ops as op
from ..program import Buffer, Call, Program, View
from .uses import lasting, made_once, new_view, rebased, with_memory, writers_of

__all__ = ["hoist_constants", "pack_weights"]

GROUPS = 6  # the place of `groups` among a convolution's scalars


def _pack_matrix(call: Call) -> tuple[int, tuple[float, ...]]:
    return op.gemm_pack, ()


def _pack_kernels(call: Call) -> tuple[int, tuple[float, ...]]:
    return op.conv_pack, (call.scalars[GROUPS], int(call.op == op.conv_grad_x))


# By op: the op that packs its second array, and its scalars.
PACKERS = {
    op.matmul: _pack_matrix,
    op.matmul_chain: _pack_matrix,
    op.conv: _pack_kernels,
    op.conv_chain: _pack_kernels,
    op.conv_grad_x: _pack_kernels,
}


def hoist_constants(program: Program) -> Program:
    """With the calls that give the same at each run in the prologue.

    Such are a transposed copy or a norm of weights that are not in training.
    """
    writers = writers_of(program)
    made: dict[int, Buffer] = {}
    prologue, calls = list(program.prologue), []
    for call in program.calls:
        call = replace(call, views=tuple(rebased(v, made) for v in call.views))
        inputs, outputs = call.split()
        if (
            inputs
            and all(lasting(v, writers) for v in inputs)
            and all(made_once(v, writers) for v in outputs)
        ):
            made |= with_memory(outputs, "prologue")
            prologue.append(replace(call, views=tuple(rebased(v, made) for v in call.views)))
        else:
            calls.append(call)
    return replace(program, calls=calls, prologue=prologue)


def pack_weights(program: Program) -> Program:
    """With weights packed in the prologue where the product or convolution would pack them itself.

    What is packed is what the call would make for itself: the bits do not change.
    """
    writers = writers_of(program)
    packed: dict[Any, View] = {}
    prologue, calls = list(program.prologue), []
    for call in program.calls:
        weights = call.views[1] if call.op in PACKERS else None
        shape = _packed_shape(call) if weights is not None and lasting(weights, writers) else ()
        if not shape:
            calls.append(call)
            continue
        assert weights is not None
        packer, scalars = PACKERS[call.op](call)
        key = (id(weights.buffer), weights.offset, weights.shape, weights.strides, shape, scalars)
        if key not in packed:
            packed[key] = new_view(shape, weights)
            prologue.append(replace(call, op=packer, views=(weights, packed[key]), scalars=scalars))
        views = (call.views[0], packed[key], *call.views[2:])
        calls.append(replace(call, views=views))
    return replace(program, calls=calls, prologue=prologue)


def _packed_shape(call: Call) -> tuple[int, ...]:
    """The shape that a call wants its weights packed into, () where it reads them as they lie."""
    number, views, scalars = call.op, call.views, call.scalars
    if number == op.matmul_chain:
        number, views, scalars = op.matmul, (*views[:3], views[-1]), (0, 0, 0.0, 0.0)
    arrays = []
    for view in views:
        array = None if view is None else view.array
        if view is not None and array is None:
            stand_in = _core.empty(_core.Array, (view.buffer.size,), 4)
            array = _core.place(stand_in, view.offset, view.shape, view.strides, view.code)
        arrays.append(array)
    return _core.packed_shape(number, tuple(arrays), scalars)
