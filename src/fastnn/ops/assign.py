"""Writing by index: ``x[...] = value`` through views, masks, and scatters by index arrays.

While a function is recorded every key of fixed shape is a call; eagerly numpy does what a scatter cannot.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import launch, recording
from .._core import ops as op
from ..dtypes import bool_
from ..tensor import Tensor
from .broadcast import broadcast_to
from .copying import _writable, astype, contiguous, copy_
from .index import _geometry, _launch_index, _parse, getitem
from .shape import _strides_after, reshape

__all__ = ["setitem"]


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``: value is broadcast and converted to x's dtype. Not recorded for
    gradients.

    Raises
    ------
    RuntimeError
        If x requires a gradient and gradients are being recorded; write within ``no_grad()``.

    Examples
    --------
    >>> x = Tensor([[0.0, 0.0], [0.0, 0.0]])
    >>> x[0] = 7
    >>> x
    Tensor([[7., 7.],
            [0., 0.]])
    """
    _writable(x, "setitem")
    if isinstance(key, Tensor) and _fill_where(x, key, value):
        return
    items, apart = _parse(key, x)
    arrays = [i for i, item in enumerate(items) if isinstance(item, Tensor)]
    if not arrays:
        copy_(x._as_view(*_geometry(x.shape, x.strides, items)), value)
    elif len(arrays) == 1 and not apart and _scatter(x, items, arrays[0], value):
        pass
    elif recording():
        _scatter_anywhere(x, key, value)
    else:
        given = key if isinstance(key, tuple) else (key,)
        plain = [
            np.asarray(item) if isinstance(item, (Tensor, list, range)) else item for item in given
        ]
        x.numpy()[tuple(plain)] = np.asarray(value)
        x._wrote()


def _fill_where(x: Tensor, key: Tensor, value: Any) -> bool:
    """x[key] = value for a mask of x's leading axes and one value; False for anything else."""
    if key.dtype is not bool_ or key.ndim == 0 or np.ndim(value) != 0:
        return False
    if key.shape != x.shape[: key.ndim]:
        return False
    if x.size:
        fill = astype(value, x.dtype) if isinstance(value, Tensor) else Tensor(value, x.dtype)
        mask = key._as_view(x.shape, (*key.strides, *(0,) * (x.ndim - key.ndim)))
        launch(op.where, (mask, fill._as_view(x.shape, (0,) * x.ndim), x, x))
    return True


def _scatter_anywhere(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value for any key of integers, by the numbers of the elements that it means. Where one
    comes twice, the last value stays, as in numpy.
    """
    n = x.size
    at = getitem(reshape(Tensor(np.arange(n)), x.shape), key)
    values = astype((value if isinstance(value, Tensor) else Tensor(value)).detach(), x.dtype)
    values = reshape(broadcast_to(values, at.shape), (1, at.size, 1))
    whole = contiguous(x.detach())
    flat = whole._as_view((1, n, 1), (n, 1, 1))
    if values._shares_memory_with(whole):
        values = contiguous(values * 1)
    launch(op.scatter, (flat, reshape(at, -1), values, flat))
    if not whole._shares_memory_with(x):
        launch(op.copy, (whole, x))


def _scatter(x: Tensor, items: list[Any], at: int, value: Any) -> bool:
    """x[items] = value with one array of indices, at items[at], where x's strides have room for
    it.
    """
    y = x._as_view(*_geometry(x.shape, x.strides, [*items[:at], slice(None), *items[at + 1 :]]))
    axis = sum(1 for item in items[:at] if not isinstance(item, int))
    before, n, after = y.shape[:axis], y.shape[axis], y.shape[axis + 1 :]
    rows = (math.prod(before), n, math.prod(after))
    strides = _strides_after(y.shape, y.strides, rows) if y.size else None
    if strides is None:
        return False
    index = items[at]
    values = astype((value if isinstance(value, Tensor) else Tensor(value)).detach(), x.dtype)
    values = reshape(
        broadcast_to(values, (*before, *index.shape, *after)), (rows[0], index.size, rows[2])
    )
    if values._shares_memory_with(x):
        values = contiguous(values * 1)
    y = y._as_view(rows, strides)
    index = reshape(index, -1)
    _launch_index(op.scatter, (y, index, values, y), (), index, n, "setitem", axis)
    return True
