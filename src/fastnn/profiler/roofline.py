"""The least time that each call of a program could take on this machine.

A call is limited by its arithmetic, or by moving its data from wherever it is. Where that is follows from
how much other memory the program touches between two uses of the data (its reuse distance): less than a
cache holds, and it is still there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..compiler.program import Call, Program, View, addresses, span
from ..dtypes import BY_CODE
from .machine import Limits

__all__ = ["Bound", "bounds", "reuse_distances"]


@dataclass(frozen=True)
class Bound:
    """What limits a call.

    Attributes
    ----------
    seconds : float
        The least time it can take.
    by : str
        "flops", or the memory that it waits for: "L1", "L2", "L3", "memory".
    """

    seconds: float
    by: str


@dataclass(frozen=True)
class _Touch:
    """What a call does with a piece of memory."""

    begin: int
    end: int
    size: float  # bytes moved
    writes: bool

    @property
    def key(self) -> tuple[int, int]:
        return self.begin, self.end


def bounds(
    program: Program, steps: Sequence[tuple[int, bool, float, float, int]], limits: Limits
) -> list[Bound]:
    """For each call, with what the executor made of it (`_core.Program.steps`)."""
    touches = [_touches(program, c, s[3]) for c, s in zip(program.calls, steps, strict=True)]
    distances = reuse_distances(touches)
    found = []
    for call, step, touched, away in zip(program.calls, steps, touches, distances, strict=True):
        threads, _, flops, size, _ = step
        arithmetic = flops / limits.peak(_dtype(call), threads)
        times = _memory_times(touched, away, size, threads, limits)
        if arithmetic >= sum(times):
            found.append(Bound(arithmetic, "flops"))
        else:
            slowest = max(range(len(times)), key=times.__getitem__)
            found.append(Bound(sum(times), _level(away[slowest], threads, limits)))
    return found


def _memory_times(
    touched: Sequence[_Touch], away: Sequence[float], size: float, threads: int, limits: Limits
) -> list[float]:
    """Seconds that each touch of a call that moves so many bytes takes.

    What is read and written again at the same place is an update; the rest are streams.
    """
    scale = size / (sum(t.size for t in touched) or 1.0)
    places = Counter(t.key for t in touched)
    streams = [t for t in touched if places[t.key] == 1]
    written = sum(t.size for t in streams if t.writes) / (sum(t.size for t in streams) or 1.0)
    times = []
    for touch, distance in zip(touched, away, strict=True):
        if places[touch.key] > 1:
            rate = limits.stream("update", distance, threads)
        else:
            rate = limits.rate(distance, threads, written)
        times.append(touch.size * scale / rate)
    return times


def _dtype(call: Call) -> str:
    """Of its arithmetic."""
    for view in call.views:
        if view is not None and BY_CODE[view.code].is_float:
            return BY_CODE[view.code].name
    return "float32"


def _level(distance: float, threads: int, limits: Limits) -> str:
    """The first cache, those of all threads together, that holds so much."""
    for name, size in limits.caches.items():
        if distance <= size * (1 if name not in ("L1", "L2") else threads):
            return name
    return "memory"


def _touches(program: Program, call: Call, size: float) -> list[_Touch]:
    """The memory of a call's views; a view of which it moves only a part counts for no more than the call."""
    inputs, _ = call.split()
    n = len(inputs)
    views = [v for v in call.views if v is not None and v.elements]
    found = []
    for view in views:
        begin, end = _place(program, view)
        moved = min(view.elements * BY_CODE[view.code].itemsize, end - begin, size)
        found.append(_Touch(begin, end, moved, not any(view is v for v in inputs[:n])))
    return found


def _place(program: Program, view: View) -> tuple[int, int]:
    """Addresses; those in the arena are below zero, where nothing else is."""
    if view.array is not None:
        return addresses(view)
    low, high = span(view)
    base = program.places[id(view.buffer)] - program.arena
    return base + low, base + high


def reuse_distances(touches: Sequence[Sequence[_Touch]]) -> list[list[float]]:
    """For each touch of each call the bytes touched since its memory was touched last.

    The program is run over and over, so that before the first call comes the last. From the call of the last
    touch and from the call itself half counts: on the way through a piece of memory, the rest of the one and
    the beginning of the other lie between two touches of an element.
    """
    sizes = [sum({t.key: t.size for t in touched}.values()) for touched in touches]
    found = []
    for k, touched in enumerate(touches):
        row = []
        for touch in touched:
            distance = sizes[k] / 2
            between: dict[tuple[int, int], float] = {}
            for back in range(1, len(touches) + 1):
                earlier = (k - back) % len(touches)
                if any(_overlap(touch, t) for t in touches[earlier]):
                    distance += sizes[earlier] / 2
                    break
                between.update({t.key: t.size for t in touches[earlier]})
            # Of what a call touches only in part, it was another part before.
            extent = touch.end - touch.begin
            sparse = extent if extent > 2 * touch.size else 0
            row.append(max(distance + math.fsum(between.values()), sparse))
        found.append(row)
    return found


def _overlap(a: _Touch, b: _Touch) -> bool:
    return a.begin < b.end and b.begin < a.end
