"""Calls that nobody needs the results of."""

from __future__ import annotations

from dataclasses import replace

from ..program import Program

__all__ = ["drop_dead_calls"]


def drop_dead_calls(program: Program) -> Program:
    """Without the calls whose results are temporaries that nobody reads."""
    live: set[int] = set()
    kept = []
    for call in reversed(program.calls):
        inputs, outputs = call.split()
        if any(v.buffer.array is not None or id(v.buffer) in live for v in outputs):
            kept.append(call)
            live.update(id(v.buffer) for v in inputs)
    kept.reverse()
    return replace(program, calls=kept)
