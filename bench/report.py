"""What compare.py found, as a Markdown table, as JSON and as a picture."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import re
from dataclasses import asdict
from pathlib import Path

from workloads import Workload

import fastnn

Row = dict[str, dict[str, dict[str, float]]]
OURS = ("fastnn", "fastnn call")


def machine(threads: int) -> dict[str, str]:
    """What the figures depend on besides the code."""
    cpu, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text()
        cpu = _found(r"model name\s*: (.*)", text) or cpu
        family = [_found(rf"{key}\s*: (\d+)", text) for key in ("cpu family", "model")]
        cpu += f" (family {family[0]}, model {family[1]})" if all(family) else ""
        words = set((_found(r"flags\s*: (.*)", text) or "").split())
        flags = " ".join(f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if f in words)
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / f).read_text().strip() for f in ("level", "type", "size"))
        caches.append(f"L{level}{'' if kind == 'Unified' else kind[0].lower()} {size}")
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    return {
        "CPU": cpu, "vector instructions": flags, "cores": str(os.cpu_count()),
        "caches": ", ".join(caches), "memory": memory, "threads used": str(threads), **limits(threads),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip


def limits(threads: int) -> dict[str, str]:
    """What the machine gives at the time: a virtual one is slower at times than at others."""
    fastnn.set_num_threads(threads)
    found = fastnn.profiler.limits(refresh=True)
    far = found.levels()["memory"]
    peaks = " and ".join(f"{found.peak(threads=n) / 1e9:.0f}" for n in found.teams)
    reads = " and ".join(f"{found.rate(far, threads=n) / 1e9:.0f}" for n in found.teams)
    counts = " and ".join(map(str, found.teams))
    return {
        f"measured with {counts} threads": f"{peaks} GFLOP/s of float32 FMA, {reads} GB/s from memory",
        "a meeting of threads": f"{found.meeting * 1e9:.0f} ns",
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1].strip() if match else ""


def readable(found: dict[str, float]) -> str:
    """A time, or a number of bytes, in its best unit."""
    if "bytes" in found:
        return f"{found['bytes'] / 2**20:.1f} MiB"
    seconds = found["seconds"]
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def best(row: Row, what: str) -> tuple[str, float]:
    """The fastest library that is not ours, and its ratio."""
    others = {name: found[what]["ratio"] for name, found in row.items() if name not in OURS}
    return min(others.items(), key=lambda item: item[1]) if others else ("", float("nan"))


def cells(work: Workload, row: Row, names: list[str]) -> list[list[str]]:
    """The lines of a workload: its name, our time, ratio of the best other, then each of the named."""
    found = []
    for what in row["fastnn"]:
        ours = row["fastnn"][what]
        text = readable(ours)
        if work.flops:
            text += f" ({work.flops / ours['seconds'] / 1e9:.0f} GFLOP/s)"
        name, ratio = best(row, what)
        title = work.name
        if work.kind == "inference":
            title += ", 99th percentile" if what == "p99" else ", median"
        seen = [row.get(n, {}).get(what) for n in names]
        told = [f"{readable(s)} ({s['ratio']:.2f}x)" if s else "" for s in seen]
        found.append([title, text, f"**{ratio:.2f}x** {name}" if name else "", *told])
    return found


def lines(work: Workload, row: Row) -> str:
    """A workload as text, for who waits."""
    names = [name for name in row if name != "fastnn"]
    text = []
    for title, ours, other, *told in cells(work, row, names):
        rest = ", ".join(f"{n} {t}" for n, t in zip(names, told, strict=True))
        text.append(f"{title}: {ours}; best other {other}; {rest}")
    return "\n".join(text)


def markdown(
    about: dict[str, str], versions: dict[str, str], rows: list[tuple[Workload, Row]]
) -> str:
    """The machine, then the table: a time and, in brackets, how many times as long as fastnn's it is."""
    names = [n for n in versions if n != "fastnn"]
    out = [
        "# fastnn beside other libraries",
        "",
        "Times are medians; in brackets how many times as long as fastnn's they are, the median over "
        "rounds in which all libraries took turns (above 1: fastnn is faster). Written by `make compare`.",
        "",
        *(f"- {key}: {value}" for key, value in about.items() if value),
        "- versions: " + ", ".join(f"{n} {v}" for n, v in versions.items() if n not in OURS[1:]),
        "",
        "| workload | fastnn | the best other | " + " | ".join(names) + " |",
        "|---|---:|---:|" + "---:|" * len(names),
    ]
    for work, row in rows:
        out += ["| " + " | ".join(line) + " |" for line in cells(work, row, names)]
    return "\n".join(out) + "\n"


def write(
    folder: Path, which: str, about: dict[str, str], versions: dict[str, str], rows: list
) -> Path:
    """All forms of it; the files are named after the machine, and the list if it is not that of all."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", about["CPU"].lower()).strip("-")
    part = "" if which == "all" else f"-{which}"
    path = folder / f"{name}-{about['threads used']}-threads{part}.md"
    path.write_text(markdown(about, versions, rows))
    plain = [{"workload": asdict(work), "found": row} for work, row in rows]
    found = {"machine": about, "versions": versions, "rows": plain}
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    if importlib.util.find_spec("matplotlib"):
        plot(path.with_suffix(".png"), rows)
    return path


def plot(path: Path, rows: list[tuple[Workload, Row]]) -> None:
    """For each workload, a point a library: how many times as long as fastnn it takes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(n for _, row in rows for n in row if n not in OURS))
    figure, axes = plt.subplots(figsize=(9, 1 + 0.26 * len(rows)), layout="constrained")
    for name, marker in zip(names, "osD^v<>PX*", strict=False):
        seen = [
            (next(iter(row[name].values()))["ratio"], i)
            for i, (_, row) in enumerate(rows)
            if name in row
        ]
        axes.plot(*zip(*seen, strict=True), marker, label=name, markersize=5, alpha=0.85)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(
        xscale="log", xlabel="time (or memory) / fastnn's time (right of the line, fastnn is ahead)"
    )
    axes.set_yticks(range(len(rows)), [work.name for work, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="both", alpha=0.25)
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=130)
    plt.close(figure)
