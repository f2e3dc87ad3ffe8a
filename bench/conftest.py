"""Puts GFLOP/s or GB/s beside each time of bench/kernels.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # for cases.py


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    rows = [b for b in getattr(session, "benchmarks", []) if b.extra_info]
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section("speed")
    width = max(len(b.name) for b in rows)
    for b in rows:
        median = b.stats.median
        amount, unit = b.extra_info["amount"], b.extra_info["unit"]
        write(f"{b.name:<{width}}  {median * 1e6:12.1f} µs  {amount / median / 1e9:8.1f} {unit}")
