"""The limits of this machine: what is measured, and the file that it is kept in."""

import json
import math

import pytest

from fastnn import _core
from fastnn.profiler import limits, machine, measure
from fastnn.profiler.caches import cache_sizes


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Shorter measurements, kept in a folder of the test's own."""
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(measure, "SWEEPS", 1)
    monkeypatch.setattr(measure, "MOMENT", 2e-5)
    monkeypatch.setattr(measure, "stream_sizes", lambda caches, threads: [8192, 16384, 32768])
    return tmp_path / "cache"


def some_limits(**changes):
    values = {
        "machine": {}, "teams": [1, 4], "flops": {"float32": [100e9, 340e9], "float64": [50e9, 170e9]},
        "sizes": [8192, 16384, 32768],
        "bandwidth": {
            "read": [[4e9, 2e9, 1e9], [16e9, 8e9, 4e9]],
            "triad": [[2e9, 1e9, 1e9], [8e9, 4e9, 4e9]],
            "write": [[1e9, 1e9, 1e9], [4e9, 4e9, 4e9]],
            "update": [[3e9, 2e9, 1e9], [9e9, 6e9, 3e9]],
        },
        "caches": {"L1": 8192, "L2": 32768, "L3": 65536}, "meeting": 1e-7, "start": 1e-6, "wake": 5e-5,
    }  # fmt: skip
    return machine.Limits(**{**values, **changes})


def test_rates_lie_between_those_measured():
    found = some_limits()
    assert found.peak() == 100e9 and found.peak("float64", 4) == 170e9
    assert found.peak(threads=2) == pytest.approx(180e9) and found.peak(threads=9) == 340e9
    assert found.rate(1) == found.rate(8192) == pytest.approx(4e9)
    assert found.rate(1e12) == pytest.approx(1e9)
    assert found.rate(8192 * math.sqrt(2)) == pytest.approx(3e9)
    assert found.rate(4 * 8192, threads=4) == pytest.approx(16e9)
    # From reading alone to two read and one written to writing alone: in seconds a byte.
    assert found.rate(1, written=1 / 3) == pytest.approx(2e9)
    assert found.rate(1, written=1 / 6) == pytest.approx(1 / (0.5 / 4e9 + 0.5 / 2e9))
    assert found.rate(1, written=1) == pytest.approx(1e9)
    assert found.stream("update", 8192) == 3e9 and found.stream("update", 1e9, 4) == 3e9
    assert found.levels() == {"L1": 16384, "L2": 65536, "L3": 32768, "memory": 131072}


def test_one_thread_is_a_team_too():
    found = some_limits(
        teams=[1], flops={"float32": [1e9], "float64": [1e9]},
        bandwidth={kind: [[2e9, 2e9, 1e9]] for kind in measure.STREAMS},
    )  # fmt: skip
    assert found.peak(threads=3) == 1e9 and found.rate(100, 2) == pytest.approx(2e9)
    assert "1 thread\n" in str(found)


def test_measured_once_then_read(quick, monkeypatch):
    machine._known.clear()
    first = limits()
    assert first.peak() > 1e8 and first.peak("float64") > 1e8
    assert first.rate(8192) > 1e8 and first.start >= first.meeting > 0
    (path,) = quick.iterdir()
    assert json.loads(path.read_text())["machine"]["isa"] == _core.isa_name()
    monkeypatch.setattr(machine, "measure", lambda: pytest.fail("measured anew"))
    machine._known.clear()
    assert limits() == first
    assert "GFLOP/s" in str(first) and "memory read" in str(first)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"machine": 3}', "null", '{"machine": {}, "flops": []}']
)
def test_a_broken_file_is_measured_anew(quick, text):
    machine._known.clear()
    limits()
    (path,) = quick.iterdir()
    path.write_text(text)
    machine._known.clear()
    assert limits().peak() > 1e8
    assert json.loads(path.read_text())["sizes"] == [8192, 16384, 32768]


def test_another_machines_file_is_not_believed(quick):
    machine._known.clear()
    first = limits()
    (path,) = quick.iterdir()
    path.write_text(path.read_text().replace(first.machine["version"], "0.0.0"))
    machine._known.clear()
    assert limits().machine == first.machine
    refreshed = limits(refresh=True)
    assert refreshed is not first and limits() is refreshed


def test_a_folder_that_cannot_be_written(quick, monkeypatch, tmp_path):
    tmp_path.joinpath("file").write_text("")
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert limits().peak() > 1e8


def test_where_it_is_kept(monkeypatch):
    monkeypatch.delenv("FASTNN_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(machine.cache_folder()) == "/somewhere/fastnn"
    monkeypatch.setenv("FASTNN_CACHE_DIR", "/else")
    assert str(machine.cache_folder()) == "/else"


def test_cache_sizes_of_a_made_up_cpu(tmp_path):
    rows = [
        ("1", "Data", "32K"),
        ("1", "Instruction", "64K"),
        ("2", "Unified", "1M"),
        ("x", "?", "?"),
    ]
    for i, (level, kind, size) in enumerate(rows):
        folder = tmp_path / f"index{i}"
        folder.mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            folder.joinpath(name).write_text(value + "\n")
    assert cache_sizes(tmp_path) == {"L1": 32 << 10, "L2": 1 << 20}


def test_sizes_reach_beyond_the_last_cache():
    sizes = measure.stream_sizes({"L1": 1 << 15, "L3": 32 << 20}, 2)
    assert sizes[0] == 8192 and 2 * sizes[-1] == 128 << 20
    assert measure.stream_sizes({"L3": 1 << 40}, 64)[-1] * 64 <= 512 << 20


def test_probes_refuse_memory_that_is_too_small():
    memory = _core.empty(_core.Array, (4096,), 4)
    assert _core.probe("write", 0, 1, memory, 4096, 3)[1] == 1
    with pytest.raises(ValueError, match="8192 bytes"):
        _core.probe("write", 0, 2, memory, 4096, 3)
    with pytest.raises(ValueError, match="dtype code 4"):
        _core.probe("fma", 4, 1, None, 0, 1)


@pytest.mark.parametrize("code", [0, 1])
def test_probes_of_every_instruction_set(isa, code):
    memory = _core.empty(_core.Array, (2 * 8192,), 4)
    assert _core.probe_flops(code) % 2 == 0
    assert _core.probe("fma", code, 1, None, 0, 10)[0] > 0
    for stream in measure.STREAMS:
        seconds, came = _core.probe(stream, code, 2, memory, 8192, 5)
        assert seconds > 0 and came in (1, 2)
