"""What tests of compiled functions share: a training step, and comparing results bit for bit."""

import numpy as np

from fastnn import Tensor, losses


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
