"""Products of matrices and vectors. Transposes are views: the C side reads through strides.

`_times` and `_gram` are each other's gradients, so gradients of any order stay matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np

from .._core import launch, product
from .._core import ops as op
from ..autograd import Node, record
from ..dtypes import DType
from ..tensor import Tensor, as_tensor, empty
from .copying import contiguous
from .einsum import ADDED, PLAIN, align, contract, float_pair

__all__ = ["dot", "linear", "matmul", "outer"]


def _rows(x: Tensor) -> Tensor:
    """x (..., n) as a matrix (rows, n): a view, or else a copy."""
    if x.ndim == 2:
        return x
    shape, strides = x.shape, x.strides
    rows = math.prod(shape[:-1])
    step, expect = 0, None
    for n, s in zip(reversed(shape[:-1]), reversed(strides[:-1]), strict=True):
        if n == 1:
            continue
        if expect is None:
            step, expect = s, s * n
        elif s != expect:
            return contiguous(x.detach())._as_view((rows, shape[-1]), (shape[-1], 1))
        else:
            expect *= n
    return x._as_view((rows, shape[-1]), (shape[-1] if expect is None else step, strides[-1]))


def _turned(w: Tensor) -> Tensor:
    return w._as_view(w.shape[::-1], w.strides[::-1])


# A parameter's place for its gradient, and whether to add to it (`Node.grad_place`).
_Place = tuple[Tensor, bool] | None


def _times(x: Tensor, w: Tensor, turned: bool, place: _Place = None) -> Tensor:
    """x (..., k) times w (k, n), or w (n, k) turned -> (..., n)."""
    if turned:
        right = _turned(w)
    else:
        right = w
    y, how = _result((*x.shape[:-1], right.shape[1]), x.dtype, place)
    launch(op.matmul, (_rows(x), right, None, _rows(y)), how)
    return record(y, "matmul", _times_backward, (x, w), (x, w, turned))


def _result(
    shape: tuple[int, ...], dtype: DType, place: _Place
) -> tuple[Tensor, tuple[float, ...]]:
    """Where a product goes, and matmul's scalars for it."""
    if place is None:
        return empty(shape, dtype), PLAIN
    return place[0], ADDED if place[1] else PLAIN


def _times_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, w, turned = node.saved
    dx = dw = None
    if node.needs(0):
        dx = _times(dy, w, not turned, node.grad_place(0))
    if node.needs(1):
        place = node.grad_place(1)
        dw = _gram(dy, x, place) if turned else _gram(x, dy, place)
    return dx, dw


def _gram(u: Tensor, v: Tensor, place: _Place = None) -> Tensor:
    """u (..., m) and v (..., n) -> (m, n), summed over all axes but the last."""
    y, how = _result((u.shape[-1], v.shape[-1]), u.dtype, place)
    launch(op.matmul, (_turned(_rows(u)), _rows(v), None, y), how)
    return record(y, "matmul", _gram_backward, (u, v), (u, v))


def _gram_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    u, v = node.saved
    du = _times(v, dy, True, node.grad_place(0)) if node.needs(0) else None
    dv = _times(u, dy, False, node.grad_place(1)) if node.needs(1) else None
    return du, dv


_ones: dict[int, Tensor] = {}


def _one(dtype: DType) -> Tensor:
    if dtype.code not in _ones:
        one = np.ones(1, dtype.numpy)
        one.flags.writeable = False  # which tells the compiler that it stays what it is
        _ones[dtype.code] = Tensor(one)
    return _ones[dtype.code]


def _column_sums(x: Tensor, place: _Place = None) -> Tensor:
    """x (..., n) -> (n): a row of ones (one number, repeated by strides of 0) times x."""
    x2 = _rows(x)
    rows, n = x2.shape
    y, how = _result((n,), x.dtype, place)
    launch(
        op.matmul,
        (_one(x.dtype)._as_view((1, rows), (0, 0)), x2, None, y._as_view((1, n), (n, 1))),
        how,
    )
    return record(y, "sum", _column_sums_backward, (x,), (x.shape,))


def _column_sums_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    (shape,) = node.saved
    labels = tuple(range(len(shape)))
    sizes: dict[Hashable, int] = dict(zip(labels, shape, strict=True))
    return (contract(dy, labels[-1:], _one(dy.dtype)._as_view((), ()), (), labels, sizes),)


