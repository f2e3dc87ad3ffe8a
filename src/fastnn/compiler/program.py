"""A recorded function as data: buffers, and the calls on them in order.

Passes take a `Program` and return another. `lower` gives every buffer its memory and hands the calls to the
executor in C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

from .. import _core
from ..dtypes import BY_CODE

__all__ = ["Buffer", "Call", "Program", "View", "addresses", "inputs_of", "span"]


@cache
def _names(op: int) -> tuple[str, str]:
    """The name of an op, and of its family."""
    return _core.op_info(op)[:2]


@cache
def inputs_of(op: int) -> int:
    """How many inputs an op has; its outputs come after them."""
    return len(_core.op_info(op)[2].split("->")[0].split())


@dataclass(eq=False)
class Buffer:
    """A piece of memory. ``array`` is where it is, or None for a temporary whose place is chosen later.

    ``kind`` tells what it is for: "temporary"; "input", "constant", "prologue" (what that makes) or "kept"
    (by a result, or as state) for what was made for the program or by it; "yours" for what was there before.
    """

    size: int  # bytes, 0 for memory of another library's
    array: _core.Array | None = None
    kind: str = "temporary"


@dataclass(frozen=True)
class View:
    """How a call sees a buffer: the byte at which its first element lies, and its layout."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    code: int
    array: _core.Array | None = None  # the view itself, where the buffer's memory is fixed

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def contiguous(self) -> bool:
        expect = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and s != expect:
                return False
            expect *= n
        return True


@dataclass(frozen=True)
class Call:
    """One op on views: inputs, then outputs, None where one is absent."""

    op: int
    views: tuple[View | None, ...]
    scalars: tuple[float, ...]
    layer: str = ""  # what it is part of: "encoder.2 Linear", "loss backward", "optimizer", ...

    @property
    def name(self) -> str:
        return _names(self.op)[0]

    @property
    def family(self) -> str:
        return _names(self.op)[1]

    def split(self) -> tuple[list[View], list[View]]:
        """(inputs, outputs), without the absent ones."""
        n = inputs_of(self.op)
        return (
            [v for v in self.views[:n] if v is not None],
            [v for v in self.views[n:] if v is not None],
        )


@dataclass
class Program:
    """Calls in order, and for temporaries the byte of the arena at which each lies once it is planned.

    The prologue has no temporaries; it is run first, and again when what it reads was written since.
    """

    calls: list[Call]
    places: dict[int, int] = field(default_factory=dict)  # by id of the buffer
    arena: int = 0  # bytes
    prologue: list[Call] = field(default_factory=list)

    def buffers(self) -> list[Buffer]:
        """All memory that the calls touch, in the order of its first use."""
        seen: dict[int, Buffer] = {}
        for call in (*self.prologue, *self.calls):
            for view in call.views:
                if view is not None:
                    seen.setdefault(id(view.buffer), view.buffer)
        return list(seen.values())

    def arrays(self) -> list[_core.Array]:
        """All arrays by which buffers and views say where they are."""
        views = [v for call in (*self.prologue, *self.calls) for v in call.views if v is not None]
        found = [*(view.array for view in views), *(buffer.array for buffer in self.buffers())]
        return [array for array in found if array is not None]

    def temporaries(self) -> list[Buffer]:
        """The buffers whose memory is the program's own, in the order of their first use."""
        return [buffer for buffer in self.buffers() if buffer.array is None]

    def lower(self) -> _core.Program:
        """Give the temporaries their memory and ready the calls to run."""
        arena = _core.empty(_core.Array, (max(self.arena, 1),), 4)
        return _core.Program(
            [self._lowered(call, arena) for call in self.calls],
            [self._lowered(call, arena) for call in self.prologue],
        )

    def _lowered(self, call: Call, arena: _core.Array) -> _core.Call:
        arrays = tuple(None if v is None else self._array(v, arena) for v in call.views)
        return (call.op, arrays, call.scalars)

    def _array(self, view: View, arena: _core.Array) -> _core.Array:
        if view.array is not None:
            return view.array
        at = self.places[id(view.buffer)] + view.offset
        return _core.place(arena, at, view.shape, view.strides, view.code)

    def show(self) -> str:
        """The calls as text, a line each; `Recording.show` tells more."""
        from .listing import listing

        return listing(self)


def span(view: View) -> tuple[int, int]:
    """The first byte a view touches and the one behind its last, within its buffer (or in memory)."""
    low = high = 0
    for n, stride in zip(view.shape, view.strides, strict=True):
        if n == 0:
            return (0, 0)
        if stride < 0:
            low += (n - 1) * stride
        else:
            high += (n - 1) * stride
    itemsize = BY_CODE[view.code].itemsize
    return (view.offset + low * itemsize, view.offset + (high + 1) * itemsize)


def addresses(view: View) -> tuple[int, int]:
    """The same in the memory of the process, for a view of memory that has its place."""
    low, high = span(view)
    if view.array is None:
        raise ValueError("addresses: a temporary has no place yet")
    origin = view.array._pointer - view.offset
    return low + origin, high + origin
