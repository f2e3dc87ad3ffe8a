"""Compiled calls that read large arguments where they are, and make large results in memory of their own: what
a copy of everything would give, whatever shares memory with what, and nothing of the caller's is used afterwards."""

import gc
import threading
import weakref

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import fastnn
from conftest import using_threads
from fastnn import Tensor, nn, optimizers

SMALL, LARGE = 30, 9000  # elements: copied, and lent


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def equal(a, b):
    np.testing.assert_array_equal(a.numpy(), b.numpy() if isinstance(b, Tensor) else b)


def ready(function, *arguments):
    """The function compiled, and called once, so that its inputs have values."""
    compiled = fastnn.compile(function)
    compiled(*arguments)
    return compiled


def copies(compiled, i=0):
    """The values that the recording's own memory has of an argument."""
    return compiled.latest.inputs[i].numpy().copy()


# --- arguments ---


@pytest.mark.parametrize("kind", ["tensor", "array", "read-only", "part", "loan"])
def test_a_large_argument_is_read_where_it_is(kind):
    double = ready(lambda x: x * 2, np.zeros(LARGE, np.float32))
    x = data(LARGE + 7)
    given = {"tensor": Tensor(x[:LARGE]), "array": x[:LARGE].copy(), "part": x[3 : LARGE + 3]}
    value = given.get(kind, x[:LARGE])
    if kind == "read-only":
        value.flags.writeable = False
    elif kind == "loan":
        value = Tensor(x)[5 : LARGE + 5]
    expected = np.asarray(value.numpy() if isinstance(value, Tensor) else value) * 2
    equal(double(value), expected)
    assert not copies(double).any()  # still the first call's
    small = ready(lambda x: x * 2, np.zeros(SMALL, np.float32))
    small(x[:SMALL])
    np.testing.assert_array_equal(copies(small), x[:SMALL])


@pytest.mark.parametrize("channels_last", [False, True])
def test_arguments_that_lie_otherwise_are_copied(channels_last):
    x = data(4, 8, 24, 20)
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    weight = Tensor(data(6, 8, 3, 3, seed=1))
    function = fastnn.no_grad()(lambda x: fastnn.relu(fastnn.conv2d(x, weight)))
    compiled = ready(function, np.zeros_like(x))
    equal(compiled(x), function(Tensor(x)))
    assert not copies(compiled).any()
    gaps = np.empty((4, 8, 24, 40), np.float32)[..., ::2]
    if channels_last:
        gaps = np.empty((4, 24, 20, 16), np.float32)[..., ::2].transpose(0, 3, 1, 2)
    gaps[...] = data(4, 8, 24, 20, seed=2)
    equal(compiled(gaps), function(Tensor(gaps)))
    np.testing.assert_array_equal(copies(compiled), gaps)


def test_one_array_passed_twice_and_arrays_that_overlap():
    function = lambda x, y: (x + y, x - y, (x * y).sum())  # noqa: E731
    compiled = ready(function, data(LARGE), data(LARGE, seed=1))
    x = data(2 * LARGE, seed=2)
    for a, b in [
        (x[:LARGE], x[:LARGE]),
        (x[:LARGE], x[5 : LARGE + 5]),
        (x[7 : LARGE + 7], x[:LARGE]),
    ]:
        for got, expected in zip(compiled(a, b), function(Tensor(a), Tensor(b)), strict=True):
            equal(got, expected)


@pytest.mark.parametrize("shift", [0, 11])
@pytest.mark.parametrize("of_numpy", [False, True])
def test_an_argument_that_the_program_writes_is_copied(shift, of_numpy):
    """As if all arguments were copied first."""
    values = data(LARGE + shift)
    state = Tensor(values)

    def step(x):
        state.copy_(state + 1.0)
        return x * 3 + state[:LARGE]

    compiled = ready(step, data(LARGE, seed=1))
    for _ in range(3):
        before = values.copy()
        argument = values[shift:] if of_numpy else state[shift:]
        equal(compiled(argument), before[shift:] * 3 + (before + 1)[:LARGE])


