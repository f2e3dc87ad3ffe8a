"""Copies that need not be made: what makes the values writes them where they go."""

from __future__ import annotations

from dataclasses import replace

from ..._core import ops as op
from ..program import Call, Program, View, span
from .alias import onto
from .uses import Uses, moved

__all__ = ["drop_copies"]


def drop_copies(program: Program) -> Program:
    """Without the copies of temporaries that can be made in place, and into temporaries that can do without.

    Gradients that go to a parameter's place in flat memory, results, and clones that nobody changes.
    """
    calls = list(program.calls)
    i = 0
    while i < len(calls):
        if calls[i].op == op.copy:
            without = _without(replace(program, calls=calls), i)
            if without is not None:
                calls = without
                continue
        i += 1
    return replace(program, calls=calls)


def _without(program: Program, i: int) -> list[Call] | None:
    """The calls without the copy at i, None if it is needed."""
    source, target = program.calls[i].views
    assert source is not None and target is not None
    if (
        source.code != target.code
        or not source.contiguous
        or not target.contiguous
        or source.elements != target.elements
        or not source.elements
        or source.buffer is target.buffer
    ):
        return None
    uses = Uses(program)
    return _made_there(program, uses, i, source, target) or _read_there(
        program, uses, i, source, target
    )


def _made_there(
    program: Program, uses: Uses, i: int, source: View, target: View
) -> list[Call] | None:
    """With the source, a temporary, in the target's memory from the start."""
    touches = uses.of(source.buffer)
    if source.buffer.array is not None or not _all_within(touches, source):
        return None
    first, last = touches[0].call, touches[-1].call
    if any(t.writes and t.call > i for t in touches) or not _is_made_by(touches, first):
        return None
    for t in uses.near(target):
        if (first < t.call < i) or (i < t.call <= last and t.writes):
            return None
        if t.call == first and (t.writes or not _may_replace(program.calls[first], t.view, source)):
            return None
    return _replaced(program, i, source, target)


def _read_there(
    program: Program, uses: Uses, i: int, source: View, target: View
) -> list[Call] | None:
    """With the target, a temporary that nothing else writes, read from the source's memory."""
    touches = uses.of(target.buffer)
    if target.buffer.array is not None or not _all_within(touches, target):
        return None
    if touches[0].call != i or sum(t.writes for t in touches) > 1:
        return None
    last = touches[-1].call
    if any(t.writes and i < t.call <= last for t in uses.near(source)):
        return None
    return _replaced(program, i, target, source)


def _replaced(program: Program, i: int, old: View, new: View) -> list[Call] | None:
    try:
        calls = [moved(call, old.buffer, old.offset, new) for call in program.calls]
    except TypeError:  # memory lent by another library has no whole that a view could be made of
        return None
    del calls[i]
    return calls


def _all_within(touches: list, view: View) -> bool:
    low, high = span(view)
    return all(low <= span(t.view)[0] and span(t.view)[1] <= high for t in touches)


def _is_made_by(touches: list, first: int) -> bool:
    """Whether the call that touches memory first does nothing but write it."""
    return all(t.writes for t in touches if t.call == first)


def _may_replace(call: Call, read: View, source: View) -> bool:
    """Whether the call that writes the source may write what it reads elsewhere instead."""
    return any(
        x is read and y.buffer is source.buffer and y.offset == source.offset for x, y in onto(call)
    )
