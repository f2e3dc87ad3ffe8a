"""Profile: where the time of a computation went."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..units import quantity, size, whole
from .machine import Limits
from .table import format_table, microseconds, percent
from .trace import Stamp, write_trace

__all__ = ["CallTime", "LayerTime", "Profile"]

COLUMNS = ("us", "of time", "flops", "bytes", "GFLOP/s", "GB/s", "of limit")


@dataclass(frozen=True)
class CallTime:
    """What one call of a recorded program cost.

    Attributes
    ----------
    layer : str
        What it is part of: "encoder.2 Linear", "loss backward", "optimizer"; empty outside of all.
    op, text : str
        Its name, and that with the shapes of what it reads and writes.
    program, index : int
        Which recorded program it is in, and its place there.
    count : int
        How often it ran.
    seconds, waited : float
        In it, and before it at meetings of threads, on the calling thread, added up.
    threads : int
        That it was meant for.
    flops, bytes : float
        Arithmetic, and memory read and written, of running it once.
    least : float
        Seconds that running it once would take at this machine's limits.
    bound : str
        Which limit that is: "flops", "L1", "L2", "L3" or "memory".

    Examples
    --------
    >>> import fastnn
    >>> (call,) = fastnn.profile(lambda x: x * 2, fastnn.ones((5, 3)), repeats=10).calls
    >>> call.op, call.text, call.count, call.flops
    ('mul', 'mul 5x3 1 -> 5x3', 10, 15.0)
    """

    layer: str
    op: str
    text: str
    program: int
    index: int
    count: int
    seconds: float
    waited: float
    threads: int
    flops: float
    bytes: float
    least: float
    bound: str

    @property
    def each(self) -> float:
        """Seconds of running it once."""
        return self.seconds / max(self.count, 1)

    @property
    def gflops(self) -> float:
        """10^9 operations a second."""
        return self.flops / self.each / 1e9 if self.seconds else 0.0

    @property
    def gbs(self) -> float:
        """10^9 bytes a second."""
        return self.bytes / self.each / 1e9 if self.seconds else 0.0

    @property
    def share(self) -> float:
        """How near it comes to this machine's limit: 1 is as fast as it can be."""
        return self.least / self.each if self.seconds else 0.0


@dataclass(frozen=True)
class LayerTime:
    """The calls of a layer, or of an op, together. Seconds, flops and bytes are of all that ran.

    Examples
    --------
    >>> import fastnn
    >>> (group,) = fastnn.profile(lambda x: x * 2, fastnn.ones((5, 3)), repeats=10).by("op")
    >>> group.name, group.calls, group.flops
    ('mul', 1, 150.0)
    """

    name: str
    calls: int
    seconds: float
    waited: float
    flops: float
    bytes: float
    least: float

    @property
    def gflops(self) -> float:
        """10^9 operations a second."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gbs(self) -> float:
        """10^9 bytes a second."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def share(self) -> float:
        """How near it comes to this machine's limit."""
        return self.least / self.seconds if self.seconds else 0.0


