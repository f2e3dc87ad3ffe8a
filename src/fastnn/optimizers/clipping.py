"""Clipping of gradients as functions, for loops that do it themselves.

Optimizers take ``clip_norm=`` and ``clip_value=``, which is faster: the scaling is part of the
step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .. import ops
from .._core import launch, refuse
from .._core import ops as op
from ..flat import gradients
from ..scope import scope
from ..tensor import Tensor, empty, zeros

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _gradients(parameters: Tensor | Iterable[Tensor], name: str) -> list[tuple[Tensor, Tensor]]:
    """Every gradient, and the same contiguous."""
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for i, p in enumerate(given):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameter {i} is a {type(p).__name__}, not a Tensor")
    pairs = []
    for g in gradients(given):
        plain = g.detach()
        if not plain.is_contiguous():
            copied = empty(g.shape, g.dtype)
            launch(op.copy, (plain, copied))
            plain = copied
        pairs.append((g, plain))
    return pairs


def _write_back(pairs: list[tuple[Tensor, Tensor]]) -> None:
    for g, plain in pairs:
        if not g.is_contiguous():
            launch(op.copy, (plain, g))


@scope("clip")
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale the gradients of all parameters together so that their norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
    norm_type : float, default 2
        The p of the p-norm over all elements; ``math.inf`` for the largest magnitude.
    error_if_nonfinite : bool, default False

    Returns
    -------
    Tensor
        The norm before, a float64 without axes.

    Raises
    ------
    RuntimeError
        With ``error_if_nonfinite``, if the norm is NaN or infinite.

    Examples
    --------
    >>> w = Tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_norm_(w, 1.0).item()
    10.0
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: norm_type must be positive, got {norm_type}")
    pairs = _gradients(parameters, "clip_grad_norm_")
    norm, scale = empty(1, "float64"), empty(1, "float64")
    squares = empty(len(pairs), "float64")
    for i, (_, g) in enumerate(pairs):
        place = squares._as_view((1,), (1,), i)
        if norm_type == 2:
            launch(op.flat_dot, (g, g, place))
        else:
            launch(op.copy, (_power(g, norm_type), place._as_view((), ())))
    if norm_type != 2 and pairs:
        squares = _square_of_norm(squares, norm_type)
    launch(op.clip_scale, (squares, norm, scale), (float(max_norm),))
    total_norm = norm._as_view((), (), 0)
    if error_if_nonfinite:
        refuse(
            "clip_grad_norm_: error_if_nonfinite reads the norm; look at what is returned instead"
        )
    if error_if_nonfinite and not math.isfinite(total_norm.item()):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {total_norm.item()}")
    for _, g in pairs:
        launch(op.scale_clip, (g, scale, g), (math.inf,))
    _write_back(pairs)
    return total_norm


def _power(g: Tensor, p: float) -> Tensor:
    """The sum of the magnitudes' p-th powers, or the largest magnitude."""
    magnitudes = ops.abs(g.astype("float64"))
    if math.isinf(p):
        return ops.max(magnitudes) if g.size else zeros((), "float64")
    return ops.sum(magnitudes**p)


def _square_of_norm(parts: Tensor, p: float) -> Tensor:
    norm = ops.max(parts) if math.isinf(p) else ops.sum(parts) ** (1 / p)
    return ops.reshape(norm * norm, 1)


@scope("clip")
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every element of the gradients to [-clip_value, clip_value].

    Examples
    --------
    >>> w = Tensor([3.0, -4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_value_(w, 7.0)
    >>> w.grad
    Tensor([ 6., -7.])
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    pairs = _gradients(parameters, "clip_grad_value_")
    for _, g in pairs:
        launch(op.scale_clip, (g, None, g), (float(clip_value),))
    _write_back(pairs)
