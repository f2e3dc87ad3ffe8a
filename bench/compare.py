#!/usr/bin/env python
"""fastnn beside numpy and, where installed, PyTorch, JAX and scikit-learn, in one run.

Each library works in a process of its own; they take turns, a round after another, while the
others sleep, so that a busy machine slows all alike. A ratio is the median over the rounds of
(its time / fastnn's time in the same round): above 1, fastnn is faster. Before anything is
timed, all must show the same losses from the same weights.

    python bench/compare.py                 all; the table is also written to bench/results/
    python bench/compare.py --quick         fewer rounds, no epoch, GEMM to 1024
    python bench/compare.py --only step     the workloads whose name contains "step"
"""

import argparse
import datetime
import gzip
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from libraries import BATCH, LIBRARIES, make_weights

MODULES = {"torch": "torch", "jax": "jax", "numpy": "numpy", "scikit-learn": "sklearn"}
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
STEPS_COMPARED = 5


# --- the data ---


def load_mnist():
    """MNIST's training images if FASTNN_DATA has them, else noise of the same size."""
    folder = Path(os.environ.get("FASTNN_DATA", "."), "mnist")
    files = [folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    if all(f.exists() for f in files):
        pixels, labels = (np.frombuffer(gzip.decompress(f.read_bytes()), np.uint8) for f in files)
        x = pixels[16:].reshape(-1, 784).astype("float32") / 255
        return x, labels[8:].astype("int64"), "MNIST"
    rng = np.random.default_rng(0)
    return (
        rng.random((60_000, 784), "float32"),
        rng.integers(0, 10, 60_000),
        "noise (no FASTNN_DATA)",
    )


# --- a worker: one library, one thread count ---


def workload(library, name):
    """The function to time."""
    kind, _, detail = name.partition(" ")
    weights = make_weights()
    if kind == "gemm":
        rng = np.random.default_rng(0)
        n = int(detail)
        return library.gemm(rng.random((n, n), "float32"), rng.random((n, n), "float32"))
    x, y, _ = load_mnist()
    if kind == "forward":
        return library.forward(weights, np.ascontiguousarray(x[: int(detail)]))
    if kind == "step":
        return library.step(weights, np.ascontiguousarray(x[:BATCH]), y[:BATCH].copy(), detail)
    return library.epoch(weights, x, y)


def losses(library):
    """The first losses with each optimizer, from the same weights on the same batch."""
    x, y, _ = load_mnist()
    x, y = np.ascontiguousarray(x[:BATCH]), y[:BATCH].copy()
    found = []
    for kind in ("sgd", "adam"):
        step = library.step(make_weights(), x, y, kind)
        found += [library.value(step()) for _ in range(STEPS_COMPARED)]
    return found


def time_it(run, seconds):
    """The median time a call over about `seconds`; short calls are timed in batches."""
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    batch = max(1, min(1000, int(2e-4 / max(once, 1e-9))))
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            run()
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times)


