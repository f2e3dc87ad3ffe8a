"""Reductions over any axes: sums, extremes, moments; and sums that run along an axis.

Every function takes ``axis`` (an integer, a tuple, or None for all axes) and ``keepdims`` as numpy
has them. Results have the same bits at any number of threads. Sums are blocked, so their error
grows with the logarithm of the number of elements rather than with the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core import empty, empty_for, launch
from .._core import ops as op
from ..autograd import Node, record
from ..dtypes import bool_, float32, int64
from ..tensor import Tensor, as_tensor
from .comparison import where

__all__ = [
    "all", "any", "argmax", "argmin", "cumsum", "logsumexp", "max", "mean", "min", "prod", "std",
    "sum", "var",
]  # fmt: skip

Axis = int | Sequence[int] | None
Gradients = tuple[Tensor | None, ...]


# --- axes ---


def _axes(x: Tensor, axis: Axis, name: str) -> tuple[int, ...]:
    """The axes to reduce, counted from 0, in order."""
    n = x.ndim
    if axis is None:
        return tuple(range(n))
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = []
    for a in given:
        try:
            i = a.__index__()  # type: ignore[union-attr]
        except (AttributeError, TypeError):
            raise TypeError(f"{name}: an axis is an integer, got {a!r}") from None
        if not -n <= i < n:
            raise ValueError(f"{name}: axis {i} is out of range for a tensor of shape {x.shape}")
        axes.append(i + n if i < 0 else i)
    if len(axes) > 1:
        axes.sort()
        if len(set(axes)) != len(axes):
            raise ValueError(f"{name}: an axis comes twice in {given}")
    return tuple(axes)


def _kept(x: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """X's shape with 1 for the reduced axes."""
    shape = list(x.shape)
    for a in axes:
        shape[a] = 1
    return tuple(shape)


def _without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def _reduce(
    code: int,
    x: Tensor,
    axes: tuple[int, ...],
    keepdims: bool,
    dtype: int,
    scalars: tuple[float, ...] = (),
) -> Tensor:
    """The op's result, not recorded."""
    y: Tensor = empty_for(Tensor, _kept(x, axes), dtype, x)
    launch(code, (x, y), scalars)
    return y if keepdims or not axes else _dropped(y, axes)


