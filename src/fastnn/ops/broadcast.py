"""Shapes that differ: numpy's broadcasting, and its reverse for gradients."""

from __future__ import annotations

from collections.abc import Sequence

from .._core import empty_for, launch
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, as_tensor

__all__ = ["broadcast_shapes", "broadcast_to", "sum_to"]


def broadcast_shapes(
    a: Sequence[int], b: Sequence[int], name: str = "broadcast_shapes"
) -> tuple[int, ...]:
    """The shape that arrays of shapes a and b have together, by numpy's rules.

    Parameters
    ----------
    a, b : sequence of int
    name : str
        Who asks, for the error message.

    Raises
    ------
    ValueError
        If an axis differs and is 1 in neither.

    Examples
    --------
    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    if a == b:
        return tuple(a)
    if len(b) == 0:
        return tuple(a)
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    lead = len(long) - len(short)
    shape = list(long)
    for i, n in enumerate(short, lead):
        if shape[i] == 1:
            shape[i] = n
        elif n != 1 and n != shape[i]:
            raise ValueError(
                f"{name}: shapes {tuple(a)} and {tuple(b)} do not broadcast: axis {i - len(long)} is "
                f"{a[i - len(long)]} in one and {b[i - len(long)]} in the other"
            )
    return tuple(shape)


def _broadcast_to_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (sum_to(dy, node.saved[0]),)


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """A view of x with another shape, its values repeated along axes of length 1 and new ones before them.

    Parameters
    ----------
    x : Tensor
    shape : sequence of int

    Returns
    -------
    Tensor
        Shares x's memory; many of its elements may be one place in it, so do not write to it.

    Raises
    ------
    ValueError
        If x does not broadcast to the shape.

    Examples
    --------
    >>> broadcast_to(Tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    x, shape = as_tensor(x), tuple(shape)
    if x.shape == shape:
        return x
    lead = len(shape) - x.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
        raise ValueError(f"broadcast_to: a tensor of shape {x.shape} does not broadcast to {shape}")
    strides = [0] * lead + [s if n != 1 else 0 for n, s in zip(x.shape, x.strides, strict=True)]
    y = x._as_view(shape, strides)
    return record(y, "broadcast_to", _broadcast_to_backward, (x,), (x.shape,))


def _sum_to_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (broadcast_to(dy, node.saved[0]),)


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The reverse of `broadcast_to`: x summed over the axes along which ``shape`` was broadcast to x's.

    It is how the gradient of a broadcast operand is made.

    Parameters
    ----------
    x : Tensor
    shape : sequence of int
        A shape that broadcasts to x's.

    Examples
    --------
    >>> sum_to(Tensor([[1.0, 2.0], [3.0, 4.0]]), (1, 2))
    Tensor([[4., 6.]])
    """
    shape = tuple(shape)
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[lead:], strict=True)):
        raise ValueError(f"sum_to: shape {shape} does not broadcast to the tensor's {x.shape}")
    y = empty_for(Tensor, (1,) * lead + shape, x.code, x)
    launch(op.sum, (x, y))
    if lead:
        y = y._as_view(shape, y.strides[lead:])
    return record(y, "sum_to", _sum_to_backward, (x,), (x.shape,))
