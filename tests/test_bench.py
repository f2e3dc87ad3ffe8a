"""The comparison with other libraries runs, checks that all compute the same, and writes what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def compare(*args):
    """bench/compare.py with arguments."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, str(ROOT / "bench" / "compare.py"), "--list=tiny", "--rounds=1"]
    return subprocess.run(
        [*command, "--seconds=0.001", *args], env=env, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run beside numpy: the process and the folder that it wrote to."""
    folder = tmp_path_factory.mktemp("results")
    return compare("--peers=numpy", "--threads=1", f"--results={folder}"), folder


def test_every_kind_of_work_is_in_the_table(run):
    process, folder = run
    assert process.returncode == 0, process.stderr
    (path,) = folder.glob("*.json")
    rows = json.loads(path.read_text())["rows"]
    kinds = {row["workload"]["kind"] for row in rows}
    assert kinds == {"step", "epoch", "inference", "memory", "gemm", "conv"}
    for row in rows:
        unit = "bytes" if row["workload"]["kind"] == "memory" else "seconds"
        assert row["found"]["fastnn"][unit][unit] > 0
        assert row["found"]["fastnn"][unit]["ratio"] == 1
    inference = next(r["found"] for r in rows if r["workload"]["name"] == "inference")
    assert inference["numpy"]["p99"]["seconds"] >= inference["numpy"]["seconds"]["seconds"]


def test_the_table_names_the_machine_and_the_versions(run):
    process, folder = run
    (path,) = folder.glob("*.md")
    text = path.read_text()
    assert text.strip() == process.stdout.strip()
    assert "- CPU: " in text
    assert "- versions: fastnn " in text
    header, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert header.count("|") == rule.count("|")
    assert all(row.count("|") == header.count("|") for row in rows)


def test_a_library_that_computes_something_else_is_found_out(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import compare as bench
    from workloads import tiny_workloads

    class Liar:
        name = "liar"

        def __init__(self, losses):
            self.losses = losses

        def ask(self, do, **more):
            return self.losses

    ours, theirs = Liar([1.0, 0.5]), Liar([1.0, 0.6])
    ours.name = "fastnn"
    with pytest.raises(SystemExit, match="losses of liar"):
        bench.check_losses([ours, theirs], tiny_workloads()[0])
    bench.check_losses([ours, Liar(None)], tiny_workloads()[0])


def test_products_beside_numpy():
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, str(ROOT / "bench" / "gemm.py"), "square", "turned", "--threads=1"]
    command += ["--rounds=1", "--seconds=0.001", "--largest=64", "--peers=numpy"]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    rows = [line.split() for line in run.stdout.splitlines() if "%" in line]
    assert [row[0] for row in rows] == ["square"] * 4 + ["turned"] * 3
    assert all(float(row[-1]) > 0 for row in rows)


def test_bandwidth_of_every_row():
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, str(ROOT / "bench" / "bandwidth.py"), "--sizes=70", "--rounds=1"]
    run = subprocess.run(
        [*command, "--least=1e-6"], env=env, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    assert len(lines) > 200 and all(float(line[2]) > 0 and line[1] == "70" for line in lines[2:])


def test_operations_of_a_network_of_convolutions(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from networks import resnet

    # He et al. 2015 tell 0.041 billion multiply-adds of ResNet-20; its two 1x1 shortcuts add 0.0003.
    assert resnet(3).flops() / 2 == pytest.approx(0.041e9, rel=0.02)
