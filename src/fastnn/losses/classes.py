"""Losses of classes: cross entropy and negative log-likelihood.

Both are one kernel from logits (or log-probabilities) to the reduced loss, and one for the
gradient. While the backward pass is itself recorded, or probabilities as target want a gradient,
the derivative is composed of differentiable functions instead.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from .._core import empty, launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..dtypes import int64
from ..scope import scope
from ..tensor import Tensor, as_tensor
from .base import Loss, beside, real, reduction, weights

__all__ = ["NLL", "CrossEntropy", "cross_entropy", "nll"]


class Options(NamedTuple):
    """What the kernels take besides arrays, and the ops to call."""

    name: str
    value: int
    gradient: int
    scalars: tuple[float, int, int]  # label smoothing, ignore_index, reduction


@cache
def _options(name: str, kind: str, smoothing: float, ignore_index: int, how: str) -> Options:
    """Checked once for each combination."""
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must be in [0, 1], got {smoothing}")
    scalars = (float(smoothing), int(ignore_index), reduction(name, how))
    return Options(name, getattr(op, kind), getattr(op, kind + "_grad"), scalars)


# --- arguments ---


def _class_rows(x: Tensor) -> Tensor:
    """(C), (N, C) or (N, C, d1, ...) as contiguous rows of C."""
    if x.ndim == 2 and x.is_contiguous():
        return x
    if x.ndim == 1:
        x = ops.expand_dims(x, 0)
    elif x.ndim > 2:
        x = ops.permute(x, (0, *range(2, x.ndim), 1))
        x = ops.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    return x if x.strides[1] == 1 or x.shape[1] <= 1 else ops.contiguous(x)


def _outer(x: Tensor) -> tuple[int, ...]:
    """The losses' shape: the prediction's without classes."""
    return () if x.ndim == 1 else (x.shape[0], *x.shape[2:])


def _labels(name: str, target: Tensor, x: Tensor) -> Tensor:
    """Class indices as one long array."""
    if target.code <= 1:
        hint = " or probabilities of the prediction's shape" if name == "cross_entropy" else ""
        raise TypeError(
            f"{name}: target is {target.dtype} of shape {target.shape}; give class indices as "
            "integers"
            f'{hint} (prediction: {x.shape}); convert labels with target.astype("int64")'
        )
    if target.shape != _outer(x):
        raise ValueError(
            f"{name}: prediction {x.shape} needs a target of shape {_outer(x)}, got {target.shape}"
            + (f"; use target.reshape{_outer(x)}" if target.size == math.prod(_outer(x)) else "")
        )
    if target.code == 5:
        target = ops.astype(target, int64)
    return ops.reshape(target, -1) if target.ndim != 1 else target


def _class_weights(name: str, weight: Any, x: Tensor) -> Tensor | None:
    if weight is None:
        return None
    w = beside(name, "weight", weight, x).detach()
    classes = x.shape[min(1, x.ndim - 1)]
    if w.shape != (classes,):
        raise ValueError(f"{name}: weight has shape {w.shape} but there are {classes} classes")
    return ops.contiguous(w)


def _label_error(
    name: str, labels: Tensor, shape: tuple[int, ...], classes: int, ignored: int
) -> None:
    """Raise for the first label that is no class: its value, its place, the number of classes."""
    values = labels.numpy().astype(np.int64)
    wrong = np.flatnonzero((values != ignored) & ((values < 0) | (values >= classes)))
    if wrong.size:
        at = tuple(int(i) for i in np.unravel_index(wrong[0], shape)) if shape else ()
        place = f"{at[0]}" if len(at) == 1 else f"{at}"
        raise ValueError(
            f"{name}: label {values[wrong[0]]} at position {place} is not one of {classes} classes "
            f"(0 to {classes - 1}, or ignore_index={ignored}); {wrong.size} of {values.size} "
            "labels are wrong"
        )


# --- forward ---


def _run(
    x: Tensor, target: Tensor, weight: Tensor | None, sample_weight: Any, how: Options
) -> Tensor:
    outer, rows = _outer(x), _class_rows(x)
    soft = how.value == op.cross_entropy_soft
    t = _class_rows(target) if soft else _labels(how.name, target, x)
    w = weights(how.name, sample_weight, outer, x)
    if w is not None and w.ndim != 1:
        w = ops.reshape(w, -1)
    n = rows.shape[0]
    y, total = empty(Tensor, () if how.scalars[2] else (n,), x.code), empty(Tensor, (), x.code)
    stats = () if how.value == op.nll else (empty(Tensor, (n, 2), x.code),)
    try:
        launch(how.value, (rows, t, weight, w, y, total, *stats), how.scalars)
    except ValueError:
        if not soft:
            _label_error(how.name, t, outer, rows.shape[1], how.scalars[1])
        raise
    saved = (how, rows, t, weight, w, total, *stats)
    y = record(y, how.name, _backward, (rows, t if soft else None), saved)
    return y if how.scalars[2] or outer == (n,) else ops.reshape(y, outer)


def _backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    how, x, t, weight, w, total, *stats = node.saved
    if is_grad_enabled() or node.needs(1):
        return _composed(node, dy)
    dx = empty(Tensor, x.shape, x.code)
    launch(how.gradient, (x, t, weight, w, total, dy, *stats, dx), how.scalars)
    return dx, None


def _composed(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Of a row's loss ``-sum k logp``: ``dx = f (softmax(x) sum k - k)``, ``dk = -f logp``."""
    how, x, t, weight, w, total, *_ = node.saved
    f = dy / total
    if w is not None:
        f = f * w
    f = ops.expand_dims(f, 1) if f.ndim else f
    smoothing, ignored, _ = how.scalars
    on, off = 1 - smoothing, smoothing / x.shape[1]
    if how.value == op.cross_entropy_soft:
        k = t * on + off
    else:
        k = _one_hot(t, x, ignored, on, off)
    if weight is not None:
        k = k * weight
    if how.value == op.nll:
        return -(k * f), None
    dx = (ops.softmax(x, 1) * ops.sum(k, 1, keepdims=True) - k) * f if node.needs(0) else None
    if not node.needs(1):
        return dx, None
    dk = -(ops.log_softmax(x, 1) * f) * on
    return dx, dk if weight is None else dk * weight


