#!/usr/bin/env python
"""fastnn beside PyTorch, JAX, onnxruntime, OpenVINO, numpy and scikit-learn, in one run.

Each library works in a process of its own; they take turns, a round after another, while the others sleep, so
that a busy machine slows all alike. A ratio is the median over the rounds of (its time / fastnn's time in the
same round): above 1, fastnn is faster. Before a network is timed, all must show the same losses from the same
weights.

    python bench/compare.py                  everything; writes bench/results/<machine>.md, .json and .png
    python bench/compare.py --only gemm      the workloads whose name contains "gemm"; writes nothing
    python bench/compare.py --list images    only networks of convolutions, to files of their own
    python bench/compare.py --list layers    single convolutions of many shapes; writes nothing
    python bench/compare.py --list networks  networks that people train and run, many of them; writes nothing
    python bench/compare.py --list tiny      networks of a few neurons, to see that it works
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import report
from networks import ImageNet, Net
from peers import NotOffered, installed, make
from turns import SETTLE, Worker, environment, has_avx512, serve, timed
from workloads import LISTS, Workload, operands

STEPS_COMPARED = 5


# --- a worker: one library, one thread count ---


def arguments(work: Workload) -> tuple:
    """What a peer's method takes."""
    if work.kind == "gemm":
        return operands(work.shape, work.layout)
    net = work.net
    x, y = net.rows(work.rows or work.batch)
    if work.kind == "conv":
        return net, net.weights(), work.direction, x, net.gradient(work.batch)
    more = {"epoch": (x, y, work.batch), "inference": (x,)}.get(work.kind, (x, y))
    return net, net.weights(), *more


def prepared(peer, work: Workload):
    """(run, count) of a workload, warmed up; None where the library has no such thing."""
    method = getattr(peer, work.kind, None)
    if method is None or not is_for(peer, work):
        return None
    made = method(*arguments(work))
    for _ in range(1 if work.kind == "epoch" else 3):
        made[0]()
    return made


def is_for(peer, work: Workload) -> bool:
    """Whether the library is compared at networks of this kind."""
    return work.net is None or isinstance(work.net, getattr(peer, "nets", (Net, ImageNet)))


def peak_growth(peer, work: Workload):
    """Bytes that making a network and some steps of it add to the process at their peak.

    A step of two images came before: what a library loads when it is first used does not count.
    """
    if not is_for(peer, work) or getattr(peer, "step", None) is None:
        return None
    peer.step(*arguments(replace(work, batch=2)))[0]()
    given = arguments(work)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is there now
    before = in_memory("VmRSS")
    run, count = peer.step(*given)
    for _ in range(0 if count > 1 else 3):
        run()
    run()
    return {"bytes": max(in_memory("VmHWM") - before, 1)}


def in_memory(what: str) -> int:
    """A line of this process' status, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{what}:")[2].split()[0])


def latencies(run, seconds: float) -> dict[str, float]:
    """The median and the 99th percentile of single calls: a hundred, or as many as a second has."""
    clock, times = time.perf_counter_ns, []
    end = clock() + int(seconds * 1e9)
    while clock() < end or (len(times) < 100 and clock() < end + 1e9) or len(times) < 3:
        start = clock()
        run()
        times.append(clock() - start)
    p50, p99 = np.percentile(times, (50, 99)) * 1e-9
    return {"seconds": p50, "p99": p99}


def first_losses(peer, work: Workload):
    """The losses of the first steps, without dropout."""
    if getattr(peer, "losses", None) is None or not is_for(peer, work):
        return None
    x, y = work.net.rows(work.batch)
    return peer.losses(work.net, work.net.weights(), x, y, STEPS_COMPARED)


def answer(peer, ready: dict, job: dict, all_work: dict[str, Workload]):
    """What a job asks for; None where the library does not offer it."""
    if job["do"] == "version":
        return peer.version
    work = all_work[job["work"]]
    try:
        if job["do"] == "losses":
            return first_losses(peer, work)
        if work.kind == "memory":
            return peak_growth(peer, work)
        if work.name not in ready:
            ready.clear()
            ready[work.name] = prepared(peer, work)
    except NotOffered:
        return None
    if ready[work.name] is None:
        return None
    run, count = ready[work.name]
    if work.kind == "inference":
        return latencies(run, job["seconds"])
    return {"seconds": timed(run, 0 if work.kind == "epoch" else job["seconds"]) / count}


def answering(name: str, threads: int, which: str):
    """The library, ready to answer jobs."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    peer, ready = make(name, threads), {}
    all_work = {w.name: w for w in LISTS[which]()}
    return lambda job: answer(peer, ready, job, all_work)


