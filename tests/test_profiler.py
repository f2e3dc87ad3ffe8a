"""Profiles: that the parts add up to the time, that costs are those of the formulas, tables and traces."""

import itertools
import json
import time

import numpy as np
import pytest

import fastnn
from fastnn import RecordingError, _core, nn, optimizers
from fastnn.profiler import CallTime, Profile, profile, roofline, watch
from fastnn.profiler.roofline import _Touch, bounds, reuse_distances
from steps import train_step
from test_machine import some_limits

BATCH, FEATURES, HIDDEN = 16, 24, 40


def training_step(**options):
    model = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3))
    optimizer = optimizers.Adam(model.parameters(), **options)

    step = train_step(model, optimizer)

    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, FEATURES), dtype=np.float32)
    return step, x, rng.integers(0, 3, BATCH), model


@pytest.fixture(scope="module")
def found():
    step, x, y, _ = training_step(clip_norm=1.0)
    return profile(step, x, y, repeats=60)


def test_the_parts_add_up_to_the_time(found):
    assert found.steps == 60
    assert all(seconds >= 0 for seconds in found.parts.values())
    assert sum(found.parts.values()) == pytest.approx(found.seconds, rel=1e-6)
    assert sum(c.seconds for c in found.calls) == pytest.approx(found.parts["calls"])
    for key in ("layer", "op"):
        groups = found.by(key)
        assert sum(g.seconds for g in groups) == pytest.approx(found.parts["calls"])
        assert sum(g.calls for g in groups) == len(found.calls)


def test_the_parts_account_for_a_clock_outside():
    """What is measured within is all that passes outside, up to a tenth."""
    step, x, y, _ = training_step()
    compiled = fastnn.compile(step)
    compiled(x, y)
    for attempt in range(5):  # where another program takes the core between the two clocks
        begin = time.perf_counter()
        with watch() as watched:
            for _ in range(300):
                compiled(x, y)
            spent = time.perf_counter() - begin
        if sum(watched.profile.parts.values()) == pytest.approx(spent, rel=0.1):
            break
        assert attempt < 4
    assert watched.profile.steps == 300


def test_costs_are_those_of_the_formulas(found):
    """The products of a step, forward and backward, and the arrays of Adam."""
    products = [c for c in found.calls if c.op == "matmul" and " 1x" not in c.text]
    n, k, h = BATCH, FEATURES, HIDDEN
    expected = [2 * n * k * h, 2 * n * h * 3, 2 * n * h * 3, 2 * n * h * 3, 2 * n * k * h]
    assert sorted(c.flops for c in products) == sorted(expected)
    first = next(c for c in products if c.layer == "0 Linear")
    assert first.bytes >= 4 * (n * k + k * h + n * h)
    (adam,) = [c for c in found.calls if c.op == "adam"]
    parameters = k * h + h + h * 3 + 3
    assert 7 * 4 * parameters <= adam.bytes < 8 * 4 * parameters  # reads w g m v, writes w m v


def test_calls_are_named_and_rated(found):
    layers = {c.layer for c in found.calls}
    assert {"0 Linear", "2 Linear backward", "loss", "clip", "optimizer"} <= layers
    for call in found.calls:
        assert call.count == 60 and call.threads >= 1
        assert call.least > 0 and call.bound in ("flops", "L1", "L2", "L3", "memory")
        assert call.share == pytest.approx(call.least / call.each)
        assert call.gflops == pytest.approx(call.flops / call.each / 1e9)
        assert call.gbs == pytest.approx(call.bytes / call.each / 1e9)


def test_tables(found):
    text = found.table()
    assert str(found) == text and len(text.splitlines()) == len(found.calls) + 9
    assert "matmul" in text and "python" in text and "60 steps" in text
    longest = found.table(top=2).splitlines()
    slowest = max(found.calls, key=lambda c: c.seconds)
    assert slowest.text[:40] in longest[1]
    assert found.table("layer").splitlines()[1].startswith(found.by("layer")[0].name)
    assert found.table("op", top=1).splitlines()[2] == ""
    assert repr(found).startswith(f"Profile({len(found.calls)} calls")
    with pytest.raises(ValueError, match="by is"):
        found.table("colour")
    with pytest.raises(ValueError, match="expected"):
        found.by("call")


def test_data(found):
    values = json.loads(json.dumps(found.to_dict()))
    assert values["calls"][0]["layer"] == "0 Linear" and values["steps"] == 60
    assert set(values["parts"]) == {"calls", "waiting", "starting", "python"}


