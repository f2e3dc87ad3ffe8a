"""What recorded programs spent their time on while they were timed."""

from __future__ import annotations

import time
from collections.abc import Iterable

from .. import _core
from ..compiler import Recording
from ..compiler.chaincode import code_of, decode
from ..compiler.compiled import live, on_record
from ..compiler.program import Call
from .machine import Limits, limits
from .report import CallTime, Profile
from .roofline import bounds
from .trace import Stamp

__all__ = ["Measured", "watch", "with_shapes"]

TRACED = 8  # repetitions of which every event is kept


class _Sums:
    """The times of one program, added up over all times that it was timed."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.size = len(recording.program.calls)
        self.repeats = self.inside = 0
        self.busy, self.waited = [0] * self.size, [0] * (self.size + 1)
        self.stamps: list[list[tuple[int, int, int]]] = []

    def begin(self) -> None:
        self.recording.ready.time(TRACED * self.size)

    def end(self) -> None:
        times = self.recording.ready.times()
        if times is None or not times[0]:
            self.recording.ready.time(-1)
            return
        repeats, inside, busy, waited = times
        self.stamps = self.recording.ready.stamps()
        self.recording.ready.time(-1)
        self.repeats += repeats
        self.inside += inside
        self.busy = [a + b for a, b in zip(self.busy, busy[0], strict=True)]
        self.waited = [a + b for a, b in zip(self.waited, waited[0], strict=True)]

    def calls(self, number: int, limits: Limits) -> list[CallTime]:
        """As the calls of a profile, of its program of that number."""
        program, steps = self.recording.program, self.recording.ready.steps()
        found = []
        for i, bound in enumerate(bounds(program, steps, limits)):
            call, (threads, _, flops, size, _) = program.calls[i], steps[i]
            found.append(
                CallTime(
                    layer=call.layer, op=call.name, text=with_shapes(call), program=number, index=i,
                    count=self.repeats, seconds=self.busy[i] / 1e9, waited=self.waited[i] / 1e9,
                    threads=threads, flops=flops, bytes=size, least=bound.seconds, bound=bound.by,
                )
            )  # fmt: skip
        return found

    def latest(self, number: int) -> list[list[Stamp]]:
        """The stamps of each thread since the first that is kept of the calling thread."""
        start = self.stamps[0][0][1] if self.stamps and self.stamps[0] else 0
        return [[(number, *s) for s in thread if s[1] >= start] for thread in self.stamps]


class Measured:
    """The times of programs, and of all that happened meanwhile.

    Attributes
    ----------
    seconds : float
        Wall time between `begin` and `end`, added up.
    """

    def __init__(self, recordings: Iterable[Recording] = ()) -> None:
        self.seconds = 0.0
        self._sums = [_Sums(recording) for recording in recordings]

    def add(self, recording: Recording) -> None:
        """Time another one, from now on."""
        self._sums.append(_Sums(recording))
        self._sums[-1].begin()

    def begin(self) -> None:
        """Begin, or go on."""
        for sums in self._sums:
            sums.begin()

    def end(self, seconds: float) -> None:
        """Leave off; so much time has passed."""
        for sums in self._sums:
            sums.end()
        self.seconds += seconds

    def profile(self, limits: Limits, overhead: float | None = None) -> Profile:
        """What there is to say of the programs that ran, those that took longest first."""
        ran = sorted((s for s in self._sums if s.repeats), key=lambda s: -s.inside)
        threads: list[list[Stamp]] = []
        for number, sums in enumerate(ran):
            for i, stamps in enumerate(sums.latest(number)):
                threads += [[] for _ in range(i + 1 - len(threads))]
                threads[i] += stamps
        return Profile(
            calls=[c for number, sums in enumerate(ran) for c in sums.calls(number, limits)],
            seconds=self.seconds,
            steps=max((s.repeats for s in ran), default=0),
            inside=sum(s.inside for s in ran) / 1e9,
            limits=limits,
            stamps=threads,
            overhead=overhead,
            ended=sum(s.waited[-1] for s in ran) / 1e9,
        )


class watch:
    """Measure every recorded program that runs within a block, whoever runs it.

    Attributes
    ----------
    profile : Profile
        There when the block has ended; "python" in its parts is all that is not in recorded programs.

    Examples
    --------
    >>> import fastnn
    >>> double = fastnn.compile(lambda x: x * 2)
    >>> with fastnn.profiler.watch() as watched:
    ...     for _ in range(3):
    ...         y = double(fastnn.ones(5))
    >>> watched.profile.steps, watched.profile.calls[0].op
    (3, 'mul')
    """

    profile: Profile

    def __enter__(self) -> watch:
        self._measured = Measured(list(live))
        self._measured.begin()
        on_record.append(self._measured.add)
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._began
        on_record.remove(self._measured.add)
        self._measured.end(spent)
        self.profile = self._measured.profile(limits())


def with_shapes(call: Call) -> str:
    """A call with the shapes of what it reads and writes.

    Examples
    --------
    >>> import fastnn
    >>> double = fastnn.compile(lambda x: x * 2)
    >>> y = double(fastnn.ones((5, 3)))
    >>> with_shapes(double.latest.program.calls[0])
    'mul 5x3 1 -> 5x3'
    """
    found = code_of(call)
    code = None if found is None else call.views[found[0]]
    sides = [
        " ".join("x".join(map(str, v.shape)) or "1" for v in views if v is not code)
        for views in call.split()
    ]
    ops = [] if found is None else [step.op for step in decode(found[1])]
    if call.op == _core.ops.matmul and call.scalars[1]:
        ops.append(int(call.scalars[1]))
    names = [_core.op_info(op)[0] for op in ops]
    if call.op != _core.ops.chain:
        names.insert(0, call.name.removesuffix("_chain"))
    return f"{'+'.join(names)} {sides[0]} -> {sides[1]}"
