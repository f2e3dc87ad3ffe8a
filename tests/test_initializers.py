"""Starting values: ranges, moments, fans, orthogonality, repeatability, errors."""

import math
from functools import partial
from statistics import NormalDist

import numpy as np
import pytest

import fastnn
from fastnn import initializers as init
from fastnn import nn

UNIFORM = {
    "uniform": (0.0, 1.0),
    "glorot_uniform": math.sqrt(6 / 500),
    "he_uniform": math.sqrt(2) * math.sqrt(3 / 300),
    "lecun_uniform": math.sqrt(3 / 300),
}
NORMAL = {
    "normal": 1.0,
    "glorot_normal": math.sqrt(2 / 500),
    "he_normal": math.sqrt(2 / 300),
    "lecun_normal": math.sqrt(1 / 300),
}
RANDOM = [*UNIFORM, *NORMAL, "truncated_normal", "orthogonal"]


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_ones(name):
    bound = UNIFORM[name]
    low, high = bound if isinstance(bound, tuple) else (-bound, bound)
    x = getattr(init, name)((200, 300), generator=fastnn.Generator(1)).numpy()
    assert low <= x.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < x.max() <= high
    assert x.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
    assert x.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.02)


@pytest.mark.parametrize("name", NORMAL)
def test_normal_ones(name):
    std = NORMAL[name]
    x = getattr(init, name)((200, 300), generator=fastnn.Generator(1)).numpy()
    assert x.mean() == pytest.approx(0, abs=0.02 * std)
    assert x.std() == pytest.approx(std, rel=0.02)
    assert np.abs(x).max() > 3.5 * std


def test_constants():
    assert init.zeros((2,)).tolist() == [0, 0]
    assert init.ones((2,), dtype="float64").dtype == "float64"
    assert init.constant(3, 2.5).tolist() == [2.5] * 3


def test_options():
    g = partial(fastnn.Generator, 2)
    x = init.he_normal((100, 900), mode="fan_out", nonlinearity="tanh", generator=g()).numpy()
    assert x.std() == pytest.approx(5 / 3 / 10, rel=0.02)
    x = init.he_uniform((100, 900), gain=2.0, generator=g()).numpy()
    assert np.abs(x).max() == pytest.approx(2 * math.sqrt(3) / 30, rel=0.01)
    x = init.he_uniform((100, 900), a=math.sqrt(5), generator=g()).numpy()
    assert np.abs(x).max() == pytest.approx(1 / 30, rel=0.01)
    x = init.glorot_normal((100, 900), 3.0, generator=g()).numpy()
    assert x.std() == pytest.approx(3 * math.sqrt(2 / 1000), rel=0.02)
    x = init.uniform((1000,), -3, -2, generator=g()).numpy()
    assert -3 <= x.min() < x.max() <= -2
    x = init.normal((9000,), 5, 0.1, generator=g()).numpy()
    assert x.mean() == pytest.approx(5, abs=0.01)
    assert init.kaiming_uniform is init.he_uniform
    assert init.xavier_normal is init.glorot_normal


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [(0, 1, -2, 2), (1, 0.5, 0, 3), (0, 1, 5, 6), (0, 1, -9, -8), (0, 1, -40, 40), (3, 2, 2.9, 3)],
)
def test_truncated_normal(mean, std, low, high):
    x = init.truncated_normal(
        (40000,), mean, std, low, high, dtype="float64", generator=fastnn.Generator(3)
    ).numpy()
    assert low <= x.min()
    assert x.max() <= high
    grid = np.linspace(low, high, 40001)[1:-1]
    density = np.exp(
        -0.5 * (((grid - mean) / std) ** 2 - min(((g - mean) / std) ** 2 for g in grid))
    )
    density /= density.sum()
    expected = (grid * density).sum()
    spread = math.sqrt((density * (grid - expected) ** 2).sum())
    assert x.mean() == pytest.approx(expected, abs=0.03 * spread)
    assert x.std() == pytest.approx(spread, rel=0.03)


def test_normal_quantile():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 501), [1e-300, 1e-50, 0.5, 0.075, 0.925]])
    expected = [NormalDist().inv_cdf(float(q)) for q in p]
    np.testing.assert_allclose(init._normal_quantile(p), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("shape", [(5, 5), (70, 40), (40, 70), (1, 3), (8, 3, 3, 3), (100, 100)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal(shape, dtype):
    q = init.orthogonal(shape, 2.0, dtype=dtype).numpy().reshape(shape[0], -1) / 2
    gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    tolerance = 1e-13 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=tolerance)


@pytest.mark.parametrize("name", RANDOM)
def test_repeatable_and_in_place(name):
    function = getattr(init, name)
    a = function((6, 8), generator=fastnn.Generator(9)).numpy()
    layer = nn.Linear(8, 6)
    (flat,) = layer.flat()
    assert function(layer.weight, generator=fastnn.Generator(9)) is layer.weight
    np.testing.assert_array_equal(layer.weight.numpy(), a)
    start = flat.offset(layer.weight)
    np.testing.assert_array_equal(flat.data.numpy()[start : start + 48], a.ravel())
    assert layer.weight.requires_grad
    fastnn.manual_seed(4)
    b = function((6, 8)).numpy()
    assert (b != function((6, 8)).numpy()).any()
    fastnn.manual_seed(4)
    np.testing.assert_array_equal(function((6, 8)).numpy(), b)


def test_fans_and_gains():
    assert init.fans((20, 10)) == (10, 20)
    assert init.fans((64, 32, 3, 5)) == (480, 960)
    torch = pytest.importorskip("torch")
    for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_errors():
    with pytest.raises(ValueError, match=r"glorot_uniform: fans need a weight .* not \(3,\)"):
        init.glorot_uniform((3,))
    with pytest.raises(ValueError, match="is empty and has no fans"):
        init.he_normal((0, 3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', not 'fan'"):
        init.he_normal((2, 3), mode="fan")
    with pytest.raises(ValueError, match="there is no gain for 'x'"):
        init.he_normal((2, 3), nonlinearity="x")
    with pytest.raises(ValueError, match=r"low \(2\) must not be above high \(1\)"):
        init.uniform((2,), 2, 1)
    with pytest.raises(ValueError, match="std"):
        init.normal((2,), 0, -1)
    with pytest.raises(ValueError, match="low"):
        init.truncated_normal((2,), low=1, high=1)
    with pytest.raises(ValueError, match="too far from mean"):
        init.truncated_normal((2,), low=100, high=101)
    with pytest.raises(ValueError, match="at least two axes"):
        init.orthogonal((3,))
    with pytest.raises(TypeError, match="takes a shape or a Tensor, not str"):
        init.zeros("abc")
    with pytest.raises(TypeError, match="a shape is of whole numbers"):
        init.zeros((2, 2.5))
    with pytest.raises(TypeError, match="float32 or float64, not int64"):
        init.zeros((3,), dtype="int64")
    with pytest.raises(TypeError, match="of real numbers, not int64"):
        init.normal(fastnn.zeros((3,), "int64"))


def test_what_torch_draws_has_the_same_spread():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    fastnn.manual_seed(0)
    pairs = [
        (nn.Linear(200, 300), torch.nn.Linear(200, 300)),
        (nn.Embedding(200, 100), torch.nn.Embedding(200, 100)),
    ]
    for ours, theirs in pairs:
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert p.numpy().std() == pytest.approx(q.std().item(), rel=0.1)
            assert p.numpy().mean() == pytest.approx(0, abs=0.05 * float(p.numpy().std()) + 0.01)
