"""Indexing: numpy's ``x[...]`` as views where strides can say it and by gathering where not; and
the named functions for it. Gathers and their gradients, scatter-adds, have the same bits at any
thread count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import launch, refuse
from .._core import ops as op
from ..autograd import Node, record
from ..dtypes import bool_, int64
from ..tensor import Tensor, empty, zeros
from .broadcast import broadcast_to
from .copying import astype, contiguous
from .layout import as_it_lies, permuted
from .shape import _row_major, normal_axis, permute, reshape

__all__ = ["getitem", "take"]

Basic = int | slice | None
DATA_SHAPE = "the shape of the result depends on the values, which a recording does not have"
_WHOLE = slice(None)


# --- basic indices: integers, slices, None ---


def _geometry(
    shape: Sequence[int], strides: Sequence[int], items: Sequence[Basic]
) -> tuple[list[int], list[int], int]:
    """Shape, strides and offset of a basic index; items name every axis."""
    lengths, steps, offset, axis = [], [], 0, 0
    for item in items:
        if item is None:
            lengths.append(1)
            steps.append(0)
            continue
        n, stride = shape[axis], strides[axis]
        if item is _WHOLE:
            lengths.append(n)
            steps.append(stride)
        elif isinstance(item, slice):
            start, stop, step = item.indices(n)
            length = len(range(start, stop, step))
            lengths.append(length)
            steps.append(stride * step)
            if length:
                offset += start * stride
        else:
            if not -n <= item < n:
                raise IndexError(
                    f"index {item} is out of range for axis {axis} with length {n} (shape "
                    f"{tuple(shape)})"
                )
            offset += (item + n if item < 0 else item) * stride
        axis += 1
    if 0 in lengths:
        return lengths, _row_major(lengths), 0
    return lengths, steps, offset


def basic_view(x: Tensor, items: Sequence[Basic]) -> Tensor:
    """The view of a basic index, outside any graph; axes that items do not name are taken whole."""
    named = sum(1 for item in items if item is not None)
    full = (*items, *(slice(None),) * (x.ndim - named))
    return x._as_view(*_geometry(x.shape, x.strides, full))


def _basic_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (_place(dy, *node.saved),)


def _basic(x: Tensor, items: tuple[Basic, ...]) -> Tensor:
    y = x._as_view(*_geometry(x.shape, x.strides, items))
    return record(y, "getitem", _basic_backward, (x,), (x.shape, items))


def _place_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (_basic(dy, node.saved[0]),)


def _place(x: Tensor, shape: tuple[int, ...], items: tuple[Basic, ...]) -> Tensor:
    """Zeros with x where the index points: the gradient of a basic index."""
    y = zeros(shape, x.dtype)
    if x.size:
        launch(op.copy, (x, y._as_view(*_geometry(shape, y.strides, items))))
    return record(y, "getitem_grad", _place_backward, (x,), (items,))


# --- reading an index ---


def index_tensor(index: Any, name: str) -> Tensor:
    """Integer indices as an int64 tensor."""
    if not isinstance(index, Tensor):
        array = np.asarray(index)
        index = Tensor(array.astype(np.int64) if array.size == 0 else array)
    if index.dtype.is_float or index.dtype is bool_:
        raise TypeError(f"{name}: indices are integers, these are {index.dtype}")
    return astype(index, int64)


def _plain_items(key: Any, ndim: int) -> tuple[Basic, ...] | None:
    """The items of a key of integers, slices and None that does not name too many axes; the common
    case of `_parse`, quickly. None for any other key.
    """
    if type(key) is not tuple:
        key = (key,)
    named = 0
    for item in key:
        kind = type(item)
        if kind is int or kind is slice:
            named += 1
        elif item is not None:
            return None
    return (*key, *(_WHOLE,) * (ndim - named)) if named <= ndim else None


def _parse(key: Any, x: Tensor) -> tuple[list[Any], bool]:
    """The items of a key, one for each axis and each None: basic ones, or int64 tensors. And
    whether the axes that tensors give go to the front of the result, which numpy does where
    something stands between.
    """
    given = list(key) if isinstance(key, tuple) else [key]
    items: list[Any] = []
    masks: list[tuple[int, tuple[int, ...]]] = []
    ellipsis_at = None
    taken = 0
    for item in given:
        if item is Ellipsis:
            if ellipsis_at is not None:
                raise IndexError("an index may have one Ellipsis ('...') only")
            ellipsis_at = len(items)
            items.append(Ellipsis)
        elif item is None or isinstance(item, slice):
            items.append(item)
            taken += item is not None
        elif isinstance(item, (bool, np.bool_)):
            raise IndexError("a single bool is no index; use None for a new axis")
        elif isinstance(item, (int, np.integer)):
            items.append(int(item))
            taken += 1
        else:
            parts = _array_items(item)
            if len(parts) != 1 or _is_mask(item):
                masks.append((len(items), np.shape(item)))
            items.extend(parts)
            taken += len(parts)
    if taken > x.ndim:
        raise IndexError(
            f"too many indices: {taken} for a tensor with {x.ndim} axes (shape {x.shape})"
        )
    advanced = [i for i, item in enumerate(items) if isinstance(item, (int, Tensor))]
    apart = bool(advanced) and advanced[-1] - advanced[0] + 1 != len(advanced)
    rest = [slice(None)] * (x.ndim - taken)
    at = len(items) if ellipsis_at is None else ellipsis_at
    items[at : at + 1] = rest
    for place, shape in masks:
        place += len(rest) - 1 if place > at else 0
        axis = sum(1 for item in items[:place] if item is not None)
        if shape != x.shape[axis : axis + len(shape)]:
            raise IndexError(
                f"a mask of shape {shape} does not fit axis {axis} and on of a tensor of shape "
                f"{x.shape}"
            )
    return items, apart


def _is_mask(item: Any) -> bool:
    return item.dtype is bool_ if isinstance(item, Tensor) else np.asarray(item).dtype == np.bool_


def _array_items(item: Any) -> list[Tensor]:
    """An array of integers as one int64 tensor, a mask as one an axis that it covers."""
    if not isinstance(item, Tensor):
        if not isinstance(item, (np.ndarray, list, tuple, range)):
            raise TypeError(
                f"an index is made of integers, slices, None, '...' and arrays, not "
                f"{type(item).__name__}"
            )
        array = np.asarray(item)
        item = Tensor(
            array.astype(np.int64) if array.size == 0 and array.dtype.kind == "f" else array
        )
    if item.dtype is not bool_:
        return [index_tensor(item, "getitem")]
    if item.ndim == 0:
        raise IndexError("a single bool is no index; use None for a new axis")
    refuse(
        f"a mask as an index: {DATA_SHAPE}; use where(mask, x, other), or multiply by the mask",
        item,
    )
    return [Tensor(where) for where in np.nonzero(item.numpy())]


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]`` with numpy's rules: integers, slices with any step, None and Ellipsis give a view;
    integer arrays and masks gather a copy. Gradients flow back to the elements taken.

    Raises
    ------
    IndexError
        For an index out of range (naming its position), too many indices, or a mask that does not
        fit.

    Examples
    --------
    >>> x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> getitem(x, (slice(None), slice(None, None, -1)))
    Tensor([[3., 2., 1.],
            [6., 5., 4.]])
    >>> x[[1, 0], [0, 2]]
    Tensor([4., 3.])
    """
    plain = _plain_items(key, x.ndim)
    if plain is not None:
        return _basic(x, plain)
    if type(key) is Tensor and key.code == int64.code and key.ndim and x.ndim:
        return _take(x, key, 0, "getitem")
    items, apart = _parse(key, x)
    arrays = [item for item in items if isinstance(item, Tensor)]
    if not arrays:
        return _basic(x, tuple(items))
    # Everything basic first, as a view; then the axes that tensors index.
    y = x
    if not all(isinstance(item, Tensor) or item == slice(None) for item in items):
        y = _basic(x, tuple([slice(None) if isinstance(item, Tensor) else item for item in items]))
    axes, names, axis, source = [], [], 0, 0
    for item in items:
        if isinstance(item, Tensor):
            axes.append(axis)
            names.append(source)
        axis += not isinstance(item, int)
        source += item is not None
    shape = np.broadcast_shapes(*[a.shape for a in arrays])
    if apart:
        y = permute(y, (*axes, *[a for a in range(y.ndim) if a not in axes]))
        first = 0
    else:
        first = axes[0]
    lengths = y.shape[first : first + len(axes)]
    if len(arrays) == 1:
        return _take(y, arrays[0], first, "getitem", names[0])
    index = _ravel([contiguous(broadcast_to(a, shape)) for a in arrays], lengths, names)
    before, after = y.shape[:first], y.shape[first + len(axes) :]
    y = reshape(y, (*before, math.prod(lengths), *after))
    return reshape(_take(y, index, first, "getitem"), (*before, *shape, *after))


