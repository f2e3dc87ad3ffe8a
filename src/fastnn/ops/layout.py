"""How tensors lie in memory. Images are (N, C, H, W) to the user, and their channels come last in memory:
a dense (N, H, W, C) array seen through a permuted view.

Functions of single elements keep the order in memory of what they are given (`_core.empty_for`); ops that
work along one axis run on the axes as they lie and give the result back in the user's order.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._core import empty, launch, memory_order
from .._core import ops as op
from ..tensor import Tensor

__all__: list[str] = []


def as_it_lies(x: Tensor) -> tuple[Tensor, tuple[int, ...] | None]:
    """A view of x with its axes in the order of memory, and that order; x and None where it is row-major.

    Not recorded.
    """
    strides = memory_order(x)
    if strides is None:
        return x, None
    order = tuple(sorted(range(x.ndim), key=lambda axis: -strides[axis]))
    return permuted(x, order), order


def put_back(y: Tensor, order: Sequence[int] | None) -> Tensor:
    """The reverse: a view of y, whose axis i is axis ``order[i]`` of the result."""
    if order is None:
        return y
    return permuted(y, [order.index(axis) for axis in range(len(order))])


def permuted(x: Tensor, axes: Sequence[int]) -> Tensor:
    """A view whose axis i is x's axis ``axes[i]``, outside any graph."""
    shape, strides = x.shape, x.strides
    return x._as_view([shape[a] for a in axes], [strides[a] for a in axes])


def empty_in_order(shape: Sequence[int], x: Tensor) -> Tensor:
    """A tensor of another shape, of x's dtype and with its axes in x's order in memory."""
    strides = memory_order(x)
    if strides is None:
        return empty(Tensor, shape, x.code)
    order = sorted(range(x.ndim), key=lambda axis: -strides[axis])
    return put_back(empty(Tensor, [shape[a] for a in order], x.code), order)


def channels_last(x: Tensor) -> Tensor:
    """A view of (N, C, ...) as (N, ..., C), copied where its channels do not come last in memory.

    Rows and images may lie apart, as those of a part of an image do. Not recorded.
    """
    axes = (0, *range(2, x.ndim), 1)
    y = permuted(x, axes)
    if y.strides[-1] == 1 or y.shape[-1] == 1 or not y.size:
        return y
    copied: Tensor = empty(Tensor, y.shape, y.code)
    launch(op.copy, (y, copied))
    return copied


def images(y: Tensor) -> Tensor:
    """The reverse of `channels_last`: a view of (N, ..., C) as (N, C, ...), outside any graph."""
    return permuted(y, (0, y.ndim - 1, *range(1, y.ndim - 1)))
