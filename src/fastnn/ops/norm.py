"""Layer, RMS and batch normalisation.

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
from .shape import reshape

__all__ = ["batch_norm", "layer_norm", "rms_norm"]

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


# --- batch norm ---


def batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel (Ioffe and Szegedy 2015).

    Parameters
    ----------
    x : Tensor
        (N, C) or (N, C, ...): statistics are over all axes but the second.
    running_mean, running_var : Tensor or None
        (C,). In training they move towards the batch's mean and unbiased variance, in place; else
        they are what is used.
    weight, bias : Tensor, optional
        (C,).
    training : bool
        Use the batch's statistics.
    momentum : float or None
        How far the running statistics move; None averages all batches equally.
    num_batches_tracked : Tensor, optional
        int64, counts the batches of training, in place. Needed when momentum is None.

    Raises
    ------
    ValueError
        If the shapes do not fit, there are no running statistics out of training, or a channel has
        a single value in training.

    Examples
    --------
    >>> batch_norm(Tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    Tensor([[-1.],
            [ 1.]])
    """
    x = _real(x, "batch_norm")
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must be (N, C) or (N, C, ...), its shape is {x.shape}")
    shape = x.shape
    channels = (shape[1],)
    weight = _parameter(weight, "weight", channels, x, "batch_norm")
    bias = _parameter(bias, "bias", channels, x, "batch_norm")
    for what, buffer in (("running_mean", running_mean), ("running_var", running_var)):
        if _parameter(buffer, what, channels, x, "batch_norm") is not buffer:
            raise ValueError(f"batch_norm: {what} must be contiguous, it is updated in place")
    flat = contiguous(x)
    if x.ndim > 3:
        flat = reshape(flat, (shape[0], shape[1], -1 if x.size else 0))
    if not training:
        y = _batch_norm_eval(flat, running_mean, running_var, weight, bias, eps)
    else:
        per_channel = x.size // shape[1] if shape[1] else 0
        if per_channel == 1:
            raise ValueError(
                f"batch_norm: training needs more than one value for each channel, x is {shape}"
            )
        if momentum is None and running_mean is not None and num_batches_tracked is None:
            raise ValueError("batch_norm: momentum=None needs num_batches_tracked")
        y = _batch_norm_training(
            flat, running_mean, running_var, weight, bias, momentum, eps, num_batches_tracked
        )
    return reshape(y, shape) if x.ndim > 3 else y


def _batch_norm_training(
    x: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    momentum: Any,
    eps: float,
    tracked: Any,
) -> Tensor:
    y, shape = empty(Tensor, x.shape, x.code), (x.shape[1],)
    average, rstd = empty(Tensor, shape, x.code), empty(Tensor, shape, x.code)
    running = (running_mean, running_var, tracked)
    launch(
        op.batch_norm, (x, weight, bias, *running, y, average, rstd, *running),
        (eps, -1.0 if momentum is None else momentum),
    )  # fmt: skip
    saved = (x, weight, average, rstd, eps, True)
    return record(y, "batch_norm", _batch_norm_backward, (x, weight, bias), saved)


def _batch_norm_eval(
    x: Tensor, running_mean: Any, running_var: Any, weight: Any, bias: Any, eps: float
) -> Tensor:
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: without running statistics use training=True")
    y = empty(Tensor, x.shape, x.code)
    launch(op.batch_norm_eval, (x, weight, bias, running_mean, running_var, y), (eps,))
    if not is_grad_enabled():
        return y
    average, rstd = running_mean.detach(), rsqrt(running_var.detach() + eps)
    saved = (x, weight, average, rstd, eps, False)
    return record(y, "batch_norm", _batch_norm_backward, (x, weight, bias), saved)


def _batch_norm_backward(node: Node, dy: Tensor) -> Gradients:
    x, weight, average, rstd, eps, training = node.saved
    if is_grad_enabled():
        return _batch_norm_composed(x, weight, average, rstd, eps, training, dy)
    dx = empty(Tensor, x.shape, x.code) if node.needs(0) else None
    dw, db = _room(node, 1, average.shape, x), _room(node, 2, average.shape, x)
    launch(op.batch_norm_grad, (x, weight, average, rstd, contiguous(dy), dx, dw, db), (training,))
    return dx, dw, db


def _batch_norm_composed(
    x: Tensor, weight: Any, average: Tensor, rstd: Tensor, eps: float, training: bool, dy: Tensor
) -> Gradients:
    axes = (0, 2) if x.ndim == 3 else (0,)
    wide = (1, x.shape[1], 1) if x.ndim == 3 else (1, x.shape[1])
    if training:
        average, rstd = mean(x, axes, keepdims=True), rsqrt(var(x, axes, keepdims=True) + eps)
    else:
        average, rstd = reshape(average, wide), reshape(rstd, wide)
    h = (x - average) * rstd
    g = dy if weight is None else dy * reshape(weight, wide)
    dx = g
    if training:
        dx = g - mean(g, axes, keepdims=True) - h * mean(g * h, axes, keepdims=True)
    return dx * rstd, None if weight is None else sum(dy * h, axes), sum(dy, axes)
