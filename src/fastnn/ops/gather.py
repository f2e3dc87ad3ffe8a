"""Functions that move elements by index arrays: embedding, one_hot, take_along_axis,
scatter_add.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import launch, refuse
from .._core import ops as op
from ..autograd import Node, record
from ..dtypes import int64
from ..tensor import Tensor, empty, zeros
from .broadcast import broadcast_to
from .comparison import not_equal
from .copying import astype, contiguous
from .index import DATA_SHAPE, _launch_index, _take, basic_view, getitem, index_tensor
from .shape import normal_axes, normal_axis, reshape

__all__ = [
    "embedding", "flip", "gather", "index_add", "nonzero", "one_hot", "scatter_add",
    "take_along_axis",
]  # fmt: skip


def _embedding_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    index, shape, skip = node.saved
    place = node.grad_place(0)
    if place is None:
        return (_embedding_grad(dy, index, shape, skip),)
    home, holds = place
    if not holds and home.size:
        launch(op.copy, (Tensor(0, home.dtype)._as_view(shape, (0, 0)), home))
    _add_rows(dy, index, home, skip)
    return (home,)


def _add_rows(x: Tensor, index: Tensor, table: Tensor, skip: int) -> None:
    """Add the rows of x to those of a contiguous table that index names, but for skip."""
    n, width = table.shape
    k = index.size
    x = x.detach()
    if x.ndim == 2:
        rows = x._as_view((1, k, width), (0, *x.strides))
    else:
        rows = contiguous(x)._as_view((1, k, width), (k * width, width, 1))
    whole = table._as_view((1, n, width), (n * width, width, 1))
    launch(op.scatter_add, (whole, index, rows, whole), (skip,))


def _embedding_grad_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    index, skip, shape = node.saved
    y = reshape(embedding(dy, index), shape)
    if skip >= 0:
        keep = astype(not_equal(index, skip), dy.dtype)
        y = y * reshape(keep, (*shape[:-1], 1))
    return (y,)


def _embedding_grad(x: Tensor, index: Tensor, shape: tuple[int, int], skip: int) -> Tensor:
    y = zeros(shape, x.dtype)
    _add_rows(x, index, y, skip)
    return record(y, "embedding_grad", _embedding_grad_backward, (x,), (index, skip, x.shape))


def embedding(weight: Tensor, indices: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of a table that indices name.

    Parameters
    ----------
    weight : Tensor
        The table, (rows, width).
    indices : integer array-like
        Of any shape (...).
    padding_idx : int, optional
        A row that gets no gradient.

    Returns
    -------
    Tensor
        (..., width).

    Raises
    ------
    IndexError
        Naming the first index out of range and its position.

    Examples
    --------
    >>> embedding(Tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0])
    Tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be (rows, width), got shape {weight.shape}")
    skip = -1 if padding_idx is None else normal_padding(padding_idx, weight.shape[0])
    index = index_tensor(indices, "embedding")
    flat = reshape(index, -1)
    n, width = weight.shape
    k = flat.size
    y = empty((*index.shape, width), weight.dtype)
    table = weight._as_view((1, n, width), (0, *weight.strides))
    rows = y._as_view((1, k, width), (k * width, width, 1))
    # A row is named, not counted from the end: -1 among them is a mistake or a padding mark.
    _launch_index(op.gather, (table, flat, rows), (1,), flat, n, "embedding", 0)
    return record(y, "embedding", _embedding_backward, (weight,), (flat, weight.shape, skip))


def normal_padding(padding_idx: int, rows: int) -> int:
    """padding_idx counted from 0, checked."""
    if not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx {padding_idx} is out of range for {rows} rows")
    return padding_idx % rows


def one_hot(indices: Any, num_classes: int | None = None, dtype: Any = "float32") -> Tensor:
    """Rows of zeros with a one where the index says.

    Parameters
    ----------
    indices : integer array-like
        Of any shape (...).
    num_classes : int, optional
        By default the largest index plus one.
    dtype : DType or str, default float32

    Returns
    -------
    Tensor
        (..., num_classes).

    Examples
    --------
    >>> one_hot([0, 2])
    Tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    index = index_tensor(indices, "one_hot")
    if num_classes is None:
        refuse(
            "one_hot: the number of classes would be read from the indices; pass num_classes=",
            index,
        )
        if index.size == 0:
            raise ValueError("one_hot: num_classes is needed where there are no indices")
        num_classes = int(index.numpy().max()) + 1
    if num_classes < 1:
        raise ValueError(f"one_hot: num_classes must be at least 1, got {num_classes}")
    flat = reshape(index, -1)
    y = empty((flat.size, num_classes), dtype)
    _launch_index(op.one_hot, (flat, y), (), flat, num_classes, "one_hot", 0)
    return reshape(y, (*index.shape, num_classes))


