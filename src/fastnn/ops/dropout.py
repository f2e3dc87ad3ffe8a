"""Noise on activations: dropout, alpha dropout, Gaussian noise. What was dropped is not stored: the
gradient makes the same random numbers again from the same key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._core import launch, memory_order
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, empty, empty_like, ones
from .generator import Generator, key_for
from .shape import _row_major

__all__ = ["alpha_dropout", "dropout", "gaussian_noise"]


def _dropout_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    key, strides, p, scale = node.saved
    return (_apply(dy, key, (p, scale, 0.0, 0.0), strides),)


def _apply(
    x: Tensor,
    key: Tensor,
    scalars: tuple[float, ...],
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """Drops elements by their places in memory; of a gradient those that its tensor had, by its strides."""
    if strides is None:
        strides = memory_order(x) or tuple(_row_major(x.shape))
    elements = empty(x.size, x.dtype)
    y = elements._as_view(x.shape, strides)
    if any(s != t for n, s, t in zip(x.shape, x.strides, strides, strict=True) if n > 1):
        launch(op.copy, (x, y))
        source = elements
    else:
        source = x._as_view((x.size,), (1,))
    launch(op.dropout, (source, key, elements), scalars)
    return record(y, "dropout", _dropout_backward, (x,), (key, strides, *scalars[:2]))


def _probability(p: float, name: str) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: the probability must lie between 0 and 1, got {p}")
    return float(p)


def _check_float(x: Tensor, name: str) -> None:
    if not x.dtype.is_float:
        raise TypeError(f'{name}: x is {x.dtype}; convert it with astype("float32")')


def dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    *,
    noise_shape: Sequence[int] | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """x with each element zeroed with probability p, the others divided by 1 - p.

    Parameters
    ----------
    x : Tensor
    p : float, default 0.5
    training : bool, default True
        If False, x itself.
    noise_shape : sequence of int, optional
        A shape that broadcasts to x's: elements that share a place in it are dropped together.
    generator : Generator, optional

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Examples
    --------
    >>> dropout(Tensor([1.0, 2.0]), 0.0)
    Tensor([1., 2.])
    """
    _check_float(x, "dropout")
    if _probability(p, "dropout") == 0 or not training:
        return x
    if noise_shape is not None and tuple(noise_shape) != x.shape:
        mask = ones(tuple(noise_shape), x.dtype)
        return x * dropout(mask, p, generator=generator)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return _apply(x, key_for(x.size, generator), (float(p), scale, 0.0, 0.0))


# What SELU tends to for very negative inputs: -scale * alpha (Klambauer et al. 2017).
_SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772


def alpha_dropout(
    x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """Dropout that keeps mean and variance, for networks of SELU units.

    Dropped elements become SELU's lower limit; the result is then scaled and shifted.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    _check_float(x, "alpha_dropout")
    if _probability(p, "alpha_dropout") == 0 or not training:
        return x
    if p == 1:
        return _apply(x, key_for(x.size, generator), (1.0, 0.0, 0.0, 0.0))
    scale = 1 / math.sqrt((1 - p) * (1 + p * _SELU_FLOOR**2))
    shift = -scale * p * _SELU_FLOOR
    dropped = scale * _SELU_FLOOR + shift
    return _apply(x, key_for(x.size, generator), (float(p), scale, shift, dropped))


def gaussian_noise(
    x: Tensor, std: float = 0.1, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """x plus normal noise of standard deviation ``std``."""
    _check_float(x, "gaussian_noise")
    if std < 0 or not math.isfinite(std):
        raise ValueError(f"gaussian_noise: std must be finite and not negative, got {std}")
    if std == 0 or not training:
        return x
    noise = empty_like(x)
    drawn = noise._as_view((x.size,), (1,))
    launch(op.normal, (key_for(x.size, generator), drawn), (0.0, float(std)))
    return x + noise
