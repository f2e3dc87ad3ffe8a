"""Losses: functions of (prediction, target), and classes that keep their options.

Definitions and defaults are PyTorch's where it has the loss. All take

reduction : "mean", "sum" or "none"
    What becomes of the losses of the single elements (or rows).
sample_weight : array, optional
    One factor a row, or one for each leading index of the losses. They multiply the losses; "mean"
    still divides by the number of losses, as in Keras, so a row's share does not depend on the
    weights of the others. Class weights of `cross_entropy` and `nll` follow PyTorch instead:
    "mean" divides by the sum of the targets' weights.

Shapes must agree exactly: a prediction (N, 1) beside a target (N,) is an error, never a broadcast.
Integer targets are converted where floats are expected. NaN in the input gives NaN.

    from fastnn import losses
    losses.huber(prediction, target, delta=2.0)          # a function
    loss = losses.Huber(delta=2.0); loss(prediction, target)
    losses.get("huber")                                  # by name
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from .base import Loss
from .classes import NLL, CrossEntropy, cross_entropy, nll
from .likelihoods import (
    Focal,
    GaussianNLL,
    KLDivergence,
    PoissonNLL,
    focal,
    gaussian_nll,
    kl_divergence,
    poisson_nll,
)  # fmt: skip
from .margins import (
    Cosine,
    CosineEmbedding,
    Hinge,
    SquaredHinge,
    TripletMargin,
    cosine,
    cosine_embedding,
    hinge,
    squared_hinge,
    triplet_margin,
)  # fmt: skip
from .pointwise import (
    BCE,
    MAE,
    MSE,
    BCEWithLogits,
    Huber,
    bce,
    bce_with_logits,
    huber,
    mae,
    mse,
)  # fmt: skip

__all__ = [
    "BCE", "MAE", "MSE", "NLL", "BCEWithLogits", "Cosine", "CosineEmbedding", "CrossEntropy",
    "Focal", "GaussianNLL", "Hinge", "Huber", "KLDivergence", "Loss", "PoissonNLL", "SquaredHinge",
    "TripletMargin", "bce", "bce_with_logits", "cosine", "cosine_embedding", "cross_entropy",
    "focal", "gaussian_nll", "get", "hinge", "huber", "kl_divergence", "mae", "mse", "nll",
    "poisson_nll",
    "squared_hinge", "triplet_margin",
]  # fmt: skip

_FUNCTIONS = (
    bce, bce_with_logits, cosine, cosine_embedding, cross_entropy, focal, gaussian_nll, hinge,
    huber, kl_divergence, mae, mse, nll, poisson_nll, squared_hinge, triplet_margin,
)  # fmt: skip
_BY_NAME: dict[str, Callable[..., Tensor]] = {f.__name__: f for f in _FUNCTIONS}


def get(loss: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss of that name; a function or an object that can be called is itself.

    Raises
    ------
    ValueError
        For a name that no loss has.

    Examples
    --------
    >>> get("mse") is mse
    True
    """
    if callable(loss):
        return loss
    found: Any = _BY_NAME.get(loss) if isinstance(loss, str) else None
    if found is None:
        raise ValueError(f"losses: no loss is called {loss!r}; there are {', '.join(_BY_NAME)}")
    return found  # type: ignore[no-any-return]
