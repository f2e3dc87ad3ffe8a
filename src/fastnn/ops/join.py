"""Functions that put tensors together and take them apart: concat, stack, split, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record, record_parts
from ..tensor import Tensor, empty, zeros
from .index import basic_view, getitem, take
from .layout import empty_in_order
from .shape import copy_into, expand_dims, normal_axis

__all__ = ["chunk", "concat", "pad", "split", "stack"]


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


# --- pad ---

_MODES = {
    "edge": "edge",
    "replicate": "edge",
    "reflect": "reflect",
    "wrap": "wrap",
    "circular": "wrap",
}


def _pad_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (getitem(dy, node.saved[0]),)


def pad(x: Tensor, widths: Any, mode: str = "constant", value: float = 0) -> Tensor:
    """x with elements added around it.

    Parameters
    ----------
    x : Tensor
    widths : int, (int, int) or sequence of (int, int)
        How many before and after: for every axis alike, or a pair an axis (numpy's pad).
    mode : {"constant", "edge", "reflect", "wrap"}
        ``value``; the nearest element; mirrored without the border itself; from the other side.
        PyTorch's "replicate" and "circular" are "edge" and "wrap".
    value : float, default 0

    Examples
    --------
    >>> pad(Tensor([1.0, 2.0, 3.0]), 1)
    Tensor([0., 1., 2., 3., 0.])
    >>> pad(Tensor([1.0, 2.0, 3.0]), (2, 0), mode="reflect")
    Tensor([3., 2., 1., 2., 3.])
    """
    pairs = _pairs(widths, x.ndim)
    if mode != "constant":
        if mode not in _MODES:
            raise ValueError(
                f"pad: mode {mode!r} is none of 'constant', {', '.join(map(repr, _MODES))}"
            )
        for axis, (before, after) in enumerate(pairs):
            if before or after:
                x = take(x, Tensor(_sources(x.shape, axis, before, after, _MODES[mode])), axis)
        return x
    shape = tuple([n + before + after for n, (before, after) in zip(x.shape, pairs, strict=True)])
    y = empty_in_order(shape, x)
    inner = tuple(
        [slice(before, before + n) for n, (before, _) in zip(x.shape, pairs, strict=True)]
    )
    fill = Tensor(value, x.dtype)
    for axis, (before, after) in enumerate(pairs):
        ends = [slice(0, before)] * bool(before) + [slice(shape[axis] - after, None)] * bool(after)
        for end in ends:
            border = basic_view(y, (*inner[:axis], end))
            if border.size:
                copy_into(fill._as_view(border.shape, (0,) * border.ndim), border)
    copy_into(x, basic_view(y, inner))
    return record(y, "pad", _pad_backward, (x,), (inner,))


def _pairs(widths: Any, ndim: int) -> list[tuple[int, int]]:
    try:
        given = np.asarray(widths)
        if (given.dtype.kind not in "iu" and given.size) or given.ndim > 2:
            raise ValueError
        pairs = [(int(a), int(b)) for a, b in np.broadcast_to(given, (ndim, 2))]
    except ValueError:
        raise ValueError(
            f"pad: widths {widths!r} are neither an integer, a pair, nor one pair of integers "
            f"for each of {ndim} axes"
        ) from None
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError(
            f"pad: widths must not be negative, got {widths!r}; slice to make x smaller"
        )
    return pairs


def _sources(shape: Sequence[int], axis: int, before: int, after: int, mode: str) -> np.ndarray:
    """Which element of the axis each padded place takes."""
    n = shape[axis]
    if n == 0 or (mode == "reflect" and max(before, after) >= n):
        raise ValueError(
            f"pad: axis {axis} of length {n} is too short to {mode} by ({before}, {after})"
        )
    at = np.arange(-before, n + after)
    if mode == "edge":
        return at.clip(0, n - 1)
    if mode == "wrap":
        return at % n
    period = max(2 * (n - 1), 1)
    at = at % period
    return np.minimum(at, period - at)