def test_trace(found, tmp_path):
    found.save_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert {e["name"] for e in trace["traceEvents"] if e["ph"] == "M"} == {
        "process_name", "thread_name",
    }  # fmt: skip
    main = [e for e in events if e["tid"] == 0]
    assert len(main) == 8 * len(found.calls)  # the latest repetitions
    assert [e["name"] for e in main[: len(found.calls)]] == [c.op for c in found.calls]
    for thread in {e["tid"] for e in events}:
        mine = [e for e in events if e["tid"] == thread]
        assert all(e["ts"] >= 0 and e["dur"] >= 0 for e in mine)
        for before, after in itertools.pairwise(mine):
            assert before["ts"] + before["dur"] <= after["ts"] + 1e-3


def test_timing_changes_no_bits():
    models = []
    for timed in (False, True):
        fastnn.manual_seed(0)
        step, x, y, model = training_step()
        compiled = fastnn.compile(step)
        compiled(x, y)
        if timed:
            compiled.latest.ready.time(3)
        for _ in range(5):
            compiled(x, y)
        models.append(model.state_dict())
        if timed:
            repeats, inside, busy, waits = compiled.latest.ready.times()
            assert repeats == 5 and inside >= sum(busy[0]) + sum(waits[0]) > 0
            stamps = compiled.latest.ready.stamps()
            assert [call for call, _, _ in stamps[0]] == [
                (5 * len(busy[0]) - 3 + i) % len(busy[0]) for i in range(3)
            ]
            compiled.latest.ready.time(-1)
            assert compiled.latest.ready.times() is None and compiled.latest.ready.stamps() == []
    for a, b in zip(*(m.values() for m in models), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_threads_are_traced(threads, tmp_path):
    x = np.ones((512, 512), np.float32)
    with threads(2):
        found = profile(lambda a: a @ a @ a, x, repeats=10)
        found.save_trace(tmp_path / "t.json")
    assert [c.threads for c in found.calls] == [2, 2]
    trace = json.loads((tmp_path / "t.json").read_text())
    assert {e["tid"] for e in trace["traceEvents"]} == {0, 1}


def test_modules_run_forward_without_gradients():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval()
    found = profile(model, np.ones((2, 4), np.float32), repeats=3)
    assert [c.op for c in found.calls] == ["matmul"]
    assert all(p.grad is None for p in model.parameters())


def test_errors():
    with pytest.raises(RecordingError, match="test_profiler.py"):
        profile(lambda x: x * x.sum().item(), np.ones(3, np.float32))
    with pytest.raises(ValueError, match="repeats"):
        profile(lambda x: x, np.ones(3, np.float32), repeats=0)


def test_watching_several_programs():
    double, triple = fastnn.compile(lambda x: x * 2), fastnn.compile(lambda x: x * 3 + x)
    x = np.ones(4, np.float32)
    double(x)
    with watch() as watched:
        for _ in range(4):
            double(x)
            triple(x)  # recorded within
    found = watched.profile
    assert {c.program for c in found.calls} == {0, 1} and {c.count for c in found.calls} == {4}
    assert double.latest.ready.times() is None  # over
    with watch() as empty:
        pass
    assert empty.profile.calls == [] and "0 steps" in str(empty.profile)


def test_distances_of_reuse():
    def touch(begin, size, writes=False):
        return _Touch(begin, begin + size, size, writes)

    a, b, c, d = 0, 1000, 2000, 3000
    calls = [
        [touch(a, 100), touch(b, 100, True)],
        [touch(c, 500), touch(d, 500, True)],
        [touch(b, 100), touch(a, 100, True)],
    ]
    found = reuse_distances(calls)
    assert (
        found[2] == [100 + 1000 + 100] * 2
    )  # both were in the first, half of each call, all between
    assert found[0][0] == 100 + 100  # the last call is before the first
    assert found[1][0] == 500 + 200 + 500  # only itself, a whole round ago


def test_a_part_of_something_large_is_as_far_as_all_of_it():
    rows = _Touch(0, 10**9, 1000, False)
    assert reuse_distances([[rows]]) == [[10**9]]


def test_bounds_of_a_product_and_a_sum():
    limits = some_limits()
    compiled = fastnn.compile(lambda a, b: (a @ b, a + b))
    a = np.ones((32, 32), np.float32)
    compiled(a, a)
    program, steps = compiled.latest.program, compiled.latest.ready.steps()
    product, total = bounds(program, steps, limits)
    assert product.by == "L2"  # at a byte in 10^-9 s, half a millisecond would be arithmetic
    assert total.by == "L2" and 3 * 4096 / 2e9 < total.seconds < 3 * 4096 / 1e9
    assert roofline._level(10**9, 1, limits) == "memory"


def test_a_profile_of_made_up_calls():
    call = CallTime("a", "add", "add 1", 0, 0, 10, 1.0, 0.5, 1, 3e9, 6e9, 0.05, "L1")
    found = Profile([call], seconds=4.0, steps=10, inside=2.0, limits=some_limits(), ended=0.25)
    assert found.parts == {"calls": 1.0, "waiting": 0.75, "starting": 0.25, "python": 2.0}
    assert (call.each, call.gflops, call.gbs, call.share) == (0.1, 30, 60, 0.5)
    (layer,) = found.by("layer")
    assert (layer.gflops, layer.gbs, layer.share) == (30, 60, 0.5)
    assert "100,000" in found.table() and "measuring" not in found.table()


def cost(name, *shapes, scalars=(), dtype="float32"):
    arrays = tuple(None if s is None else fastnn.zeros(s, dtype) for s in shapes)
    return _core.cost(getattr(_core.ops, name), arrays, scalars)[:2]


def test_costs_of_families():
    """Flops where a formula has them, and the bytes of every array once."""
    m, n, k = 12, 20, 28
    product = [(m, k), (k, n), None, (m, n)]
    assert cost("matmul", *product, scalars=(0, 0, 1.0, 0.0)) == (
        2 * m * n * k, 4 * (m * k + k * n + m * n),
    )  # fmt: skip
    added = cost("matmul", *product, scalars=(1, 0, 1.0, 1.0))
    assert added[1] == 4 * (m * k + k * n + 2 * m * n)
    with_bias = cost("matmul", (m, k), (k, n), (n,), (m, n), scalars=(0, 0, 1.0, 0.0))
    assert with_bias[1] == 4 * (m * k + k * n + n + m * n)
    assert cost("relu_grad", (128, 256), (128, 256), (128, 256)) == (32768, 393216)
    assert cost("exp", (m, n), (m, n))[0] >= 10 * m * n  # a polynomial
    assert cost("sum", (m, n), (m, 1), dtype="float64") == (m * n, 8 * (m * n + m))
    assert cost("softmax", (m, n), (m, n), scalars=(1,))[1] == 2 * 4 * m * n
    loss = [(m, n), (m, n), None, None, ()]
    assert cost("mse_loss", *loss, scalars=(1.0, 2))[1] == 4 * (2 * m * n + 1)
    assert cost("clip_scale", 3, 1, 1, scalars=(1.0,), dtype="float64")[1] == 8 * 5


def test_what_is_broadcast_is_read_once():
    x = fastnn.zeros((8, 16))
    row = fastnn.zeros(16).broadcast_to((8, 16))
    assert _core.cost(_core.ops.add, (x, row, x))[1] == 4 * (2 * 8 * 16 + 16)


def test_fit_with_a_profile():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((70, 5), dtype=np.float32), rng.integers(0, 3, 70)
    weights = []
    for measured in (False, True):
        fastnn.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
        trainer = fastnn.Trainer(model, loss="cross_entropy", optimizer="adam")
        options = {"epochs": 3, "batch_size": 16, "verbose": 0}
        history = trainer.fit(x, y, validation=(x, y), profile=measured, **options)
        weights.append(model.state_dict()["0.weight"].numpy().copy())
        assert (history.profile is not None) == measured
    np.testing.assert_array_equal(*weights)
    found = history.profile
    layers = {c.layer for c in found.calls}
    assert {"batch", "0 Linear", "loss", "loss backward", "optimizer"} <= layers
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert found.steps >= 4 * 3 - 3  # the whole batches, but for what is not recorded


def test_calls_that_run_as_one_are_named():
    x = np.ones((64, 64), np.float32)
    found = profile(lambda x: fastnn.relu(fastnn.exp(x) * 2 + x) @ x, x, repeats=1)
    assert found.calls[0].text == "exp+mul+add+relu 4096 1 -> 4096"
    assert found.calls[-1].text == "matmul 64x64 64x64 -> 64x64"