# --- one index an element ---


def _as_rows(x: Tensor, axis: int) -> Tensor:
    shape = x.shape
    return reshape(x, (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])))


def _along_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    index, n = node.saved
    return (_scatter_add_along(dy, index, n),)


def _gather_along(x: Tensor, index: Tensor, axis: int = 1, name: str = "take_along_axis") -> Tensor:
    y = empty(index.shape, x.dtype)
    _launch_index(op.gather_along, (x, index, y), (), index, x.shape[1], name, axis)
    return record(y, name, _along_backward, (x,), (index, x.shape[1]))


def _scatter_along_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (_gather_along(dy, node.saved[0]),)


def _scatter_add_along(x: Tensor, index: Tensor, n: int) -> Tensor:
    y = zeros((x.shape[0], n, x.shape[2]), x.dtype)
    launch(op.scatter_add_along, (y, index, x, y))
    return record(y, "scatter_add", _scatter_along_backward, (x,), (index,))


def take_along_axis(x: Tensor, indices: Any, axis: int) -> Tensor:
    """``y[i, j, k] = x[i, indices[i, j, k], k]`` for axis 1, and likewise for others.

    Parameters
    ----------
    x : Tensor
    indices : integer array-like
        x's shape but for ``axis``; axes of length 1 broadcast.
    axis : int

    Examples
    --------
    >>> take_along_axis(Tensor([[1.0, 2.0], [3.0, 4.0]]), [[1], [0]], axis=1)
    Tensor([[2.],
            [3.]])
    """
    at = normal_axis(axis, x.ndim, "take_along_axis")
    index = index_tensor(indices, "take_along_axis")
    if index.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: indices have shape {index.shape} but x {x.shape}; as many axes "
            "are needed"
        )
    shape = np.broadcast_shapes(
        (*x.shape[:at], 1, *x.shape[at + 1 :]), (*index.shape[:at], 1, *index.shape[at + 1 :])
    )
    x = broadcast_to(x, (*shape[:at], x.shape[at], *shape[at + 1 :]))
    index = broadcast_to(index, (*shape[:at], index.shape[at], *shape[at + 1 :]))
    y = _gather_along(_as_rows(x, at), _as_rows(index, at), at)
    return reshape(y, index.shape)


def gather(x: Tensor, axis: int, indices: Any) -> Tensor:
    """PyTorch's gather: as `take_along_axis`, but other axes of ``indices`` may be shorter than
    x's.
    """
    at = normal_axis(axis, x.ndim, "gather")
    index = index_tensor(indices, "gather")
    return take_along_axis(_cropped(x, index, at, "gather"), index, at)


def _cropped(x: Tensor, index: Tensor, axis: int, name: str) -> Tensor:
    """x with every axis but one cut to the length that index has."""
    fits = index.ndim == x.ndim and all(
        n <= m for d, (n, m) in enumerate(zip(index.shape, x.shape, strict=True)) if d != axis
    )
    if not fits:
        raise ValueError(
            f"{name}: indices of shape {index.shape} do not fit {x.shape} along axis {axis}"
        )
    if all(n == m for d, (n, m) in enumerate(zip(index.shape, x.shape, strict=True)) if d != axis):
        return x
    return getitem(
        x, tuple([slice(None) if d == axis else slice(n) for d, n in enumerate(index.shape)])
    )


