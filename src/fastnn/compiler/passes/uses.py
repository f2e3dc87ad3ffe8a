"""Who touches which memory, for passes that move results elsewhere."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ... import _core
from ..program import Buffer, Call, Program, View, addresses, span
from .part import plain

__all__ = [
    "Touch",
    "Uses",
    "lasting",
    "made_once",
    "moved",
    "new_view",
    "rebased",
    "with_memory",
    "writers_of",
]


class Touch(NamedTuple):
    """One view of one call."""

    call: int
    writes: bool
    view: View
    low: int  # the bytes that it spans: addresses where its memory is fixed, since buffers may share that
    high: int


class Uses:
    """The touches of each piece of memory, in order."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._of: dict[int, list[Touch]] = {}
        self._fixed: list[Touch] = []  # of memory that has an address
        for i, call in enumerate(calls):
            for touch in _touches(i, call):
                self._of.setdefault(id(touch.view.buffer), []).append(touch)
                if touch.view.array is not None:
                    self._fixed.append(touch)

    def change(self, i: int, before: Call, after: Call | None) -> None:
        """Another call, or none, is in the i-th's place."""
        for view in filter(None, before.views):
            listed = self.of(view.buffer)
            listed[:] = [touch for touch in listed if touch.call != i]
        first = bisect_left(self._fixed, i, key=_call)
        while first < len(self._fixed) and self._fixed[first].call == i:
            del self._fixed[first]
        for touch in () if after is None else _touches(i, after):
            insort(self._of.setdefault(id(touch.view.buffer), []), touch, key=_call)
            if touch.view.array is not None:
                insort(self._fixed, touch, key=_call)

    def of(self, buffer: Buffer) -> list[Touch]:
        """All touches of a buffer."""
        return self._of.get(id(buffer), [])

    def near(self, view: View) -> list[Touch]:
        """All touches of the memory between a view's first and last byte."""
        low, high = _where(view)
        others = self.of(view.buffer) if view.array is None else self._fixed
        return [touch for touch in others if touch.low < high and low < touch.high]


def _call(touch: Touch) -> int:
    return touch.call


def _touches(i: int, call: Call) -> list[Touch]:
    inputs, outputs = call.split()
    return [
        Touch(i, writes, view, *_where(view))
        for writes, views in ((False, inputs), (True, outputs))
        for view in views
    ]


def _where(view: View) -> tuple[int, int]:
    return span(view) if view.array is None else addresses(view)


def writers_of(program: Program) -> Counter[int]:
    """How many views of calls write to each buffer, by its id."""
    return Counter(id(v.buffer) for call in program.calls for v in call.split()[1])


def with_memory(views: Iterable[View], kind: str) -> dict[int, Buffer]:
    """What the buffers of temporaries become, by their ids, when each is given memory of its own."""
    made = {}
    for view in views:
        array = _core.empty(_core.Array, (view.buffer.size,), 4)
        made[id(view.buffer)] = Buffer(view.buffer.size, array, kind=kind)
    return made


def made_once(view: View, writers: Mapping[int, int]) -> bool:
    """Whether it is of a temporary that one call alone writes."""
    return view.buffer.array is None and writers[id(view.buffer)] == 1


def lasting(view: View, writers: Mapping[int, int]) -> bool:
    """Whether memory is the same at each run, as far as the program goes, and we can see other writes."""
    buffer = view.buffer
    return buffer.array is not None and (
        buffer.kind in ("yours", "constant", "prologue")
        and buffer.size > 0
        and not writers[id(buffer)]
    )


def new_view(shape: tuple[int, ...], like: View) -> View:
    """A contiguous view of memory of the prologue's own, of another view's dtype."""
    array = _core.empty(_core.Array, shape, like.code)
    buffer = Buffer(array.nbytes, _core.whole(array), kind="prologue")
    return View(buffer, 0, shape, plain(shape), like.code, array)


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


def rebased(view: View | None, made: Mapping[int, Buffer]) -> View | None:
    """The view, of the memory that its buffer has become, by the buffer's id; itself where that is none."""
    buffer = None if view is None else made.get(id(view.buffer))
    if view is None or buffer is None or buffer.array is None:
        return view
    array = _core.place(buffer.array, view.offset, view.shape, view.strides, view.code)
    return replace(view, buffer=buffer, array=array)