def _dropped(y: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A view of y without axes whose length is 1; not recorded."""
    return y._as_view(_without(y.shape, axes), _without(y.strides, axes))


def _insert_backward(node: Node, dy: Tensor) -> Gradients:
    axes = node.saved[0]
    return (record(_dropped(dy, axes), "squeeze", _squeeze_backward, (dy,), (axes,)),)


def _squeeze_backward(node: Node, dy: Tensor) -> Gradients:
    return (_insert(dy, dy.ndim + len(node.saved[0]), node.saved[0]),)


def _insert(x: Tensor, ndim: int, axes: tuple[int, ...]) -> Tensor:
    """A view of x with axes of length 1 where they were reduced; x itself if it has them."""
    if x.ndim == ndim:
        return x
    shape, strides = list(x.shape), list(x.strides)
    for a in axes:
        shape.insert(a, 1)
        strides.insert(a, 0)
    return record(x._as_view(shape, strides), "expand_dims", _insert_backward, (x,), (axes,))


def _spread_backward(node: Node, dy: Tensor) -> Gradients:
    axes, keepdims = node.saved
    return (sum(dy, axes, keepdims),)


def _spread(dy: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """A view of dy, a gradient of a reduction of `shape`, repeated over the reduced axes."""
    keepdims = dy.ndim == len(shape)
    strides = list(dy.strides)
    for a in axes:
        if keepdims:
            strides[a] = 0
        else:
            strides.insert(a, 0)
    return record(
        dy._as_view(shape, strides), "broadcast_to", _spread_backward, (dy,), (axes, keepdims)
    )


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    n = 1
    for a in axes:
        n *= shape[a]
    return n


def _tensor(x: Any, name: str, real: bool = False) -> Tensor:
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    if real and x.code > 1:
        raise TypeError(
            f'{name}: expected a float tensor, got {x.dtype}; convert it with x.astype("float32")'
        )
    return x


# --- sums ---


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes. Integers and bools are summed as int64.

    Parameters
    ----------
    x : Tensor
    axis : int or tuple of int, optional
        The axes to sum over; all of them by default.
    keepdims : bool
        Keep the summed axes, with length 1.

    Raises
    ------
    ValueError
        If an axis is out of range or comes twice.

    Examples
    --------
    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> sum(x), sum(x, axis=0)
    (Tensor(10.), Tensor([4., 6.]))
    """
    x = _tensor(x, "sum")
    axes = _axes(x, axis, "sum")
    y = _reduce(op.sum, x, axes, keepdims, x.code if x.code <= 1 else int64.code)
    return record(y, "sum", _sum_backward, (x,), (x.shape, axes))


def _sum_backward(node: Node, dy: Tensor) -> Gradients:
    return (_spread(dy, *node.saved),)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axes; float32 for integers and bools, whose sum is exact. NaN of no elements.

    Examples
    --------
    >>> mean(Tensor([1.0, 2.0, 6.0])), mean(Tensor([True, False]))
    (Tensor(3.), Tensor(0.5))
    """
    x = _tensor(x, "mean")
    axes = _axes(x, axis, "mean")
    y = _reduce(op.mean, x, axes, keepdims, x.code if x.code <= 1 else float32.code)
    return record(y, "mean", _mean_backward, (x,), (x.shape, axes)) if x.code <= 1 else y


def _mean_backward(node: Node, dy: Tensor) -> Gradients:
    shape, axes = node.saved
    n = _count(shape, axes)
    return (_spread(dy * (1 / n) if n else dy, shape, axes),)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over axes. Integers and bools are multiplied as int64.

    Examples
    --------
    >>> prod(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    Tensor([ 2., 12.])
    """
    x = _tensor(x, "prod")
    axes = _axes(x, axis, "prod")
    y = _reduce(op.prod, x, axes, keepdims, x.code if x.code <= 1 else int64.code)
    return record(y, "prod", _prod_backward, (x,), (x, axes))


def _prod_backward(node: Node, dy: Tensor) -> Gradients:
    """The gradient is the product of the others: total / x, except where there are zeros."""
    x, axes = node.saved
    dy = _spread(dy, x.shape, axes)
    zero = (x == 0).astype(x.dtype)
    zeros = _spread(sum(zero, axes, keepdims=True), x.shape, axes)
    filled = x + zero  # 1 in place of 0
    others = _spread(prod(filled, axes, keepdims=True), x.shape, axes) / filled
    alone = (zeros == zero).astype(x.dtype)  # no zero among the others
    return (dy * others * alone,)


def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """The running sum along an axis, or of the flattened tensor. int64 for integers and bools.

    Examples
    --------
    >>> cumsum(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    Tensor([[1., 3.],
            [3., 7.]])
    """
    x = _tensor(x, "cumsum")
    if axis is None:
        x, axis = x.reshape(-1), 0
    (along,) = _axes(x, int(axis), "cumsum")
    return _cumsum(x, along, False)


def _cumsum(x: Tensor, axis: int, backward: bool) -> Tensor:
    y: Tensor = empty(Tensor, x.shape, x.code if x.code <= 1 else int64.code)
    launch(op.cumsum, (x, y), (axis, backward))
    return record(y, "cumsum", _cumsum_backward, (x,), (axis, backward))


def _cumsum_backward(node: Node, dy: Tensor) -> Gradients:
    axis, backward = node.saved
    return (_cumsum(dy, axis, not backward),)


# --- extremes ---


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The greatest element over axes; NaN where one of them is NaN.

    Where several are the greatest, the gradient is shared equally among them.

    Raises
    ------
    ValueError
        If there are no elements.

    Examples
    --------
    >>> max(Tensor([[1.0, 5.0], [3.0, 4.0]]), axis=0)
    Tensor([3., 5.])
    """
    x = _tensor(x, "max")
    axes = _axes(x, axis, "max")
    y = _reduce(op.max, x, axes, keepdims, x.code)
    return record(y, "max", _extreme_backward, (x,), (x, axes, y.detach()))


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The least element over axes; NaN where one of them is NaN. Its gradient is as that of `max`.

    Examples
    --------
    >>> min(Tensor([[1.0, 5.0], [3.0, 4.0]]), axis=0)
    Tensor([1., 4.])
    """
    x = _tensor(x, "min")
    axes = _axes(x, axis, "min")
    y = _reduce(op.min, x, axes, keepdims, x.code)
    return record(y, "min", _extreme_backward, (x,), (x, axes, y.detach()))


def _extreme_backward(node: Node, dy: Tensor) -> Gradients:
    x, axes, y = node.saved
    y, dy = _insert(y, x.ndim, axes), _insert(dy, x.ndim, axes)
    best = (x == y).astype(x.dtype)
    return (best * (dy / sum(best, axes, keepdims=True)),)


def argmax(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The index of the greatest element along an axis, the first of equals or the first NaN.

    Parameters
    ----------
    axis : int or tuple of int, optional
        Over several axes (all of them by default) the index counts their elements in row-major
        order.

    Returns
    -------
    Tensor
        int64.

    Examples
    --------
    >>> argmax(Tensor([[1.0, 5.0], [3.0, 4.0]]), axis=1)
    Tensor([1, 1])
    """
    x = _tensor(x, "argmax")
    return _reduce(op.argmax, x, _axes(x, axis, "argmax"), keepdims, int64.code)


def argmin(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The index of the least element along an axis; see `argmax`.

    Examples
    --------
    >>> argmin(Tensor([[1.0, 5.0], [3.0, 4.0]]))
    Tensor(0)
    """
    x = _tensor(x, "argmin")
    return _reduce(op.argmin, x, _axes(x, axis, "argmin"), keepdims, int64.code)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element is not zero, as a bool tensor.

    Examples
    --------
    >>> any(Tensor([[0, 1], [0, 0]]), axis=1)
    Tensor([ True, False])
    """
    x = _tensor(x, "any")
    return _reduce(op.any, x, _axes(x, axis, "any"), keepdims, bool_.code)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are not zero, as a bool tensor.

    Examples
    --------
    >>> all(Tensor([[0, 1], [1, 1]]), axis=1)
    Tensor([False,  True])
    """
    x = _tensor(x, "all")
    return _reduce(op.all, x, _axes(x, axis, "all"), keepdims, bool_.code)


# --- moments ---


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The variance over axes, ``sum((x - mean)^2) / (n - ddof)``, in one pass that does not cancel.

    Parameters
    ----------
    ddof : float, default 0
        1 for the unbiased estimate. NaN where n <= ddof.

    Examples
    --------
    >>> var(Tensor([1.0, 2.0, 3.0])), var(Tensor([1.0, 2.0, 3.0]), ddof=1)
    (Tensor(0.6666667), Tensor(1.))
    """
    x = _tensor(x, "var", real=True)
    axes = _axes(x, axis, "var")
    y = _reduce(op.var, x, axes, keepdims, x.code, (ddof,))
    return record(y, "var", _var_backward, (x,), (x, axes, ddof))


def _var_backward(node: Node, dy: Tensor) -> Gradients:
    x, axes, ddof = node.saved
    n = _count(x.shape, axes) - ddof
    scale = 2 / n if n > 0 else float("nan")
    return (_insert(dy * scale, x.ndim, axes) * (x - mean(x, axes, keepdims=True)),)


def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The standard deviation over axes, the root of `var`; its gradient is 0 where it is 0.

    Examples
    --------
    >>> std(Tensor([[1.0, 3.0], [2.0, 2.0]]), axis=1)
    Tensor([1., 0.])
    """
    x = _tensor(x, "std", real=True)
    axes = _axes(x, axis, "std")
    y = _reduce(op.var, x, axes, keepdims, x.code, (ddof,))
    launch(op.sqrt, (y, y))
    return record(y, "std", _std_backward, (x,), (x, axes, ddof), keep_output=True)


def _std_backward(node: Node, dy: Tensor) -> Gradients:
    x, axes, ddof = node.saved
    n, y = _count(x.shape, axes) - ddof, node.output
    flat = (y == 0).astype(y.dtype)  # there x - mean is 0 as well
    scale = dy / ((y + flat) * (n if n > 0 else float("nan")))
    return (_insert(scale, x.ndim, axes) * (x - mean(x, axes, keepdims=True)),)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over axes, where exp may overflow but the result does not.

    Examples
    --------
    >>> logsumexp(Tensor([1000.0, 1000.0, 1000.0, 1000.0])) - 1000
    Tensor(1.3862915)
    """
    x = _tensor(x, "logsumexp", real=True)
    axes = _axes(x, axis, "logsumexp")
    y = _reduce(op.logsumexp, x, axes, keepdims, x.code)
    return record(y, "logsumexp", _logsumexp_backward, (x,), (x, axes), keep_output=True)


def _logsumexp_backward(node: Node, dy: Tensor) -> Gradients:
    x, axes = node.saved
    y, dy = _insert(node.output, x.ndim, axes), _insert(dy, x.ndim, axes)
    y = where(y == float("-inf"), 0.0, y)  # every x is -inf there, and its share 0
    return (dy * (x - y).exp(),)
