"""Copies that need not be made: what makes the values writes them where they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..._core import ops as op
from ..program import Call, Program, View, span
from .alias import onto
from .uses import Touch, Uses, moved

__all__ = ["drop_copies"]


def drop_copies(program: Program) -> Program:
    """Without the copies of temporaries that can be made in place, and into temporaries that can do without.

    Gradients that go to a parameter's place in flat memory, results, and clones that nobody changes.
    """
    calls = list(program.calls)
    uses, dropped = Uses(calls), set()
    for i, call in enumerate(program.calls):
        found = _moves(calls, uses, i) if call.op == op.copy else None
        if found is not None and _move(calls, uses, *found):
            uses.change(i, calls[i], None)
            dropped.add(i)
    return replace(program, calls=[call for i, call in enumerate(calls) if i not in dropped])


def _moves(calls: Sequence[Call], uses: Uses, i: int) -> tuple[View, View] | None:
    """What may lie in the memory of what, so that the copy at i need not be made."""
    source, target = calls[i].views
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
    if _can_be_made_there(calls, uses, i, source, target):
        return source, target
    return (target, source) if _can_be_read_there(uses, i, source, target) else None


def _can_be_made_there(
    calls: Sequence[Call], uses: Uses, i: int, source: View, target: View
) -> bool:
    """Whether the source, a temporary, can be in the target's memory from the start."""
    touches = uses.of(source.buffer)
    if source.buffer.array is not None or not _all_within(touches, source):
        return False
    first, last = touches[0].call, touches[-1].call
    if any(t.writes and t.call > i for t in touches):
        return False
    if any(not t.writes for t in touches if t.call == first):
        return False  # a call that does more than write it
    for t in uses.near(target):
        if (first < t.call < i) or (i < t.call <= last and t.writes):
            return False
        if t.call == first and (t.writes or not _may_replace(calls[first], t.view, source)):
            return False
    return True


def _can_be_read_there(uses: Uses, i: int, source: View, target: View) -> bool:
    """Whether the target, a temporary that nothing else writes, can be read in the source's memory."""
    touches = uses.of(target.buffer)
    if target.buffer.array is not None or not _all_within(touches, target):
        return False
    if touches[0].call != i or sum(t.writes for t in touches) > 1:
        return False
    last = touches[-1].call
    return not any(t.writes and i < t.call <= last for t in uses.near(source))


def _move(calls: list[Call], uses: Uses, old: View, new: View) -> bool:
    """Put the old view's memory into the new one's, in all calls. False if that cannot be."""
    touching = sorted({touch.call for touch in uses.of(old.buffer)})
    try:
        changed = [moved(calls[k], old.buffer, old.offset, new) for k in touching]
    except TypeError:  # memory lent by another library has no whole that a view could be made of
        return False
    for k, call in zip(touching, changed, strict=True):
        uses.change(k, calls[k], call)
        calls[k] = call
    return True


def _all_within(touches: Sequence[Touch], view: View) -> bool:
    low, high = span(view)
    return all(low <= t.low and t.high <= high for t in touches)


def _may_replace(call: Call, read: View, source: View) -> bool:
    """Whether the call that writes the source may write what it reads elsewhere instead."""
    return any(
        x is read and y.buffer is source.buffer and y.offset == source.offset for x, y in onto(call)
    )
