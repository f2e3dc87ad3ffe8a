"""Measuring what this machine can do, in about a second."""

from __future__ import annotations

import statistics
import time
from typing import Any

from .. import _core
from ..dtypes import BY_CODE
from .caches import cache_sizes

__all__ = ["STREAMS", "measure", "stream_sizes"]

STREAMS = ("read", "triad", "write", "update")
MOMENT = 1e-3  # seconds that one timing takes
SWEEPS = 6  # timings of each, apart from each other, of which the best counts
SMALLEST = 8 << 10  # bytes of a thread


def measure() -> dict[str, Any]:
    """All that `Limits` holds, as plain numbers, lists and dicts."""
    threads = _core.get_num_threads()
    teams = sorted({1, threads})
    caches = cache_sizes()
    sizes = stream_sizes(caches, threads)
    memory = _core.empty(_core.Array, (threads * sizes[-1],), 4)
    _core.probe("write", 0, threads, memory, sizes[-1], 0)  # each thread touches its own part first
    flops: dict[str, list[float]] = {BY_CODE[code].name: [0.0] * len(teams) for code in (0, 1)}
    bandwidth = {kind: [[0.0] * len(sizes) for _ in teams] for kind in STREAMS}
    for _ in range(SWEEPS):
        for t, team in enumerate(teams):
            for code in (0, 1):
                name = BY_CODE[code].name
                flops[name][t] = max(flops[name][t], _flops(code, team))
            for kind in STREAMS:
                found = _sweep(kind, team, memory, sizes)
                bandwidth[kind][t] = [
                    max(a, b) for a, b in zip(bandwidth[kind][t], found, strict=True)
                ]
    return {
        "teams": teams,
        "flops": flops,
        "sizes": sizes,
        "bandwidth": {kind: [_falling(row) for row in rows] for kind, rows in bandwidth.items()},
        "caches": caches,
        "meeting": _each("meet", threads, 2000),
        "start": _each("start", threads, 500),
        "wake": _wake(threads),
    }


def stream_sizes(caches: dict[str, int], threads: int) -> list[int]:
    """Bytes of a thread: powers of two, up to where all threads together leave the last cache well behind."""
    last = max(caches.values(), default=32 << 20)
    total = min(max(4 * last, 64 << 20), 512 << 20)
    sizes = [SMALLEST]
    while sizes[-1] * 2 * threads <= total:
        sizes.append(sizes[-1] * 2)
    return sizes


def _flops(code: int, team: int) -> float:
    each = _core.probe_flops(code)
    rounds = int(MOMENT * 200e9 / each)
    seconds, came = _core.probe("fma", code, team, None, 0, rounds)
    return came * rounds * each / seconds


def _sweep(kind: str, team: int, memory: _core.Array, sizes: list[int]) -> list[float]:
    """Bytes a second of a team on each size."""
    found = []
    rate = 50e9  # of the size before
    for size in sizes:
        moved = {"triad": size // 3 // 1024 * 1024 * 3, "update": 2 * size}.get(kind, size)
        rounds = max(1, int(MOMENT * rate / (team * moved)))
        seconds, came = _core.probe(kind, 0, team, memory, size, rounds)
        rate = came * rounds * moved / seconds
        found.append(rate)
    return found


def _falling(rates: list[float]) -> list[float]:
    """What is as fast with more data could have been as fast with less."""
    return [max(rates[i:]) for i in range(len(rates))]


def _each(kind: str, threads: int, rounds: int) -> float:
    """Seconds of one round."""
    times = [_core.probe(kind, 0, threads, None, 0, rounds)[0] for _ in range(SWEEPS)]
    return min(times) / rounds


def _wake(threads: int) -> float:
    """Seconds until a team whose threads have gone to sleep has run."""
    times = []
    for _ in range(7):
        time.sleep(0.002)
        times.append(_core.probe("start", 0, threads, None, 0, 1)[0])
    return statistics.median(times)
