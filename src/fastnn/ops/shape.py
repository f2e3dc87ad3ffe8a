"""Functions that change shapes: views of the same memory where strides can say it, copies where
they cannot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import launch, refuse
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, as_tensor
from .broadcast import broadcast_to
from .copying import contiguous

__all__ = [
    "expand_dims", "flatten", "permute", "repeat", "reshape", "squeeze", "swapaxes",
    "tile", "transpose", "unsqueeze",
]  # fmt: skip


def normal_axis(axis: int, ndim: int, name: str) -> int:
    """axis counted from 0, checked; negative ones count from the end."""
    try:
        i = axis.__index__()
    except (AttributeError, TypeError):
        raise TypeError(f"{name}: an axis is an integer, got {axis!r}") from None
    if not -ndim <= i < ndim:
        raise ValueError(f"{name}: axis {i} is out of range for a tensor with {ndim} axes")
    return i + ndim if i < 0 else i


def normal_axes(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """One or several axes counted from 0, checked, each at most once."""
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple([normal_axis(a, ndim, name) for a in given])
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: an axis comes twice in {tuple(given)}")
    return axes


def normal_shape(shape: Sequence[Any], name: str) -> tuple[int, ...]:
    """``f(x, 2, 3)`` and ``f(x, (2, 3))`` alike."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    try:
        return tuple([n.__index__() for n in shape])
    except (AttributeError, TypeError):
        raise TypeError(f"{name}: a shape is made of integers, got {shape!r}") from None


# --- reshape ---


def _strides_after(
    shape: Sequence[int], strides: Sequence[int], new: Sequence[int]
) -> list[int] | None:
    """The strides with which the same memory has another shape of as many elements, None if there
    are none.
    """
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    result: list[int] = []
    i = 0  # old axes used
    j = 0
    while j < len(new):
        if new[j] == 1:
            result.append(0)
            j += 1
            continue
        # The smallest group of old axes with as many elements as a group of new ones.
        first, total, i = i, old[i][0], i + 1
        last, want = j, new[j]
        while total != want:
            if total < want:
                total *= old[i][0]
                i += 1
            else:
                last += 1
                want *= new[last]
        for k in range(first, i - 1):
            if old[k][1] != old[k + 1][1] * old[k + 1][0]:
                return None
        stride = old[i - 1][1]
        group = []
        for n in reversed(new[j : last + 1]):
            group.append(stride)
            stride *= n
        result.extend(reversed(group))
        j = last + 1
    return result


def _row_major(shape: Sequence[int]) -> list[int]:
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides


