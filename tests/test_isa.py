"""Which instruction set was chosen, and what FASTNN_ISA does about it."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import _core


def python(code, **variables):
    """Run code in a new interpreter; returns its exit status, output and errors."""
    environment = {k: v for k, v in os.environ.items() if k != "FASTNN_ISA"} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout.strip(), done.stderr


def flags_of_cpu():
    """The CPU's flags as the operating system tells them, None where it does not."""
    try:
        with open("/proc/cpuinfo") as file:
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return None
    return set(line.partition(":")[2].split())


def test_the_best_is_chosen():
    flags = flags_of_cpu()
    if flags is None:
        pytest.skip("no /proc/cpuinfo to compare with")
    if platform.machine() == "x86_64":
        expected = "portable"
        if {"avx2", "fma", "f16c", "bmi2"} <= flags:
            expected = "avx2"
            if {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= flags:
                expected = "avx512"
    else:
        expected = "neon" if platform.machine() == "aarch64" else "portable"
    if expected not in _core.isa_compiled():
        pytest.skip(f"{expected} was not compiled in")
    assert python("from fastnn import _core; print(_core.isa_name())")[1] == expected


@pytest.mark.parametrize("name", [n for n, usable in _core.isa_compiled().items() if usable])
def test_override(name):
    code = """if True:
        import numpy as np, fastnn
        from fastnn import _core
        x = fastnn.tensor(np.linspace(-2, 2, 1003, dtype="f4"))
        assert np.allclose(fastnn.exp(x).numpy(), np.exp(x.numpy()), rtol=1e-6)
        assert np.allclose((x.reshape(17, 59) @ x.reshape(59, 17)).numpy(),
                           x.numpy().reshape(17, 59) @ x.numpy().reshape(59, 17), rtol=1e-3, atol=1e-4)
        print(_core.isa_name())
    """
    status, output, errors = python(code, FASTNN_ISA=name)
    assert (status, output) == (0, name), errors


def test_unknown_name_is_an_error():
    status, _, errors = python("import fastnn", FASTNN_ISA="mmx")
    assert status == 1
    assert "ImportError" in errors.splitlines()[-1]
    assert ("FASTNN_ISA=mmx" in errors and "portable" in errors) or "neon" in errors


def test_isa_the_cpu_lacks_is_an_error():
    lacking = [name for name, usable in _core.isa_compiled().items() if not usable]
    if not lacking:
        pytest.skip("this CPU has every instruction set that was compiled in")
    status, _, errors = python("import fastnn", FASTNN_ISA=lacking[0])
    assert status == 1
    assert "this CPU lacks it" in errors


def test_select_between_launches():
    x = np.random.default_rng(0).standard_normal((67, 45))
    for name, usable in _core.isa_compiled().items():
        if usable:
            _core.isa_select(name)
            assert _core.isa_name() == name
            y = fastnn.tensor(x) @ fastnn.tensor(x.T.copy())
            assert np.allclose(y.numpy(), x @ x.T, atol=1e-12)
    with pytest.raises(ValueError, match="not compiled in"):
        _core.isa_select("altivec")


def test_info_names_the_machine():
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "info"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(lines) == ["fastnn", "python", "compiler", "cpu", "cores", "isa", "threads"]
    assert lines["fastnn"] == fastnn.__version__
    assert int(lines["cores"]) >= 1
    assert lines["isa"].split(",")[0] in _core.isa_compiled()
