"""Random tensors. The same seed gives the same bits on every CPU and at any thread count.

>>> from fastnn import random
>>> _ = random.manual_seed(0)
>>> random.permutation(5).shape
(5,)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._core import launch
from ._core import ops as op
from .dtypes import as_dtype, int64
from .ops.copying import astype
from .ops.generator import (
    Generator,
    default_generator,
    get_state,
    key_for,
    manual_seed,
    set_state,
)
from .ops.index import take
from .tensor import Tensor, empty

__all__ = [
    "Generator", "bernoulli", "default_generator", "get_state", "integers", "manual_seed", "normal",
    "permutation", "set_state", "shuffle", "uniform",
]  # fmt: skip

Shape = int | Sequence[int]


def _empty(shape: Shape, dtype: Any, name: str) -> Tensor:
    kind = as_dtype(dtype)
    if not kind.is_float:
        raise TypeError(f"{name}: random reals are float32 or float64, not {kind}")
    return empty(shape, kind)


def _finite(name: str, **values: float) -> None:
    for what, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name}: {what} must be finite, got {value}")


def uniform(
    shape: Shape = (),
    low: float = 0.0,
    high: float = 1.0,
    *,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """Numbers uniform in [low, high), in steps of (high - low) / 2**24 (float32) or 2**52
    (float64).

    Raises
    ------
    ValueError
        If low is above high, or either is not finite.

    Examples
    --------
    >>> x = uniform((2, 3), -1, 1)
    >>> bool(x.numpy().min() >= -1 and x.numpy().max() < 1)
    True
    """
    _finite("uniform", low=low, high=high)
    if low > high:
        raise ValueError(f"uniform: low ({low}) must not be above high ({high})")
    y = _empty(shape, dtype, "uniform")
    launch(op.uniform, (key_for(y.size, generator), y), (float(low), float(high)))
    return y


def normal(
    shape: Shape = (),
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """Numbers from the normal distribution, by the method of Box and Muller (1958).

    Raises
    ------
    ValueError
        If std is negative, or an argument is not finite.

    Examples
    --------
    >>> normal((2, 3)).shape
    (2, 3)
    """
    _finite("normal", mean=mean, std=std)
    if std < 0:
        raise ValueError(f"normal: std must not be negative, got {std}")
    y = _empty(shape, dtype, "normal")
    launch(op.normal, (key_for(y.size, generator), y), (float(mean), float(std)))
    return y


def bernoulli(
    p: float, shape: Shape = (), *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """Ones with probability p, zeros else.

    Examples
    --------
    >>> bernoulli(1.0, 3)
    Tensor([1., 1., 1.])
    """
    if not 0 <= p <= 1:
        raise ValueError(f"bernoulli: the probability must lie between 0 and 1, got {p}")
    kind = as_dtype(dtype)
    y = empty(shape, kind if kind.is_float else "float32")
    launch(op.bernoulli, (key_for(y.size, generator), y), (float(p),))
    return astype(y, kind)


def integers(
    low: int,
    high: int | None = None,
    shape: Shape = (),
    *,
    dtype: Any = int64,
    generator: Generator | None = None,
) -> Tensor:
    """Integers in [low, high), or in [0, low) if only one bound is given, all equally likely.

    Examples
    --------
    >>> integers(3, shape=4).shape
    (4,)
    """
    if high is None:
        low, high = 0, low
    if low >= high:
        raise ValueError(f"integers: low ({low}) must be below high ({high})")
    if not -(1 << 63) <= low < high <= (1 << 63) - 1:
        raise ValueError(f"integers: [{low}, {high}) does not fit int64")
    y = empty(shape, int64)
    launch(op.integers, (key_for(y.size, generator), y), (int(low), int(high)))
    return astype(y, dtype)


def permutation(n: int, *, generator: Generator | None = None) -> Tensor:
    """0 .. n-1 in random order, int64; every order is equally likely (Fisher and Yates).

    Examples
    --------
    >>> sorted(permutation(4).tolist())
    [0, 1, 2, 3]
    """
    if n < 0:
        raise ValueError(f"permutation: n must not be negative, got {n}")
    y = empty(int(n), int64)
    launch(op.permutation, (key_for(y.size, generator), y))
    return y


def shuffle(x: Tensor, axis: int = 0, *, generator: Generator | None = None) -> Tensor:
    """A copy of x with the slices along an axis in random order."""
    if x.ndim == 0:
        raise ValueError("shuffle: a tensor without axes has nothing to shuffle")
    return take(x, permutation(x.shape[axis], generator=generator), axis)
