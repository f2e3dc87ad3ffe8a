"""Recorded functions against the same functions run eagerly: the same bits, and errors where a replay could
not follow."""

import collections
import itertools
import re
import threading

import numpy as np
import pytest

import fastnn
from fastnn import RecordingError, Tensor, nn, optimizers
from fastnn.compiler.passes.dead import drop_dead_calls
from fastnn.compiler.passes.memory import plan_memory
from fastnn.compiler.trace import trace
from steps import data, train_step


def same(a, b):
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def mlp(*sizes, dropout=0.0):
    fastnn.manual_seed(0)
    layers = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Lion"])
def test_training_is_the_same_bits(name, batch):
    models, losses = [], []
    for compiled in (False, True):
        model = mlp(7, 33, 4, dropout=0.3)
        optimizer = getattr(optimizers, name)(model.parameters(), lr=0.01)
        step = train_step(model, optimizer)
        if compiled:
            step = fastnn.compile(step)
        fastnn.manual_seed(1)
        run = []
        for i in range(10):
            x, y = data(batch, 7, seed=i), np.random.default_rng(i).integers(0, 4, batch)
            if i == 5:
                optimizer.param_groups[0]["lr"] = 0.003
            run.append(step(Tensor(x), Tensor(y)).item())
        models.append(model)
        losses.append(run)
    assert losses[0] == losses[1]
    for a, b in zip(*(m.state_dict().values() for m in models), strict=True):
        same(a, b)


def test_each_shape_and_dtype_is_a_recording_of_its_own():
    calls = []

    def double(x):
        calls.append(x.shape)
        return x * 2

    compiled = fastnn.compile(double)
    for shape in [(3,), (4,), (3,), (3, 1), (4,)]:
        x = data(*shape)
        same(compiled(x), Tensor(x * 2))
    same(compiled(np.ones(3)), Tensor(np.full(3, 2.0)))
    assert calls == [(3,), (4,), (3, 1), (3,)]


def test_results_are_not_overwritten():
    compiled = fastnn.compile(lambda x: {"y": x + 1, "both": (x, [x * 2])})
    first = compiled(np.float32([1]))
    second = compiled(np.float32([5]))
    assert first["y"].item() == 2 and second["y"].item() == 6
    assert first["both"][1][0].item() == 2 and second["both"][0].item() == 5


def test_reading_a_value_names_the_line():
    def step(x):
        y = x * 2
        if y.sum() > 0:  # this line
            return y
        return x

    with pytest.raises(RecordingError, match=r"test_compile.py:\d+ in step.*read"):
        fastnn.compile(step)(np.ones(3, np.float32))
    with pytest.raises(RecordingError, match="test_compile.py"):
        fastnn.compile(lambda x: Tensor(x.numpy() * 2))(np.ones(3, np.float32))
    assert step(Tensor(np.ones(3, np.float32))).shape == (3,)  # and recording is over


def test_compiled_within_compiled():
    inner = fastnn.compile(lambda x: x * 2)
    outer = fastnn.compile(lambda x: inner(x) + 1)
    x = data(5)
    same(outer(x), Tensor(x * 2 + 1))
    assert inner.latest is None and len(outer.latest.program.calls) == 2
    same(inner(x), Tensor(x * 2))


def test_errors_in_the_data_stop_a_replay():
    model = mlp(3, 2)
    optimizer = optimizers.SGD(model.parameters(), lr=0.1)
    step = fastnn.compile(train_step(model, optimizer))
    x, y = data(4, 3), np.array([0, 1, 1, 0])
    step(x, y)
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="label 2 is not one of 2 classes"):
        step(x, np.array([0, 1, 2, 0]))
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])
    assert np.isfinite(step(x, y).item())


def test_run_many_repeats_the_step():
    results = []
    for many in (False, True):
        model = mlp(3, 8, 2)
        step = fastnn.compile(train_step(model, optimizers.Adam(model.parameters())))
        x, y = data(4, 3), np.array([0, 1, 1, 0])
        step(x, y)
        if many:
            assert step.latest.run_many(9) == 9
        else:
            for _ in range(9):
                step(x, y)
        results.append(model.state_dict())
    for a, b in zip(*(r.values() for r in results), strict=True):
        same(a, b)


