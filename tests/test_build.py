"""The extension as it was built: what it exports, links to and weighs; the C tests."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn import _core

ROOT = Path(__file__).parents[1]
SOURCE = (
    ROOT / "csrc" / "fastnn.h"
).exists()  # false where the tests run on an installed wheel alone
CC = next((name for name in ("gcc", "clang", "cc") if shutil.which(name)), None)


def test_one_extension_for_all_python_versions():
    name = Path(_core.__file__).name
    if sys.platform == "win32":
        assert name == "_core.pyd"
    elif not getattr(sys, "_is_gil_enabled", lambda: True)():
        assert name.startswith("_core.cpython")
    else:
        assert name == "_core.abi3.so"


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("nm"), reason="needs nm")
def test_only_the_module_is_exported():
    done = subprocess.run(
        ["nm", "-D", "--defined-only", _core.__file__], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1] for line in done.stdout.splitlines()}
    assert names - {"_init", "_fini", "_edata", "_end", "__bss_start"} == {"PyInit__core"}


def test_importing_does_not_flush_subnormals():
    code = "import sys, fastnn; sys.exit(not sys.float_info.min / 2 > 0)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_import_is_light():
    code = "import sys, fastnn; print([m for m in sys.modules if m.startswith('fastnn.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for late in ("nn", "training", "models", "losses", "optimizers", "io"):
        assert f"'fastnn.{late}'" not in done.stdout


def test_typed():
    package = Path(fastnn.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").exists()


@pytest.mark.skipif(not SOURCE, reason="needs the sources")
def test_ops_are_numbered_as_in_ops_def():
    names = re.findall(r"^OP\((\w+),", (ROOT / "csrc" / "ops.def").read_text(), re.MULTILINE)
    assert names
    assert [_core.op_info(i)[0] for i in range(len(names))] == names


@pytest.mark.skipif(not SOURCE, reason="needs the sources")
def test_no_flag_that_changes_the_process():
    flags = (ROOT / "tools" / "flags.py").read_text() + (ROOT / "setup.py").read_text()
    for flag in ("-ffast-math", "-Ofast", "-march", "-funsafe-math"):
        assert f'"{flag}' not in flags


@pytest.mark.skipif(not SOURCE or CC is None, reason="needs the sources and a C compiler")
def test_the_c_library_alone():
    """Every family of ops on each instruction set against plain loops, and the team, in C."""
    done = subprocess.run(
        [sys.executable, "tools/c_tests.py"], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "all passed" in done.stdout
