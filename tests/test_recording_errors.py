"""What cannot be recorded is an error that names the user's line and what to do, and leaves nothing behind."""

import random
import re
import threading

import numpy as np
import pytest

import fastnn
from fastnn import RecordingError, Tensor, losses, metrics, nn, ops, optimizers, schedules

OUTSIDE = Tensor(np.float32([1.0, 2.0, 3.0]))
LAYER = nn.Linear(3, 3)
SGD = optimizers.SGD(LAYER.parameters(), lr=0.1, momentum=0.9)
SCHEDULE = schedules.ExponentialSchedule(SGD, 0.5)
PLATEAU = schedules.PlateauSchedule(SGD)
LBFGS = optimizers.LBFGS(nn.Linear(3, 3).parameters())


def choose(x):
    if x.sum() > 3:
        return x
    return x * 2


def write_numpy(x):
    y = x * 2
    y.numpy()[0] = 1
    return y


def write_outside(x):
    OUTSIDE.numpy()[0] = 1
    return x


def set_rate(x):
    SGD.param_groups[0]["lr"] = 0.5
    return x


def set_rate_after_the_step(x):
    SGD.zero_grad()
    LAYER(x).sum().backward()
    SGD.step()
    SGD.param_groups[0]["lr"] = 0.5


def step_in_between(x):
    SGD.zero_grad()
    LAYER(x).sum().backward()
    SGD.step()
    SCHEDULE.step()
    SGD.step()


def checked_norm(x):
    LAYER(x).sum().backward()
    return optimizers.clip_grad_norm_(LAYER.parameters(), 1.0, error_if_nonfinite=True)


READ = "a value of a tensor was read"
ERRORS = {
    "control flow": (choose, f"{READ}.*where"),
    "item": (lambda x: x * x.sum().item(), READ),
    "float": (lambda x: x * float(x[0]), READ),
    "int": (lambda x: x[: int(x[0])], READ),
    "index": (lambda x: x[ops.argmax(x).item()], READ),
    "numpy": (lambda x: Tensor(x.numpy() * 2), READ),
    "asarray": (lambda x: Tensor(np.asarray(x)), READ),
    "tolist": (lambda x: x.tolist(), READ),
    "print": (lambda x: print(x), READ),
    "format": (lambda x: f"{x.sum():.3f}", READ),
    "dlpack": (lambda x: np.from_dlpack(x), READ),
    "in": (lambda x: 1.0 in x, READ),
    "writing through numpy": (write_numpy, "written through numpy"),
    "a value from outside": (
        lambda x: x * OUTSIDE[0].item(),
        "from outside the function was read.*before",
    ),
    "writing outside through numpy": (write_outside, r"copy_\(\)"),
    "a mask as index": (lambda x: x[x > 0], "mask as an index.*where"),
    "nonzero": (lambda x: ops.nonzero(x), "nonzero.*shape.*depends on the values"),
    "one_hot": (lambda x: ops.one_hot(x.astype("int64")), "one_hot.*num_classes="),
    "repeat": (lambda x: ops.repeat(x, x.astype("int64")), "repeat.*Python numbers"),
    "schedule": (step_in_between, "stepped between two uses.*outside"),
    "plateau": (lambda x: PLATEAU.step(x.sum()), READ),
    "rate": (set_rate, "option 'lr' was set.*outside"),
    "rate after the step": (set_rate_after_the_step, "option 'lr' was set.*outside"),
    "LBFGS": (lambda x: LBFGS.step(lambda: x.sum()), "LBFGS.*keep it eager"),
    "a metric's result": (lambda x: metrics.MSE()(x, x), "result of the metric.*outside"),
    "error_if_nonfinite": (checked_norm, "error_if_nonfinite.*returned"),
    "an argument is written": (lambda x: x.fill_(0), r"argument was written.*clone\(\)"),
    "a part of one is written": (
        lambda x: x.__setitem__(0, 1.0),
        r"argument was written.*clone\(\)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_line_and_the_way_out(name):
    function, message = ERRORS[name]
    first, last = (
        function.__code__.co_firstlineno,
        max(n for *_, n in function.__code__.co_lines() if n),
    )
    before = {k: v.numpy().copy() for k, v in LAYER.state_dict().items()}
    with pytest.raises(RecordingError, match=f"(?s){message}") as caught:
        fastnn.compile(function)(np.float32([1, 2, 3]))
    where = re.match(r"(.*):(\d+) in (.*?): ", str(caught.value))
    assert (
        where[1] == __file__
        and first <= int(where[2]) <= last
        and where[3] == function.__code__.co_name
    )
    for k, v in LAYER.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])


def test_the_gradient_of_an_argument():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RecordingError, match=r"gradient of an argument.*fastnn\.grad"):
        fastnn.compile(lambda x: (x * x).sum().backward())(x)
    assert x.grad is None
    compiled = fastnn.compile(lambda x: fastnn.grad((x * x).sum(), x))
    assert compiled(x).tolist() == [2, 4] and x.grad is None


def test_state_that_a_module_replaces():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.state = fastnn.zeros(3)

        def forward(self, x):
            self.state = ops.tanh(self.state + x)
            return self.state * 2

    line = Recurrent.forward.__code__.co_firstlineno + 1
    with pytest.raises(RecordingError, match=rf":{line} in forward: Recurrent.state.*copy_"):
        fastnn.compile(Recurrent())(np.float32([1, 2, 3]))


