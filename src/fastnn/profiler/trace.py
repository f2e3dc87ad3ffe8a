"""A profile as a timeline, in Chrome's trace format (an array of complete events, times in microseconds)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..io.atomic import atomic_write

if TYPE_CHECKING:
    from .report import CallTime

__all__ = ["Stamp", "write_trace"]

Stamp = tuple[int, int, int, int]  # program, call, begin and end in nanoseconds


def write_trace(
    path: str | os.PathLike[str], calls: Sequence[CallTime], stamps: Sequence[Sequence[Stamp]]
) -> None:
    """The stamps of each thread as events, named by the op and sorted by the layer."""
    known = {(call.program, call.index): call for call in calls}
    start = min((stamp[2] for thread in stamps for stamp in thread), default=0)
    events: list[dict[str, Any]] = [_named("process_name", 0, "fastnn")]
    for number, thread in enumerate(stamps):
        events.append(_named("thread_name", number, f"thread {number}"))
        for program, index, begin, end in thread:
            events.append(_event(known[program, index], number, begin - start, end - begin))
    text = json.dumps({"traceEvents": events, "displayTimeUnit": "ns"})
    with atomic_write(path) as file:
        file.write(text.encode())


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": 0, "tid": thread, "args": {"name": name}}


def _event(call: CallTime, thread: int, begin: int, duration: int) -> dict[str, Any]:
    return {
        "name": call.op,
        "cat": call.layer or "step",
        "ph": "X",
        "ts": begin / 1000,
        "dur": duration / 1000,
        "pid": 0,
        "tid": thread,
        "args": {
            "layer": call.layer,
            "call": call.text,
            "flops": call.flops,
            "bytes": call.bytes,
            "at limits us": 1e6 * call.least,
            "bound": call.bound,
        },
    }
