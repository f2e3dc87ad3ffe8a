"""How tensors lie in memory. Images are (N, C, H, W) to the user, and their channels come last in memory:
a dense (N, H, W, C) array seen through a permuted view.

Functions of single elements keep the order in memory of what they are given (`_core.empty_for`); ops that
work along one axis run on the axes as they lie and give the result back in the user's order.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._core import empty, launch, memory_order
from .._core import ops as op
from ..autograd import Node, record
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


def _same(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (dy,)


def channels_last(x: Tensor) -> Tensor:
    """x (N, C, ...) itself where its channels come last in memory, else a copy in which they do.

    Images and their rows may lie apart, as those of a part of an image do.
    """
    if x.strides[1] == 1 or x.shape[1] == 1 or not x.size:
        return x
    n, c, *places = x.shape
    copied: Tensor = empty(Tensor, (n, *places, c), x.code)
    y = permuted(copied, (0, x.ndim - 1, *range(1, x.ndim - 1)))
    launch(op.copy, (x, y))
    return record(y, "channels_last", _same, (x,))


def planes(x: Tensor) -> Tensor:
    """A view of (N, C, H, W) as (N, H, W, C), as the C ops have images; of (N, C, L) as (N, 1, L, C).

    Not recorded. It fits the weights of convolutions, too.
    """
    n, c, *places = x.shape
    along = x.strides
    channel = along[1] if c > 1 else 1
    if len(places) == 1:
        return x._as_view((n, 1, *places, c), (along[0], 0, along[2], channel))
    return x._as_view((n, *places, c), (along[0], *along[2:], channel))


def empty_images(shape: Sequence[int], code: int) -> tuple[Tensor, Tensor]:
    """A new tensor (N, C, H, W) or (N, C, L) whose channels come last in memory, and its `planes`."""
    n, c, *places = shape
    lies: Tensor = empty(Tensor, (n, *(1,) * (2 - len(places)), *places, c), code)
    along = lies.strides
    return lies._as_view(shape, (along[0], along[3], *along[3 - len(places) : 3])), lies
