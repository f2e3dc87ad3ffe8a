"""Arithmetic, element by element, with numpy's broadcasting.

Operands are tensors of one dtype; a Python number takes the other operand's. Each function is followed by
its derivative, written with these same functions, so that gradients have gradients of their own.
"""

from __future__ import annotations

import math
from typing import Any

from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, zeros_like
from .broadcast import sum_to
from .comparison import equal, less, less_equal, logical_and, where
from .elementary import floor, log, reciprocal, rsqrt, sqrt
from .operands import Fused, binary, fused, matched, number, run

__all__ = [
    "abs", "add", "clip", "div", "floor_divide", "maximum", "minimum", "mod", "mul", "neg", "pow", "sign",
    "square", "sub",
]  # fmt: skip

Gradients = tuple[Tensor | None, ...]


# --- two operands ---


def add(a: Any, b: Any) -> Tensor:
    """``a + b``.

    Examples
    --------
    >>> add(Tensor([1.0, 2.0]), 1)
    Tensor([2., 3.])
    """
    a, b, y = binary(op.add, "add", a, b)
    return record(y, "add", _add_backward, (a, b), (a.shape, b.shape))


def _add_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    return sum_to(dy, a) if node.needs(0) else None, sum_to(dy, b) if node.needs(1) else None


def sub(a: Any, b: Any) -> Tensor:
    """``a - b``."""
    a, b, y = binary(op.sub, "sub", a, b)
    return record(y, "sub", _sub_backward, (a, b), (a.shape, b.shape))


def _sub_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    return sum_to(dy, a) if node.needs(0) else None, neg(sum_to(dy, b)) if node.needs(1) else None


def mul(a: Any, b: Any) -> Tensor:
    """``a * b``, element by element."""
    a, b, y = binary(op.mul, "mul", a, b)
    return record(y, "mul", _mul_backward, (a, b), (a, b))


def _mul_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    return (
        sum_to(mul(dy, b), a.shape) if node.needs(0) else None,
        sum_to(mul(dy, a), b.shape) if node.needs(1) else None,
    )


def div(a: Any, b: Any) -> Tensor:
    """``a / b`` of float tensors; for integers there is `floor_divide`.

    Raises
    ------
    TypeError
        For integer tensors, whose quotient is not an integer.
    """
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.code == b.code):
        a, b = matched(a, b, "div")
    if a.code > 1:
        raise TypeError(
            f'div: {a.dtype} tensors have no true division; use a // b, or convert with x.astype("float32")'
        )
    a, b, y = binary(op.div, "div", a, b)
    return record(y, "div", _div_backward, (a, b), (a, b))


def _div_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    da = div(dy, b)
    return (
        sum_to(da, a.shape) if node.needs(0) else None,
        neg(sum_to(mul(da, div(a, b)), b.shape)) if node.needs(1) else None,
    )


def floor_divide(a: Any, b: Any) -> Tensor:
    """``a // b``: the quotient rounded down.

    Of floats it is ``floor(a / b)``, where a quotient that is rounded up to a whole number stays it:
    ``1.0 // 0.1`` is 10 here, and 9 to Python.

    Raises
    ------
    ValueError
        If an integer divisor is 0.

    Examples
    --------
    >>> floor_divide(Tensor([7, -7]), 2)
    Tensor([ 3, -4])
    """
    a, b = matched(a, b, "floor_divide")
    if a.code <= 1:
        return floor(div(a, b))
    return binary(op.floor_divide, "floor_divide", a, b)[2]


def mod(a: Any, b: Any) -> Tensor:
    """``a % b``: what `floor_divide` leaves, with b's sign.

    Of floats it is ``a - floor(a / b) * b``, which loses digits where the quotient is large.
    """
    a, b = matched(a, b, "mod")
    if a.code <= 1:
        return sub(a, mul(floor(div(a, b)), b))
    return binary(op.mod, "mod", a, b)[2]


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b; NaN where either is. Where they are equal each gets half of the gradient.

    Examples
    --------
    >>> maximum(Tensor([1.0, -2.0]), 0)
    Tensor([1., 0.])
    """
    a, b, y = binary(op.maximum, "maximum", a, b)
    return record(y, "maximum", _maximum_backward, (a, b), (a, b))


def _maximum_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    return _larger_backward(node, dy, b, a)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b; NaN where either is. Where they are equal each gets half of the gradient."""
    a, b, y = binary(op.minimum, "minimum", a, b)
    return record(y, "minimum", _minimum_backward, (a, b), (a, b))


def _minimum_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    return _larger_backward(node, dy, a, b)


