"""Activation functions.

Each is a row of the table below: a kernel for its value, one for its gradient, and its slope composed of
differentiable functions, for when the backward pass is itself recorded (see `Fused`).
"""

from __future__ import annotations

import math
from typing import Any

from .._core import ops as op
from ..tensor import Tensor
from .arithmetic import add, clip, div, mul, square, sub
from .comparison import greater, greater_equal, less, less_equal, logical_and, where
from .elementary import erf, exp
from .operands import Fused, fused

__all__ = [
    "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish", "relu", "relu6", "selu",
    "sigmoid", "silu", "softplus", "tanh",
]  # fmt: skip


# --- slopes, of the input or where the row says so of the output ---


def _ones_where(mask: Tensor, like: Tensor, otherwise: float = 0.0) -> Tensor:
    """1 where the mask holds, else another number, in like's dtype."""
    ones = mask.astype(like.dtype)
    return ones if otherwise == 0.0 else add(mul(ones, 1.0 - otherwise), otherwise)


def _tanh_slope(y: Tensor) -> Tensor:
    return sub(1.0, square(y))


def _sigmoid_slope(y: Tensor) -> Tensor:
    return mul(y, sub(1.0, y))


def _relu_slope(y: Tensor) -> Tensor:
    return _ones_where(greater(y, 0.0), y)


def _leaky_relu_slope(x: Tensor, slope: float) -> Tensor:
    return _ones_where(greater(x, 0.0), x, slope)


def _elu_slope(x: Tensor, alpha: float) -> Tensor:
    return where(greater(x, 0.0), 1.0, mul(exp(clip(x, None, 0.0)), alpha))


_SELU_SCALE, _SELU_ALPHA = (
    1.0507009873554805,
    1.6732632423543772,
)  # Klambauer et al. 2017, equation 14


def _selu_slope(x: Tensor) -> Tensor:
    return mul(_elu_slope(x, _SELU_ALPHA), _SELU_SCALE)


def _gelu_slope(x: Tensor) -> Tensor:
    phi = mul(exp(mul(square(x), -0.5)), 1 / math.sqrt(2 * math.pi))
    return add(mul(add(erf(mul(x, math.sqrt(0.5))), 1.0), 0.5), mul(x, phi))


def _gelu_tanh_slope(x: Tensor) -> Tensor:
    scale = 2 * math.sqrt(2 / math.pi)
    s = sigmoid(mul(mul(x, add(mul(square(x), 0.044715), 1.0)), scale))
    inner = mul(add(mul(square(x), 3 * 0.044715), 1.0), scale)
    return add(s, mul(mul(x, inner), mul(s, sub(1.0, s))))


def _silu_slope(x: Tensor) -> Tensor:
    s = sigmoid(x)
    return mul(s, add(mul(x, sub(1.0, s)), 1.0))


def _mish_slope(x: Tensor) -> Tensor:
    t = tanh(softplus(x))
    return add(t, mul(mul(x, sub(1.0, square(t))), sigmoid(x)))


def _softplus_slope(x: Tensor, beta: float, threshold: float) -> Tensor:
    return where(greater(mul(x, beta), threshold), 1.0, sigmoid(mul(x, beta)))


def _hardtanh_slope(x: Tensor, low: float, high: float) -> Tensor:
    return _ones_where(logical_and(greater(x, low), less(x, high)), x)


def _hardsigmoid_slope(x: Tensor) -> Tensor:
    return div(_hardtanh_slope(x, -3.0, 3.0), 6.0)


def _hardswish_slope(x: Tensor) -> Tensor:
    ramp = add(div(x, 3.0), 0.5)
    return where(less_equal(x, -3.0), 0.0, where(greater_equal(x, 3.0), 1.0, ramp))