def _ravel(arrays: list[Tensor], lengths: Sequence[int], axes: Sequence[int]) -> Tensor:
    """Indices into several axes as indices into those axes made one."""
    joined: Tensor | None = None
    for a, n, axis in zip(arrays, lengths, axes, strict=True):
        index = reshape(a, -1)
        y = empty(index.shape, int64)
        _launch_index(op.ravel_index, (joined, index, y), (n,), index, n, "getitem", axis)
        joined = y
    assert joined is not None
    return joined


def _launch_index(
    number: int,
    arrays: tuple[Any, ...],
    scalars: tuple[Any, ...],
    index: Tensor,
    n: int,
    name: str,
    axis: int,
) -> None:
    """launch, with an error that says which index is out of range."""
    try:
        launch(number, arrays, scalars)
    except IndexError:
        values = index.numpy()
        from_zero = number == op.one_hot or (number == op.gather and scalars == (1,))
        lowest = 0 if from_zero else -n
        bad = np.argwhere((values < lowest) | (values >= n))
        if not len(bad):
            raise
        at = tuple(int(i) for i in bad[0])
        where = at[0] if len(at) == 1 else at
        negative = "negative, and so " if lowest == 0 > values[at] else ""
        raise IndexError(
            f"{name}: index {values[at]} at position {where} is {negative}out of range for "
            f"axis {axis} with length {n}"
        ) from None


