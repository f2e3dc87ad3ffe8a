"""What tests of compiled functions share: data, a training step, and comparing results bit for bit."""

import numpy as np

import fastnn
from fastnn import Tensor, losses


def data(*shape, seed=0, dtype="float32"):
    """Normal numbers, the same ones each time."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def train_step(model, optimizer, loss_of=losses.cross_entropy):
    """A function of (x, y) that does one and returns its loss."""

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def flat(value):
    """The arrays of a nest of results."""
    if isinstance(value, Tensor):
        return [value.numpy()]
    if isinstance(value, dict):
        return flat(list(value.values()))
    items = value if isinstance(value, (list, tuple)) else ()
    return [array for item in items for array in flat(item)]


def check_same(got, want, where=""):
    """Assert that nests of results are the same."""
    got, want = flat(got), flat(want)
    assert len(got) == len(want) > 0, where
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, where
        np.testing.assert_array_equal(a, b, err_msg=where)


def names(program):
    """The names of a program's calls."""
    return [call.name for call in program.calls]


def programs_with_and_without(function, arguments, passes):
    """A function's program and the one made without some passes; both give the same bits from one seed."""
    made, programs = [], []
    for without in ((), passes):
        compiled = fastnn.compile(function, without=without)
        for _ in range(2):  # recorded, then replayed
            fastnn.manual_seed(7)
            results = compiled(*arguments)
        made.append([y.numpy() for y in (results if isinstance(results, tuple) else (results,))])
        programs.append(compiled.latest.program)
    for a, b in zip(*made, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
        assert a.tobytes() == b.tobytes()
    return programs