class Profile:
    """Where the time of a computation went; what `fastnn.profile` returns. Printed, it is a table.

    Attributes
    ----------
    calls : list of CallTime
        Every call of every recorded program, in order.
    seconds : float
        Wall time of all that was measured.
    steps : int
        How often the program that ran most often ran.
    parts : dict of str to float
        What the time was spent on, in seconds: "calls" of ops, "waiting" of the calling thread for others,
        "starting" and ending the teams of threads, and "python": all outside of recorded programs, such as
        copying arguments and results. They add up to `seconds`.
    overhead : float or None
        What share of time the measurement itself adds, where that was measured.
    limits : Limits
        What the machine can do.

    Examples
    --------
    >>> import fastnn
    >>> found = fastnn.profile(lambda x: x * 2, fastnn.ones(5), repeats=3)
    >>> found.steps, found.calls[0].op, found.calls[0].bytes
    (3, 'mul', 44.0)
    >>> list(found.parts)
    ['calls', 'waiting', 'starting', 'python']
    """

    def __init__(
        self,
        calls: Sequence[CallTime],
        seconds: float,
        steps: int,
        inside: float,
        limits: Limits,
        stamps: Sequence[Sequence[Stamp]] = (),
        overhead: float | None = None,
        ended: float = 0.0,
    ) -> None:
        self.calls = list(calls)
        self.seconds = seconds
        self.steps = steps
        self.limits = limits
        self.overhead = overhead
        self._stamps = stamps
        busy = sum(call.seconds for call in calls)
        waiting = sum(call.waited for call in calls) + ended
        self.parts = {
            "calls": busy,
            "waiting": waiting,
            "starting": inside - busy - waiting,
            "python": seconds - inside,
        }

    def by(self, key: str = "layer") -> list[LayerTime]:
        """The calls taken together, those that took longest first.

        Parameters
        ----------
        key : {"layer", "op"}
        """
        if key not in ("layer", "op"):
            raise ValueError(f'by: expected "layer" or "op", got {key!r}')
        groups: dict[str, list[CallTime]] = {}
        for call in self.calls:
            groups.setdefault(getattr(call, key), []).append(call)
        found = [
            LayerTime(
                name=name,
                calls=len(calls),
                seconds=sum(c.seconds for c in calls),
                waited=sum(c.waited for c in calls),
                flops=sum(c.flops * c.count for c in calls),
                bytes=sum(c.bytes * c.count for c in calls),
                least=sum(c.least * c.count for c in calls),
            )
            for name, calls in groups.items()
        ]
        return sorted(found, key=lambda group: -group.seconds)

    def table(self, by: str = "call", top: int | None = None) -> str:
        """The profile as text.

        Parameters
        ----------
        by : {"call", "layer", "op"}
            Calls in the order they run in; layers and ops with the longest first.
        top : int, optional
            Only so many, those that took longest.
        """
        if by not in ("call", "layer", "op"):
            raise ValueError(f'table: by is "call", "layer" or "op", not {by!r}')
        top = None if top is None else whole("table: top", top, 1)
        rows = self._call_rows(top) if by == "call" else self._group_rows(by, top)
        return format_table(rows) + "\n\n" + self.summary()

    def _call_rows(self, top: int | None) -> list[list[str]]:
        rows = [["layer", "call", *COLUMNS, "bound", "threads"]]
        shown = self.calls
        if top is not None:
            shown = sorted(shown, key=lambda c: -c.seconds)[:top]
        for c in shown:
            numbers = self._numbers(c, c.each, c.flops, c.bytes)
            rows.append([c.layer, c.text, *numbers, c.bound, str(c.threads)])
        return rows

    def _group_rows(self, by: str, top: int | None) -> list[list[str]]:
        rows = [[by, "calls", *COLUMNS]]
        steps = max(self.steps, 1)
        for g in self.by(by)[:top]:
            numbers = self._numbers(g, g.seconds / steps, g.flops / steps, g.bytes / steps)
            rows.append([g.name, str(g.calls), *numbers])
        return rows

    def _numbers(
        self, x: CallTime | LayerTime, seconds: float, flops: float, moved: float
    ) -> list[str]:
        """The columns that all tables have."""
        return [
            microseconds(seconds), percent(x.seconds / self.seconds), quantity(flops),
            size(moved),
            f"{x.gflops:.1f}", f"{x.gbs:.1f}", percent(x.share),
        ]  # fmt: skip

    def summary(self) -> str:
        """What the time was spent on, for a step."""
        steps = max(self.steps, 1)
        least = sum(c.least * c.count for c in self.calls)
        rows = [
            [name, microseconds(seconds / steps), percent(seconds / self.seconds)]
            for name, seconds in self.parts.items()
        ]
        rows.append(["in all", microseconds(self.seconds / steps), "us a step"])
        rows.append(["at limits", microseconds(least / steps), percent(least / self.seconds)])
        text = format_table(rows)
        text += f"\n{self.steps:,} steps, {self.limits.teams[-1]} threads"
        if self.overhead is not None:
            text += f"; measuring adds {percent(max(self.overhead, 0.0))}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers, strings, lists and dicts."""
        derived = ("each", "gflops", "gbs", "share")
        return {
            "seconds": self.seconds,
            "steps": self.steps,
            "parts": dict(self.parts),
            "overhead": self.overhead,
            "calls": [
                {**asdict(c), **{name: getattr(c, name) for name in derived}} for c in self.calls
            ],
            "limits": asdict(self.limits),
        }

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the last few steps for chrome://tracing or https://ui.perfetto.dev: when each thread ran
        which call.
        """
        write_trace(path, self.calls, self._stamps)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        each = microseconds(self.seconds / max(self.steps, 1))
        return f"Profile({len(self.calls)} calls, {each} us a step, {self.steps} steps)"
