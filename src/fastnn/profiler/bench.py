"""`python -m fastnn bench`: the limits of this machine, and how near each family of kernels comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import _core, ops
from ..autograd import no_grad
from ..compiler import record
from ..losses import cross_entropy
from ..optimizers import Adam
from ..tensor import Tensor, full
from .machine import Limits, limits
from .roofline import bounds
from .table import format_table, microseconds, percent

__all__ = ["CASES", "Case", "Result", "bench", "measure_cases"]

Function = Callable[[], Any]

ROUNDS = 7  # timings of a case, of which the best counts, as of the limits


@dataclass(frozen=True)
class Case:
    """Something to measure: on matrices of fixed shapes, or on as many numbers as fit somewhere.

    Attributes
    ----------
    arrays : int
        Of n numbers each that it touches; 0 where its size is fixed.
    build : callable
        From n to the function to run.
    """

    family: str
    name: str
    arrays: int
    build: Callable[[int], Function]
    quick: bool = True


@dataclass(frozen=True)
class Result:
    """A case on so many threads: what it took, and the least it could take.

    Attributes
    ----------
    where : str
        The cache whose half its data fills, or "memory"; empty for a case of fixed size.
    threads : int
        That there were; a small call takes fewer.
    """

    family: str
    name: str
    where: str
    threads: int
    seconds: float
    flops: float
    bytes: float
    least: float

    @property
    def share(self) -> float:
        """How near it comes to the limit."""
        return self.least / self.seconds


def _numbers(*shape: int, dtype: str = "float32") -> Tensor:
    return full(shape, 0.5, dtype)


def _product(
    m: int, k: int, n: int, dtype: str = "float32", transposed: bool = False, quick: bool = False
) -> Case:
    def build(_: int) -> Function:
        a = _numbers(m, k, dtype=dtype)
        b = _numbers(n, k, dtype=dtype).T if transposed else _numbers(k, n, dtype=dtype)
        return lambda: a @ b

    kind = " float64" if dtype == "float64" else ""
    name = f"{m}x{k} @ {n}x{k}.T" if transposed else f"{m}x{k} @ {k}x{n}"
    return Case("matmul", name + kind, 0, build, quick)


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[int], Function]:
    def build(n: int) -> Function:
        x = _numbers(n)
        return lambda: function(x)

    return build


def _rows(function: Callable[[Tensor], Any], width: int = 256) -> Callable[[int], Function]:
    def build(n: int) -> Function:
        x = _numbers(max(n // width, 1), width)
        return lambda: function(x)

    return build


def _add(n: int) -> Function:
    a, b = _numbers(n), _numbers(n)
    return lambda: a + b


def _adam(n: int) -> Function:
    w = _numbers(n)
    w.requires_grad = True
    w.grad = _numbers(n)
    return Adam([w]).step


def _gather(n: int) -> Function:
    rows = _numbers(max(n // 64, 1), 64)
    order = Tensor(np.random.default_rng(0).permutation(rows.shape[0]))
    return lambda: rows.take(order)


def _cross_entropy(n: int) -> Function:
    x = _numbers(max(n // 16, 1), 16)
    labels = Tensor(np.arange(x.shape[0]) % 16)
    return lambda: cross_entropy(x, labels)


CASES = (
    *[_product(n, n, n, quick=n in (64, 512)) for n in (16, 32, 64, 128, 256, 512, 1024, 2048)],
    _product(512, 512, 512, "float64"),
    _product(128, 512, 512, transposed=True),
    _product(128, 512, 10),
    _product(2048, 8, 512),
    _product(32, 4096, 32),
    _product(1, 1024, 1024, quick=True),
    Case("map", "a + b", 3, _add),
    Case("map", "exp", 2, _unary(ops.exp)),
    Case("map", "gelu", 2, _unary(ops.gelu), quick=False),
    Case("reduce", "sum", 1, _unary(ops.sum)),
    Case("reduce", "sum of columns", 1, _rows(lambda x: x.sum(axis=0)), quick=False),
    Case("softmax", "rows of 256", 2, _rows(ops.softmax)),
    Case("norm", "layer norm of 256", 2, _rows(lambda x: ops.layer_norm(x, (256,)))),
    Case("random", "dropout", 2, _unary(lambda x: ops.dropout(x, 0.5))),
    Case("optimizer", "adam", 4, _adam),
    Case("move", "gather rows of 64", 2, _gather),
    Case("loss", "cross entropy of 16", 1, _cross_entropy),
)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = _core.get_num_threads()
    _core.set_num_threads(count)
    try:
        yield
    finally:
        _core.set_num_threads(before)


def _measure(case: Case, where: str, n: int, found: Limits, seconds: float) -> list[Result]:
    """A case with each team."""
    results = []
    for threads in found.teams:
        with _threads(threads), no_grad():
            recording = record(case.build(n))
            begin = time.perf_counter()
            recording.run_many(2)
            once = (time.perf_counter() - begin) / 2
            repeats = max(1, min(int(seconds / ROUNDS / once), 1_000_000))
            times = []
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                recording.run_many(repeats)
                times.append((time.perf_counter() - begin) / repeats)
        steps = recording.ready.steps()
        least = sum(b.seconds for b in bounds(recording.program, steps, found))
        flops, size = sum(s[2] for s in steps), sum(s[3] for s in steps)
        results.append(
            Result(case.family, case.name, where, threads, min(times), flops, size, least)
        )
    return results


def _sizes(found: Limits, memory: int | None) -> dict[str, int]:
    """Bytes for one core's caches, and for memory."""
    sizes = {k: v // 2 for k, v in found.caches.items() if k in ("L1", "L2")}
    return sizes | {"memory": memory or found.sizes[-1]}


def measure_cases(
    found: Limits, cases: Iterable[Case] = CASES, seconds: float = 0.1, memory: int | None = None
) -> Iterator[list[Result]]:
    """Each case at each size, with each team.

    Parameters
    ----------
    seconds : float
        For each.
    memory : int, optional
        Bytes of the largest size, where it is not to be that of the measured limits.
    """
    for case in cases:
        if not case.arrays:
            yield _measure(case, "", 0, found, seconds)
            continue
        for where, size in _sizes(found, memory).items():
            yield _measure(case, where, max(size // (4 * case.arrays), 256), found, seconds)


def _table(family: str, rows: list[list[Result]]) -> str:
    """The results of a family, a line a case, the teams side by side."""
    arithmetic = family == "matmul"
    unit = "GFLOP/s" if arithmetic else "GB/s"
    head = [family, "data in"]
    for result in rows[0]:
        teams = f"{result.threads} thread{'s' * (result.threads > 1)}"
        head += [f"{teams}: us", unit, "of limit"]
    lines = [head]
    for results in rows:
        line = [results[0].name, results[0].where]
        for r in results:
            rate = (r.flops if arithmetic else r.bytes) / r.seconds / 1e9
            line += [microseconds(r.seconds), f"{rate:.1f}", percent(r.share)]
        lines.append(line)
    if all(not line[1] for line in lines[1:]):
        lines = [[line[0], *line[2:]] for line in lines]
    return format_table(lines)


def bench(
    quick: bool = False,
    refresh: bool = False,
    as_json: bool = False,
    show: Callable[[str], Any] = print,
    memory: int | None = None,
) -> None:
    """Show this machine's limits, and how near each family of kernels comes to them.

    Parameters
    ----------
    quick : bool
        Fewer cases, each for a shorter time.
    refresh : bool
        Measure the limits anew.
    as_json : bool
        Numbers instead of tables.
    show : callable
        Is given the text, a family at a time.
    memory : int, optional
        Bytes of the largest size; by default, what is far beyond the last cache.
    """
    found = limits(refresh)
    cases = [case for case in CASES if case.quick or not quick]
    seconds = 0.02 if quick else 0.1
    if as_json:
        results = [asdict(r) for rs in measure_cases(found, cases, seconds, memory) for r in rs]
        show(json.dumps({"limits": asdict(found), "results": results}, indent=1))
        return
    show(str(found))
    for family in dict.fromkeys(case.family for case in cases):
        mine = [case for case in cases if case.family == family]
        show("\n" + _table(family, list(measure_cases(found, mine, seconds, memory))))