def start(name: str, threads: int, which: str) -> Worker:
    """The process of a library."""
    command = [__file__, "--worker", name, "--threads", str(threads), "--list", which]
    return Worker(name, command, environment(threads, skylakex=has_avx512()))


# --- the comparison ---


def check_losses(workers: list[Worker], work: Workload) -> None:
    """Every library computes the same thing, or there is nothing to compare."""
    found = {w.name: w.ask("losses", work=work.name) for w in workers}
    want = found["fastnn"]
    for name, got in found.items():
        if got is not None and not np.allclose(got, want, rtol=2e-3, atol=2e-4):
            raise SystemExit(f"{work.name}: the losses of {name} are {got}, of fastnn {want}")


def compared(workers: list[Worker], work: Workload, rounds: int, seconds: float):
    """By library: median time, and the ratio to fastnn's, taken round by round."""
    times: dict[str, list[dict[str, float]]] = {w.name: [] for w in workers}
    for i in range(rounds + 1):  # the first is to warm up: memory is placed, code compiled
        shift = i % len(workers)
        for worker in workers[shift:] + workers[:shift]:
            time.sleep(SETTLE)
            found = worker.ask("time", work=work.name, seconds=seconds if i else 0)
            if found is not None and i:
                times[worker.name].append(found)
    row = {}
    for name, found in times.items():
        for what in found[0] if found else ():
            mine = [t[what] for t in times["fastnn"]]
            ratios = [t[what] / ours for t, ours in zip(found, mine, strict=True)]
            row.setdefault(name, {})[what] = {
                "seconds": statistics.median(t[what] for t in found),
                "ratio": statistics.median(ratios),
            }
    return row


def peaks(workers: list[Worker], work: Workload, threads: int, which: str):
    """By library: what a step adds to the peak of a new process, and the ratio to fastnn's."""
    found = {}
    for name in (w.name for w in workers):
        worker = start(name, threads, which)
        try:
            got = worker.ask("time", work=work.name)
        finally:
            worker.close()
        if got is not None:
            found[name] = got["bytes"]
    return {
        name: {"bytes": {"bytes": n, "ratio": n / found["fastnn"]}} for name, n in found.items()
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="only workloads whose name contains this")
    parser.add_argument("--peers", default="", help="comma separated; default: all installed")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5, help="rounds of turns")
    parser.add_argument("--seconds", type=float, default=0.25, help="a turn")
    parser.add_argument("--list", default="all", choices=LISTS, help="the workloads")
    parser.add_argument("--results", type=Path, help="folder to write to")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.worker:
        serve(lambda: answering(args.worker, args.threads, args.list))
        return 0
    names = installed()
    if args.peers:
        names = ["fastnn", *(n for n in args.peers.split(",") if n != "fastnn")]
    chosen = [w for w in LISTS[args.list]() if args.only.lower() in w.name.lower()]
    results = args.results
    if args.list in ("all", "images") and not args.only:
        results = results or Path(__file__).parent / "results"
    rows: list[tuple[Workload, dict]] = []
    workers = [start(name, args.threads, args.list) for name in names]
    checked = set()
    try:
        versions = {w.name: w.ask("version") for w in workers}
        for work in chosen:
            if work.kind == "step" and work.net not in checked:
                check_losses(workers, work)
                checked.add(work.net)
            if work.kind == "memory":
                row = peaks(workers, work, args.threads, args.list)
            else:
                row = compared(workers, work, args.rounds, args.seconds)
            rows.append((work, row))
            print(report.lines(*rows[-1]), file=sys.stderr, flush=True)
    finally:
        for worker in workers:
            worker.close()
    about = report.machine(args.threads)
    print(report.markdown(about, versions, rows))
    if results is not None:
        print(
            f"written to {report.write(results, args.list, about, versions, rows)}", file=sys.stderr
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
