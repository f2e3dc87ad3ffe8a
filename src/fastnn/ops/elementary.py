"""Elementary functions of float tensors, element by element.

Each is followed by its derivative, written with differentiable functions, so that gradients have gradients
of their own.
"""

from __future__ import annotations

import math
from typing import Any

from .._core import ops as op
from ..autograd import Node
from ..tensor import Tensor, zeros_like
from .operands import unary

__all__ = [
    "ceil", "cos", "erf", "exp", "expm1", "floor", "log", "log1p", "reciprocal", "round", "rsqrt", "sin",
    "sqrt",
]  # fmt: skip


def reciprocal(x: Any) -> Tensor:
    """``1 / x``."""
    return unary(op.reciprocal, "reciprocal", x, _reciprocal_backward, keep_output=True)


def _reciprocal_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (-(dy * (node.output * node.output)),)


def floor(x: Any) -> Tensor:
    """The largest whole number not above x; its gradient is 0."""
    return unary(op.floor, "floor", x, _flat_backward)


def ceil(x: Any) -> Tensor:
    """The smallest whole number not below x; its gradient is 0."""
    return unary(op.ceil, "ceil", x, _flat_backward)


def round(x: Any) -> Tensor:
    """The nearest whole number, the even one of two as near; its gradient is 0."""
    return unary(op.round, "round", x, _flat_backward)


def sqrt(x: Any) -> Tensor:
    """The square root; NaN below 0."""
    return unary(op.sqrt, "sqrt", x, _sqrt_backward, keep_output=True)


def _sqrt_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy * 0.5 / node.output,)


def rsqrt(x: Any) -> Tensor:
    """``1 / sqrt(x)``."""
    return unary(op.rsqrt, "rsqrt", x, _rsqrt_backward, keep_output=True)


def _rsqrt_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    y = node.output
    return (dy * -0.5 * (y * y * y),)


def exp(x: Any) -> Tensor:
    """e to the power of x.

    Examples
    --------
    >>> exp(Tensor([0.0, 1.0]))
    Tensor([1.       , 2.7182817])
    """
    return unary(op.exp, "exp", x, _exp_backward, keep_output=True)


def _exp_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy * node.output,)


def expm1(x: Any) -> Tensor:
    """``exp(x) - 1``, exact for small x."""
    return unary(op.expm1, "expm1", x, _expm1_backward)


def _expm1_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy * exp(node.saved[0]),)


def log(x: Any) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below."""
    return unary(op.log, "log", x, _log_backward)


def _log_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy / node.saved[0],)


def log1p(x: Any) -> Tensor:
    """``log(1 + x)``, exact for small x."""
    return unary(op.log1p, "log1p", x, _log1p_backward)


def _log1p_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy / (node.saved[0] + 1),)


def erf(x: Any) -> Tensor:
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0 to x."""
    return unary(op.erf, "erf", x, _erf_backward)


def _erf_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    x = node.saved[0]
    return (dy * (2 / math.sqrt(math.pi)) * exp(-(x * x)),)


def sin(x: Any) -> Tensor:
    """The sine of x in radians."""
    return unary(op.sin, "sin", x, _sin_backward)


def _sin_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy * cos(node.saved[0]),)


def cos(x: Any) -> Tensor:
    """The cosine of x in radians."""
    return unary(op.cos, "cos", x, _cos_backward)


def _cos_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (-(dy * sin(node.saved[0])),)


def _flat_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (zeros_like(dy),)