def _reshape_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (reshape(dy, node.saved[0]),)


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """x with another shape and the same elements in row-major order; a view where its strides allow
    one.

    Parameters
    ----------
    x : Tensor
    shape : int or tuple of int
        The new lengths; one may be -1 and is worked out from the others.

    Raises
    ------
    ValueError
        If the new shape has another number of elements.

    Examples
    --------
    >>> reshape(Tensor([[1.0, 2.0], [3.0, 4.0]]), -1)
    Tensor([1., 2., 3., 4.])
    """
    new = normal_shape(shape, "reshape")
    if -1 in new:
        at = new.index(-1)
        rest = math.prod(new[:at] + new[at + 1 :])
        if rest <= 0 or x.size % rest or new.count(-1) > 1:
            raise ValueError(f"reshape: cannot reshape {x.shape} ({x.size} elements) to {new}")
        new = (*new[:at], x.size // rest, *new[at + 1 :])
    if math.prod(new) != x.size or any(n < 0 for n in new):
        raise ValueError(f"reshape: cannot reshape {x.shape} ({x.size} elements) to {new}")
    if x.size == 0 or x.is_contiguous():
        y = x._as_view(new, _row_major(new))
    else:
        strides = _strides_after(x.shape, x.strides, new)
        if strides is None:
            return reshape(contiguous(x), new)
        y = x._as_view(new, strides)
    return record(y, "reshape", _reshape_backward, (x,), (x.shape,))


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis, both included, made one.

    Examples
    --------
    >>> from fastnn import zeros
    >>> flatten(zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    if x.ndim == 0:
        return reshape(x, 1)
    first, last = (
        normal_axis(start_axis, x.ndim, "flatten"),
        normal_axis(end_axis, x.ndim, "flatten"),
    )
    if first > last:
        raise ValueError(f"flatten: start_axis {start_axis} comes after end_axis {end_axis}")
    shape = x.shape
    return reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def squeeze(x: Tensor, axis: Any = None) -> Tensor:
    """x without its axes of length 1, or without those given, which must have that length."""
    if axis is None:
        axes: tuple[int, ...] = tuple([i for i, n in enumerate(x.shape) if n == 1])
    else:
        axes = normal_axes(axis, x.ndim, "squeeze")
        for a in axes:
            if x.shape[a] != 1:
                raise ValueError(f"squeeze: axis {a} of {x.shape} has length {x.shape[a]}, not 1")
    return reshape(x, tuple([n for i, n in enumerate(x.shape) if i not in axes]))


def expand_dims(x: Tensor, axis: Any) -> Tensor:
    """x with axes of length 1 put in, so that they are at ``axis`` of the result.

    Examples
    --------
    >>> expand_dims(Tensor([1.0, 2.0]), -1).shape
    (2, 1)
    """
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = normal_axes(axis, x.ndim + count, "expand_dims")
    rest = iter(x.shape)
    return reshape(x, tuple([1 if i in axes else next(rest) for i in range(x.ndim + count)]))


def unsqueeze(x: Tensor, axis: int) -> Tensor:
    """x with an axis of length 1 put in at ``axis`` of the result."""
    return expand_dims(x, axis)


# --- the order of axes ---


def _permute_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    axes = node.saved[0]
    return (permute(dy, tuple([axes.index(i) for i in range(len(axes))])),)


def permute(x: Tensor, *axes: Any) -> Tensor:
    """A view whose axis i is x's axis ``axes[i]``.

    Examples
    --------
    >>> from fastnn import zeros
    >>> permute(zeros((2, 3, 4)), 2, 0, 1).shape
    (4, 2, 3)
    """
    order = normal_axes(normal_shape(axes, "permute"), x.ndim, "permute")
    if len(order) != x.ndim:
        raise ValueError(f"permute: {len(order)} axes given for a tensor with {x.ndim}")
    shape, strides = x.shape, x.strides
    y = x._as_view([shape[a] for a in order], [strides[a] for a in order])
    return record(y, "permute", _permute_backward, (x,), (order,))


def transpose(x: Tensor, *axes: Any) -> Tensor:
    """x with its axes reversed; with two axes given, those exchanged; with all of them, in that
    order.

    Examples
    --------
    >>> transpose(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 3.],
            [2., 4.]])
    """
    if not axes or axes == (None,):
        return permute(x, tuple(range(x.ndim - 1, -1, -1)))
    if len(axes) == 2:
        return swapaxes(x, *axes)
    return permute(x, *axes)


def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """A view of x with two axes exchanged."""
    a, b = normal_axis(axis1, x.ndim, "swapaxes"), normal_axis(axis2, x.ndim, "swapaxes")
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return permute(x, tuple(order))


# --- repetition ---


def tile(x: Tensor, reps: Any) -> Tensor:
    """x laid out ``reps`` times along each axis (numpy's tile, PyTorch's ``repeat``).

    Examples
    --------
    >>> tile(Tensor([1.0, 2.0]), 2)
    Tensor([1., 2., 1., 2.])
    """
    counts = normal_shape((reps,) if isinstance(reps, int) else (tuple(reps),), "tile")
    if any(n < 0 for n in counts):
        raise ValueError(f"tile: repetitions must not be negative, got {counts}")
    counts = (1,) * (x.ndim - len(counts)) + counts
    y = reshape(x, (1,) * (len(counts) - x.ndim) + x.shape)
    for axis, count in enumerate(counts):
        if count != 1:
            shape = y.shape
            y = reshape(y, (math.prod(shape[:axis]), 1, math.prod(shape[axis:])))
            y = broadcast_to(y, (y.shape[0], count, y.shape[2]))
            y = reshape(y, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
    return y


def repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element along an axis, repeated (numpy's repeat, PyTorch's ``repeat_interleave``).

    Parameters
    ----------
    x : Tensor
    repeats : int or sequence of int
        How often; a sequence has one number an element of the axis.
    axis : int, optional
        By default x is flattened first.

    Examples
    --------
    >>> repeat(Tensor([1.0, 2.0]), 2)
    Tensor([1., 1., 2., 2.])
    """
    if axis is None:
        return repeat(flatten(x), repeats, 0)
    at = normal_axis(axis, x.ndim, "repeat")
    times = as_tensor(repeats)
    refuse("repeat: the repetitions make the result's shape, so they must be Python numbers", times)
    counts = times.numpy()
    if counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise ValueError("repeat: repetitions must be integers and not negative")
    shape = x.shape
    if counts.ndim == 0:
        count = int(counts)
        y = reshape(x, (math.prod(shape[: at + 1]), 1, math.prod(shape[at + 1 :])))
        y = broadcast_to(y, (y.shape[0], count, y.shape[2]))
        return reshape(y, (*shape[:at], shape[at] * count, *shape[at + 1 :]))
    if counts.shape != (shape[at],):
        raise ValueError(f"repeat: {counts.shape} repetitions for axis {at} of length {shape[at]}")
    from .index import take  # which imports this module

    return take(x, Tensor(np.repeat(np.arange(shape[at]), counts)), at)


def copy_into(source: Tensor, target: Tensor) -> None:
    """Write source to a view of the same shape, outside any graph."""
    if target.size:
        launch(op.copy, (source, target))