_TANH = Fused("tanh", op.tanh, op.tanh_grad, _tanh_slope, from_output=True)
_SIGMOID = Fused("sigmoid", op.sigmoid, op.sigmoid_grad, _sigmoid_slope, from_output=True)
_RELU = Fused("relu", op.relu, op.relu_grad, _relu_slope, from_output=True)
_LEAKY_RELU = Fused("leaky_relu", op.leaky_relu, op.leaky_relu_grad, _leaky_relu_slope)
_ELU = Fused("elu", op.elu, op.elu_grad, _elu_slope)
_SELU = Fused("selu", op.selu, op.selu_grad, _selu_slope)
_GELU = Fused("gelu", op.gelu, op.gelu_grad, _gelu_slope)
_GELU_TANH = Fused("gelu", op.gelu_tanh, op.gelu_tanh_grad, _gelu_tanh_slope)
_SILU = Fused("silu", op.silu, op.silu_grad, _silu_slope)
_MISH = Fused("mish", op.mish, op.mish_grad, _mish_slope)
_SOFTPLUS = Fused("softplus", op.softplus, op.softplus_grad, _softplus_slope)
_HARDTANH = Fused("hardtanh", op.clip, op.hardtanh_grad, _hardtanh_slope)
_HARDSIGMOID = Fused("hardsigmoid", op.hardsigmoid, op.hardsigmoid_grad, _hardsigmoid_slope)
_HARDSWISH = Fused("hardswish", op.hardswish, op.hardswish_grad, _hardswish_slope)


# --- the functions ---


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent.

    Examples
    --------
    >>> tanh(Tensor([-100.0, 0.0]))
    Tensor([-1.,  0.])
    """
    return fused(_TANH, x)


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> sigmoid(Tensor([-200.0, 0.0]))
    Tensor([0. , 0.5])
    """
    return fused(_SIGMOID, x)


def relu(x: Any) -> Tensor:
    """``max(x, 0)``; NaN stays NaN, and the gradient at 0 is 0.

    Examples
    --------
    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return fused(_RELU, x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x above 0, ``negative_slope * x`` below."""
    return fused(_LEAKY_RELU, x, (float(negative_slope),))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016)."""
    return fused(_ELU, x, (float(alpha),))


def selu(x: Any) -> Tensor:
    """``scale * elu(x, alpha)``, which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return fused(_SELU, x)


def gelu(x: Any, approximate: str = "none") -> Tensor:
    """``x * Phi(x)``, Phi the normal distribution function (Hendrycks & Gimpel 2016).

    Parameters
    ----------
    x : Tensor
    approximate : {"none", "tanh"}
        "tanh" is ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``. Both are right far out in the
        tail, where the textbook forms cancel to 0.

    Raises
    ------
    ValueError
        For another ``approximate``.

    Examples
    --------
    >>> gelu(Tensor([-10.0, 0.0, 1.0])).numpy().round(4).tolist()
    [-0.0, 0.0, 0.8413000106811523]
    """
    if approximate == "none":
        return fused(_GELU, x)
    if approximate == "tanh":
        return fused(_GELU_TANH, x)
    raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')


def silu(x: Any) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Elfwing et al. 2017)."""
    return fused(_SILU, x)


def mish(x: Any) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    return fused(_MISH, x)


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``; x itself where ``beta * x`` is above the threshold.

    Raises
    ------
    ValueError
        If beta is 0 or not finite.
    """
    if not (math.isfinite(beta) and beta != 0):
        raise ValueError(f"softplus: beta must be finite and not 0, got {beta}")
    return fused(_SOFTPLUS, x, (float(beta), float(threshold)))


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]; unlike `clip`'s, the gradient at either end is 0.

    Raises
    ------
    ValueError
        If min_val is not below max_val.
    """
    if not min_val < max_val:
        raise ValueError(f"hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
    return fused(_HARDTANH, x, (float(min_val), float(max_val)))


def relu6(x: Any) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return fused(_HARDTANH, x, (0.0, 6.0))


def hardsigmoid(x: Any) -> Tensor:
    """``relu6(x + 3) / 6`` (Howard et al. 2019)."""
    return fused(_HARDSIGMOID, x)


def hardswish(x: Any) -> Tensor:
    """``x * relu6(x + 3) / 6`` (Howard et al. 2019)."""
    return fused(_HARDSWISH, x)
