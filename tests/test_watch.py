"""log_value: one number into a log, which ends the run of calls where it is not finite."""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor
from fastnn._core import launch
from fastnn._core import ops as op
from fastnn.compiler import record


def log(values, slot, x, finite=1):
    launch(op.log_value, (values, Tensor(np.int64(slot)), x, values), (finite,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_goes_to_its_slot(dtype):
    values = fastnn.zeros(3, dtype)
    log(values, 2, Tensor(np.array([[1.25]], dtype)))
    assert values.tolist() == [0, 0, 1.25]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_is_logged_and_ends_the_run(bad, dtype):
    values = fastnn.zeros(3, dtype)
    with pytest.raises(ValueError, match="slot 1 is not finite"):
        log(values, 1, Tensor(np.array(bad, dtype)))
    np.testing.assert_array_equal(values.numpy(), [0, bad, 0])
    log(values, 2, Tensor(np.array(bad, dtype)), finite=0)
    np.testing.assert_array_equal(values.numpy(), [0, bad, bad])


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_after_it_do_not_run(threads):
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        x, steps, values = fastnn.ones(1), fastnn.zeros(1), fastnn.zeros(1)
        wide, slot = fastnn.zeros(400_000), fastnn.zeros(1, "int64")

        def step():
            x.copy_(x * 1e10)
            launch(op.log_value, (values, slot, x, values), (1,))
            wide.copy_(wide + 1.0)
            steps.copy_(steps + 1.0)

        recording = record(step)
        with pytest.raises(ValueError, match="not finite"):
            recording.run_many(10)
        assert steps.item() == 3
        assert wide.numpy().min() == wide.numpy().max() == 3
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize(
    "values, slot, x, error",
    [
        (np.zeros(3, np.float32), np.int64(3), np.float32(1), ValueError),
        (np.zeros(3, np.float32), np.int64(-1), np.float32(1), ValueError),
        (np.zeros(3, np.float32), np.int64(0), np.ones(1), TypeError),
        (np.zeros(3, np.int64), np.int64(0), np.int64(1), TypeError),
        (np.zeros(3, np.float32), np.int32(0), np.float32(1), TypeError),
        (np.zeros(3, np.float32), np.int64(0), np.zeros(2, np.float32), ValueError),
        (np.zeros((3, 1), np.float32), np.int64(0), np.float32(1), ValueError),
        (np.zeros(6, np.float32)[::2], np.int64(0), np.float32(1), ValueError),
    ],
)
def test_what_is_refused(values, slot, x, error):
    values = Tensor(values)
    with pytest.raises(error):
        launch(op.log_value, (values, Tensor(slot), Tensor(x), values), (1,))
    assert not values.numpy().any()


def test_in_place_only():
    with pytest.raises(ValueError, match="in place"):
        launch(
            op.log_value,
            (fastnn.zeros(3), Tensor(np.int64(0)), fastnn.ones(1), fastnn.zeros(3)),
            (0,),
        )
