"""Matrix products of many kinds beside other libraries: GFLOP/s, share of the peak, and ratios of times.

    python bench/gemm.py                         every family in float32, one thread and all
    python bench/gemm.py square --threads 1      one family
    python bench/gemm.py --peers "numpy,torch" --dtype float64

A family is a kind of shape: (m, n, k) and how a and b are stored, "n" as they are used or "t" transposed.
Each library has a process of its own for each number of threads; they take turns, a round after another. A
ratio is the median over the rounds of (its time / fastnn's time): above 1, fastnn is faster. The peak is that
of the multiply-add as fastnn.profiler measures it. numpy's OpenBLAS runs twice, with the kernels that it
chooses ("numpy") and, where the CPU has AVX-512, with those for it ("numpy skylakex").
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from turns import SETTLE, Worker, environment, has_avx512, serve, timed

Shape = tuple[int, int, int, str]

FAMILIES: dict[str, list[Shape]] = {
    "square": [
        (n, n, n, "nn") for n in (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
    ],
    "turned": [(n, n, n, kind) for n in (64, 256, 1024) for kind in ("nt", "tn", "tt")],
    "odd": [(n, n, n, "nn") for n in (17, 33, 65, 97, 129, 257, 513, 1000)],
    "layer": [  # x w.T, dy w, dy.T x of layers in front of few and of many
        (m, n, k, kind)
        for rows, fan_in, fan_out in ((32, 64, 64), (128, 784, 512), (128, 512, 10), (128, 256, 2))
        for m, n, k, kind in ((rows, fan_out, fan_in, "nt"), (rows, fan_in, fan_out, "nn"),
                              (fan_out, fan_in, rows, "tn"))
    ],
    "batch": [(m, 512, 512, kind) for m in (1, 2, 4, 8, 12, 16, 32, 64) for kind in ("nt", "nn")],
    "skinny": [
        (1, 4096, 1024, "nt"), (1024, 1, 512, "nn"), (512, 1, 512, "tn"), (1000, 3, 1000, "nt"),
        (1000, 8, 1000, "tn"), (1000, 12, 1000, "nt"), (3, 1000, 1000, "nn"), (15, 1000, 1000, "nt"),
        (4096, 64, 64, "nn"), (64, 4096, 64, "nn"), (64, 64, 4096, "tn"),
    ],
    "shallow": [(512, 784, 1, "tn"), (1000, 1000, 4, "nn"), (512, 512, 16, "tn")],
}  # fmt: skip

PEERS = {
    "fastnn": "fastnn",
    "numpy": "numpy",
    "numpy skylakex": "numpy",
    "torch": "torch",
    "jax": "jax",
}


# --- a worker: one library ---


def product_of(library: str, a: np.ndarray, b: np.ndarray, threads: int) -> Callable[[], Any]:
    """A function that multiplies, and waits for the result."""
    if library == "fastnn":
        import fastnn

        fastnn.set_num_threads(threads)
        x, y = fastnn.Tensor(a), fastnn.Tensor(b)
        return lambda: fastnn.matmul(x, y)
    if library == "torch":
        import torch

        torch.set_num_threads(threads)
        left, right = torch.from_numpy(a), torch.from_numpy(b)
        return lambda: torch.matmul(left, right)
    if library == "jax":
        import jax

        jax.config.update("jax_enable_x64", a.dtype == np.float64)
        # Stored as they lie; the transposition is part of the product, as in a layer.
        turns = [not x.flags.c_contiguous for x in (a, b)]
        stored = [jax.numpy.asarray(x.T if t else x) for x, t in zip((a, b), turns, strict=True)]
        multiply = jax.jit(lambda x, y: (x.T if turns[0] else x) @ (y.T if turns[1] else y))
        return lambda: multiply(*stored).block_until_ready()
    return lambda: a @ b


def answering(library: str, threads: int, dtype: str) -> Callable[[dict[str, Any]], float]:
    """A function that answers each job, a shape and seconds, with the seconds of one product."""
    rng = np.random.default_rng(0)
    shape, run = None, None

    def answer(job: dict[str, Any]) -> float:
        nonlocal shape, run
        if job["work"] != shape:
            m, n, k, kind = shape = job["work"]
            a = rng.standard_normal((k, m) if kind[0] == "t" else (m, k)).astype(dtype)
            b = rng.standard_normal((n, k) if kind[1] == "t" else (k, n)).astype(dtype)
            run = product_of(
                library, a.T if kind[0] == "t" else a, b.T if kind[1] == "t" else b, threads
            )
            run()
        run()  # after the others' turns, so that the next one tells how long it takes
        return timed(run, job["seconds"])

    return answer


# --- the table ---


def available() -> list[str]:
    found = [name for name, module in PEERS.items() if importlib.util.find_spec(module)]
    return [name for name in found if name != "numpy skylakex" or has_avx512()]


def start(name: str, threads: int, dtype: str) -> Worker:
    """The process of a library."""
    command = [__file__, "--worker", name, "--threads", str(threads), "--dtype", dtype]
    return Worker(name, command, environment(threads, skylakex=name == "numpy skylakex"))


def ask(worker: Worker, shape: Shape, seconds: float) -> float:
    time.sleep(SETTLE)
    return worker.ask("time", work=shape, seconds=seconds)


def measure(names: list[str], threads: int, args: argparse.Namespace) -> None:
    import fastnn

    peak = fastnn.profiler.limits().peak(args.dtype, threads)
    others = [name for name in names if name != "fastnn"]
    print(
        f"\n{args.dtype}, {threads} thread(s), {fastnn._core.isa_name()}, peak {peak / 1e9:.0f} GFLOP/s"
    )
    print(
        f"{'family':8} {'m':>5} {'n':>5} {'k':>5}    {'us':>10} {'GFLOP/s':>8} {'peak':>5}",
        *others,
        sep="  ",
    )
    workers = {name: start(name, threads, args.dtype) for name in ("fastnn", *others)}
    for family in args.families or FAMILIES:
        for shape in FAMILIES[family]:
            if max(shape[:3]) > args.largest:
                continue
            rounds = [
                {name: ask(workers[name], shape, args.seconds) for name in order}
                for order in (
                    (list(workers), list(workers)[::-1])[i % 2] for i in range(args.rounds)
                )
            ]
            ours = statistics.median(r["fastnn"] for r in rounds)
            m, n, k, kind = shape
            rate = 2 * m * n * k / ours
            ratios = [statistics.median(r[name] / r["fastnn"] for r in rounds) for name in others]
            print(
                f"{family:8} {m:5} {n:5} {k:5} {kind} {ours * 1e6:10.2f}",
                f"{rate / 1e9:8.1f} {rate / peak:5.0%}",
                *(f"{ratio:{len(name)}.2f}" for ratio, name in zip(ratios, others, strict=True)),
                sep="  ",
                flush=True,
            )
    for worker in workers.values():
        worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("families", nargs="*", metavar="family", help=", ".join(FAMILIES))
    parser.add_argument("--threads", type=int, help="instead of one and then all")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--peers", help="comma separated; default: " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05, help="a turn")
    parser.add_argument("--largest", type=int, default=4096, help="no axis longer than this")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        serve(lambda: answering(args.worker.split()[0], args.threads, args.dtype))
        return
    unknown = set(args.families) - set(FAMILIES)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    names = args.peers.split(",") if args.peers else available()
    if not set(names) <= set(PEERS):
        parser.error(
            f"no peer {', '.join(sorted(set(names) - set(PEERS)))}; there are {', '.join(PEERS)}"
        )
    cores = len(os.sched_getaffinity(0))
    for threads in [args.threads] if args.threads else sorted({1, cores}):
        measure(names, threads, args)


if __name__ == "__main__":
    main()
