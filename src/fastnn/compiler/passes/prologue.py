"""What need not be done at every run: calls on memory that the program does not write.

They become its prologue, which is run before the first run and again when what it reads was written since.
That is seen for all writes of launches and programs; memory that a numpy array or another library may write
counts as written for as long as that array lives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from ... import _core
from ..._core import ops as op
from ..program import Buffer, Call, Program, View
from .uses import made_once, rebased, with_memory, writers_of

__all__ = ["hoist_constants", "pack_weights"]


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
            and all(_lasting(v, writers) for v in inputs)
            and all(made_once(v, writers) for v in outputs)
        ):
            made |= with_memory(outputs, "prologue")
            prologue.append(replace(call, views=tuple(rebased(v, made) for v in call.views)))
        else:
            calls.append(call)
    return replace(program, calls=calls, prologue=prologue)


def pack_weights(program: Program) -> Program:
    """With the right matrices of products packed in the prologue where the product would pack them itself.

    The packed matrix is the one that the product would make: the bits do not change.
    """
    writers = writers_of(program)
    packed: dict[Any, View] = {}
    prologue, calls = list(program.prologue), []
    for call in program.calls:
        weights = call.views[1] if call.op in (op.matmul, op.matmul_chain) else None
        size = _packed_size(call) if weights is not None and _lasting(weights, writers) else 0
        if not size:
            calls.append(call)
            continue
        assert weights is not None
        key = (id(weights.buffer), weights.offset, weights.shape, weights.strides, size)
        if key not in packed:
            packed[key] = _new_view(size, weights)
            prologue.append(
                replace(call, op=op.gemm_pack, views=(weights, packed[key]), scalars=())
            )
        views = (call.views[0], packed[key], *call.views[2:])
        calls.append(replace(call, views=views))
    return replace(program, calls=calls, prologue=prologue)


def _lasting(view: View, writers: Counter[int]) -> bool:
    """Whether memory is the same at each run, as far as the program goes, and we can see other writes."""
    buffer = view.buffer
    return buffer.array is not None and (
        buffer.kind in ("yours", "constant", "prologue")
        and buffer.size > 0
        and not writers[id(buffer)]
    )


def _new_view(size: int, like: View) -> View:
    array = _core.empty(_core.Array, (size,), like.code)
    buffer = Buffer(array.nbytes, _core.whole(array), kind="prologue")
    return View(buffer, 0, (size,), (1,), like.code, array)


def _packed_size(call: Call) -> int:
    """Elements that a product wants its right matrix packed into, 0 for none."""
    arrays = []
    for view in (*call.views[:3], call.views[-1]):  # a, b, bias and c
        array = None if view is None else view.array
        if view is not None and array is None:
            stand_in = _core.empty(_core.Array, (view.buffer.size,), 4)
            array = _core.place(stand_in, view.offset, view.shape, view.strides, view.code)
        arrays.append(array)
    return _core.packed_size(tuple(arrays), call.scalars or (0, 0, 0.0, 0.0))