def _mismatch(name: str, a: Tensor, b: Tensor, why: str) -> ValueError:
    return ValueError(f"{name}: {why} (a: {a.shape}, b: {b.shape})")


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product of two tensors, or of stacks of matrices with broadcasting.

    The last two axes are matrices: (..., m, k) by (..., k, n) gives (..., m, n). A tensor of one axis is a
    row on the left and a column on the right, and its axis is left out of the result.

    Parameters
    ----------
    a, b : Tensor
        Of equal dtype, float32 or float64.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        If the dtypes differ or are not float.
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> a = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> matmul(a, Tensor([1.0, 10.0]))
    Tensor([21., 43.])
    >>> (a @ a).tolist()
    [[7.0, 10.0], [15.0, 22.0]]
    """
    plain = product(Tensor, a, b)
    if plain is not None:
        if not (a._requires_grad or b._requires_grad):
            return plain
        return record(plain, "matmul", _times_backward, (a, b), (a, b, False))
    a, b = float_pair("matmul", a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise _mismatch("matmul", a, b, "a number is no matrix; multiply with *")
    k, along = a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]
    if k != along:
        raise _mismatch("matmul", a, b, f"a's last axis has {k} elements but b expects {along}")
    if b.ndim == 2 and a.ndim > 1:
        return _times(a, b, False)
    a_stack = tuple(range(a.ndim - 3, -1, -1))
    b_stack = tuple(range(b.ndim - 3, -1, -1))
    for x in set(a_stack) & set(b_stack):
        n, m = a.shape[-3 - x], b.shape[-3 - x]
        if n != m and 1 not in (n, m):
            raise _mismatch("matmul", a, b, f"stacks of {n} and {m} matrices do not broadcast")
    la = (*a_stack, "m", "k") if a.ndim > 1 else ("k",)
    lb = (*b_stack, "k", "n") if b.ndim > 1 else ("k",)
    result = (*max(a_stack, b_stack, key=len), *la[-2:-1], *(lb[-1:] if b.ndim > 1 else ()))
    la, lb, sizes = align(la, a.shape, lb, b.shape)
    return contract(a, la, b, lb, result, sizes)


def linear(x: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The dense layer: ``x @ weight.T + bias``.

    Parameters
    ----------
    x : Tensor, shape (..., in)
    weight : Tensor, shape (out, in)
    bias : Tensor, shape (out,), optional

    Returns
    -------
    Tensor, shape (..., out)

    Raises
    ------
    TypeError
        If the dtypes differ or are not float.
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> weight = Tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> linear(Tensor([[3.0, 4.0]]), weight, Tensor([0.5, 0.0, 0.0]))
    Tensor([[3.5, 8. , 7. ]])
    """
    x, weight = float_pair("linear", x, weight)
    if weight.ndim != 2:
        raise ValueError(f"linear: weight must have two axes (out, in), got {weight.shape}")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        seen = x.shape[-1] if x.ndim else "no"
        raise ValueError(
            f"linear: x has {seen} features but weight expects {weight.shape[1]} "
            f"(x: {x.shape}, weight: {weight.shape})"
        )
    if bias is not None:
        bias = as_tensor(bias)
        if bias.shape != (weight.shape[0],) or bias.code != x.code:
            raise (ValueError if bias.code == x.code else TypeError)(
                f"linear: bias must be {(weight.shape[0],)} of {x.dtype}, got {bias.shape} of {bias.dtype}"
            )
    y = empty((*x.shape[:-1], weight.shape[0]), x.dtype)
    launch(op.matmul, (_rows(x), _turned(weight), bias, _rows(y)), PLAIN)
    return record(y, "linear", _linear_backward, (x, weight, bias), (x, weight))


def _linear_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    x, weight = node.saved
    dx = dw = db = None
    if node.needs(1):
        dw = _gram(dy, x, node.grad_place(1))
    if node.needs(2):
        db = _column_sums(dy, node.grad_place(2))
    if node.needs(0):
        dx = _times(dy, weight, False)
    return dx, dw, db


def outer(a: Any, b: Any) -> Tensor:
    """Every element of a times every element of b: (m,) and (n,) give (m, n).

    Examples
    --------
    >>> outer(Tensor([1.0, 2.0]), Tensor([3.0, 4.0, 5.0]))
    Tensor([[ 3.,  4.,  5.],
            [ 6.,  8., 10.]])
    """
    a, b = float_pair("outer", a, b)
    if a.ndim != 1 or b.ndim != 1:
        raise _mismatch("outer", a, b, "both must have one axis")
    return contract(a, ("m",), b, ("n",), ("m", "n"), {"m": a.size, "n": b.size})


def dot(a: Any, b: Any) -> Tensor:
    """The inner product of two vectors, or the product of two matrices, as numpy's dot.

    Examples
    --------
    >>> dot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).item()
    11.0
    """
    a, b = float_pair("dot", a, b)
    if a.ndim > 2 or b.ndim > 2:
        raise _mismatch("dot", a, b, "at most two axes each; use matmul or einsum")
    return matmul(a, b)
