"""Activation functions: known values, limits, gradients of first and second order. Their accuracy is in
test_math_accuracy.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, ops

INF, NAN = math.inf, math.nan
FUNCTIONS = {
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "relu": ops.relu,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.2),
    "elu": lambda x: ops.elu(x, 1.3),
    "selu": ops.selu,
    "gelu": ops.gelu,
    "gelu_tanh": lambda x: ops.gelu(x, "tanh"),
    "silu": ops.silu,
    "mish": ops.mish,
    "softplus": lambda x: ops.softplus(x, beta=1.5),
    "hardtanh": lambda x: ops.hardtanh(x, -1.1, 0.9),
    "relu6": ops.relu6,
    "hardsigmoid": ops.hardsigmoid,
    "hardswish": ops.hardswish,
}
# at -inf, -1, 0, 1, inf; PyTorch 2's in float64, its -inf * 0 = NaN replaced by the limit
KNOWN = {
    "tanh": (-1, -0.7615941559557649, 0, 0.7615941559557649, 1),
    "sigmoid": (0, 0.2689414213699951, 0.5, 0.7310585786300049, 1),
    "relu": (0, 0, 0, 1, INF),
    "leaky_relu": (-INF, -0.2, 0, 1, INF),
    "elu": (-1.3, -0.8217567264771250, 0, 1, INF),
    "selu": (-1.7580993408473766, -1.1113307378125625, 0, 1.0507009873554805, INF),
    "gelu": (0, -0.15865525393145707, 0, 0.8413447460685429, INF),
    "gelu_tanh": (0, -0.15880800939172324, 0, 0.8411919906082768, INF),
    "silu": (0, -0.2689414213699951, 0, 0.7310585786300049, INF),
    "mish": (0, -0.30340146137410895, 0, 0.8650983882673103, INF),
    "softplus": (0, 0.13427551865516827, 0.4620981203732969, 1.1342755186551683, INF),
    "hardtanh": (-1.1, -1, 0, 0.9, 0.9),
    "relu6": (0, 0, 0, 1, 6),
    "hardsigmoid": (0, 1 / 3, 0.5, 2 / 3, 1),
    "hardswish": (0, -1 / 3, 0, 2 / 3, INF),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_known_values_and_limits(name: str, dtype: str) -> None:
    x = Tensor([-INF, -1.0, 0.0, 1.0, INF, NAN], dtype)
    y = FUNCTIONS[name](x).numpy()
    assert y.dtype == dtype
    np.testing.assert_allclose(y[:5], KNOWN[name], rtol=4 * np.finfo(dtype).eps)
    assert np.isnan(y[5])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients(name: str) -> None:
    x = Tensor(np.random.default_rng(4).uniform(-4.5, 4.5, (5, 8)), requires_grad=True)
    fastnn.gradcheck(FUNCTIONS[name], [x])

    def slope(x: Tensor) -> Tensor:
        with fastnn.enable_grad():
            x = x if x.requires_grad else Tensor(x.numpy(), requires_grad=True)
            y = FUNCTIONS[name](x)
            (g,) = fastnn.grad(y, [x], fastnn.ones_like(y), create_graph=True)
            return g * x

    fastnn.gradcheck(slope, [x], atol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_gradients_agree(name: str) -> None:
    """The fused kernel and the composed slope, also at the kinks and far out."""
    x = Tensor(np.array([-50.0, -6, -3, -1.1, -1, 0, 0.5, 0.9, 3, 6, 13.4, 50]), requires_grad=True)
    ones = fastnn.ones_like(x)
    (fused,) = fastnn.grad(FUNCTIONS[name](x), [x], ones)
    (composed,) = fastnn.grad(FUNCTIONS[name](x), [x], ones, create_graph=True)
    np.testing.assert_allclose(fused.numpy(), composed.detach().numpy(), rtol=1e-9, atol=1e-14)


def test_far_tails_do_not_cancel() -> None:
    x = Tensor([-12.0, -90.0])
    np.testing.assert_allclose(ops.gelu(x).numpy()[0], -2.1317785e-32, rtol=1e-6)
    np.testing.assert_allclose(ops.silu(x).numpy(), [-7.3730095e-05, -7.3746114e-38], rtol=1e-6)
    np.testing.assert_allclose(ops.mish(x).numpy(), [-7.3730322e-05, -7.3746114e-38], rtol=1e-6)
    np.testing.assert_allclose(ops.softplus(Tensor([-80.0])).numpy(), [1.8048513e-35], rtol=1e-6)
    np.testing.assert_allclose(ops.sigmoid(Tensor([-80.0])).numpy(), [1.8048513e-35], rtol=1e-6)


def test_kinks() -> None:
    x = Tensor([-1.0, 0.0, 1.0, 6.0], requires_grad=True)
    for function, expected in (
        (ops.relu, [0, 0, 1, 1]),
        (lambda x: ops.leaky_relu(x, 0.5), [0.5, 0.5, 1, 1]),
        (ops.hardtanh, [0, 1, 0, 0]),
        (ops.relu6, [0, 0, 1, 0]),
    ):
        (g,) = fastnn.grad(function(x), [x], fastnn.ones_like(x))
        assert g.tolist() == expected


def test_softplus_threshold() -> None:
    x = Tensor([19.0, 21.0], "float64")
    y = ops.softplus(x).numpy()
    assert y[0] > 19
    assert y[1] == 21


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda x: ops.gelu(x, "fast"), 'approximate must be "none" or "tanh"'),
        (lambda x: ops.softplus(x, beta=0.0), "beta must be finite and not 0"),
        (lambda x: ops.hardtanh(x, 1.0, 1.0), "min_val must be below max_val"),
    ],
)
def test_bad_settings(call: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call(Tensor([1.0]))  # type: ignore[operator]


def test_integers_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r'relu: expected float32 or float64, got int64.*astype\("float32"\)'
    ):
        ops.relu(Tensor([1, 2]))