def test_a_parameter_as_argument():
    model = nn.Linear(120, 120, bias=False)
    optimizer = optimizers.SGD(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss, x * 2

    compiled = ready(step, data(120, 120))
    before = model.weight.numpy().copy()
    _, doubled = compiled(model.weight.detach())
    equal(doubled, before * 2)
    assert (model.weight.numpy() != before).any()


def test_the_recordings_own_memory_as_arguments():
    function = lambda x, y: (x + 1, y * 2)  # noqa: E731
    compiled = ready(function, data(LARGE), data(LARGE, seed=1))
    first, second = compiled.latest.inputs
    a, b = first.numpy().copy(), second.numpy().copy()
    more, twice = compiled(second, first)
    equal(more, b + 1)
    equal(twice, b * 2)  # as when the arguments are copied one after another
    del a, first, second
    equal(compiled(compiled.latest.result[0], data(LARGE))[1], data(LARGE) * 2)


def test_what_the_function_keeps_of_its_arguments_is_copied():
    class Keeps(nn.Module):
        def forward(self, x):
            self.seen = x
            return x * 2

    keeps, seen = Keeps(), []
    for compiled, kept in [
        (fastnn.compile(keeps), lambda: keeps.seen),
        (fastnn.compile(lambda x: (seen.append(x[3:]), x * 2)[1]), lambda: seen[0]),
    ]:
        for i in range(4):
            x = data(LARGE, seed=i)
            equal(compiled(x), x * 2)
            equal(kept(), x if kept().size == LARGE else x[3:])
    seen.clear()  # nobody sees it any more
    compiled(data(LARGE, seed=9))
    np.testing.assert_array_equal(copies(compiled), data(LARGE, seed=3))


def test_many_arguments():
    compiled = ready(lambda *xs: sum(xs[1:], xs[0]), *[data(LARGE, seed=i) for i in range(10)])
    xs = [Tensor(data(LARGE, seed=20 + i)) for i in range(10)]
    equal(compiled(*xs), sum(xs[1:], xs[0]))
    np.testing.assert_array_equal(copies(compiled, 9), data(LARGE, seed=9))


# --- results ---


def test_each_call_gives_memory_of_its_own():
    compiled = fastnn.compile(lambda x: {"a": x + 1, "b": [x * 2, (x * 3)[4:]]})
    results, xs = [], [data(LARGE, seed=i) for i in range(6)]
    for x in xs:
        results.append(compiled(x))
    for x, found in zip(xs, results, strict=True):
        equal(found["a"], x + 1)
        equal(found["b"][0], x * 2)
        equal(found["b"][1], x[4:] * np.float32(3))
    everything = [r for found in results for r in (found["a"], *found["b"])]
    assert len({r._pointer for r in everything}) == 18
    everything[0].fill_(7)
    equal(results[1]["a"], xs[1] + 1)


def test_results_are_made_where_they_are_returned():
    """Nothing is written to the recording's own memory."""
    compiled = fastnn.compile(lambda x: x + 1)
    recording = compiled.prepare(data(LARGE))
    recording.result.fill_(5)
    equal(compiled(data(LARGE)), data(LARGE) + 1)
    assert (recording.result.numpy() == 5).all()


def test_results_that_share_memory_with_something():
    state, constant = Tensor(data(LARGE, seed=5)), Tensor(data(LARGE, seed=6))
    square = 100

    def function(x, w):
        y, z = x * 2, (x + 1).reshape(90, 100)
        state.copy_(state + 1.0)
        return (
            x, x[5:], y, y, z, z[:40], z.T, w, w.T, w @ w.T, (w + 1).T, state, constant, constant[3:],
            fastnn.zeros(LARGE), y.sum(), x.reshape(90, 100), fastnn.concat([y, y]),
        )  # fmt: skip

    compiled, results, expected = fastnn.compile(function), [], []
    for i in range(4):
        x, w = data(LARGE, seed=i), data(square, square, seed=i)
        before = state.numpy().copy()
        results.append(compiled(x, w))
        after = state.numpy().copy()
        state.copy_(before)
        eager = function(Tensor(x.copy()), Tensor(w.copy()))
        expected.append([v.numpy().copy() for v in eager])
        np.testing.assert_array_equal(state.numpy(), after)
    for got, wanted in zip(results, expected, strict=True):
        for a, b in zip(got, wanted, strict=True):
            equal(a, b)
            assert a.shape == b.shape
    assert len({a._pointer for got in results for a in got}) == 4 * len(results[0])


def test_what_the_function_keeps_of_its_results_is_kept():
    model = nn.Linear(100, 100)

    class Keeps(nn.Module):
        def forward(self, x):
            self.hidden = fastnn.relu(model(x))
            return self.hidden

    keeps = Keeps()
    compiled = fastnn.compile(fastnn.no_grad()(keeps.__call__))
    for i in range(4):
        x = data(200, 100, seed=i)
        with fastnn.no_grad():
            expected = fastnn.relu(model(Tensor(x)))
            y = compiled(x)
        equal(y, expected)
        equal(keeps.hidden, expected)
        assert y._pointer != keeps.hidden._pointer


def test_the_result_as_the_next_argument():
    function = lambda h: fastnn.tanh(h * 1.5) + 0.1  # noqa: E731
    compiled = fastnn.compile(function)
    h, expected, all_of_them = data(LARGE), Tensor(data(LARGE)), []
    for _ in range(6):
        h, expected = compiled(h), function(expected)
        all_of_them.append((h, expected))
    for got, wanted in all_of_them:
        equal(got, wanted)


# --- gradients, errors, threads ---


def test_gradients():
    model = nn.Sequential(nn.Linear(100, 90), nn.ReLU(), nn.Linear(90, 100))

    def function(x, dy):
        y = model(x)
        return fastnn.grad(y, x, dy, retain_graph=True), y

    compiled = fastnn.compile(function)
    for i in range(3):
        x, dy = Tensor(data(110, 100, seed=i)), Tensor(data(110, 100, seed=9 + i))
        x.requires_grad = True
        for got, expected in zip(compiled(x, dy), function(x, dy), strict=True):
            equal(got, expected.detach())
        assert x.grad is None
    assert (copies(compiled, 1) == data(110, 100, seed=9)).all()


def test_gradients_that_are_left():
    found = []
    for way in (fastnn.compile, lambda function: function):
        fastnn.manual_seed(0)
        model = nn.Linear(100, 100)

        def step(x, model=model):
            model.zero_grad()
            y = model(x)
            y.square().mean().backward()
            return y.detach(), model.weight.grad

        run, grads = way(step), []
        for i in range(3):
            y, grad = run(Tensor(data(100, 100, seed=i)))
            grads += [y.numpy().copy(), grad.numpy().copy(), model.weight.grad.numpy().copy()]
        found.append(grads)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_error_leaves_nothing_behind():
    table = Tensor(data(50, 300))
    compiled = ready(lambda x, i: (table.take(i) * x, x + 1), data(300), np.zeros(40, np.int64))
    index = np.arange(6000) % 50
    compiled = ready(lambda x, i: (table.take(i) * x, i + 1), data(300), index)
    bad = index.copy()
    bad[-1] = 50
    for _ in range(2):
        with pytest.raises(IndexError):
            compiled(data(300, seed=1), bad)
        y, more = compiled(data(300, seed=1), index)
        equal(y, table.numpy()[index] * data(300, seed=1))
        equal(more, index + 1)
    del bad, index
    assert compiled.latest.run_many(2) == 2  # on the first call's


def test_nothing_of_the_callers_is_used_or_held_afterwards():
    compiled = ready(lambda x: x * 2, np.zeros(LARGE, np.float32))
    x = data(LARGE)
    y = compiled(x)
    held = weakref.ref(x)
    del x
    gc.collect()
    assert held() is None
    kept = y.numpy().copy()
    assert compiled.latest.run_many(3) == 3
    equal(y, kept)
    assert not compiled.latest.result.numpy().any()


def test_threads_with_one_function():
    compiled = ready(lambda x: (x * 2 + 1, x.sum()), data(LARGE))
    wrong = []

    def calls(seed):
        for i in range(60):
            x = data(LARGE, seed=seed + i)
            y, total = compiled(x)
            if (y.numpy() != x * 2 + 1).any() or total.item() != Tensor(x).sum().item():
                wrong.append(seed + i)

    threads = [threading.Thread(target=calls, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_within_another_recording():
    inner = ready(lambda x: x * 2, data(LARGE))
    outer = fastnn.compile(lambda x: inner(x) + x)
    for i in range(3):
        x = data(LARGE, seed=i)
        equal(outer(x), x * 2 + x)


def test_a_large_prediction():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    x = data(40, 3, 32, 32)
    model.eval()
    with fastnn.no_grad():
        expected = np.concatenate([model(Tensor(x[i : i + 16])).numpy() for i in range(0, 40, 16)])
    model.train()
    for _ in range(3):
        np.testing.assert_allclose(
            model.predict(x, batch_size=16).numpy(), expected, rtol=1e-5, atol=1e-5
        )
    before = model.predict(x[:16]).numpy()
    np.testing.assert_array_equal(model.predict(x[:16]).numpy(), before)


# --- any program on any arguments ---

UNARY = [
    lambda x: fastnn.relu(x),
    lambda x: x * 1.5 - 0.25,
    lambda x: fastnn.tanh(x),
    lambda x: x - x.mean(),
    lambda x: fastnn.concat([x[7:], x[:7]]),
    lambda x: fastnn.softmax(x.reshape(-1, 3), axis=1).reshape(-1),
    lambda x: x.clone(),
    lambda x: x[: x.shape[0]],
]
BINARY = [
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: fastnn.maximum(x, y),
    lambda x, y: (x.reshape(-1, 3).T @ y.reshape(-1, 3)).reshape(-1),
]
numbers = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("unary"), st.integers(0, len(UNARY) - 1), numbers),
    st.tuples(st.just("binary"), st.integers(0, len(BINARY) - 1), numbers, numbers),
    st.tuples(st.just("write"), numbers),
)
# An argument: which base, where it begins in it, and whether it comes from numpy.
arguments = st.tuples(st.integers(0, 2), st.sampled_from([0, 0, 0, 3, 6]), st.booleans())
programs = st.fixed_dictionaries(
    {
        "size": st.sampled_from([SMALL, LARGE]),
        "steps": st.lists(steps, min_size=1, max_size=6),
        "results": st.lists(numbers, min_size=1, max_size=4),
        "calls": st.lists(st.lists(arguments, min_size=3, max_size=3), min_size=2, max_size=4),
        "threads": st.sampled_from([1, 2]),
    }
)


def function_of(world, state):
    """Of three arguments; "write" adds a value to the state, which is among the values."""

    def function(*xs):
        values = [*xs, state]
        size = world["size"]
        for kind, *what in world["steps"]:
            alike = [v for v in values if v.shape == (size,)]
            if kind == "unary":
                values.append(UNARY[what[0]](alike[what[1] % len(alike)]))
            elif kind == "binary":
                a, b = alike[what[1] % len(alike)], alike[what[2] % len(alike)]
                values.append(BINARY[what[0]](a, b))
            else:
                state.copy_(alike[what[0] % len(alike)] * 0.5 + state)
        return [values[i % len(values)] for i in world["results"]]

    return function


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs)
def test_any_program_is_as_if_its_arguments_were_copied(world):
    size = world["size"]
    # The third base is the memory of the state, which the program may write.
    bases = [data(size + 6, seed=i) for i in range(3)]
    state, state_by_itself = Tensor(bases[2])[:size], Tensor(bases[2][:size].copy())
    compiled, eager = fastnn.compile(function_of(world, state)), function_of(world, state_by_itself)
    results = []
    with using_threads(world["threads"]), fastnn.no_grad():
        for call in world["calls"]:
            xs = [bases[base][at : at + size] for base, at, _ in call]
            expected = [y.numpy().copy() for y in eager(*[Tensor(x.copy()) for x in xs])]
            given = [x if own else Tensor(x) for x, (*_, own) in zip(xs, call, strict=True)]
            results.append((compiled(*given), expected))
            np.testing.assert_array_equal(state.numpy(), state_by_itself.numpy())
    for got, expected in results:
        for a, b in zip(got, expected, strict=True):
            equal(a, b)
