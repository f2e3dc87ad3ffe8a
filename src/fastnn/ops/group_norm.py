"""Group and instance normalisation: each sample by itself."""

from __future__ import annotations

import math
from typing import Any

from .._core import launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, no_grad, record
from ..tensor import Tensor, empty
from .batch_norm import batch_norm
from .channels import LIMITS, lay_of
from .copying import copy_
from .elementary import rsqrt
from .norm import Gradients, _parameter, _real, _room
from .reduce import mean, sum, var
from .shape import reshape

__all__ = ["group_norm", "instance_norm"]


def group_norm(
    x: Any,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over groups of channels (Wu and He 2018).

    Parameters
    ----------
    x : Tensor
        (N, C, ...): statistics are over the channels of a group and all axes behind them, for each
        sample.
    num_groups : int
        It must divide C.
    weight, bias : Tensor, optional
        (C,).
    eps : float
        Added to the variance, which is the biased one.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> group_norm(Tensor([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0)
    Tensor([[-1.,  1., -1.,  1.]])
    """
    x = _real(x, "group_norm")
    if x.ndim < 2:
        raise ValueError(f"group_norm: x must be (N, C, ...), its shape is {x.shape}")
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f"group_norm: num_groups must divide the channels, got {num_groups} for x of {x.shape}"
        )
    channels = (x.shape[1],)
    weight = _parameter(weight, "weight", channels, x, "group_norm")
    bias = _parameter(bias, "bias", channels, x, "group_norm")
    return _normalised(x, num_groups, weight, bias, eps)[0]


def _normalised(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """The result, and the means (N, groups)."""
    lay = lay_of(x, by_sample=True)
    flat, y = lay.room(x.code)
    average, rstd = (empty((x.shape[0], groups), x.dtype) for _ in range(2))
    launch(
        op.group_norm,
        (lay.of(x), weight, bias, None, flat, average, rstd),
        (eps, *LIMITS[None], groups, lay.columns),
    )
    saved = (x, weight, bias, average, rstd, lay, groups, eps)
    return record(y, "group_norm", _backward, (x, weight, bias), saved), average


def _backward(node: Node, dy: Tensor) -> Gradients:
    x, weight, bias, average, rstd, lay, groups, eps = node.saved
    if is_grad_enabled():
        return _composed(x, weight, groups, eps, dy)
    flat, dx = lay.room(x.code) if node.needs(0) else (None, None)
    channels = (x.shape[1],)
    dw, db = _room(node, 1, channels, x), _room(node, 2, channels, x)
    launch(
        op.group_norm_grad,
        (lay.of(x), weight, bias, average, rstd, lay.of(dy), None, None, flat, dw, db, None),
        (*LIMITS[None], groups, lay.columns),
    )
    return dx, dw, db


def _composed(x: Tensor, weight: Tensor | None, groups: int, eps: float, dy: Tensor) -> Gradients:
    """The gradients as differentiable functions."""
    grouped = (x.shape[0], groups, x.size // max(x.shape[0] * groups, 1))
    wide = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    rows = reshape(x, grouped)
    rstd = rsqrt(var(rows, 2, keepdims=True) + eps)
    h = (rows - mean(rows, 2, keepdims=True)) * rstd
    g = reshape(dy if weight is None else dy * reshape(weight, wide), grouped)
    dx = (g - mean(g, 2, keepdims=True) - h * mean(g * h, 2, keepdims=True)) * rstd
    axes = (0, *range(2, x.ndim))
    dw = None if weight is None else sum(dy * reshape(h, x.shape), axes)
    return reshape(dx, x.shape), dw, sum(dy, axes)


def instance_norm(
    x: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel of each sample (Ulyanov et al. 2016).

    Parameters
    ----------
    x : Tensor
        (N, C, ...): statistics are over all axes behind the second.
    running_mean, running_var : Tensor, optional
        (C,). With `use_input_stats` they move towards the samples' average mean and unbiased
        variance, in place; else they are what is used.
    weight, bias : Tensor, optional
        (C,).
    use_input_stats : bool
        Use each sample's own statistics.
    momentum : float
        How far the running statistics move.
    eps : float
        Added to the variance, which is the biased one.

    Raises
    ------
    ValueError
        If the shapes do not fit, there are no running statistics to use, or a channel of a sample
        has a single value.

    Examples
    --------
    >>> instance_norm(Tensor([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0)
    Tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    x = _real(x, "instance_norm")
    if x.ndim < 3:
        raise ValueError(f"instance_norm: x must be (N, C, ...), its shape is {x.shape}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("instance_norm: without running statistics use use_input_stats=True")
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    spatial = math.prod(x.shape[2:])
    if spatial == 1:
        raise ValueError(
            f"instance_norm: needs more than one value for each channel of a sample, x is {x.shape}"
        )
    channels = (x.shape[1],)
    weight = _parameter(weight, "weight", channels, x, "instance_norm")
    bias = _parameter(bias, "bias", channels, x, "instance_norm")
    for what, buffer in (("running_mean", running_mean), ("running_var", running_var)):
        _parameter(buffer, what, channels, x, "instance_norm")
    y, average = _normalised(x, x.shape[1], weight, bias, eps)
    with no_grad():
        if running_mean is not None:
            _move(running_mean, mean(average, 0), momentum)
        if running_var is not None:
            spread = var(x.detach(), tuple(range(2, x.ndim)), ddof=1)
            _move(running_var, mean(spread, 0), momentum)
    return y


def _move(running: Tensor, now: Tensor, momentum: float) -> None:
    copy_(running, running * (1 - momentum) + now * momentum)
