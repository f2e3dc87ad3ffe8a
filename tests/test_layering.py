"""Imports run downward only, in Python and in C (docs/design.md has the picture)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "fastnn"
CSRC = ROOT / "csrc"

# From the bottom up. A module may import from floors below its own, and from its own package.
FLOORS = (
    {"_core", "_version"},
    {"dtypes", "precision", "scope", "units"},
    {"tensor"},
    {"autograd"},
    {"ops"},
    {"flat", "random"},
    {"initializers"},
    {"nn", "losses", "optimizers", "schedules", "regularizers", "metrics"},
    {"models", "data", "io", "compiler"},
    {"plot", "profiler"},
    {"training"},
    {"demo", "info"},
    {"__init__", "__main__"},
)
# What each folder of csrc may include, besides itself and fastnn.h.
C_MAY_INCLUDE = {
    "simd": set(),
    "kernels": {"simd"},
    "isa": {"kernels", "simd"},
    "runtime": {"kernels", "ops"},  # launch.c runs ops, isa.c chooses among the tables of kernels
    "ops": {"kernels", "runtime"},
}

# Tensor.backward() and Module.predict() are where a user finds them; each imports the module that does it
# when it is called.
EXCEPTIONS = {("tensor", "autograd"), ("nn", "compiler")}

FLOOR_OF = {name: i for i, floor in enumerate(FLOORS) for name in floor}


def python_modules():
    return sorted(p for p in PACKAGE.rglob("*.py"))


def top(path):
    """The module or subpackage of fastnn that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The parts of fastnn that a file imports, wherever in it, with line numbers."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level > depth:
                raise AssertionError(f"{path}:{node.lineno} imports from above the package")
            if node.level < depth:  # within the subpackage itself
                continue
            names = [node.module] if node.module else [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fastnn"):
            names = [node.module[7:]] if "." in node.module else [a.name for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name[7:] for a in node.names if a.name.startswith("fastnn.")]
        for name in names:
            yield name.split(".")[0], node.lineno


@pytest.mark.parametrize("path", python_modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_python_imports_run_downward(path):
    here = top(path)
    assert here in FLOOR_OF, f"{here} has no floor in FLOORS: give it one"
    for name, line in imported(path):
        if (
            name == here or name not in FLOOR_OF
        ):  # itself, or a name that the package's __init__ offers
            assert name == here or here in FLOORS[-1] or name == "__version__", (
                f"{path}:{line} imports {name} from the package itself; name the module that has it"
            )
            continue
        assert (here, name) in EXCEPTIONS or FLOOR_OF[name] < FLOOR_OF[here], (
            f"{path}:{line}: {here} may not import {name}"
        )


@pytest.mark.parametrize(
    "path", sorted(CSRC.rglob("*.[ch]")) + sorted(CSRC.rglob("*.inc")), ids=lambda p: p.name
)
def test_c_includes_run_downward(path):
    here = path.parent.name
    if here == CSRC.name:
        return
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        target = (path.parent / name).resolve()
        there = target.parent.name
        assert there in C_MAY_INCLUDE[here] | {here, CSRC.name}, (
            f"{path}: {here}/ may not include {name}"
        )


def test_ops_and_kernels_have_no_intrinsics():
    """Only simd/ knows the instruction sets; the runtime may ask the CPU what it is."""
    for folder in ("ops", "kernels", "isa"):
        for path in CSRC.joinpath(folder).iterdir():
            found = re.search(r"\b_mm\d*_\w+|<(imm|x86|arm_neon)\w*\.h>", path.read_text())
            assert not found, f"{path}: {found[0]}"


def test_files_stay_short():
    """No file outgrows its reader."""
    for path in python_modules() + [p for p in CSRC.rglob("*") if p.suffix in (".c", ".h", ".inc")]:
        lines = len(path.read_text().splitlines())
        assert lines <= 700, f"{path} has {lines} lines: split it"


def test_nothing_is_left_for_later():
    for path in python_modules() + list(CSRC.rglob("*.[chi]*")):
        found = re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", path.read_text())
        # An abstract method may raise NotImplementedError: it says so in the same breath.
        assert not found or found[0] == "NotImplementedError", f"{path}: {found[0]}"