def work(name, threads):
    """Answer one JSON line with another until there are no more."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not belong among the answers
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    library = LIBRARIES[name](threads)
    runs = {}
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if job["do"] == "version":
                result = library.version
            elif job["do"] == "losses":
                result = losses(library)
            elif job["do"] == "forget":
                runs.clear()
                result = None
            else:
                what = job["do"]
                if what not in runs:
                    runs[what] = workload(library, what)
                    if not what.startswith("epoch"):
                        for _ in range(3):
                            runs[what]()
                result = time_it(runs[what], job["seconds"])
        except AttributeError as error:  # the library has no such workload
            result = None if "has no attribute 'gemm'" in str(error) else {"error": repr(error)}
        except Exception as error:
            result = {"error": repr(error)}
        print(json.dumps(result), file=answer, flush=True)


class Worker:
    def __init__(self, name, threads):
        env = os.environ | {
            v: str(threads) for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        command = [sys.executable, __file__, "--worker", name, "--threads", str(threads)]
        self.name = name
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=env)

    def ask(self, do, **more):
        print(json.dumps({"do": do, **more}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: the worker died during {do!r}")
        result = json.loads(line)
        if isinstance(result, dict):
            raise SystemExit(f"{self.name}: {do!r} failed: {result['error']}")
        return result

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


# --- the comparison ---


def check_losses(workers):
    """Every library computes the same thing, or there is nothing to compare."""
    want = workers[0].ask("losses")
    for worker in workers[1:]:
        got = worker.ask("losses")
        if not np.allclose(got, want, rtol=2e-3, atol=2e-4):
            raise SystemExit(
                f"{worker.name} computes other losses than fastnn: {got} instead of {want}"
            )
    return want


def compare(name, workers, rounds, seconds):
    """Each worker's median time, and its ratio to the first's, taken round by round."""
    times = {w.name: [] for w in workers}
    for i in range(rounds):
        shift = i % len(workers)
        for worker in workers[shift:] + workers[:shift]:
            result = worker.ask(name, seconds=seconds)
            if result is not None:
                times[worker.name].append(result)
    row = {}
    for library, found in times.items():
        if found:
            ratios = [t / ours for t, ours in zip(found, times["fastnn"], strict=True)]
            row[library] = {"seconds": statistics.median(found), "ratio": statistics.median(ratios)}
    return row


def readable(seconds):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(rows, names):
    """A Markdown table: fastnn's time, then each other library's time and ratio."""
    lines = ["| workload | threads | fastnn | " + " | ".join(names[1:]) + " |"]
    lines.append("|---|---:|---:|" + "---:|" * len(names[1:]))
    for (workload, threads), row in rows.items():
        ours = row["fastnn"]["seconds"]
        text = readable(ours)
        if workload.startswith("gemm"):
            text += f" ({2 * int(workload.split()[1]) ** 3 / ours / 1e9:.0f} GFLOP/s)"
        cells = [workload, str(threads), text]
        for name in names[1:]:
            seen = row.get(name)
            cells.append(f"{readable(seen['seconds'])} ({seen['ratio']:.2f}x)" if seen else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no epoch, GEMM to 1024")
    parser.add_argument("--only", default="", help="only workloads whose name contains this")
    parser.add_argument("--libraries", default="", help="comma separated; default: all installed")
    parser.add_argument("--threads", default="1,2", help="thread counts, comma separated")
    parser.add_argument(
        "--rounds", type=int, default=0, help="rounds of turns (default 7, quick 3)"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse()
    if args.worker:
        return work(args.worker, int(args.threads))
    wanted = args.libraries.split(",") if args.libraries else list(LIBRARIES)
    names = ["fastnn"] + [
        n for n in wanted if n in MODULES and importlib.util.find_spec(MODULES[n])
    ]
    rounds, seconds = args.rounds or (3 if args.quick else 7), 0.1 if args.quick else 0.3
    jobs = [f"forward {n}" for n in (1, BATCH, 1024)] + ["step sgd", "step adam"]
    jobs += [f"gemm {n}" for n in SIZES if n <= 1024 or not args.quick]
    jobs += [] if args.quick else ["epoch"]
    jobs = [j for j in jobs if args.only in j]
    rows, versions = {}, {}
    for threads in (int(n) for n in args.threads.split(",")):
        workers = [Worker(name, threads) for name in names]
        try:
            versions = {w.name: w.ask("version") for w in workers}
            shown = check_losses(workers)
            print(f"{threads} threads: all start at loss {shown[0]:.4f}", file=sys.stderr)
            for job in jobs:
                count = min(rounds, 3) if job == "epoch" else rounds
                rows[job, threads] = compare(job, workers, count, 0 if job == "epoch" else seconds)
                print(
                    table({(job, threads): rows[job, threads]}, names).split("\n")[-1],
                    file=sys.stderr,
                )
                for worker in workers:
                    worker.ask("forget")
        finally:
            for worker in workers:
                worker.close()
    machine = platform.processor() or platform.machine()
    heading = f"{machine}, {os.cpu_count()} cores, data: {load_mnist()[2]}"
    heading += "; " + ", ".join(f"{n} {v}" for n, v in versions.items())
    text = f"{heading}\n\n{table(rows, names)}\n"
    print(text)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y-%m-%d-%H%M")
    (results / f"compare-{stamp}.md").write_text(text)
    plain = [{"workload": j, "threads": t, **row} for (j, t), row in rows.items()]
    (results / f"compare-{stamp}.json").write_text(
        json.dumps({"versions": versions, "rows": plain}, indent=1)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
