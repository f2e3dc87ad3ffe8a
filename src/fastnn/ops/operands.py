"""What pointwise functions share: what their operands may be, and how their gradients are found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, empty_for, launch
from ..autograd import Node, is_grad_enabled, record
from ..dtypes import BY_CODE, float32, int64
from ..tensor import Tensor, as_tensor
from .broadcast import broadcast_shapes

__all__: list[str] = []

BOOL = 5  # dtype codes; 0 and 1 are the floats
_INT_LIMITS = {2: (-(2**63), 2**63 - 1), 3: (-(2**31), 2**31 - 1), 4: (0, 255)}
_NUMBERS = (int, float, np.number, np.bool_)
_constants: dict[tuple[Any, int], Tensor] = {}


def constant(value: float, code: int) -> Tensor:
    """A tensor without axes that holds value, in the dtype of that code. Shared: not to be written."""
    key = (value, code)
    found = _constants.get(key)
    if found is not None and (value != 0 or math.copysign(1, value) > 0):
        return found
    number = np.array(value, BY_CODE[code].numpy)
    number.flags.writeable = False  # which tells the compiler that it stays what it is
    made = Tensor(number)
    if value == value and (value != 0 or math.copysign(1, value) > 0):
        if len(_constants) >= 256:
            _constants.clear()
        _constants[key] = made
    return made


def number_as(value: Any, code: int, name: str) -> Tensor:
    """A Python number beside a tensor takes the tensor's dtype, where that can hold it."""
    if isinstance(value, (np.number, np.bool_)):
        value = value.item()
    if code <= 1:
        return constant(float(value), code)
    if code == BOOL:
        if not isinstance(value, bool):
            raise TypeError(
                f'{name}: a bool tensor and the number {value}; convert the tensor with x.astype("int64") or '
                'x.astype("float32")'
            )
        return constant(value, code)
    if isinstance(value, float):
        raise TypeError(
            f"{name}: {BY_CODE[code]} and the float {value}; convert the tensor with "
            'x.astype("float32") or the number with int(...)'
        )
    low, high = _INT_LIMITS[code]
    if not low <= value <= high:
        raise OverflowError(
            f"{name}: {value} is out of range for {BY_CODE[code]} ({low} to {high})"
        )
    return constant(int(value), code)


def matched(a: Any, b: Any, name: str) -> tuple[Tensor, Tensor]:
    """Both operands as tensors of one dtype, or a TypeError that says how to convert."""
    if not isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            if isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS):
                kind = float32 if isinstance(a, float) or isinstance(b, float) else int64
                return number_as(a, kind.code, name), number_as(b, kind.code, name)
            a = as_tensor(a) if not isinstance(a, _NUMBERS) else a
            b = as_tensor(b) if not isinstance(b, _NUMBERS) else b
            return matched(a, b, name)
        if isinstance(a, _NUMBERS):
            return number_as(a, b.code, name), b
        a = as_tensor(a)
    elif not isinstance(b, Tensor):
        if isinstance(b, _NUMBERS):
            return a, number_as(b, a.code, name)
        b = as_tensor(b)
    if a.code != b.code:
        target = (
            "float64"
            if {a.code, b.code} == {0, 1}
            else "float32"
            if min(a.code, b.code) <= 1
            else "int64"
        )
        other = ' or x.astype("float32")' if {a.code, b.code} == {0, 1} else ""
        raise TypeError(
            f'{name}: {a.dtype} and {b.dtype} do not mix; convert one with x.astype("{target}"){other}'
        )
    return a, b


def binary(code: int, name: str, a: Any, b: Any) -> tuple[Tensor, Tensor, Tensor]:
    """a and b as tensors of one dtype, and the op's result of that dtype."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.code == b.code):
        a, b = matched(a, b, name)
    kind = a.code
    if kind == BOOL:
        raise TypeError(
            f'{name}: bool tensors have no arithmetic; convert with x.astype("int64") or x.astype("float32")'
        )
    shape = a.shape
    if shape != b.shape:
        shape = broadcast_shapes(shape, b.shape, name)
    y = empty_for(Tensor, shape, kind, a, b)
    launch(code, (a, b, y))
    return a, b, y


def number(x: Any, name: str) -> Tensor:
    """x as a tensor that has arithmetic: any dtype but bool."""
    if not isinstance(x, Array):
        x = as_tensor(x)
    if x.code == BOOL:
        raise TypeError(f'{name}: bool tensors have no arithmetic; convert with x.astype("int64")')
    return x


def real(x: Any, name: str) -> Tensor:
    """x as a float tensor."""
    if not isinstance(x, Array):
        x = as_tensor(x)
    if x.code > 1:
        raise TypeError(
            f'{name}: expected float32 or float64, got {x.dtype}; convert with x.astype("float32")'
        )
    return x


def run(code: int, x: Tensor, scalars: tuple[float, ...] = ()) -> Tensor:
    """The unary op's result, of x's shape and dtype."""
    y = empty_for(Tensor, x.shape, x.code, x)
    launch(code, (x, y), scalars)
    return y


def unary(code: int, name: str, x: Any, rule: Any, keep_output: bool = False) -> Tensor:
    """A float function of one float tensor, recorded with x saved, or its output instead."""
    x = real(x, name)
    y = empty_for(Tensor, x.shape, x.code, x)
    launch(code, (x, y))
    return record(y, name, rule, (x,), () if keep_output else (x,), keep_output)


class Fused(NamedTuple):
    """A function of one float tensor with a kernel for its value and one for its gradient.

    When the backward pass is itself recorded (``create_graph=True``), the slope is used instead of the
    gradient kernel: it is composed of differentiable functions, so gradients of every order exist.
    """

    name: str
    value: int  # op: x, scalars -> y
    gradient: int  # op: x (y when from_output), dy, scalars -> dx
    slope: Callable[..., Tensor]  # of x (y when from_output) and the scalars
    from_output: bool = False


def fused(kind: Fused, x: Any, scalars: tuple[float, ...] = ()) -> Tensor:
    """The function's value, recorded."""
    x = real(x, kind.name)
    y = empty_for(Tensor, x.shape, x.code, x)
    launch(kind.value, (x, y), scalars)
    if kind.from_output:
        return record(y, kind.name, _fused_backward, (x,), (kind, None, scalars), True)
    return record(y, kind.name, _fused_backward, (x,), (kind, x, scalars))


def _fused_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    kind, x, scalars = node.saved
    if x is None:
        x = node.output
    if is_grad_enabled():
        return (dy * kind.slope(x, *scalars),)
    dx = empty_for(Tensor, dy.shape, dy.code, x, dy)
    launch(kind.gradient, (x, dy, dx), scalars)
    return (dx,)
