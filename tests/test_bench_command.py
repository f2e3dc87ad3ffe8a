"""`python -m fastnn bench`, on tiny sizes."""

import json

import pytest

from fastnn import __main__ as command
from fastnn.profiler import bench as module
from fastnn.profiler import limits
from fastnn.profiler.bench import CASES, bench, measure_cases


def test_quick_prints_a_table_a_family():
    shown = []
    bench(quick=True, show=shown.append, memory=1 << 16)
    assert shown[0] == str(limits())
    families = list(dict.fromkeys(case.family for case in CASES))
    assert [text.split()[0] for text in shown[1:]] == families
    teams = limits().teams
    for text in shown[1:]:
        head, *rows = text.strip().splitlines()
        assert head.count("of limit") == len(teams) and rows
        assert all(row.count("%") == len(teams) for row in rows)
    assert "memory" in shown[2] and "GB/s" in shown[2] and "GFLOP/s" in shown[1]


def test_every_case_runs_and_costs_something():
    found = list(measure_cases(limits(), seconds=1e-4, memory=1 << 15))
    assert {r.name for results in found for r in results} == {case.name for case in CASES}
    for results in found:
        assert [r.threads for r in results] == limits().teams
        for r in results:
            assert r.seconds > 0 and r.bytes > 0 and r.least > 0 and r.share == r.least / r.seconds


def test_products_cost_what_they_should():
    (case,) = [case for case in CASES if case.name == "32x4096 @ 4096x32"]
    ((result, *_),) = measure_cases(limits(), [case], seconds=1e-4)
    assert result.flops == 2 * 32 * 32 * 4096 and result.bytes == 4 * (2 * 32 * 4096 + 32 * 32)


def test_numbers_as_json(capsys, monkeypatch):
    monkeypatch.setattr(module, "CASES", [case for case in CASES if case.family == "map"])
    monkeypatch.setattr(module, "_sizes", lambda found, memory: {"L1": 1 << 14})
    assert command.main(["bench", "--json", "--quick"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {row["family"] for row in printed["results"]} == {"map"}
    assert printed["limits"]["teams"] == limits().teams


def test_info_still_prints(capsys):
    assert command.main(["info"]) == 0
    assert "threads" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nothing"])