def test_state_of_a_closure_that_is_replaced():
    h = fastnn.zeros(3)

    def step(x):
        nonlocal h
        h = ops.tanh(h + x)
        return h * 2

    with pytest.raises(RecordingError, match=r"shape \(3,\).*let go.*copy_"):
        fastnn.compile(step)(np.float32([1, 2, 3]))
    queue = [fastnn.ones(3), fastnn.ones(3)]
    with pytest.raises(RecordingError, match="let go"):
        fastnn.compile(lambda x: x + queue.pop())(np.float32([1, 2, 3]))


def test_a_graph_from_outside_that_is_used_up():
    w = Tensor([1.0, 2.0], requires_grad=True)
    loss = (w.detach().clone() * w).sum()
    with pytest.raises(RecordingError, match="let go"):
        fastnn.compile(lambda: loss.backward())()


def test_a_failed_recording_leaves_no_trace():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    optimizer = optimizers.Adam(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = losses.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def everything():
        return [
            *(v.numpy().tobytes() for v in model.state_dict().values()), fastnn.random.get_state(),
            [p.grad for p in model.parameters()], [p.requires_grad for p in model.parameters()],
            optimizer.param_groups[0].steps, fastnn.is_grad_enabled(),
            [a.tobytes() for s in optimizer.state_dict()["state"].values() for a in s.values() if a.any()],
        ]  # fmt: skip

    x, y = Tensor(np.ones((5, 4), np.float32)), Tensor([0, 1, 0, 1, 0])
    for _ in range(2):
        before = everything()
        with pytest.raises(RecordingError, match="in step"):
            fastnn.compile(step)(x, y)
        assert everything() == before
        assert np.isfinite(step(x, y))  # eagerly it goes on


def test_errors_of_the_function_pass_through():
    def step(x):
        LAYER(x)
        raise KeyError("mine")

    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            fastnn.compile(step)(np.float32([1, 2, 3]))
    with pytest.raises(ValueError, match="matmul"):
        fastnn.compile(lambda x: x @ x[:2])(np.ones((3, 3), np.float32))
    assert (Tensor([1.0]) + 1).item() == 2  # nothing records any more


def test_an_error_in_the_data_of_the_first_call_leaves_gradients_as_they_were():
    layer = nn.Linear(3, 2)

    @fastnn.compile
    def step(x, y):
        losses.cross_entropy(layer(x), y).backward()

    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="label 5 is not one of 2"):
        step(x, np.array([0, 5]))
    assert layer.weight.grad is None
    step(x, np.array([0, 1]))
    assert layer.weight.grad is not None


@pytest.mark.parametrize("read", [
    lambda x, i: x[i], lambda x, i: x[i, i], lambda x, i: ops.one_hot(i, 3), nn.Embedding(3, 2),
])  # fmt: skip
def test_an_index_out_of_range_is_an_index_error(read):
    given = () if isinstance(read, nn.Embedding) else (np.ones((3, 3), np.float32),)
    compiled = fastnn.compile(read)
    for _ in range(2):
        with pytest.raises(IndexError, match="index 7 is out of range for an axis of length 3"):
            compiled(*given, np.array([1, 7]))
        compiled(*given, np.array([1, 2]))


def test_arguments_that_cannot_be_told_apart():
    compiled = fastnn.compile(lambda x, how: x)
    with pytest.raises(TypeError, match="type set is neither a tensor nor hashable"):
        compiled(np.ones(2), {1, 2})
    seen = set()
    for value in (float("nan"), float("nan"), 0.0, -0.0, 0.0, 1, True, 1.0):
        compiled(np.ones(2), value)
        seen.add(id(compiled.latest))
    assert len(seen) == 6


DRAWS = [lambda: np.random.rand(3), lambda: np.full(3, random.random())]  # noqa: NPY002


@pytest.mark.parametrize("draw", DRAWS)
def test_random_numbers_of_others_are_warned_of(draw):
    with pytest.warns(UserWarning, match=r"test_recording_errors.py.*fastnn\.random"):
        fastnn.compile(lambda x: x + Tensor(draw(), "float32"))(np.float32([1, 2, 3]))


def test_results_that_are_no_tensors():
    compiled = fastnn.compile(lambda x, n=3: (None, n, "text", {"x": x}))
    for i in range(3):
        none, n, text, nest = compiled(np.float32([i]))
        assert (none, n, text) == (None, 3, "text") and nest["x"].item() == i
    assert fastnn.compile(lambda: None)() is None
    assert fastnn.compile(lambda x: len(x) + x.shape[1])(np.ones((2, 3))) == 5


def test_recursion_is_part_of_the_recording():
    @fastnn.compile
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    assert power(np.float32([3]), 4).item() == 81
    assert len(power.latest.program.calls) == 3


def test_threads_record_one_after_another():
    results, errors = {}, []
    inside = threading.Barrier(4)

    def work(i):
        try:
            inside.wait()
            model = nn.Linear(6, 6)
            with fastnn.no_grad():
                model.weight.fill_(i)
                model.bias.fill_(0)
            for n in range(1, 6):
                compiled = fastnn.compile(lambda x: model(model(x)).sum())
                for _ in range(3):
                    got = compiled(np.ones((n, 6), np.float32)).item()
                    results.setdefault((i, n), set()).add(got)
                eager = model(
                    model(Tensor(np.ones((n, 6), np.float32)))
                ).sum()  # while others record
                results[i, n].add(eager.item())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert results == {(i, n): {float(i * i * 36 * 6 * n)} for i in range(4) for n in range(1, 6)}
