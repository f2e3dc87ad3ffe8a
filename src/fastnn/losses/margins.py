"""Losses of margins, angles and distances."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..scope import scope
from ..tensor import Tensor
from .base import Loss, beside, pair, reduced

__all__ = [
    "Cosine", "CosineEmbedding", "Hinge", "SquaredHinge", "TripletMargin", "cosine",
    "cosine_embedding", "hinge", "squared_hinge", "triplet_margin",
]  # fmt: skip


def _shortfall(name: str, prediction: Any, target: Any) -> Tensor:
    """``max(0, 1 - s x)``, with s the sign that the target stands for."""
    x, t = pair(name, prediction, target)
    s = ops.where(t > 0, ops.where(t > 0, 1.0, t), ops.where(t <= 0, -1.0, t))  # NaN stays
    return ops.maximum(1 - s * x, 0.0)


@scope("loss")
def hinge(
    prediction: Any, target: Any, *, reduction: str = "mean", sample_weight: Any = None
) -> Tensor:
    """``max(0, 1 - s x)`` where s is 1 for a positive target, and -1 for 0 or a negative one.

    Examples
    --------
    >>> from fastnn.losses import hinge
    >>> hinge([2.0, 0.5, 0.5], [1.0, 1.0, -1.0], reduction="none")
    Tensor([0. , 0.5, 1.5])
    """
    return reduced("hinge", _shortfall("hinge", prediction, target), reduction, sample_weight)


@scope("loss")
def squared_hinge(
    prediction: Any, target: Any, *, reduction: str = "mean", sample_weight: Any = None
) -> Tensor:
    """The square of `hinge`, which is smooth.

    Examples
    --------
    >>> from fastnn.losses import squared_hinge
    >>> squared_hinge([2.0, 0.5, 0.5], [1.0, 1.0, 0.0], reduction="none")
    Tensor([0.  , 0.25, 2.25])
    """
    short = _shortfall("squared_hinge", prediction, target)
    return reduced("squared_hinge", short * short, reduction, sample_weight)


def _cosines(x: Tensor, t: Tensor, axis: int) -> Tensor:
    """Cosines of the angles between vectors along axis; 0 beside a vector of zeros."""
    tiny = 1e-12  # under the root, as in PyTorch's cosine_embedding_loss
    squares = (ops.sum(x * x, axis) + tiny) * (ops.sum(t * t, axis) + tiny)
    return ops.sum(x * t, axis) * ops.rsqrt(squares)


@scope("loss")
def cosine(
    prediction: Any,
    target: Any,
    *,
    axis: int = -1,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """``1 - cos(x, t)`` of vectors along an axis: 0 where they point the same way, 2 if opposite.

    Parameters
    ----------
    prediction, target : Tensor
        Of one shape.
    axis : int
        Along which the vectors lie; the losses have the other axes.

    Examples
    --------
    >>> from fastnn.losses import cosine
    >>> cosine([[3.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [-1.0, 1.0]], reduction="none")
    Tensor([0., 1.])
    """
    x, t = pair("cosine", prediction, target)
    return reduced("cosine", 1 - _cosines(x, t, axis), reduction, sample_weight)


@scope("loss")
def cosine_embedding(
    prediction: Any,
    other: Any,
    target: Any,
    *,
    margin: float = 0.0,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """``1 - cos(x, o)`` for pairs that belong together, ``max(0, cos(x, o) - margin)`` for others.

    Parameters
    ----------
    prediction, other : Tensor
        (N, D) or (D).
    target : Tensor
        (N) or (): positive for pairs that belong together, else 0 or negative.

    Examples
    --------
    >>> from fastnn.losses import cosine_embedding
    >>> cosine_embedding([[1.0, 0.0]], [[0.0, 1.0]], [1]), cosine_embedding([1.0], [2.0], -1)
    (Tensor(1.), Tensor(1.))
    """
    x, o = pair("cosine_embedding", prediction, other, "other")
    if x.ndim not in (1, 2):
        raise ValueError(f"cosine_embedding: inputs must be (N, D) or (D), not {x.shape}")
    t = beside("cosine_embedding", "target", target, x)
    if t.shape != x.shape[:-1]:
        raise ValueError(
            f"cosine_embedding: target has shape {t.shape}, one label a row is {x.shape[:-1]}"
        )
    c = _cosines(x, o, -1)
    loss = ops.where(t > 0, 1 - c, ops.maximum(c - margin, 0.0))
    return reduced("cosine_embedding", loss, reduction, sample_weight)


def _distance(a: Tensor, b: Tensor, p: float, eps: float) -> Tensor:
    d = a - b + eps
    if p == 2:
        return ops.sqrt(ops.sum(d * d, -1))
    if p == 1:
        return ops.sum(ops.abs(d), -1)
    if p == float("inf"):
        return ops.max(ops.abs(d), -1)
    return ops.pow(ops.sum(ops.pow(ops.abs(d), p), -1), 1 / p)


@scope("loss")
def triplet_margin(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """``max(0, |a - p| - |a - n| + margin)``: the positive nearer than the negative by a margin.

    Parameters
    ----------
    anchor, positive, negative : Tensor
        (N, D) or (D).
    p : float
        Of the norm; at least 1, may be infinite.
    eps : float
        Added to each difference, so that the gradient exists where they are equal.
    swap : bool
        Take the smaller of ``|a - n|`` and ``|p - n|`` (Balntas et al. 2016).

    Examples
    --------
    >>> from fastnn.losses import triplet_margin
    >>> triplet_margin([[0.0, 0.0]], [[0.0, 3.0]], [[4.0, 0.0]], eps=0.0, reduction="none")
    Tensor([0.])
    """
    if not p >= 1:
        raise ValueError(f"triplet_margin: p must be at least 1, got {p}")
    a, near = pair("triplet_margin", anchor, positive, "positive")
    a, far = pair("triplet_margin", a, negative, "negative")
    if a.ndim == 0:
        raise ValueError("triplet_margin: inputs must be (N, D) or (D), their shape is ()")
    apart = _distance(a, far, p, eps)
    if swap:
        apart = ops.minimum(apart, _distance(near, far, p, eps))
    loss = ops.maximum(_distance(a, near, p, eps) - apart + margin, 0.0)
    return reduced("triplet_margin", loss, reduction, sample_weight)


class Hinge(Loss):
    """`hinge` with its options kept."""

    function = staticmethod(hinge)


class SquaredHinge(Loss):
    """`squared_hinge` with its options kept."""

    function = staticmethod(squared_hinge)


class Cosine(Loss):
    """`cosine` with its options kept."""

    function = staticmethod(cosine)


class CosineEmbedding(Loss):
    """`cosine_embedding` with its options kept."""

    function = staticmethod(cosine_embedding)


class TripletMargin(Loss):
    """`triplet_margin` with its options kept."""

    function = staticmethod(triplet_margin)
