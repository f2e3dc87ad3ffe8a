"""Where temporaries lie."""

from __future__ import annotations

from ..program import Buffer, Program

__all__ = ["plan_memory"]

# A temporary begins at a multiple of this: a cache line, and the widest vector.
ALIGN = 64


def plan_memory(program: Program) -> Program:
    """With a place in one arena for each temporary: those that are never needed at once may share.

    The largest are placed first, each at the lowest place that is free for as long as it lives (as in
    "Efficient Memory Management for Deep Neural Net Inference", Pisarchyk and Lee 2020, greedy by size).
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, call in enumerate(program.calls):
        for view in call.views:
            if view is not None and view.buffer.array is None:
                first.setdefault(id(view.buffer), i)
                last[id(view.buffer)] = i
    placed: list[tuple[int, int, Buffer]] = []
    places: dict[int, int] = {}
    arena = 0
    for buffer in sorted(program.temporaries(), key=lambda b: -b.size):
        size = -(-max(buffer.size, 1) // ALIGN) * ALIGN
        at = 0
        for begin, end, other in sorted(placed, key=lambda p: p[0]):
            apart = last[id(buffer)] < first[id(other)] or last[id(other)] < first[id(buffer)]
            if not apart:
                if at + size <= begin:
                    break
                at = max(at, end)
        placed.append((at, at + size, buffer))
        places[id(buffer)] = at
        arena = max(arena, at + size)
    return Program(program.calls, places, arena)
