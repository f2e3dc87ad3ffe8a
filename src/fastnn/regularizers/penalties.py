"""Penalties on parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from .._core import launch
from .._core import ops as op
from ..autograd import Node, no_grad, record
from ..flat import Run, stretches
from ..tensor import Tensor
from .base import Regularizer, factor_of, matrices, squares, total

__all__ = ["L1", "L2", "ElasticNet", "Orthogonal"]


class _Penalty(Regularizer):
    """A sum over the parameters that are trained; on frozen ones a penalty would be a constant."""

    def penalty(self, model: Any) -> Tensor | None:
        return total(self._of(w) for _, w in self.parameters(model) if w.requires_grad)

    def _of(self, w: Tensor) -> Tensor:
        raise NotImplementedError


class _Elementwise(_Penalty):
    """A sum over elements, which is 0 where they are 0: parameters side by side in flat memory, and what
    is between them, are summed as one vector.
    """

    def penalty(self, model: Any) -> Tensor | None:
        found, loose = stretches(w for _, w in self.parameters(model) if w.requires_grad)
        return total([*map(self._of_run, found), *map(self._of, loose)])

    def _of_run(self, run: Run) -> Tensor:
        with no_grad():
            value = self._value(run.data)
        return record(value, type(self).__name__, _run_backward, run.params, (self, run, run.data))

    def _value(self, w: Tensor) -> Tensor:
        """The sum for a vector, where no gradient is asked for."""
        return self._of(w)

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        """The gradient at w, times dy, of one element."""
        raise NotImplementedError


def _run_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, ...]:
    regularizer, run, _ = node.saved
    places = [node.grad_place(i) for i in range(len(run.params))]
    first = places[0]
    if first is None or any(p is None or p[1] != first[1] for p in places):
        return tuple(
            regularizer._slope(w, dy) if node.needs(i) else None for i, w in enumerate(run.params)
        )
    slope = regularizer._slope(run.data, dy)
    if first[1]:
        launch(op.add, (run.grad, slope, run.grad))
    else:
        launch(op.copy, (slope, run.grad))
    return tuple(w._grad_view for w in run.params)


class L1(_Elementwise):
    """`factor * sum |w|`: draws weights to zero exactly.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.load_state_dict({"weight": [[1.0, -2.0]], "bias": [4.0]})
    >>> regularizers.L1(0.5, on="*.weight").penalty(layer).item()
    1.5
    """

    def __init__(self, factor: float, on: Any = "*") -> None:
        super().__init__(on)
        self.factor = factor_of("L1", "factor", factor)

    def _of(self, w: Tensor) -> Tensor:
        return ops.sum(ops.abs(w)) * self.factor

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        return ops.sign(w) * (dy * self.factor)


class L2(_Elementwise):
    """`factor * sum w^2`: Keras's convention, without the 1/2 that makes it a weight decay of
    `factor`.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    >>> regularizers.L2(1e-4, on="*.weight").penalty(model).shape
    ()
    """

    def __init__(self, factor: float, on: Any = "*") -> None:
        super().__init__(on)
        self.factor = factor_of("L2", "factor", factor)

    def _of(self, w: Tensor) -> Tensor:
        return ops.sum(ops.square(w)) * self.factor

    def _value(self, w: Tensor) -> Tensor:
        return squares(w, 0)[0] * self.factor

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        return w * (dy * (2 * self.factor))


class ElasticNet(_Elementwise):
    """`l1 * sum |w| + l2 * sum w^2` (Zou and Hastie 2005).

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> regularizers.ElasticNet(0.5, 2.0).penalty(nn.Parameter([3.0, -1.0])).item()
    22.0
    """

    def __init__(self, l1: float, l2: float, on: Any = "*") -> None:
        super().__init__(on)
        self.l1 = factor_of("ElasticNet", "l1", l1)
        self.l2 = factor_of("ElasticNet", "l2", l2)

    def _of(self, w: Tensor) -> Tensor:
        return ops.sum(ops.abs(w)) * self.l1 + ops.sum(ops.square(w)) * self.l2

    def _value(self, w: Tensor) -> Tensor:
        return ops.sum(ops.abs(w)) * self.l1 + squares(w, 0)[0] * self.l2

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        return ops.sign(w) * (dy * self.l1) + w * (dy * (2 * self.l2))


class Orthogonal(_Penalty):
    """`factor * ||W W^T - I||^2`, or of `W^T W` if that is smaller: draws rows (columns) to be
    orthonormal.

    Of the parameters that `on` matches, those of two or more axes count, as matrices (out,
    everything else).

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> regularizers.Orthogonal(1.0).penalty(nn.Parameter([[1.0, 0.0], [0.0, 2.0]])).item()
    9.0
    """

    def __init__(self, factor: float, on: Any = "*") -> None:
        super().__init__(on)
        self.factor = factor_of("Orthogonal", "factor", factor)

    def parameters(self, model: Any) -> list[tuple[str, Tensor]]:
        return matrices(self, super().parameters(model))

    def _of(self, w: Tensor) -> Tensor:
        rows = ops.reshape(w, (w.shape[0], math.prod(w.shape[1:])))
        if rows.shape[0] > rows.shape[1]:
            rows = ops.transpose(rows)
        gram = ops.matmul(rows, ops.transpose(rows))
        unit = Tensor(np.eye(rows.shape[0], dtype=w.dtype.numpy))
        return ops.sum(ops.square(gram - unit)) * self.factor
