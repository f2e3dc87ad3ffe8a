"""Matrix products beside numpy's BLAS, in turns: GFLOP/s, and numpy's time divided by ours.

    python bench/gemm.py                    every family, one thread and all
    python bench/gemm.py --threads 1 dense  one family

A family is a kind of shape, (m, n, k) and which operands are transposed views. Each round times both, in
alternating order, and the medians of the rounds are printed: processor time for one thread, which other
work on the machine disturbs least, and wall time for more. Each number of threads has a process of its own,
as OPENBLAS_NUM_THREADS is read once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn

PLAIN, RIGHT, LEFT = "a b", "a b.T", "a.T b"

FAMILIES: dict[str, list[tuple[int, int, int, str]]] = {
    "square": [(n, n, n, PLAIN) for n in (16, 32, 64, 96, 128, 256, 512, 1024, 2048, 4096)],
    "dense": [  # x w.T, dy w, dy.T x of 784-512-10, batch 128
        (128, 512, 784, RIGHT), (128, 784, 512, PLAIN), (512, 784, 128, LEFT),
        (128, 10, 512, RIGHT), (128, 512, 10, PLAIN), (10, 512, 128, LEFT),
    ],
    "batch": [(m, 512, 512, kind) for m in (1, 2, 4, 8, 16, 32, 64) for kind in (RIGHT, PLAIN)],
    "skinny": [
        (1024, 1, 512, RIGHT), (512, 1, 512, LEFT), (1000, 3, 1000, RIGHT), (1000, 8, 1000, LEFT),
        (3, 1000, 1000, PLAIN), (512, 512, 1, LEFT), (1000, 1000, 4, PLAIN),
    ],
}  # fmt: skip


def seconds(call: Callable[[], Any], count: int) -> float:
    clock = time.thread_time if fastnn.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(count):
        call()
    return (clock() - start) / count


def side_by_side(
    m: int, n: int, k: int, kind: str, dtype: str, rounds: int
) -> tuple[float, float, float]:
    """Median seconds of ours and numpy's, and the median of their ratios."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if kind == LEFT else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if kind == RIGHT else (k, n)).astype(dtype)
    a, b = a.T if kind == LEFT else a, b.T if kind == RIGHT else b
    x, y = fastnn.Tensor(a), fastnn.Tensor(b)
    calls = [lambda: fastnn.matmul(x, y), lambda: a @ b]
    for call in calls:
        call()
    count = max(1, int(0.01 / max(seconds(calls[0], 3), 1e-7)))
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            times[which].append(seconds(calls[which], count))
    ratio = statistics.median(theirs / ours for ours, theirs in zip(*times, strict=True))
    return statistics.median(times[0]), statistics.median(times[1]), ratio


def measure(families: list[str], dtype: str, rounds: int, largest: int) -> None:
    print(f"\n{dtype}, {fastnn.get_num_threads()} thread(s), {fastnn._core.isa_name()}")
    print(f"{'family':8} {'m':>5} {'n':>5} {'k':>5} {'us':>17} {'GFLOP/s':>8} {'numpy':>8} ratio")
    for family in families:
        for m, n, k, kind in FAMILIES[family]:
            if max(m, n, k) > largest:
                continue
            ours, theirs, ratio = side_by_side(m, n, k, kind, dtype, rounds)
            flops = 2e-9 * m * n * k
            print(
                f"{family:8} {m:5} {n:5} {k:5} {kind:6} {ours * 1e6:10.2f} {flops / ours:8.1f} "
                f"{flops / theirs:8.1f} {ratio:5.2f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "families", nargs="*", default=[], metavar="family", help=", ".join(FAMILIES)
    )
    parser.add_argument("--threads", type=int, help="instead of one and then all")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--largest", type=int, default=4096, help="no axis longer than this")
    args = parser.parse_args()
    unknown = set(args.families) - set(FAMILIES)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    if args.threads and os.environ.get("OPENBLAS_NUM_THREADS") == str(args.threads):
        fastnn.set_num_threads(args.threads)
        measure(args.families or list(FAMILIES), args.dtype, args.rounds, args.largest)
        return
    for threads in [args.threads] if args.threads else sorted({1, fastnn.get_num_threads()}):
        command = [sys.executable, *sys.argv, "--threads", str(threads)]
        subprocess.run(
            command, env={**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}, check=True
        )


if __name__ == "__main__":
    main()