def _one_hot(labels: Tensor, x: Tensor, ignored: int, on: float, off: float) -> Tensor:
    """`on + off` at the labels, `off` elsewhere, 0 in rows whose label is ignored."""
    counts = ops.not_equal(labels, ignored)
    rows = ops.one_hot(ops.where(counts, labels, 0), x.shape[1], x.dtype)
    return (rows * on + off) * ops.expand_dims(ops.astype(counts, x.dtype), 1)


@scope("loss")
def cross_entropy(
    prediction: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """``-log softmax(x)[target]``, from logits of any size.

    Parameters
    ----------
    prediction : Tensor
        Logits: (N, C), (N, C, d1, ...) or (C).
    target : Tensor
        Class indices, integers of shape (N), (N, d1, ...) or (); or probabilities of the
        prediction's shape and dtype.
    weight : Tensor, optional
        (C): what each class counts. "mean" divides by the sum of the targets' weights (PyTorch's
        rule), or by N when the target holds probabilities.
    ignore_index : int
        A label that counts nothing, not in the divisor either.
    label_smoothing : float
        The part of the target spread evenly over the classes, in [0, 1].
    reduction, sample_weight
        See `fastnn.losses`. Sample weights do not enter the divisor.

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is out of range: the message names it, its position and
        the number of classes.
    TypeError
        If labels are floats.

    Examples
    --------
    >>> from fastnn.losses import cross_entropy
    >>> cross_entropy([[5.0, 5.0], [0.0, 1000.0]], [1, 0], reduction="none").tolist()
    [0.6931471824645996, 1000.0]
    """
    x, t = _inputs("cross_entropy", prediction, target)
    kind = "cross_entropy"
    if t.code <= 1 and t.shape == x.shape:
        kind = "cross_entropy_soft"
        if t.code != x.code:
            given = t if isinstance(target, Tensor) else t.numpy()
            t = beside("cross_entropy", "target", given, x)
    how = _options("cross_entropy", kind, label_smoothing, ignore_index, reduction)
    return _run(x, t, _class_weights("cross_entropy", weight, x), sample_weight, how)


@scope("loss")
def nll(
    prediction: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    sample_weight: Any = None,
) -> Tensor:
    """Negative log-likelihood ``-x[target]`` of log-probabilities, as `log_softmax` gives them.

    Parameters
    ----------
    prediction : Tensor
        (N, C), (N, C, d1, ...) or (C).
    target : Tensor
        Class indices; this and the rest as in `cross_entropy`.

    Examples
    --------
    >>> from fastnn.losses import nll
    >>> nll([[-0.5, -1.0], [-2.0, -0.25]], [0, 1])
    Tensor(0.375)
    """
    x, t = _inputs("nll", prediction, target)
    how = _options("nll", "nll", 0.0, ignore_index, reduction)
    return _run(x, t, _class_weights("nll", weight, x), sample_weight, how)


def _inputs(name: str, prediction: Any, target: Any) -> tuple[Tensor, Tensor]:
    x = real(name, "prediction", prediction)
    if x.ndim == 0:
        raise ValueError(
            f"{name}: prediction must be (N, C), (N, C, d1, ...) or (C), its shape is ()"
        )
    if x.shape[min(1, x.ndim - 1)] == 0:
        raise ValueError(f"{name}: there are no classes (prediction: {x.shape})")
    return x, target if isinstance(target, Tensor) else as_tensor(target)


class CrossEntropy(Loss):
    """`cross_entropy` with its options kept."""

    function = staticmethod(cross_entropy)


class NLL(Loss):
    """`nll` with its options kept."""

    function = staticmethod(nll)
