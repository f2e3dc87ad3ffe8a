"""Batch normalisation, with what a residual network does after it: adding the shortcut, and ReLU.

Images whose channels come last in memory are read as they lie. Forward, x is read twice (statistics,
result) and the result written once; backward, two passes do the same for x and the gradient. While the
backward pass is itself recorded (``create_graph=True``) the same formulas are composed of differentiable
functions instead.
"""

from __future__ import annotations

import math
from typing import Any

from .._core import launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..tensor import Tensor, empty
from .channels import LIMITS, Lay, checked, lay_of
from .comparison import greater, less, logical_and, where
from .elementary import rsqrt
from .norm import Gradients, _parameter, _real, _room
from .reduce import mean, sum, var
from .shape import reshape

__all__ = ["batch_norm"]


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
    *,
    residual: Tensor | None = None,
    activation: str | None = None,
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
    residual : Tensor, optional
        Of x's shape, added to the result.
    activation : {None, "relu", "relu6"}
        Applied to the result, after the residual was added; in the same pass over memory.

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
    >>> batch_norm(Tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0, activation="relu")
    Tensor([[0.],
            [1.]])
    """
    x = _real(x, "batch_norm")
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must be (N, C) or (N, C, ...), its shape is {x.shape}")
    if activation not in LIMITS:
        raise ValueError(
            f"batch_norm: activation must be one of {list(LIMITS)}, not {activation!r}"
        )
    channels = (x.shape[1],)
    weight = _parameter(weight, "weight", channels, x, "batch_norm")
    bias = _parameter(bias, "bias", channels, x, "batch_norm")
    for what, buffer in (("running_mean", running_mean), ("running_var", running_var)):
        if _parameter(buffer, what, channels, x, "batch_norm") is not buffer:
            raise ValueError(f"batch_norm: {what} must be contiguous, it is updated in place")
    if residual is not None:
        residual = checked(residual, "residual", x, "batch_norm")
    ends = (residual, activation)
    if not training:
        return _eval(x, running_mean, running_var, weight, bias, eps, *ends)
    if x.shape[1] and x.size // x.shape[1] == 1:
        raise ValueError(
            f"batch_norm: training needs more than one value for each channel, x is {x.shape}"
        )
    if momentum is None and running_mean is not None and num_batches_tracked is None:
        raise ValueError("batch_norm: momentum=None needs num_batches_tracked")
    running = (running_mean, running_var, num_batches_tracked)
    return _training(x, running, weight, bias, momentum, eps, *ends)


def _training(
    x: Tensor,
    running: tuple[Tensor | None, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float | None,
    eps: float,
    residual: Tensor | None,
    activation: str | None,
) -> Tensor:
    lay = lay_of(x, by_sample=False)
    flat, y = lay.room(x.code)
    average, rstd = empty(x.shape[1], x.dtype), empty(x.shape[1], x.dtype)
    added = None if residual is None else lay.of(residual)
    launch(
        op.batch_norm,
        (lay.of(x), weight, bias, *running, added, flat, average, rstd, *running),
        (eps, -1.0 if momentum is None else momentum, *LIMITS[activation]),
    )
    told = flat if activation and residual is not None else None
    saved = (x, weight, bias, average, rstd, told, lay, eps, activation, True)
    return record(y, "batch_norm", _backward, (x, weight, bias, residual), saved)


def _eval(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    residual: Tensor | None,
    activation: str | None,
) -> Tensor:
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: without running statistics use training=True")
    lay = lay_of(x, by_sample=False)
    flat, y = lay.room(x.code)
    added = None if residual is None else lay.of(residual)
    launch(
        op.batch_norm_eval,
        (lay.of(x), weight, bias, running_mean, running_var, added, flat),
        (eps, *LIMITS[activation]),
    )
    if not is_grad_enabled():
        return y
    average, rstd = running_mean.detach(), rsqrt(running_var.detach() + eps)
    saved = (x, weight, bias, average, rstd, flat, lay, eps, activation, False)
    return record(y, "batch_norm", _backward, (x, weight, bias, residual), saved)


def _backward(node: Node, dy: Tensor) -> Gradients:
    x, weight, bias, average, rstd, told, lay, eps, activation, training = node.saved
    if is_grad_enabled():
        return _composed(x, weight, bias, average, rstd, told, lay, eps, activation, training, dy)
    flat_dx, dx = lay.room(x.code) if node.needs(0) else (None, None)
    dw, db = _room(node, 1, average.shape, x), _room(node, 2, average.shape, x)
    flat_dr, dr = None, dy if node.needs(3) else None
    if activation and node.needs(3):
        flat_dr, dr = lay.room(x.code)
    told = told if activation else None
    launch(
        op.batch_norm_grad,
        (lay.of(x), weight, bias, average, rstd, lay.of(dy), None, told, flat_dx, dw, db, flat_dr),
        (*LIMITS[activation], training),
    )
    return dx, dw, db, dr


def _composed(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    average: Tensor,
    rstd: Tensor,
    told: Tensor | None,
    lay: Lay,
    eps: float,
    activation: str | None,
    training: bool,
    dy: Tensor,
) -> Gradients:
    """The gradients as differentiable functions."""
    axes = (0, *range(2, x.ndim))
    wide = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    if training:
        average, rstd = mean(x, axes, keepdims=True), rsqrt(var(x, axes, keepdims=True) + eps)
    else:
        average, rstd = reshape(average, wide), reshape(rstd, wide)
    h = (x - average) * rstd
    if activation:
        if told is None:
            y = h if weight is None else h * reshape(weight, wide)
            y = y if bias is None else y + reshape(bias, wide)
        else:
            y = lay.seen(told)
        dy = limited(y, dy, activation)
    g = dy if weight is None else dy * reshape(weight, wide)
    dx = g
    if training:
        dx = g - mean(g, axes, keepdims=True) - h * mean(g * h, axes, keepdims=True)
    return dx * rstd, None if weight is None else sum(dy * h, axes), sum(dy, axes), dy


def limited(y: Tensor, dy: Tensor, activation: str) -> Tensor:
    """The gradient where y is between the activation's limits, else 0."""
    low, high = LIMITS[activation]
    inside = greater(y.detach(), low)
    if high < math.inf:
        inside = logical_and(inside, less(y.detach(), high))
    return where(inside, dy, 0.0)
