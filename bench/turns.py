"""Libraries that take turns: each works in a process of its own, and sleeps while the others do.

A process is asked by a line of JSON and answers with another.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Seconds for the threads of the one before to fall asleep: idle ones of OpenBLAS spin for 2^26 ticks of the
# clock, some 26 ms.
SETTLE = 0.05
BATCH = 2e-4  # seconds that a batch of short runs takes


def has_avx512() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and " avx512f " in cpu.read_text()


def environment(threads: int, skylakex: bool) -> dict[str, str]:
    """What has to be known to the libraries before their processes start.

    OpenBLAS takes a CPU that it does not know for one without AVX-512: `skylakex` has it use that.
    """
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found = {**os.environ, **dict.fromkeys(counts, str(threads)), "JAX_PLATFORMS": "cpu"}
    found.pop("OPENBLAS_CORETYPE", None)
    if skylakex:
        found["OPENBLAS_CORETYPE"] = "SKYLAKEX"
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return found


def timed(run: Callable[[], Any], seconds: float) -> float:
    """The median time of a run; short ones are timed in batches."""
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    batch = max(1, min(1000, int(BATCH / max(once, 1e-9))))
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            run()
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times)


def serve(ready: Callable[[], Callable[[dict[str, Any]], Any]]) -> None:
    """Get ready, which gives a function that answers; let it answer until nobody asks any more."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not belong among the answers
    answer = ready()
    for line in sys.stdin:
        try:
            result = {"found": answer(json.loads(line))}
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=out, flush=True)


class Worker:
    """The other end of a process that serves: a Python program with arguments."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=-1, stdout=-1, text=True, env=env
        )

    def ask(self, do: str, work: Any = "", **more: Any) -> Any:
        job = {"do": do, "work": work, **more}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: the process died during {do} {work}")
        result = json.loads(line)
        if "error" in result:
            raise SystemExit(f"{self.name}: {do} {work}: {result['error']}")
        return result["found"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)
