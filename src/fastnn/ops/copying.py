"""Copies, conversions between dtypes, and the few writes in place."""

from __future__ import annotations

from typing import Any

from .._core import launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..dtypes import as_dtype
from ..tensor import Tensor, as_tensor, empty, empty_like

__all__ = ["astype", "clone", "contiguous", "copy_", "fill_", "zero_"]


def _same(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy,)


def clone(x: Tensor) -> Tensor:
    """A copy of x in memory of its own, in the same order of axes; gradients pass through.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0])
    >>> y = clone(x).fill_(0)
    >>> x
    Tensor([1., 2.])
    """
    y = empty_like(x)
    launch(op.copy, (x, y))
    return record(y, "clone", _same, (x,))


def contiguous(x: Tensor) -> Tensor:
    """x itself if its elements lie one after another in row-major order, else a copy that does."""
    if x.is_contiguous():
        return x
    y = empty(x.shape, x.dtype)
    launch(op.copy, (x, y))
    return record(y, "contiguous", _same, (x,))


def _astype_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (astype(dy, node.saved[0]),)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """x converted to another dtype; x itself if it has that dtype already.

    Floats become integers by truncation and bool by comparison with zero. Gradients pass between float
    dtypes.

    Parameters
    ----------
    x : Tensor
    dtype : DType or str

    Raises
    ------
    TypeError
        For a dtype that tensors do not have.

    Examples
    --------
    >>> astype(Tensor([1.5, -2.5]), "int64")
    Tensor([ 1, -2])
    """
    kind = as_dtype(dtype)
    if kind.code == x.code:
        return x
    y = empty_like(x, kind)
    launch(op.copy, (x, y))
    if kind.is_float and x.dtype.is_float:
        return record(y, "astype", _astype_backward, (x,), (x.dtype,))
    return y


def _writable(x: Tensor, name: str) -> None:
    if is_grad_enabled() and x._requires_grad:
        what = "was computed from others" if x._node is not None else "requires a gradient"
        raise RuntimeError(
            f"{name}: this tensor {what}, so writing to it would make gradients wrong; "
            "do it within no_grad(), or write to a clone().detach()"
        )
    if (
        0 in x.strides
        and x.size
        and any(s == 0 and n > 1 for s, n in zip(x.strides, x.shape, strict=True))
    ):
        raise ValueError(
            f"{name}: several elements of this view are one in memory; write to a clone()"
        )
    if x.readonly:
        raise ValueError(f"{name}: this tensor's memory is read-only; write to a clone()")


def copy_(x: Tensor, source: Any) -> Tensor:
    """Overwrite x with source, broadcast to its shape and converted to its dtype. Returns x.

    Raises
    ------
    RuntimeError
        If x requires a gradient and gradients are being recorded.
    ValueError
        If the shapes do not fit, or x's memory is read-only.
    """
    _writable(x, "copy_")
    values = source if isinstance(source, Tensor) else as_tensor(source, x.dtype)
    if values.shape != x.shape:
        lead = x.ndim - values.ndim
        if lead < 0 or any(
            n not in (1, m) for n, m in zip(values.shape, x.shape[lead:], strict=True)
        ):
            raise ValueError(
                f"copy_: source of shape {values.shape} does not broadcast to {x.shape}"
            )
        strides = [s if n > 1 else 0 for n, s in zip(values.shape, values.strides, strict=True)]
        values = (
            values._as_view(x.shape, [0] * lead + strides)
            if x.size
            else empty_like(x, values.dtype)
        )
    if values._shares_memory_with(x):
        values = clone(values.detach())
    launch(op.copy, (values, x))
    return x


def fill_(x: Tensor, value: float) -> Tensor:
    """Set every element of x to value. Returns x."""
    return copy_(x, Tensor(value, x.dtype))


def zero_(x: Tensor) -> Tensor:
    """Set every element of x to zero. Returns x."""
    return fill_(x, 0)
