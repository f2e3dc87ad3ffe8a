"""The limits of this machine: measured once, kept in a file, asked by the roofline."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .. import _core
from .._version import __version__
from ..io.atomic import atomic_write
from .measure import STREAMS, measure

__all__ = ["Limits", "cache_folder", "limits"]


@dataclass(frozen=True)
class Limits:
    """What this machine can do, as measured.

    Attributes
    ----------
    machine : dict
        What the figures depend on: CPU, instruction set, threads, version.
    teams : list of int
        The numbers of threads that were measured: 1 and all.
    flops : dict of str to list of float
        By dtype: operations a second with each team; a fused multiply-add is two.
    sizes : list of int
        Bytes that a thread works on.
    bandwidth : dict of str to list of list of float
        For each kind of stream and each team: bytes a second by size. "read" and "write" are what they say,
        "triad" reads two arrays and writes a third, "update" reads an array and writes it again.
    caches : dict of str to int
        Bytes of each cache, as far as known.
    meeting, start, wake : float
        Seconds of a meeting of all threads, of starting a team that is awake, and of one that sleeps.

    Examples
    --------
    >>> import fastnn
    >>> found = fastnn.profiler.limits()
    >>> found.rate(2**14) > found.rate(2**28)  # bytes a second of one thread: in cache, in memory
    True
    """

    machine: dict[str, Any]
    teams: list[int]
    flops: dict[str, list[float]]
    sizes: list[int]
    bandwidth: dict[str, list[list[float]]]
    caches: dict[str, int]
    meeting: float
    start: float
    wake: float

    def peak(self, dtype: str = "float32", threads: int = 1) -> float:
        """Operations a second that so many threads can do."""
        return self._of_team(self.flops[dtype], threads)

    def rate(self, size: float, threads: int = 1, written: float = 0.0) -> float:
        """Bytes a second that so many threads can move where they work on `size` bytes in all.

        Parameters
        ----------
        written : float
            The share of the bytes that is written, to memory that is not read.
        """
        low, high, part = ("read", "triad", written * 3)
        if written > 1 / 3:
            low, high, part = ("triad", "write", (written - 1 / 3) * 1.5)
        slow, fast = (1 / self.stream(kind, size, threads) for kind in (low, high))
        return 1 / (slow + (fast - slow) * part)

    def stream(self, kind: str, size: float, threads: int = 1) -> float:
        """Bytes a second of one kind of stream."""
        each = size / max(threads, 1)
        return self._of_team([_at(self.sizes, row, each) for row in self.bandwidth[kind]], threads)

    def _of_team(self, measured: Sequence[float], threads: int) -> float:
        """Between the teams that were measured."""
        if len(measured) == 1 or threads <= 1:
            return measured[0]
        part = min((threads - 1) / (self.teams[1] - 1), 1.0)
        return measured[0] + (measured[1] - measured[0]) * part

    def levels(self) -> dict[str, int]:
        """For each cache and memory the bytes, of all threads together, that its bandwidth is told at."""
        threads = self.teams[-1]
        found = {}
        for name, size in self.caches.items():
            shared = name not in ("L1", "L2")
            found[name] = min(size // 2 * (1 if shared else threads), self.sizes[-1] * threads)
        return {**found, "memory": self.sizes[-1] * threads}

    def __str__(self) -> str:
        lines = [f"{name:9} {value}" for name, value in self.machine.items()]
        teams = [f"{n} thread{'s' * (n > 1)}" for n in self.teams]
        lines += ["", f"{'limits':24}" + "".join(f"{team:>12}" for team in teams)]
        for dtype, rates in self.flops.items():
            lines.append(_row(f"{dtype} GFLOP/s", rates))
        for name, size in self.levels().items():
            each = size / self.teams[-1]
            for kind in STREAMS:
                rates = [_at(self.sizes, row, each) for row in self.bandwidth[kind]]
                lines.append(_row(f"{name} {kind} GB/s", rates))
        lines.append(
            f"a meeting of all threads {1e9 * self.meeting:.0f} ns, their start {1e9 * self.start:.0f} ns, "
            f"from sleep {1e6 * self.wake:.0f} us"
        )
        return "\n".join(lines)


def _row(name: str, rates: Sequence[float]) -> str:
    return f"{name:24}" + "".join(f"{rate / 1e9:12.1f}" for rate in rates)


def _at(sizes: Sequence[int], rates: Sequence[float], size: float) -> float:
    """The rate at a size: between those measured, along the logarithm of the size."""
    if size <= sizes[0]:
        return rates[0]
    place = math.log2(size / sizes[0])  # sizes double
    i = int(place)
    if i >= len(sizes) - 1:
        return rates[-1]
    return rates[i] + (rates[i + 1] - rates[i]) * (place - i)


def cache_folder() -> Path:
    """Where measurements are kept: FASTNN_CACHE_DIR, or a folder in the user's cache."""
    chosen = os.environ.get("FASTNN_CACHE_DIR")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    if not home and os.name == "nt":
        home = os.environ.get("LOCALAPPDATA")
    if not home:
        home = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(home).expanduser() / "fastnn"


def _machine() -> dict[str, Any]:
    found = _core.runtime_info()
    names = ("cpu", "cores", "isa", "threads")
    return {**{name: found[name] for name in names}, "version": __version__}


_known: dict[Path, Limits] = {}


def limits(refresh: bool = False) -> Limits:
    """What this machine can do: measured the first time, which takes about a second, then read from a file.

    Parameters
    ----------
    refresh : bool
        Measure anew. Do so where other programs were running the first time.

    Examples
    --------
    >>> import fastnn
    >>> found = fastnn.profiler.limits()
    >>> found.peak("float32") > 1e9  # operations a second of one thread
    True
    """
    machine = _machine()
    digest = hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / f"limits-{digest}.json"
    if refresh or path not in _known:
        found = None if refresh else _read(path, machine)
        if found is None:
            found = Limits(machine=machine, **measure())
            _write(path, found)
        _known[path] = found
    return _known[path]


def _read(path: Path, machine: dict[str, Any]) -> Limits | None:
    """What a file says, or None for one that is missing, broken or another machine's."""
    try:
        values = json.loads(path.read_text())
        found = Limits(**{field.name: values[field.name] for field in fields(Limits)})
        usable = found.machine == machine and found.peak() > 0
        sizes = found.levels().values()
        usable = usable and all(found.stream(k, s, 2) > 0 for s in sizes for k in STREAMS)
    except (OSError, ValueError, KeyError, TypeError, IndexError, ArithmeticError, AttributeError):
        return None
    return found if usable else None


def _write(path: Path, found: Limits) -> None:
    """Keep it, where the user may write."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(asdict(found)).encode())
