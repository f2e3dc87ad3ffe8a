"""softmax and its logarithm along an axis."""

from __future__ import annotations

from typing import Any

from .._core import empty, launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..tensor import Tensor, as_tensor
from .copying import contiguous
from .layout import as_it_lies, permuted, put_back
from .reduce import sum

__all__ = ["log_softmax", "softmax"]

Gradients = tuple[Tensor | None, ...]


def _prepared(x: Any, axis: int, name: str) -> tuple[Tensor, int]:
    """X as a float tensor, and the axis counted from 0."""
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    if x.code > 1:
        raise TypeError(
            f'{name}: expected a float tensor, got {x.dtype}; convert it with x.astype("float32")'
        )
    n = x.ndim
    if not isinstance(axis, int):
        raise TypeError(f"{name}: axis is an integer, got {axis!r}")
    if not -n <= axis < n:
        raise ValueError(f"{name}: axis {axis} is out of range for a tensor of shape {x.shape}")
    return x, axis % n


def _along(code: int, x: Tensor, axis: int) -> Tensor:
    """The op along an axis of x as it lies in memory."""
    lies, order = as_it_lies(x)
    y: Tensor = empty(Tensor, lies.shape, x.code)
    launch(code, (lies, y), (axis if order is None else order.index(axis),))
    return put_back(y, order)


def _along_grad(code: int, y: Tensor, dy: Tensor, axis: int) -> Tensor:
    lies, order = as_it_lies(y)
    if order is not None:
        dy, axis = permuted(dy, order), order.index(axis)
    dx: Tensor = empty(Tensor, lies.shape, y.code)
    launch(code, (contiguous(lies), dy, dx), (axis,))
    return put_back(dx, order)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis: positive numbers that add up to 1.

    Parameters
    ----------
    x : Tensor
        Logits; any size of number is safe.
    axis : int, default -1

    Examples
    --------
    >>> softmax(Tensor([[0.0, 0.0], [1000.0, 0.0]]))
    Tensor([[0.5, 0.5],
            [1. , 0. ]])
    """
    x, axis = _prepared(x, axis, "softmax")
    y = _along(op.softmax, x, axis)
    return record(y, "softmax", _softmax_backward, (x,), (axis,), keep_output=True)


def _softmax_backward(node: Node, dy: Tensor) -> Gradients:
    (axis,), y = node.saved, node.output
    if is_grad_enabled():
        return (y * (dy - sum(y * dy, axis, keepdims=True)),)
    return (_along_grad(op.softmax_grad, y, dy, axis),)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """The logarithm of `softmax`, right where softmax itself would be 0.

    Examples
    --------
    >>> log_softmax(Tensor([1000.0, 0.0]))
    Tensor([    0., -1000.])
    """
    x, axis = _prepared(x, axis, "log_softmax")
    y = _along(op.log_softmax, x, axis)
    return record(y, "log_softmax", _log_softmax_backward, (x,), (axis,), keep_output=True)


def _log_softmax_backward(node: Node, dy: Tensor) -> Gradients:
    (axis,), y = node.saved, node.output
    if is_grad_enabled():
        return (dy - y.exp() * sum(dy, axis, keepdims=True),)
    return (_along_grad(op.log_softmax_grad, y, dy, axis),)
