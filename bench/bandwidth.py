"""Everything but matrix products beside numpy and PyTorch, in turns, at the sizes of the levels of cache.

    python bench/bandwidth.py                          every family, 1e3 to 1e7 elements, one thread
    python bench/bandwidth.py reduce cast --sizes 1e5  some families or rows, some sizes
    python bench/bandwidth.py --dtype float64 --threads 2 --worst 20

Each row writes into memory that is there (out=, where the other library has it). Printed are the time, GB/s
of what the op must read and write, the share of what a plain copy of as many bytes reaches here, and the time
of numpy and of PyTorch divided by ours (below 1 they are faster). PyTorch is left out where it is missing.

With more than one thread libraries disturb one another: PyTorch's idle threads spin for a while on the cores
that ours want. --only times one library in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterator
from functools import cache

import numpy as np
import rows
from rows import FAMILIES
from rows.base import Maker, Row, Thunk, torch

import fastnn
from fastnn import _core


def seconds(thunk: Thunk, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        thunk()
    return (time.perf_counter() - start) / count


def in_turns(thunks: list[Thunk | None], rounds: int, least: float) -> list[float]:
    """Median seconds of each, NaN for None; each turn lasts at least `least` seconds."""
    times: list[list[float]] = [[] for _ in thunks]
    counts = [t and (t(), max(1, math.ceil(least / max(seconds(t, 2), 1e-7))))[1] for t in thunks]
    for turn in range(rounds):
        for i in range(len(thunks)):
            i = i if turn % 2 else len(thunks) - 1 - i
            if thunks[i]:
                times[i].append(seconds(thunks[i], counts[i]))
    return [statistics.median(t) if t else math.nan for t in times]


def copy_speed(moved: int, rounds: int, least: float) -> float:
    """GB/s of a plain copy that moves so many bytes, by one thread."""
    return _copy_speed(1 << max(moved, 64).bit_length(), rounds, least)


@cache
def _copy_speed(moved: int, rounds: int, least: float) -> float:
    a, b = np.zeros(moved // 2, np.uint8), np.zeros(moved // 2, np.uint8)
    return moved / 1e9 / in_turns([lambda: np.copyto(b, a)], rounds, least)[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", help=f"families ({', '.join(FAMILIES)}) or parts of row names"
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e3, 1e4, 1e5, 1e6, 1e7])
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--least", type=float, default=1e-3, help="seconds of a turn")
    parser.add_argument("--only", choices=("fastnn", "numpy", "torch"), help="time this one alone")
    parser.add_argument(
        "--worst", type=int, help="only so many, by how far another library is ahead"
    )
    return parser.parse_args()


def wanted(what: list[str]) -> Iterator[tuple[str, Maker]]:
    """The rows of the families of these names, and those whose names contain one; all for none."""
    for group, makers in FAMILIES.items():
        for name, make in makers.items():
            if not what or group in what or any(w in name for w in what):
                yield name, make


def measured(name: str, row: Row, size: int, args: argparse.Namespace) -> tuple[float, str]:
    """How far the best of the others is ahead (below 1), and the line to print."""
    thunks = {"fastnn": row.ours, "numpy": row.numpy, "torch": row.torch}
    chosen = [thunks[args.only]] if args.only else list(thunks.values())
    mine, *peers = in_turns(chosen, args.rounds, args.least)
    speed = row.moved / mine / 1e9
    share = speed / copy_speed(row.moved, args.rounds, args.least)
    ratios = [peer / mine for peer in peers]
    line = f"{name:28} {size:9} {mine * 1e6:10.2f} {speed:7.1f} {share:5.2f}"
    line += "".join("      -" if math.isnan(r) else f" {r:6.2f}" for r in ratios)
    return min([r for r in ratios if not math.isnan(r)], default=math.inf), line


def main() -> None:
    """Print a line for each row and size, or the worst of them."""
    args = arguments()
    rows.base.twins_wanted = args.only in (None, "torch")
    fastnn.set_num_threads(args.threads)
    if torch is not None:
        torch.set_num_threads(args.threads)
        torch.set_grad_enabled(False)
    head = f"{'row':28} {'n':>9} {'us':>10} {'GB/s':>7} {'copy':>5} {'numpy':>6} {'torch':>6}"
    print(f"{args.dtype}, {args.threads} thread(s), {_core.isa_name()}\n{head}")
    lines = []
    with np.errstate(all="ignore"):
        for name, make in wanted(args.what):
            for size in map(int, args.sizes):
                lines.append(measured(name, make(size, args.dtype), size, args))
                if args.worst is None:
                    print(lines[-1][1], flush=True)
    for _, line in sorted(lines)[: args.worst or 0]:
        print(line)


if __name__ == "__main__":
    main()