def _larger_backward(node: Node, dy: Tensor, low: Tensor, high: Tensor) -> Gradients:
    """The gradient goes to the first operand where low < high, to the second where low > high."""
    a, b = node.saved
    half = mul(dy, 0.5)
    tie = equal(a, b)
    return (
        sum_to(where(tie, half, where(less(low, high), dy, 0.0)), a.shape)
        if node.needs(0)
        else None,
        sum_to(where(tie, half, where(less(high, low), dy, 0.0)), b.shape)
        if node.needs(1)
        else None,
    )


def pow(a: Any, b: Any) -> Tensor:
    """``a ** b``. A negative base needs whole exponents, else the result is NaN; ``0 ** 0`` is 1.

    Of an integer tensor, b must be a Python integer of at least 0.

    Examples
    --------
    >>> pow(Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([1., 4., 9.])
    """
    if isinstance(b, (int, float)) and isinstance(a, Tensor):
        if a.code > 1:
            return _whole_power(a, b)
        special = _POWERS.get(b)
        if special is not None:
            return special(a)
    a, b = matched(a, b, "pow")
    if a.code > 1:
        raise TypeError(
            f'pow: {a.dtype} to a tensor\'s power; convert both with x.astype("float32"), or use a number'
        )
    a, b, y = binary(op.pow, "pow", a, b)
    return record(y, "pow", _pow_backward, (a, b), (a, b), keep_output=True)


def _pow_backward(node: Node, dy: Tensor) -> Gradients:
    a, b = node.saved
    da = db = None
    if node.needs(0):
        slope = where(equal(b, 0.0), 0.0, mul(b, pow(a, sub(b, 1.0))))
        da = sum_to(mul(dy, slope), a.shape)
    if node.needs(1):
        slope = where(equal(a, 0.0), 0.0, mul(node.output, log(a)))
        db = sum_to(mul(dy, slope), b.shape)
    return da, db


def _whole_power(a: Tensor, b: float) -> Tensor:
    """By repeated squaring."""
    if isinstance(b, float) or b < 0:
        raise TypeError(
            f'pow: {a.dtype} to the power {b} is not whole; convert the base with x.astype("float32")'
        )
    number(a, "pow")
    result, power = None, a
    while b:
        if b & 1:
            result = power if result is None else mul(result, power)
        b >>= 1
        if b:
            power = square(power)
    return equal(a, a).astype(a.dtype) if result is None else mul(result, 1)


# --- one operand, any number ---


def neg(x: Any) -> Tensor:
    """``-x``."""
    x = number(x, "neg")
    return record(run(op.neg, x), "neg", _neg_backward, (x,))


def _neg_backward(node: Node, dy: Tensor) -> Gradients:
    return (neg(dy),)


def abs(x: Any) -> Tensor:
    """``|x|``; the gradient at 0 is 0."""
    x = number(x, "abs")
    return record(run(op.abs, x), "abs", _abs_backward, (x,), (x,))


def _abs_backward(node: Node, dy: Tensor) -> Gradients:
    return (mul(dy, sign(node.saved[0])),)


def sign(x: Any) -> Tensor:
    """-1, 0 or 1, and NaN for NaN; its gradient is 0."""
    x = number(x, "sign")
    return record(run(op.sign, x), "sign", _flat_backward, (x,))


def square(x: Any) -> Tensor:
    """``x * x``."""
    x = number(x, "square")
    return record(run(op.square, x), "square", _square_backward, (x,), (x,))


def _square_backward(node: Node, dy: Tensor) -> Gradients:
    return (mul(mul(dy, 2), node.saved[0]),)


def _flat_backward(node: Node, dy: Tensor) -> Gradients:
    return (zeros_like(dy),)


# --- limits ---


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """x limited to [low, high]; NaN stays NaN.

    Parameters
    ----------
    x : Tensor
    low, high : number, Tensor or None
        None is no limit. The gradient with respect to x is 1 from low to high (both included), 0 beyond.

    Raises
    ------
    ValueError
        If low is above high, or either is NaN.

    Examples
    --------
    >>> clip(Tensor([-2.0, 0.5, 2.0]), -1, 1)
    Tensor([-1. ,  0.5,  1. ])
    """
    x = number(x, "clip")
    if isinstance(low, Tensor) or isinstance(high, Tensor) or x.code > 1:
        x = x if low is None else maximum(x, low)
        return x if high is None else minimum(x, high)
    lowest = -math.inf if low is None else float(low)
    highest = math.inf if high is None else float(high)
    if not lowest <= highest:
        raise ValueError(f"clip: low must not be above high, got low={low}, high={high}")
    return fused(_CLIP, x, (lowest, highest))


def _clip_slope(x: Tensor, low: float, high: float) -> Tensor:
    inside = logical_and(less_equal(low, x), less_equal(x, high))
    return inside.astype(x.dtype)


_CLIP = Fused("clip", op.clip, op.clip_grad, _clip_slope)
_POWERS = {2: square, 0.5: sqrt, -1: reciprocal, -0.5: rsqrt}
