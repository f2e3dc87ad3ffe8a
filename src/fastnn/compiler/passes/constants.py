"""Calls whose results are the same at every run: made once, when the program is."""

from __future__ import annotations

from dataclasses import replace

from ... import _core
from ..program import Buffer, Call, Program, View
from .uses import made_once, rebased, with_memory, writers_of

__all__ = ["fold_constants"]

# Results above this are made again at each run: they would take memory all the time.
MOST = 4096  # bytes


def fold_constants(program: Program) -> Program:
    """With the small results of calls on constants alone computed now.

    Such are a loss's factor times the gradient that a backward pass begins with.
    """
    writers = writers_of(program)
    made: dict[int, Buffer] = {}
    calls = []
    for call in program.calls:
        call = replace(call, views=tuple(rebased(v, made) for v in call.views))
        inputs, outputs = call.split()
        if (
            inputs
            and all(v.buffer.kind == "constant" and not writers[id(v.buffer)] for v in inputs)
            and all(made_once(v, writers) and v.buffer.size <= MOST for v in outputs)
            and _computed(call, outputs, made)
        ):
            continue
        calls.append(call)
    return replace(program, calls=calls)


def _computed(call: Call, outputs: list[View], made: dict[int, Buffer]) -> bool:
    """Make the call now; False if it fails, so that it fails when the program is run."""
    buffers = with_memory(outputs, "constant")
    views = [rebased(v, buffers) for v in call.views]
    try:
        _core.launch(call.op, tuple(None if v is None else v.array for v in views), call.scalars)
    except (ValueError, IndexError):
        return False
    made.update(buffers)
    return True
