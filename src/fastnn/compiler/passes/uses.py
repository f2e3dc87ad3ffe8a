"""Who touches which memory, for passes that move results elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ... import _core
from ..program import Buffer, Call, Program, View, span

__all__ = ["Touch", "Uses", "moved"]


@dataclass(frozen=True)
class Touch:
    """One view of one call."""

    call: int
    view: View
    writes: bool


class Uses:
    """The touches of each piece of memory, in order."""

    def __init__(self, program: Program) -> None:
        self._of: dict[int, list[Touch]] = {}
        self._fixed: list[Touch] = []
        for i, call in enumerate(program.calls):
            inputs, outputs = call.split()
            for writes, views in ((False, inputs), (True, outputs)):
                for view in views:
                    touch = Touch(i, view, writes)
                    self._of.setdefault(id(view.buffer), []).append(touch)
                    if view.array is not None:
                        self._fixed.append(touch)

    def of(self, buffer: Buffer) -> list[Touch]:
        """All touches of a buffer."""
        return self._of.get(id(buffer), [])

    def near(self, view: View) -> list[Touch]:
        """All touches of the memory between a view's first and last byte."""
        low, high = _where(view)
        others = self.of(view.buffer) if view.array is None else self._fixed
        found = []
        for touch in others:
            begin, end = _where(touch.view)
            if begin < high and low < end:
                found.append(touch)
        return found


def _where(view: View) -> tuple[int, int]:
    """The bytes that a view spans: addresses where its memory is fixed, since buffers may share that."""
    low, high = span(view)
    if view.array is None:
        return low, high
    origin = view.array._pointer - view.offset
    return low + origin, high + origin


def moved(call: Call, old: Buffer, begin: int, target: View) -> Call:
    """The call with its views of a buffer from byte `begin` on in the memory of a target instead."""
    views = list(call.views)
    for i, view in enumerate(views):
        if view is None or view.buffer is not old:
            continue
        offset = view.offset - begin
        array = None
        if target.array is not None:
            whole = _core.whole(target.array)
            at = target.array._pointer - whole._pointer + offset
            array = _core.place(whole, at, view.shape, view.strides, view.code)
        views[i] = replace(view, buffer=target.buffer, offset=target.offset + offset, array=array)
    return replace(call, views=tuple(views))
