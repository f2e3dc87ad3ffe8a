"""Layer and RMS normalisation.

Statistics come from two passes over data in the cache, so a mean that is large beside the spread
does no harm. Gradients are fused kernels; while the backward pass is itself recorded
(``create_graph=True``) the same formulas are composed of differentiable functions instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._core import empty, launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..tensor import Tensor, as_tensor
from .copying import contiguous
from .elementary import rsqrt
from .reduce import mean, sum, var

__all__ = ["layer_norm", "rms_norm"]

Gradients = tuple[Tensor | None, ...]


def _real(x: Any, name: str) -> Tensor:
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    if x.code > 1:
        raise TypeError(
            f'{name}: expected a float tensor, got {x.dtype}; convert it with x.astype("float32")'
        )
    return x


def _parameter(
    w: Tensor | None, what: str, shape: tuple[int, ...], x: Tensor, name: str
) -> Tensor | None:
    """A weight, bias or statistic, checked and contiguous."""
    if w is None:
        return None
    if w.shape != shape:
        raise ValueError(f"{name}: {what} has shape {w.shape} but must be {shape} (x: {x.shape})")
    if w.code != x.code:
        raise TypeError(
            f'{name}: {what} is {w.dtype} and x {x.dtype}; convert one with x.astype("{w.dtype}")'
        )
    return contiguous(w)


def _rows(x: Any, shape: int | Sequence[int], name: str) -> tuple[Tensor, tuple[int, ...], int]:
    """X as contiguous float rows of the normalised axes' elements, and how many those are."""
    x = _real(x, name)
    inner = (shape,) if isinstance(shape, int) else tuple(shape)
    if not inner or x.shape[x.ndim - len(inner) :] != inner or x.ndim < len(inner):
        raise ValueError(f"{name}: the last axes of x must be {inner}, its shape is {x.shape}")
    return contiguous(x), inner, math.prod(inner)


def _room(node: Node, i: int, shape: tuple[int, ...], x: Tensor) -> Tensor | None:
    """Where the gradient of input i goes: its own place if it is a parameter with one."""
    if not node.needs(i):
        return None
    home = node.grad_buffer(i)
    return home if home is not None and home.shape == shape else empty(Tensor, shape, x.code)


def _tail(x: Tensor, inner: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(inner), x.ndim))


def _lead(x: Tensor, inner: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(inner)))


# --- layer norm ---


def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes (Ba et al. 2016).

    Parameters
    ----------
    x : Tensor
        (..., *normalized_shape).
    normalized_shape : int or sequence of int
        The lengths of the axes to normalise over.
    weight, bias : Tensor, optional
        Of shape normalized_shape.
    eps : float
        Added to the variance, which is the biased one.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> layer_norm(Tensor([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0)
    Tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    x, inner, width = _rows(x, normalized_shape, "layer_norm")
    weight = _parameter(weight, "weight", inner, x, "layer_norm")
    bias = _parameter(bias, "bias", inner, x, "layer_norm")
    lead = x.shape[: x.ndim - len(inner)]
    y, average = empty(Tensor, x.shape, x.code), empty(Tensor, lead, x.code)
    rstd = empty(Tensor, lead, x.code)
    launch(op.layer_norm, (x, weight, bias, y, average, rstd), (eps, width))
    saved = (x, weight, average, rstd, inner, eps)
    return record(y, "layer_norm", _layer_norm_backward, (x, weight, bias), saved)


def _layer_norm_backward(node: Node, dy: Tensor) -> Gradients:
    x, weight, average, rstd, inner, eps = node.saved
    if is_grad_enabled():
        return _layer_norm_composed(x, weight, inner, eps, dy, True)
    dx = empty(Tensor, x.shape, x.code) if node.needs(0) else None
    dw, db = _room(node, 1, inner, x), _room(node, 2, inner, x)
    arrays = (x, weight, average, rstd, contiguous(dy), dx, dw, db)
    launch(op.layer_norm_grad, arrays, (math.prod(inner),))
    return dx, dw, db


def _layer_norm_composed(
    x: Tensor, weight: Tensor | None, inner: tuple[int, ...], eps: float, dy: Tensor, center: bool
) -> Gradients:
    """Gradients of layer norm, or of RMS norm without center, as differentiable functions."""
    axes, lead = _tail(x, inner), _lead(x, inner)
    if center:
        rstd = rsqrt(var(x, axes, keepdims=True) + eps)
        h = (x - mean(x, axes, keepdims=True)) * rstd
    else:
        rstd = rsqrt(mean(x * x, axes, keepdims=True) + eps)
        h = x * rstd
    g = dy if weight is None else dy * weight
    dx = g - h * mean(g * h, axes, keepdims=True)
    if center:
        dx = dx - mean(g, axes, keepdims=True)
    return dx * rstd, None if weight is None else sum(dy * h, lead), sum(dy, lead)


# --- RMS norm ---


def rms_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last axes (Zhang and Sennrich 2019).

    Parameters
    ----------
    x : Tensor
        (..., *normalized_shape).
    normalized_shape : int or sequence of int
    weight : Tensor, optional
        Of shape normalized_shape.
    eps : float, optional
        By default the spacing of floats at 1.

    Examples
    --------
    >>> rms_norm(Tensor([3.0, 4.0, 0.0, 0.0]), 4)
    Tensor([1.2, 1.6, 0. , 0. ])
    """
    x, inner, width = _rows(x, normalized_shape, "rms_norm")
    weight = _parameter(weight, "weight", inner, x, "rms_norm")
    if eps is None:
        eps = 2.0**-23 if x.code == 0 else 2.0**-52
    y = empty(Tensor, x.shape, x.code)
    rstd = empty(Tensor, x.shape[: x.ndim - len(inner)], x.code)
    launch(op.rms_norm, (x, weight, y, rstd), (eps, width))
    return record(y, "rms_norm", _rms_norm_backward, (x, weight), (x, weight, rstd, inner, eps))


def _rms_norm_backward(node: Node, dy: Tensor) -> Gradients:
    x, weight, rstd, inner, eps = node.saved
    if is_grad_enabled():
        return _layer_norm_composed(x, weight, inner, eps, dy, False)[:2]
    dx = empty(Tensor, x.shape, x.code) if node.needs(0) else None
    dw = _room(node, 1, inner, x)
    launch(op.rms_norm_grad, (x, weight, rstd, contiguous(dy), dx, dw), (math.prod(inner),))
    return dx, dw
