"""Losses of single elements with a kernel of their own: value, weight and reduction in one pass.

While the backward pass is itself recorded (``create_graph=True``), or the target wants a gradient
too, the derivative is composed of differentiable functions instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import ops
from .._core import empty, launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..scope import scope
from ..tensor import Tensor
from .base import Loss, beside, pair, reduction, weights

__all__ = [
    "BCE",
    "MAE",
    "MSE",
    "BCEWithLogits",
    "Huber",
    "bce",
    "bce_with_logits",
    "huber",
    "mae",
    "mse",
]


class Point(NamedTuple):
    """A pointwise loss: its ops, and slopes as differentiable functions of (x, t, delta, pos)."""

    name: str
    value: int
    gradient: int
    by_x: Callable[..., Tensor]
    by_t: Callable[..., Tensor]


def _run(
    kind: Point,
    x: Tensor,
    t: Tensor,
    how: str,
    sample_weight: Any,
    delta: float = 0.0,
    pos: Tensor | None = None,
) -> Tensor:
    r = reduction(kind.name, how)
    w = weights(kind.name, sample_weight, x.shape, x)
    y = empty(Tensor, () if r else x.shape, x.code)
    launch(kind.value, (x, t, w, pos, y), (delta, r))
    return record(y, kind.name, _backward, (x, t), (kind, x, t, w, pos, delta, r))


def _backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    kind, x, t, w, pos, delta, r = node.saved
    if not is_grad_enabled() and not node.needs(1):
        dx = empty(Tensor, x.shape, x.code)
        launch(kind.gradient, (x, t, w, pos, dy, dx), (delta, r))
        return dx, None
    if r == 2:
        dy = dy * (1 / x.size if x.size else float("nan"))
    if w is not None:
        dy = dy * w
    return (
        kind.by_x(x, t, delta, pos) * dy if node.needs(0) else None,
        kind.by_t(x, t, delta, pos) * dy if node.needs(1) else None,
    )


# --- mean squared and mean absolute error, Huber ---

_MSE = Point(
    "mse", op.mse_loss, op.mse_loss_grad,
    lambda x, t, delta, pos: (x - t) * 2, lambda x, t, delta, pos: (t - x) * 2,
)  # fmt: skip
_MAE = Point(
    "mae", op.mae_loss, op.mae_loss_grad,
    lambda x, t, delta, pos: ops.sign(x - t), lambda x, t, delta, pos: ops.sign(t - x),
)  # fmt: skip
_HUBER = Point(
    "huber", op.huber_loss, op.huber_loss_grad,
    lambda x, t, delta, pos: ops.clip(x - t, -delta, delta),
    lambda x, t, delta, pos: ops.clip(t - x, -delta, delta),
)  # fmt: skip


@scope("loss")
def mse(
    prediction: Any, target: Any, *, reduction: str = "mean", sample_weight: Any = None
) -> Tensor:
    """Squared error, ``(x - t)^2``.

    Parameters
    ----------
    prediction, target : Tensor
        Of one shape.
    reduction, sample_weight
        See `fastnn.losses`.

    Raises
    ------
    ValueError
        If the shapes differ; nothing is broadcast.

    Examples
    --------
    >>> from fastnn.losses import mse
    >>> mse([1.0, 2.0], [0.0, 4.0])
    Tensor(2.5)
    """
    x, t = pair("mse", prediction, target)
    return _run(_MSE, x, t, reduction, sample_weight)


@scope("loss")
def mae(
    prediction: Any, target: Any, *, reduction: str = "mean", sample_weight: Any = None
) -> Tensor:
    """Absolute error, ``|x - t|``; its gradient is 0 where they are equal.

    Examples
    --------
    >>> from fastnn.losses import mae
    >>> mae([1.0, 2.0], [0.0, 4.0])
    Tensor(1.5)
    """
    x, t = pair("mae", prediction, target)
    return _run(_MAE, x, t, reduction, sample_weight)


@scope("loss")
def huber(
    prediction: Any,
    target: Any,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """``(x - t)^2 / 2`` near the target, ``delta (|x - t| - delta / 2)`` beyond delta (Huber 1964).

    Parameters
    ----------
    delta : float
        Where the square becomes a line; positive.

    Examples
    --------
    >>> from fastnn.losses import huber
    >>> huber([0.5, 3.0], [0.0, 0.0], reduction="none")
    Tensor([0.125, 2.5  ])
    """
    if not delta > 0:
        raise ValueError(f"huber: delta must be positive, got {delta}")
    x, t = pair("huber", prediction, target)
    return _run(_HUBER, x, t, reduction, sample_weight, delta)


# --- binary cross entropy ---


def _limited_log(x: Tensor) -> Tensor:
    return ops.maximum(ops.log(x), -100.0)


_BCE = Point(
    "bce", op.bce_loss, op.bce_loss_grad,
    lambda x, t, delta, pos: (x - t) / ops.maximum(x * (1 - x), 1e-12),
    lambda x, t, delta, pos: _limited_log(1 - x) - _limited_log(x),
)  # fmt: skip


def _logits_by_x(x: Tensor, t: Tensor, delta: float, pos: Tensor | None) -> Tensor:
    positive = t if pos is None else pos * t
    return (1 - t) * ops.sigmoid(x) - positive * ops.sigmoid(-x)


def _logits_by_t(x: Tensor, t: Tensor, delta: float, pos: Tensor | None) -> Tensor:
    return -x if pos is None else (pos - 1) * ops.softplus(-x) - x


_LOGITS = Point(
    "bce_with_logits", op.bce_logits_loss, op.bce_logits_loss_grad, _logits_by_x, _logits_by_t
)


@scope("loss")
def bce(
    prediction: Any, target: Any, *, reduction: str = "mean", sample_weight: Any = None
) -> Tensor:
    """Binary cross entropy of probabilities, ``-(t log x + (1 - t) log(1 - x))``.

    Each logarithm stops at -100, so the loss is finite at 0 and 1. Prefer `bce_with_logits`, which
    loses nothing there.

    Parameters
    ----------
    prediction : Tensor
        Probabilities, in [0, 1]; NaN comes of others.
    target : Tensor
        Of its shape, in [0, 1].

    Examples
    --------
    >>> from fastnn.losses import bce
    >>> bce([0.5, 1.0], [1.0, 1.0], reduction="none")
    Tensor([0.6931472, 0.       ])
    """
    x, t = pair("bce", prediction, target)
    return _run(_BCE, x, t, reduction, sample_weight)


@scope("loss")
def bce_with_logits(
    prediction: Any,
    target: Any,
    *,
    pos_weight: Any = None,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """Binary cross entropy of ``sigmoid(x)``, exact for logits of any size.

    ``(1 - t) x + (1 + (pos_weight - 1) t) log(1 + exp(-x))``.

    Parameters
    ----------
    prediction, target : Tensor
        Logits, and what they should say, in [0, 1]; of one shape.
    pos_weight : Tensor or number, optional
        What a positive counts; broadcasts to the prediction's shape (one for each class, say).

    Examples
    --------
    >>> from fastnn.losses import bce_with_logits
    >>> bce_with_logits([1000.0, -1000.0], [0.0, 0.0], reduction="none")
    Tensor([1000.,    0.])
    """
    x, t = pair("bce_with_logits", prediction, target)
    pos = None
    if pos_weight is not None:
        pos = beside("bce_with_logits", "pos_weight", pos_weight, x).detach()
        try:
            pos = ops.broadcast_to(pos, x.shape)
        except ValueError:
            raise ValueError(
                f"bce_with_logits: pos_weight of shape {pos.shape} does not broadcast to the "
                f"prediction's {x.shape}"
            ) from None
    return _run(_LOGITS, x, t, reduction, sample_weight, 0.0, pos)


class MSE(Loss):
    """`mse` with its options kept."""

    function = staticmethod(mse)


class MAE(Loss):
    """`mae` with its options kept."""

    function = staticmethod(mae)


class Huber(Loss):
    """`huber` with its options kept."""

    function = staticmethod(huber)


class BCE(Loss):
    """`bce` with its options kept."""

    function = staticmethod(bce)


class BCEWithLogits(Loss):
    """`bce_with_logits` with its options kept."""

    function = staticmethod(bce_with_logits)