def test_dead_calls_go_and_memory_is_shared():
    x = Tensor(data(1000))

    def chain():
        fastnn.exp(x)  # nobody reads it
        y = x
        for _ in range(10):
            y = y * 1.5
        return y

    program, result, _ = trace(chain, [x])
    assert len(program.calls) == 11
    program = drop_dead_calls(program)
    assert len(program.calls) == 10
    planned = plan_memory(program)
    assert planned.arena == 4032  # each is written onto the one before
    planned.lower().run()
    same(result, chain())


def test_recording_computes_nothing():
    model = mlp(5, 9, 3, dropout=0.5)
    model.insert(1, nn.BatchNorm1d(9))
    optimizer = optimizers.Adam(model.parameters())
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}

    def step(x, y):
        train_step(model, optimizer)(x, y)
        raise KeyError("too late")

    with pytest.raises(KeyError):
        fastnn.compile(step)(data(6, 5), np.arange(6) % 3)
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])
    assert optimizer.param_groups[0].steps == 0


def test_memory_set_up_in_python_is_set_up_at_every_run():
    layer = nn.Embedding(5, 3)
    indices = np.array([1, 2, 2, 4])

    def gradients(i, x):
        (taken,) = fastnn.grad((layer(i) ** 2).sum(), [layer.weight])
        (cut,) = fastnn.grad((x[1:3] ** 2).sum(), [x])
        weights = Tensor(np.float32([1, 2, 3])) + fastnn.full((3,), 0.5)
        return taken, cut, weights * x[0]

    x = Tensor(data(4, 3), requires_grad=True)
    compiled = fastnn.compile(gradients)
    for _ in range(3):
        for a, b in zip(compiled(Tensor(indices), x), gradients(Tensor(indices), x), strict=True):
            same(a, b)


def test_state_made_by_the_function_goes_on():
    class Count:
        total = None

        def __call__(self, x):
            if self.total is None:
                self.total = fastnn.zeros(())
            self.total.copy_(self.total + x.sum())
            return self.total

    count, compiled = Count(), fastnn.compile(Count())
    for i in range(4):
        x = Tensor(data(3, seed=i))
        same(count(x), compiled(x))


def test_show_reads_like_a_listing():
    model = mlp(6, 5, 3, dropout=0.5)
    optimizer = optimizers.Adam(model.parameters(), clip_norm=1.0)
    ema = optimizers.EMA(model.parameters())

    def step(x, y):
        loss = train_step(model, optimizer)(x, y)
        ema.update()
        return loss * 0.5

    compiled = fastnn.compile(step)
    assert compiled.show() == "not recorded yet"
    assert re.fullmatch(r"compile\(.*step, 0 recordings\)", repr(compiled))
    compiled(data(4, 6), np.arange(4) % 3)
    lines = compiled.show().splitlines()
    assert lines[0].startswith("peak memory ") and "arena" in lines[0]
    assert re.match(
        r"\d+ calls, \d+ before fusion, on 1 thread; .*flop, .* read and written", lines[1]
    )
    assert lines[2].split() == ["threads", "flop", "bytes", "arena", "layer", "call"]
    text = "\n".join(lines)
    for part in (
        "0 Linear  ", "0 Linear backward  ", "loss  ", "optimizer  ", "clip  ", "average  ",
        "input0[4x6] @ 0.weight.T[6x5] + 0.bias[5]", "input1[4 int64]", "0.weight.grad[5x6] = ",
        "Adam.exp_avg[", "Adam.options[16 float64]", "Adam.scale[1 float64]", "EMA.average[",
        "0.weight..3.bias[", "0.weight.grad..3.bias.grad[", "random_state[2 int64]", "p=0.5",
        "0.bias.grad[1x5] = 1 repeated[1x4] @ ", "result[1] = mul(", ", 0.5)",
    ):  # fmt: skip
        assert part in text, part
    assert len(lines) == 3 + len(compiled.latest.program.calls)
    assert repr(compiled).endswith("step, 1 recording)")
    assert repr(compiled.latest).startswith(f"Recording({len(lines) - 3} calls, peak memory ")


def test_modes_of_modules_have_recordings_of_their_own():
    model = mlp(6, 50, 3, dropout=0.5)
    compiled = fastnn.compile(model)
    x = data(4, 6)
    assert not np.array_equal(compiled(x).numpy(), compiled(x).numpy())  # dropout draws anew
    model.eval()
    same(compiled(x), model(Tensor(x)))
    same(compiled(x), compiled(x))
    model.train()
    assert not np.array_equal(compiled(x).numpy(), compiled(x).numpy())