# --- gather and scatter-add along an axis, by a list of indices ---


def _rows(x: Tensor, axis: int) -> Tensor:
    """X as (outer, axis, inner), outside any graph: a view or a copy."""
    shape = x.shape
    outer, n, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if x.is_contiguous():
        return x._as_view((outer, n, inner), (n * inner, inner, 1))
    return reshape(x.detach(), (outer, n, inner))


def _take_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (_put_add(dy, *node.saved),)


def _take(x: Tensor, index: Tensor, axis: int, name: str, source_axis: int | None = None) -> Tensor:
    where = axis if source_axis is None else source_axis
    lies, order = as_it_lies(x)  # so that whole rows of memory are copied
    if order is None:
        y = _gathered(x, index, axis, name, where)
    else:
        at = order.index(axis)
        y = _gathered(lies, index, at, name, where)
        # A stable sort brings the index's axes, which all count as `axis`, into their order.
        named = (*order[:at], *(axis,) * index.ndim, *order[at + 1 :])
        y = permuted(y, sorted(range(y.ndim), key=lambda i: named[i]))
    return record(y, name, _take_backward, (x,), (x.shape, index, axis))


def _gathered(x: Tensor, index: Tensor, axis: int, name: str, where: int) -> Tensor:
    shape, at = x.shape, index.shape
    y = empty((*shape[:axis], *at, *shape[axis + 1 :]), x.dtype)
    rows = _rows(x, axis)
    outer, n, inner = rows.shape
    k = index.size
    flat = index if len(at) == 1 else reshape(index, -1)
    out = y._as_view((outer, k, inner), (k * inner, inner, 1))
    _launch_index(op.gather, (rows, flat, out), (0,), flat, n, name, where)
    return y


def _put_add_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    index, axis = node.saved
    return (_take(dy, index, axis, "take"),)


def _put_add(x: Tensor, shape: tuple[int, ...], index: Tensor, axis: int) -> Tensor:
    """Zeros of that shape with x added where `_take` takes from: its gradient."""
    y = zeros(shape, x.dtype)
    outer, k, inner = math.prod(shape[:axis]), index.size, math.prod(shape[axis + 1 :])
    source = contiguous(x.detach())._as_view((outer, k, inner), (k * inner, inner, 1))
    rows = _rows(y, axis)
    launch(op.scatter_add, (rows, reshape(index, -1), source, rows), (-1,))
    return record(y, "put_add", _put_add_backward, (x,), (index, axis))


def take(x: Tensor, indices: Any, axis: int = 0) -> Tensor:
    """The elements of an axis that integer indices name; the axes of ``indices`` replace it.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    indices : integer array-like
        Of any shape; negative ones count from the end.
    axis : int, default 0
        Which axis of x.

    Raises
    ------
    IndexError
        Naming the first index out of range and its position.

    Examples
    --------
    >>> take(Tensor([10.0, 20.0, 30.0]), [2, 0, -1])
    Tensor([30., 10., 30.])
    """
    at = normal_axis(axis, x.ndim, "take")
    return _take(x, index_tensor(indices, "take"), at, "take")
