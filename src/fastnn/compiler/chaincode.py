"""The words of a chain: pointwise ops that run one after another on tiles (csrc/ops/chain.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import _core
from .program import Call, inputs_of

__all__ = [
    "INPUTS",
    "OUTPUT",
    "OUTPUTS",
    "REGISTER",
    "REGISTERS",
    "STEPS",
    "Step",
    "code_of",
    "decode",
    "encode",
    "spell",
]

# Places: inputs from 0, registers, outputs. How many there are, and the most steps.
INPUTS, REGISTER, OUTPUT = 7, 8, 16
REGISTERS, OUTPUTS, STEPS = OUTPUT - REGISTER, 3, 32


class Step(NamedTuple):
    """One op of a chain: the place of its result, and those of its operands."""

    op: int
    to: int
    operands: tuple[int, ...]
    scalars: tuple[float, ...]


def encode(steps: Sequence[Step]) -> _core.Array:
    """The steps as the constant that the chain op takes."""
    words: list[int] = []
    for step in steps:
        word = step.op | step.to << 16
        for k, place in enumerate(step.operands):
            word |= place << (24 + 8 * k)
        words.append(word)
        words += [struct.unpack("<q", struct.pack("<d", s))[0] for s in step.scalars]
    made = np.array(words, np.int64)
    made.setflags(write=False)
    array = _core.from_buffer(_core.Array, made)
    assert array is not None
    return array


def decode(code: _core.Array) -> list[Step]:
    """What `encode` was given."""
    words = np.asarray(code).tolist()
    steps = []
    while words:
        word = words.pop(0)
        n_in = inputs_of(word & 0xFFFF)
        n_scalars = len(_core.op_info(word & 0xFFFF)[3].split())
        operands = tuple(word >> (24 + 8 * k) & 0xFF for k in range(n_in))
        numbers = struct.unpack(f"<{n_scalars}d", struct.pack(f"<{n_scalars}q", *words[:n_scalars]))
        del words[:n_scalars]
        steps.append(Step(word & 0xFFFF, word >> 16 & 0xFF, operands, numbers))
    return steps


def code_of(call: Call) -> tuple[int, _core.Array] | None:
    """Where among a call's arrays the words of a chain are, and the words; None for an op that has none."""
    ops = _core.ops
    at = {ops.chain: 0, ops.matmul_chain: 3, ops.conv_chain: 3}.get(call.op)
    view = None if at is None else call.views[at]
    return None if at is None or view is None or view.array is None else (at, view.array)


def spell(code: _core.Array, names: dict[int, str], outputs: Sequence[str]) -> str:
    """The chain as expressions, one an output that it writes; what else is made of one names it.

    Parameters
    ----------
    code : Array
    names : dict of int to str
        What there is to begin with, by place.
    outputs : sequence of str
    """
    said = dict(names)
    made: dict[int, str] = {}
    for step in decode(code):
        text = f"{_core.op_info(step.op)[0]}({', '.join(said[place] for place in step.operands)})"
        said[step.to] = text
        if step.to >= OUTPUT:
            made[step.to] = text
            if len(outputs) > 1:
                said[step.to] = outputs[step.to - OUTPUT]
    return "; ".join(made.values())
