"""Compiled functions, predictions, profiles and the command line used wrongly: what the errors say."""

import copy
import math
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, Trainer, nn, profiler
from fastnn.__main__ import main

X = np.ones((5, 4), np.float32)


def double(x):
    return x * 2


class Sum(nn.Module):
    def forward(self, x, y):
        return x + y


def wrong(error, message):
    return pytest.raises(error, match=message)


@pytest.mark.parametrize("function", [3, "step", [double]], ids=repr)
def test_what_cannot_be_called(function):
    with wrong(TypeError, f"compile: expected a function, got {type(function).__name__}"):
        fastnn.compile(function)
    with wrong(TypeError, f"profile: expected a function or module, got {type(function).__name__}"):
        fastnn.profile(function)


def test_dtypes_that_no_kernel_has_are_named():
    x, y = Tensor(X), Tensor(X.astype(np.int64))
    with wrong(TypeError, r"neg: .*\(dtypes: float32, int64\)"):
        fastnn._core.launch(fastnn._core.ops.neg, (x, y))


@pytest.mark.parametrize(
    ("limit", "error", "message"),
    [
        ("lots", ValueError, "memory_limit: 'lots' is no size; write bytes, or \"512 MB\""),
        ("512 XB", ValueError, "'512 XB' is no size"),
        ("-5 MB", ValueError, "'-5 MB' is no size"),
        (-1, ValueError, "memory_limit must be a number of bytes from 0 on, got -1"),
        (math.inf, ValueError, "from 0 on, got inf"),
        (math.nan, ValueError, "from 0 on, got nan"),
        ([1], TypeError, r"memory_limit must be bytes or a text such as \"512 MB\", not \[1\]"),
        (True, TypeError, "not True"),
    ],
)
def test_a_limit_that_is_none(limit, error, message):
    with wrong(error, message):
        fastnn.compile(double, memory_limit=limit)


@pytest.mark.parametrize(
    ("without", "error", "message"),
    [
        (("chian",), ValueError, "no pass is named 'chian'; there are .*chain"),
        ((3, [4]), ValueError, r"no pass is named 3, \[4\]"),
        ("chain", TypeError, r"names of passes, as \(\"chain\",\); got 'chain'"),
        (3, TypeError, "names of passes, .* got 3"),
    ],
)
def test_passes_that_there_are_not(without, error, message):
    with wrong(error, message):
        fastnn.compile(double, without=without)


def test_other_numbers_of_arguments():
    compiled = fastnn.compile(double)
    for _ in range(2):  # before and after there is a recording
        with wrong(TypeError, r"double\(\) takes 1 positional argument but 2 were given"):
            compiled(X, X)
        with wrong(TypeError, r"double\(\) missing 1 required positional argument: 'x'"):
            compiled()
        with wrong(TypeError, r"double\(\) got an unexpected keyword argument 'y'"):
            compiled(y=X)
        assert compiled(X).numpy().tolist() == (X * 2).tolist()


def test_a_recording_called_with_something_else():
    recording = fastnn.compile(double).prepare(X)
    assert recording(X).shape == (5, 4)
    with wrong(
        TypeError, r"a recording for float32 \(5, 4\) was called with float64 \(5, 4\), str"
    ):
        recording(X.astype(np.float64), "x")
    with wrong(TypeError, "called with no arguments; call the compiled function"):
        recording()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, "run_many: repeats is -1; it must be at least 0"),
        ((1.5,), TypeError, "run_many: repeats is 1.5; it must be a whole number"),
        (("2",), TypeError, "run_many: repeats is '2'; it must be a whole number"),
        ((2, -1), ValueError, "seconds is -1; it must be a finite number of seconds from 0 on"),
        ((2, math.nan), ValueError, "seconds is nan"),
        ((2, "1"), TypeError, "seconds is '1'; it must be a number of seconds"),
    ],
)
def test_runs_that_cannot_be(arguments, error, message):
    count = fastnn.zeros(1)
    recording = fastnn.compile(lambda: count.copy_(count + 1)).prepare()
    with wrong(error, message):
        recording.run_many(*arguments)
    assert count.item() == 0
    assert recording.run_many(0) == 0 and recording.run_many(np.int64(2)) == 2
    assert count.item() == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"repeats": 0}, ValueError, "profile: repeats is 0; it must be at least 1"),
        ({"repeats": "x"}, TypeError, "profile: repeats is 'x'; it must be a whole number"),
        ({"seconds": -1}, ValueError, "profile: seconds is -1"),
        ({"seconds": "x"}, TypeError, "profile: seconds is 'x'; it must be a number of seconds"),
    ],
)
def test_profiles_that_cannot_be(options, error, message):
    with wrong(error, message):
        fastnn.profile(double, X, **options)


