"""Hangs the functions of `fastnn.ops` onto Tensor: ``x.exp()`` is ``exp(x)``, ``a + b`` is ``add(a, b)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..tensor import Tensor

_OPERANDS = (Tensor, int, float, np.ndarray, np.generic, list, tuple)

# Operators whose other side may be a number or an array; something else is left to the other side's class.
BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow", "matmul": "matmul",
    "floordiv": "floor_divide", "mod": "mod", "and": "logical_and", "or": "logical_or",
    "xor": "logical_xor",
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal",
}  # fmt: skip
PLAIN = {
    "__neg__": "neg", "__abs__": "abs", "__invert__": "logical_not", "__getitem__": "getitem",
    "__setitem__": "setitem",
}  # fmt: skip
# x.name(...) is name(x, ...); `where` has its condition first and stays a function.
METHODS = (
    "abs", "all", "any", "argmax", "argmin", "astype", "broadcast_to", "chunk", "clip", "clone",
    "contiguous", "copy_", "cos", "dot", "exp", "expand_dims", "fill_", "flatten", "flip", "log",
    "log_softmax", "logsumexp", "masked_fill", "matmul", "max", "maximum", "mean", "min", "minimum",
    "permute", "pow", "prod", "reciprocal", "relu", "reshape", "rsqrt", "sigmoid", "sign", "sin",
    "softmax", "split", "sqrt", "square", "squeeze", "std", "sum", "swapaxes", "take", "tanh",
    "transpose", "unsqueeze", "var", "zero_",
)  # fmt: skip


def _binary(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, _OPERANDS):
            return function(self, other)
        return NotImplemented

    return operator


def _reflected(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, _OPERANDS):
            return function(other, self)
        return NotImplemented

    return operator


def install() -> None:
    """Set the attributes; called once, as fastnn is imported."""
    for word, name in BINARY.items():
        setattr(Tensor, f"__{word}__", _binary(getattr(ops, name)))
        setattr(Tensor, f"__r{word}__", _reflected(getattr(ops, name)))
    for word, name in COMPARISONS.items():
        setattr(Tensor, f"__{word}__", _binary(getattr(ops, name)))
    for special, name in PLAIN.items():
        setattr(Tensor, special, getattr(ops, name))
    for name in METHODS:
        setattr(Tensor, name, getattr(ops, name))
    setattr(Tensor, "T", property(ops.transpose, doc="The tensor with its axes reversed."))  # noqa: B010