def _scatter_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    axis, index = node.saved
    return dy if node.needs(0) else None, gather(dy, axis, index) if node.needs(1) else None


def scatter_add(x: Tensor, axis: int, indices: Any, source: Tensor) -> Tensor:
    """A copy of x with ``source[i, j, k]`` added at ``[i, indices[i, j, k], k]`` for axis 1, and
    likewise.

    Contributions to one place are added in the order of ``source``, at any thread count.

    Examples
    --------
    >>> scatter_add(Tensor([0.0, 0.0]), 0, [1, 1, 0], Tensor([1.0, 2.0, 4.0]))
    Tensor([4., 3.])
    """
    at = normal_axis(axis, x.ndim, "scatter_add")
    index = index_tensor(indices, "scatter_add")
    if source.shape != index.shape or source.code != x.code:
        raise ValueError(
            f"scatter_add: source is {source.shape} {source.dtype}; indices are {index.shape} "
            f"and x is {x.dtype}"
        )
    _cropped(x.detach(), index, at, "scatter_add")
    y = _row_by_row(x)
    inside = basic_view(
        y, [slice(None) if d == at else slice(n) for d, n in enumerate(index.shape)]
    )
    rows = contiguous(inside)
    target = _as_rows(rows, at)
    flat = _as_rows(index, at)
    _launch_index(
        op.scatter_add_along, (target, flat, _as_rows(source.detach(), at), target), (), flat,
        x.shape[at],
        "scatter_add", at,
    )  # fmt: skip
    if rows is not inside and rows.size:
        launch(op.copy, (rows, inside))
    return record(y, "scatter_add", _scatter_backward, (x, source), (at, index))


def _row_by_row(x: Tensor) -> Tensor:
    """A contiguous copy, outside any graph."""
    y = empty(x.shape, x.dtype)
    launch(op.copy, (x, y))
    return y


def _index_add_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    axis, index = node.saved
    return (
        dy if node.needs(0) else None,
        _take(dy, index, axis, "take") if node.needs(1) else None,
    )


def _with(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


def index_add(x: Tensor, axis: int, indices: Any, source: Tensor) -> Tensor:
    """A copy of x with the slices of ``source`` along an axis added to those that ``indices`` name.

    Examples
    --------
    >>> index_add(Tensor([[0.0], [0.0]]), 0, [1, 1], Tensor([[1.0], [2.0]]))
    Tensor([[0.],
            [3.]])
    """
    at = normal_axis(axis, x.ndim, "index_add")
    index = reshape(index_tensor(indices, "index_add"), -1)
    if source.shape != _with(x.shape, at, index.size) or source.code != x.code:
        raise ValueError(
            f"index_add: source is {source.shape} {source.dtype}; {index.size} indices along "
            f"axis {at} of "
            f"{x.shape} {x.dtype} take {_with(x.shape, at, index.size)}"
        )
    y = _row_by_row(x)
    target = _as_rows(y, at)
    values = _as_rows(source.detach(), at)
    _launch_index(
        op.scatter_add, (target, index, values, target), (-1,), index, x.shape[at], "index_add", at
    )
    return record(y, "index_add", _index_add_backward, (x, source), (at, index))


# --- the rest ---


def nonzero(x: Tensor) -> tuple[Tensor, ...]:
    """Where x is not zero: one int64 tensor of indices an axis, in row-major order.

    Examples
    --------
    >>> nonzero(Tensor([0.0, 3.0, 4.0]))
    (Tensor([1, 2]),)
    """
    refuse(f"nonzero: {DATA_SHAPE}; use where() on the whole tensor", x)
    return tuple([Tensor(i, int64) for i in np.nonzero(x.numpy())])


def flip(x: Tensor, axis: Any = None) -> Tensor:
    """A view of x in reverse order along all axes, or those given.

    Examples
    --------
    >>> flip(Tensor([1.0, 2.0, 3.0]))
    Tensor([3., 2., 1.])
    """
    axes = range(x.ndim) if axis is None else normal_axes(axis, x.ndim, "flip")
    return getitem(x, tuple([slice(None, None, -1 if d in axes else None) for d in range(x.ndim)]))