def test_tables_that_there_are_not():
    found = fastnn.profile(double, X, repeats=1)
    with wrong(ValueError, '"layer" or "op", not \'time\''):
        found.table("time")
    with wrong(ValueError, "table: top is 0; it must be at least 1"):
        found.table(top=0)
    with wrong(TypeError, "table: top is 'all'; it must be a whole number"):
        found.table(top="all")


def test_inputs_that_a_model_cannot_take():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    for _ in range(3):  # eager, recorded, and replayed
        assert model.predict(X).shape == (5, 3)
        with wrong(ValueError, r"linear: x has 3 features but weight expects 4"):
            model.predict(X[:, :3])
        with wrong(TypeError, r"float64 and float32 do not mix; convert one"):
            model.predict(X.astype(np.float64))
        with wrong(TypeError, "need float32 or float64, got int64"):
            model.predict(X.astype(np.int64))
    for size, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("a", TypeError)):
        with wrong(error, f"predict: batch_size is {size!r}; it must be "):
            model.predict(X, batch_size=size)
    assert model.predict(X, batch_size=np.int64(2)).shape == (5, 3)
    with wrong(ValueError, r"the same number of rows, got shapes \(5, 4\), \(4, 4\)"):
        Sum().predict(X, X[:4], batch_size=2)


def test_flags_of_a_trainer():
    model = nn.Linear(4, 3)
    with wrong(TypeError, "Trainer: compile must be True or False, got 'yes'"):
        Trainer(model, loss="mse", compile="yes")
    trainer = Trainer(model, loss="mse", compile=np.bool_(False))
    with wrong(TypeError, "Trainer: profile must be True or False, got 'yes'"):
        trainer.fit(X, X[:, :3], profile="yes")


@pytest.mark.parametrize(
    ("line", "usage", "message"),
    [
        ("bench --what", "python -m fastnn bench [-h] [--quick]", "unrecognized arguments: --what"),
        ("info now", "python -m fastnn info", "unrecognized arguments: now"),
        ("benhc", "python -m fastnn", "choose from"),
    ],
)
def test_commands(capsys, line, usage, message):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert usage in told and message in told


def test_copies_of_compiled_functions_record_for_themselves():
    compiled = fastnn.compile(nn.Linear(4, 3), without=("chain",))
    want = compiled(X).numpy().tolist()
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert repr(other).endswith("0 recordings)")
        assert other(X).numpy().tolist() == want
        other.weight.detach().fill_(0)
        assert other(X).numpy().tolist() != want == compiled(X).numpy().tolist()


def test_what_is_not_there_yet():
    compiled = fastnn.compile(double)
    assert compiled.latest is None and compiled.show() == "not recorded yet"
    with wrong(TypeError, "scope: name must be a string, not int"):
        fastnn.scope(3)
    with profiler.watch() as watched:
        compiled(Tensor(X))
    with wrong(FileNotFoundError, "no folder '/nowhere'"):
        watched.profile.save_trace("/nowhere/trace.json")
