"""Compile the C library alone with its tests in tests/c/, and run them.

    python tools/c_tests.py            with this machine's compiler, on both teams
    python tools/c_tests.py cross      for aarch64, run by qemu
    python tools/c_tests.py sanitize   under Address-, UndefinedBehavior- and ThreadSanitizer

The compiler is $CC, else gcc, clang or cc. Objects are kept in build/c/.
FASTNN_ISAS=portable,avx2 compiles these instruction sets only.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flags import FLAGS, ISAS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for path in ROOT.joinpath("csrc").rglob("*") if path.is_file()]
SOURCES += ROOT.glob("tests/c/*.h")
PROGRAMS = ("kernels", "conv", "training", "chain", "replay", "augment")  # team is apart
NEEDS_CROSS = """\
make cross needs a compiler for aarch64 and an emulator; on Debian and Ubuntu:
    apt-get install gcc-aarch64-linux-gnu qemu-user"""


def compiler() -> list[str]:
    """The command of the compiler, empty where there is none."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang", "cc"]
    return next((shlex.split(name) for name in names if shutil.which(shlex.split(name)[0])), [])


def takes(cc: list[str], flag: str) -> bool:
    """Does the compiler know this flag?"""
    probe = [*cc, "-Werror", flag, "-fsyntax-only", "-xc", "-"]
    return subprocess.run(probe, input=b"int x;\n", capture_output=True).returncode == 0


def build(variant: str, cc: list[str], machine: str, teams: list[str], extra: list[str]) -> Path:
    """Compile the library and the tests, and link them with each team; returns the programs' folder."""
    folder = ROOT / "build" / "c" / variant
    folder.mkdir(parents=True, exist_ok=True)
    isas = ISAS.get(machine, {"portable": []})
    if os.environ.get("FASTNN_ISAS"):
        isas = {name: isas[name] for name in os.environ["FASTNN_ISAS"].split(",")}
    common = [flag for flag in FLAGS if takes(cc, flag)] + extra
    common += [f"-DFNN_ISA_{name.upper()}=1" for name in isas]
    jobs = [(ROOT / f"csrc/isa/{name}.c", common + flags) for name, flags in isas.items()]
    for source in sorted(ROOT.glob("csrc/ops/*.c")) + sorted(ROOT.glob("csrc/runtime/*.c")):
        if not source.name.startswith("team_"):
            jobs.append((source, common))
    teams_at = len(jobs)
    for team in teams:
        source = ROOT / f"csrc/runtime/team_{team}.c"
        jobs.append((source, common + ["-fopenmp"] * (team == "openmp")))
    tests_at = len(jobs)
    jobs += [(source, common) for source in sorted(ROOT.glob("tests/c/*.c"))]
    newest = max(path.stat().st_mtime for path in SOURCES)

    def compile_one(job: tuple[Path, list[str]]) -> Path:
        source, flags = job
        made = folder / f"{source.parent.name}_{source.stem}.o"
        if not made.exists() or made.stat().st_mtime < max(newest, source.stat().st_mtime):
            subprocess.run([*cc, *flags, "-c", str(source), "-o", str(made)], check=True)
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = [str(made) for made in pool.map(compile_one, jobs)]
    for test in objects[tests_at:]:
        for team, backend in zip(teams, objects[teams_at:tests_at], strict=True):
            program = folder / f"{Path(test).stem.removeprefix('c_')}-{team}"
            openmp = ["-fopenmp"] * (team == "openmp")
            parts = [*cc, test, backend, *objects[:teams_at], *extra, *openmp]
            subprocess.run([*parts, "-lpthread", "-lm", "-o", str(program)], check=True)
    return folder


def run(*command: object, **variables: str) -> None:
    """Run a program that must succeed within five minutes."""
    print("+", *command, flush=True)
    environment = {**os.environ, **variables}
    subprocess.run([str(part) for part in command], check=True, timeout=300, env=environment)


def host() -> None:
    """Both teams with the compiler of this machine."""
    cc = compiler()
    if not cc:
        raise SystemExit("c_tests: no C compiler found; set CC")
    # Apple's compiler has no OpenMP.
    teams = ["pthread"] if sys.platform == "darwin" else ["openmp", "pthread"]
    folder = build("host", cc, platform.machine().lower(), teams, [])
    for seed, team in enumerate(teams, 1):
        run(folder / f"team-{team}")
        for program in PROGRAMS:
            run(folder / f"{program}-{team}", seed, 2)


def cross() -> None:
    """aarch64 with gcc's cross compiler, under qemu's user mode."""
    cc = shutil.which("aarch64-linux-gnu-gcc")
    qemu = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if not cc or not qemu:
        missing = ["aarch64-linux-gnu-gcc"] * (not cc) + ["qemu-aarch64"] * (not qemu)
        raise SystemExit(f"{NEEDS_CROSS}\nnot found: {', '.join(missing)}")
    folder = build("aarch64", [cc], "aarch64", ["openmp"], ["-Werror"])
    root = "/usr/aarch64-linux-gnu"  # Debian's folder of the target's libraries
    for program in (*PROGRAMS, "team"):
        run(qemu, "-L", root, folder / f"{program}-openmp")


def sanitize() -> None:
    """Everything under ASan and UBSan; threads under TSan, which does not know OpenMP's."""
    cc = compiler()
    machine = platform.machine().lower()
    for name, flags in (("asan", "address,undefined"), ("tsan", "thread")):
        strict = ["-g", "-O1", f"-fsanitize={flags}", "-fno-sanitize-recover=all"]
        folder = build(name, cc, machine, ["pthread"], strict)
        for program in PROGRAMS:
            run(folder / f"{program}-pthread", 3, 1, TSAN_OPTIONS="halt_on_error=1")
        run(folder / "team-pthread", "nofork", TSAN_OPTIONS="halt_on_error=1")


if __name__ == "__main__":
    {"": host, "cross": cross, "sanitize": sanitize}[" ".join(sys.argv[1:])]()
