"""Losses that compare distributions: Kullback-Leibler, Poisson, Gaussian, and focal loss."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from .._core import recording
from ..scope import scope
from ..tensor import Tensor, as_tensor
from .base import Loss, beside, pair, real, reduced
from .classes import cross_entropy
from .pointwise import bce_with_logits

__all__ = [
    "Focal", "GaussianNLL", "KLDivergence", "PoissonNLL", "focal", "gaussian_nll", "kl_divergence",
    "poisson_nll",
]  # fmt: skip


@scope("loss")
def kl_divergence(
    prediction: Any,
    target: Any,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """Kullback-Leibler divergence, ``t (log t - x)`` for log-probabilities x; 0 where t is 0.

    Parameters
    ----------
    prediction : Tensor
        Log-probabilities, as `log_softmax` gives them.
    target : Tensor
        Probabilities of its shape, or their logarithms with log_target.
    reduction : str
        "mean" is over all elements; "batchmean" divides the sum by the rows, which is the
        divergence itself.

    Examples
    --------
    >>> from fastnn.losses import kl_divergence
    >>> kl_divergence([[-1.0, -1.0]], [[1.0, 0.0]], reduction="batchmean")
    Tensor(1.)
    """
    x, t = pair("kl_divergence", prediction, target)
    if log_target:
        loss = ops.exp(t) * (t - x)
    else:
        loss = t * (ops.log(ops.where(t > 0, t, 1.0)) - x)
        loss = ops.where(ops.equal(t, 0.0), 0.0, loss)
    if reduction == "batchmean":
        total = reduced("kl_divergence", loss, "sum", sample_weight)
        return total / (x.shape[0] if x.ndim else 1)
    return reduced("kl_divergence", loss, reduction, sample_weight)


@scope("loss")
def poisson_nll(
    prediction: Any,
    target: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """Negative log-likelihood of counts t under a Poisson distribution, up to a constant.

    ``exp(x) - t x``, or ``x - t log(x + eps)`` without log_input.

    Parameters
    ----------
    prediction : Tensor
        The logarithm of the expected counts, or with log_input=False the counts themselves.
    full : bool
        Add Stirling's approximation of log t! where t > 1.

    Examples
    --------
    >>> from fastnn.losses import poisson_nll
    >>> poisson_nll([0.0, 0.0], [1.0, 2.0], reduction="none")
    Tensor([1., 1.])
    """
    x, t = pair("poisson_nll", prediction, target)
    loss = ops.exp(x) - t * x if log_input else x - t * ops.log(x + eps)
    if full:
        many = ops.where(t > 1, t, 1.0)
        stirling = many * ops.log(many) - many + ops.log(many * (2 * math.pi)) * 0.5
        loss = loss + ops.where(t > 1, stirling, 0.0)
    return reduced("poisson_nll", loss, reduction, sample_weight)


@scope("loss")
def gaussian_nll(
    prediction: Any,
    target: Any,
    var: Any,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """Negative log-likelihood of t under a Gaussian with mean x and variance var, up to a constant.

    ``(log var + (x - t)^2 / var) / 2`` with var at least eps.

    Parameters
    ----------
    var : Tensor or number
        The prediction's shape, or that without the last axis, or with length 1 there.
    full : bool
        Add ``log(2 pi) / 2``.

    Examples
    --------
    >>> from fastnn.losses import gaussian_nll
    >>> gaussian_nll([1.0, 2.0], [1.0, 0.0], 1.0, reduction="none")
    Tensor([0., 2.])
    """
    x, t = pair("gaussian_nll", prediction, target)
    v = beside("gaussian_nll", "var", var, x)
    if v.ndim and v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = ops.expand_dims(v, -1)
        elif v.shape != (*x.shape[:-1], 1):
            raise ValueError(
                f"gaussian_nll: var has shape {v.shape}; it must be the prediction's {x.shape}, or "
                "that without its last axis"
            )
    if not recording() and v.size and (least := v.numpy().min()) < 0:
        raise ValueError(f"gaussian_nll: var holds {least}; variances are not negative")
    v, d = ops.maximum(v, eps), x - t
    loss = (ops.log(v) + d * d / v) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced("gaussian_nll", loss, reduction, sample_weight)


@scope("loss")
def focal(
    prediction: Any,
    target: Any,
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """Cross entropy that counts easy examples less: ``(1 - p)^gamma`` times (Lin et al. 2017).

    Parameters
    ----------
    prediction : Tensor
        Logits.
    target : Tensor
        Of the prediction's shape: binary, each 0 or 1, where p is the probability of what is
        true and positives count alpha, negatives 1 - alpha (None: both 1). Or integer class indices
        for (N, C) or (N, C, d1, ...) logits, where alpha does not enter.
    gamma : float
        0 gives cross entropy.

    Examples
    --------
    >>> from fastnn.losses import focal
    >>> focal([0.0], [1.0], alpha=None)  # log(2) / 4
    Tensor(0.1732868)
    """
    if not gamma >= 0:
        raise ValueError(f"focal: gamma must not be negative, got {gamma}")
    x = real("focal", "prediction", prediction)
    t = target if isinstance(target, Tensor) else as_tensor(target)
    if t.code > 1 and x.ndim >= 2 and t.shape == (x.shape[0], *x.shape[2:]):
        loss = cross_entropy(x, t, reduction="none")
        miss = -ops.expm1(-loss)  # 1 - p without cancellation
        return reduced("focal", loss * ops.pow(miss, gamma), reduction, sample_weight)
    x, t = pair("focal", x, target)
    loss = bce_with_logits(x, t, reduction="none")
    miss = ops.sigmoid(x) * (1 - t) + ops.sigmoid(-x) * t
    loss = loss * ops.pow(miss, gamma)
    if alpha is not None:
        loss = loss * (t * alpha + (1 - t) * (1 - alpha))
    return reduced("focal", loss, reduction, sample_weight)


class KLDivergence(Loss):
    """`kl_divergence` with its options kept."""

    function = staticmethod(kl_divergence)


class PoissonNLL(Loss):
    """`poisson_nll` with its options kept."""

    function = staticmethod(poisson_nll)


class GaussianNLL(Loss):
    """`gaussian_nll` with its options kept."""

    function = staticmethod(gaussian_nll)


class Focal(Loss):
    """`focal` with its options kept."""

    function = staticmethod(focal)
