"""Functions that put tensors together and take them apart: concat, stack, split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core import launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record, record_parts
from ..tensor import Tensor, empty, zeros
from .index import basic_view, getitem
from .layout import empty_in_order
from .shape import copy_into, expand_dims, normal_axis

__all__ = ["chunk", "concat", "split", "stack"]


def _along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part, *(slice(None),) * (ndim - axis - 1))


# --- putting together ---


def _concat_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, ...]:
    axis, lengths = node.saved
    result: list[Tensor | None] = []
    begin = 0
    for i, n in enumerate(lengths):
        part = _along(dy.ndim, axis, slice(begin, begin + n))
        result.append(getitem(dy, part) if node.needs(i) else None)
        begin += n
    return tuple(result)


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors one after another along an axis that exists.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of one dtype and, but for that axis, one shape.
    axis : int, default 0

    Raises
    ------
    ValueError
        For no tensors, or shapes that do not fit.
    TypeError
        For different dtypes.

    Examples
    --------
    >>> concat([Tensor([1.0]), Tensor([2.0, 3.0])])
    Tensor([1., 2., 3.])
    """
    xs = _checked(tensors, "concat")
    first = xs[0]
    at = normal_axis(axis, first.ndim, "concat")
    shape = list(first.shape)
    for i, x in enumerate(xs[1:], 1):
        if x.ndim != first.ndim or any(
            n != m for d, (n, m) in enumerate(zip(x.shape, shape, strict=True)) if d != at
        ):
            raise ValueError(
                f"concat: tensor {i} has shape {x.shape}, tensor 0 {first.shape}; they may "
                f"differ only in axis {at}"
            )
    lengths = [x.shape[at] for x in xs]
    shape[at] = sum(lengths)
    y = empty_in_order(shape, first)
    begin = 0
    for x, n in zip(xs, lengths, strict=True):
        if x.size:
            launch(op.copy, (x, y._as_view(x.shape, y.strides, begin * y.strides[at])))
        begin += n
    return record(y, "concat", _concat_backward, xs, (at, lengths))


def _stack_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, ...]:
    axis, count = node.saved
    index = (slice(None),) * axis
    return tuple([getitem(dy, (*index, i)) if node.needs(i) else None for i in range(count)])


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape and dtype, one after another along a new axis.

    Examples
    --------
    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    xs = _checked(tensors, "stack")
    shape = xs[0].shape
    for i, x in enumerate(xs):
        if x.shape != shape:
            raise ValueError(f"stack: tensor {i} has shape {x.shape}, tensor 0 {shape}")
    at = normal_axis(axis, len(shape) + 1, "stack")
    y = empty((*shape[:at], len(xs), *shape[at:]), xs[0].dtype)
    for i, x in enumerate(xs):
        copy_into(expand_dims(x.detach(), at), basic_view(y, _along(y.ndim, at, slice(i, i + 1))))
    return record(y, "stack", _stack_backward, xs, (at, len(xs)))


def _checked(tensors: Sequence[Tensor], name: str) -> list[Tensor]:
    xs = list(tensors)
    if not xs:
        raise ValueError(f"{name}: no tensors were given")
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: element {i} is a {type(x).__name__}, not a Tensor")
        if x.code != xs[0].code:
            raise TypeError(
                f"{name}: tensor {i} is {x.dtype}, tensor 0 {xs[0].dtype}; convert one with "
                f'astype("{xs[0].dtype}")'
            )
    return xs


# --- taking apart ---


def _split_backward(node: Node, parts: Any) -> tuple[Tensor]:
    axis, shape, lengths, dtype = node.saved
    shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]
    given = zip(parts.gradients, shapes, strict=True)
    return (concat([zeros(s, dtype) if g is None else g for g, s in given], axis),)


def split(x: Tensor, sections: Any, axis: int = 0) -> list[Tensor]:
    """Views of x cut along an axis.

    Parameters
    ----------
    x : Tensor
    sections : int or sequence of int
        Into how many equal parts, or the length of each part; the lengths add up to the axis.
    axis : int, default 0

    Raises
    ------
    ValueError
        If the axis does not divide evenly, or the lengths do not add up.

    Examples
    --------
    >>> split(Tensor([1.0, 2.0, 3.0]), [1, 2])
    [Tensor([1.]), Tensor([2., 3.])]
    """
    at = normal_axis(axis, x.ndim, "split")
    length = x.shape[at]
    if isinstance(sections, int):
        if sections < 1 or length % sections:
            raise ValueError(
                f"split: axis {at} of length {length} does not divide into {sections} equal parts"
            )
        lengths = [length // sections] * sections
    else:
        lengths = [int(n) for n in sections]
        if sum(lengths) != length or any(n < 0 for n in lengths):
            raise ValueError(
                f"split: lengths {lengths} do not add up to axis {at} of length {length}"
            )
    return _pieces(x, at, lengths)


def chunk(x: Tensor, chunks: int, axis: int = 0) -> list[Tensor]:
    """Views of x cut along an axis into at most ``chunks`` parts of one length, the last perhaps
    shorter.
    """
    at = normal_axis(axis, x.ndim, "chunk")
    if chunks < 1:
        raise ValueError(f"chunk: the number of parts must be at least 1, got {chunks}")
    length = x.shape[at]
    each = max(-(-length // chunks), 1)
    lengths = [min(each, length - begin) for begin in range(0, length, each)] or [0]
    return _pieces(x, at, lengths)


def _pieces(x: Tensor, axis: int, lengths: list[int]) -> list[Tensor]:
    shape, strides = x.shape, x.strides
    views, begin = [], 0
    for n in lengths:
        views.append(
            x._as_view((*shape[:axis], n, *shape[axis + 1 :]), strides, begin * strides[axis])
        )
        begin += n
    if not (is_grad_enabled() and x._requires_grad):
        return views
    # One node for the whole, so that its gradient is put together once rather than added up from
    # parts.
    return record_parts(views, "split", _split_backward, (x,), (axis, x.shape, lengths, x.dtype))
