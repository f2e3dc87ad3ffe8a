"""The pass that takes the gradient of ReLU at the windows of the pooling behind it: same bits, fewer passes."""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, _core
from fastnn._core import ops as op


def images(seed=0, nan=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 11, 12, 6)).astype("float32")
    x[rng.random(x.shape) < 0.3] = -0.0
    if nan:
        x[0, 2:4, 3, 1] = np.nan
    return x.transpose(0, 3, 1, 2)


def compiled(network, without=(), arguments=None):
    """Loss and gradients of a step after compiling, and the ops that it has."""
    scale = Tensor(np.linspace(-1, 2, 6, dtype="float32")[:, None, None], requires_grad=True)

    def step(x):
        scale.grad = None
        loss = network(x * scale).square().mean()
        loss.backward()
        return loss, scale.grad

    call = fastnn.compile(step, without=without)
    found = [
        t.numpy().tobytes() for t in call(Tensor(images() if arguments is None else arguments))
    ]
    return found, [c.op for c in call.latest.program.calls]


NETWORKS = {
    "apart": lambda x: fastnn.max_pool2d(fastnn.relu(x), 2),
    "overlapping": lambda x: fastnn.max_pool2d(fastnn.relu(x), 3, 2, 1),
    "stride-1": lambda x: fastnn.max_pool2d(fastnn.relu(x), 3, 1, 1),
    "large": lambda x: fastnn.max_pool2d(fastnn.relu(x), (11, 12)),
    "adaptive": lambda x: fastnn.adaptive_max_pool2d(fastnn.relu(x), 5),
    "twice": lambda x: fastnn.max_pool2d(
        fastnn.relu(fastnn.max_pool2d(fastnn.relu(x), 2) - 0.1), 2
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("nan", [False, True])
def test_same_bits_with_one_pass_less(name, nan):
    x = images(nan=nan)
    want, before = compiled(NETWORKS[name], ("pools", "chain", "epilogue"), x)
    got, after = compiled(NETWORKS[name], ("chain", "epilogue"), x)
    assert got == want
    relus = before.count(op.relu_grad)
    assert relus == (2 if name == "twice" else 1) and op.relu_grad not in after
    assert len(after) == len(before) - relus


OTHERS = {
    # ReLU's result has a second gradient: that of its sum
    "skip": lambda x: (lambda y: fastnn.max_pool2d(y, 2).sum() + (y * y).sum())(fastnn.relu(x)),
    "average": lambda x: fastnn.avg_pool2d(fastnn.relu(x), 2),
    "tanh": lambda x: fastnn.max_pool2d(fastnn.tanh(x), 2),
    "between": lambda x: fastnn.max_pool2d(fastnn.relu(x) * 2, 2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_gradients_stay_as_they_are(name):
    want, before = compiled(OTHERS[name], ("pools", "chain", "epilogue"))
    got, after = compiled(OTHERS[name], ("chain", "epilogue"))
    assert got == want and after == before


def test_less_memory_is_kept():
    network = NETWORKS["apart"]
    x = (
        np.random.default_rng(0)
        .normal(size=(8, 24, 24, 16))
        .astype("float32")
        .transpose(0, 3, 1, 2)
    )
    weight = Tensor(np.ones((16, 1, 1), "float32"), requires_grad=True)

    def step(x):
        weight.grad = None
        network(x * weight).sum().backward()
        return weight.grad

    peaks = []
    for without in (("pools",), ()):
        call = fastnn.compile(step, without=without)
        call(Tensor(x))
        peaks.append(call.latest.footprint.peak)
    assert peaks[1] < peaks[0]


def test_places_that_are_no_longer_alone():
    """A pooling whose places two gradients read is masked for both, or for none."""

    def twice(x):
        y = fastnn.relu(x)
        pooled = fastnn.max_pool2d(y, 2)
        first, second = pooled.sum(), (pooled * pooled).sum()
        (one,) = fastnn.grad([first], [x], retain_graph=True)
        (two,) = fastnn.grad([second], [x])
        return one, two

    x = Tensor(images(), requires_grad=True)
    want = [t.numpy().tobytes() for t in twice(x)]
    call = fastnn.compile(twice)
    assert [t.numpy().tobytes() for t in call(Tensor(images(), requires_grad=True))] == want
    assert _core.ops.max_pool_grad in [c.op for c in call.latest.program.calls]