def test_memory_that_moved_is_recorded_anew():
    model = mlp(6, 5, 3)
    compiled = fastnn.compile(model)
    x = data(4, 6)
    compiled(x)
    optimizers.SGD(model.parameters(), lr=0.1)  # puts the parameters into flat memory
    for p in model.parameters():
        with fastnn.no_grad():
            p.fill_(0.5)
    same(compiled(x), model(Tensor(x)))


def test_other_layers_are_an_error_that_says_what_to_do():
    model = mlp(6, 5, 3)
    compiled = fastnn.compile(model)
    x = data(4, 6)
    compiled(x)
    model[0] = nn.Linear(6, 5)
    with pytest.raises(RecordingError, match=r"Sequential has other layers.*reset\(\)"):
        compiled(x)
    compiled.reset()
    same(compiled(x), model(Tensor(x)))
    model.append(nn.ReLU())
    with pytest.raises(RecordingError, match="reset"):
        compiled(x)


def test_arguments_and_results_of_every_kind():
    compiled = fastnn.compile(lambda x: (x * 2, [x.sum(), None], {"x": x}))
    x = data(4, 6)
    views = [x, Tensor(x), x.T.copy().T, Tensor(x.T.copy()).T, x[::-1], np.asfortranarray(x)]
    for value in views:
        double, (total, nothing), same_x = compiled(value)
        want = np.asarray(value if isinstance(value, np.ndarray) else value.numpy())
        np.testing.assert_array_equal(double.numpy(), want * 2)
        np.testing.assert_array_equal(same_x["x"].numpy(), want)
        assert nothing is None and total.shape == ()
    assert len(compiled.ready) == 1
    frozen = x.copy()
    frozen.flags.writeable = False
    same(compiled(frozen)[0], Tensor(x * 2))
    half = x.astype(np.float16)  # becomes float32, as in every function
    same(compiled(half)[0], Tensor(half) * 2)
    with pytest.raises(TypeError, match="datetime"):
        compiled(np.zeros(3, "datetime64[s]"))


def test_results_keep_the_types_of_their_nests():
    Pair = collections.namedtuple("Pair", "first second")
    compiled = fastnn.compile(lambda x: Pair(x + 1, [x]))
    for value in (1.0, 2.0):
        pair = compiled(np.float32([value]))
        assert (
            type(pair) is Pair and pair.first.item() == value + 1 and pair.second[0].item() == value
        )


def test_many_arguments():
    compiled = fastnn.compile(lambda *xs: sum(xs[1:], xs[0]))
    for _ in range(3):
        assert compiled(*[np.float32([i]) for i in range(20)]).item() == 190


def test_writes_of_a_replay_are_seen_by_backward():
    w = Tensor([2.0], requires_grad=True)

    def grow():
        with fastnn.no_grad():
            w.copy_(w * 2)

    step = fastnn.compile(grow)
    step()
    loss = (w * w).sum()
    step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_two_threads_call_one_compiled_function():
    compiled = fastnn.compile(lambda x: (x @ x.T).sum(axis=1))
    inputs = [data(50, 40, seed=i) for i in range(2)]
    expected = [compiled(x).numpy() for x in inputs]
    wrong = []

    def call(i):
        for _ in range(300):
            if not np.array_equal(compiled(inputs[i]).numpy(), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert wrong == []


def test_gradient_mode_has_a_recording_of_its_own():
    calls = []

    def function(x):
        calls.append(fastnn.is_grad_enabled())
        return x * 2

    compiled = fastnn.compile(function)
    for _ in range(2):
        compiled(data(3))
        with fastnn.no_grad():
            compiled(data(3))
    assert calls == [True, False]


def test_a_decorator_with_options():
    @fastnn.compile(memory_limit="1 MB", without=("chain",))
    def double(x):
        return x + x

    assert double(fastnn.ones(3)).numpy().tolist() == [2, 2, 2]
    with pytest.raises(MemoryError, match="the limit is 976.6 KiB"):
        double(fastnn.ones(1_000_000))
    with pytest.raises(ValueError, match="memory_limit"):
        fastnn.compile(memory_limit="much")
