"""`profile`: a function called again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..autograd import no_grad
from ..compiler import Compiled, compile
from ..nn.module import Module
from ..units import duration, whole
from .machine import limits
from .measured import Measured
from .report import Profile

__all__ = ["profile"]

ROUNDS = 5  # pairs of a stretch that is timed and one that is not
WARM = 0.05  # seconds before anything is measured: clocks rise, memory comes in


def profile(
    function: Callable[..., Any],
    *args: Any,
    repeats: int | None = None,
    seconds: float = 0.5,
    **kwargs: Any,
) -> Profile:
    """Call a function again and again and tell where its time goes, call by call.

    Parameters
    ----------
    function : callable
        A compiled function, or one that can be compiled (`fastnn.compile`), or a module, whose forward pass
        is run without gradients. It is really called: a training step trains.
    *args, **kwargs
        What it is called with.
    repeats : int, optional
        How often it is timed; by default as often as takes about `seconds`. It is called as often once more
        without being timed, to tell what timing adds, and a few times before to warm up.
    seconds : float, default 0.5
        About how long to measure.

    Returns
    -------
    Profile

    Raises
    ------
    RecordingError
        If the function cannot be recorded; the message names the line.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    >>> found = fastnn.profile(model, fastnn.ones((16, 64)), repeats=20)
    >>> [(call.layer, call.op, int(call.flops)) for call in found.calls]
    [('0 Linear', 'matmul', 65536), ('2 Linear', 'matmul', 1024)]
    >>> sum(found.parts.values()) == found.seconds
    True
    """
    if not callable(function):
        raise TypeError(f"profile: expected a function or module, got {type(function).__name__}")
    seconds = duration("profile: seconds", seconds)
    if repeats is not None:
        repeats = whole("profile: repeats", repeats, 1)
    compiled = _compiled(function)
    compiled(*args, **kwargs)
    assert compiled.latest is not None
    found = limits()  # measured before, where this is the first time

    def call(times: int) -> float:
        begin = time.perf_counter()
        for _ in range(times):
            compiled(*args, **kwargs)
        return time.perf_counter() - begin

    times = max(1, int(WARM / call(1)))
    once = call(times) / times
    if repeats is None:
        repeats = max(ROUNDS, min(int(seconds / 2 / once), 100_000))
    each, plain = -(-repeats // ROUNDS), 0.0
    measured = Measured([compiled.latest])
    for first in range(0, repeats, each):
        now = min(each, repeats - first)
        plain += call(now)
        measured.begin()
        measured.end(call(now))
    return measured.profile(found, overhead=measured.seconds / plain - 1)


def _compiled(function: Callable[..., Any]) -> Compiled:
    if isinstance(function, Compiled):
        return function
    if isinstance(function, Module):
        return compile(no_grad()(function.__call__))
    return compile(function)
