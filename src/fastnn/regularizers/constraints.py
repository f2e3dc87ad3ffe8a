"""Constraints that are put on parameters after a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..autograd import no_grad
from ..tensor import Tensor, ones_like
from .base import Regularizer, factor_of, matrices, squares

__all__ = ["MaxNorm", "UnitNorm"]


class _NormConstraint(Regularizer):
    """Scales parts of a parameter: the rows (axis 0 kept) of those of two or more axes."""

    def __init__(self, axis: int | Sequence[int] | None, on: Any) -> None:
        super().__init__(on)
        self.axis = tuple(axis) if isinstance(axis, Sequence) else axis

    def parameters(self, model: Any) -> list[tuple[str, Tensor]]:
        return matrices(self, super().parameters(model))

    def constrain(self, model: Any) -> None:
        with no_grad():
            for _, w in self.parameters(model):
                axis = tuple(range(1, w.ndim)) if self.axis is None else self.axis
                w.copy_(w * self._scale(ops.sqrt(squares(w, axis))))

    def _scale(self, norm: Tensor) -> Tensor:
        raise NotImplementedError


class MaxNorm(_NormConstraint):
    """Scales down each unit's weights (each row) whose norm is above `limit` (Srivastava et al.
    2014).

    Parameters
    ----------
    limit : float
        The largest norm.
    on
        See `Regularizer`; parameters of one axis, such as biases, are left alone.
    axis : int or sequence of int, optional
        The axes that a norm is taken over; by default all but the first.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> weight = nn.Parameter([[3.0, 4.0], [0.0, 1.0]])
    >>> regularizers.MaxNorm(2.5).constrain(weight)
    >>> weight.tolist()
    [[1.5, 2.0], [0.0, 1.0]]
    """

    def __init__(
        self, limit: float = 2.0, on: Any = "*", axis: int | Sequence[int] | None = None
    ) -> None:
        super().__init__(axis, on)
        self.limit = factor_of("MaxNorm", "limit", limit)

    def _scale(self, norm: Tensor) -> Tensor:
        tiny = float(np.finfo(norm.dtype.numpy).tiny)
        # Exactly 1 for what is within the limit, so that it keeps its bits.
        return ops.minimum(self.limit / ops.maximum(norm, tiny), 1.0)


class UnitNorm(_NormConstraint):
    """Scales each unit's weights (each row) to norm 1; rows of zeros stay.

    The parameters are those of `MaxNorm`, without `limit`.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> weight = nn.Parameter([[0.0, -2.0], [0.0, 0.0]])
    >>> regularizers.UnitNorm().constrain(weight)
    >>> weight.tolist()
    [[0.0, -1.0], [0.0, 0.0]]
    """

    def __init__(self, on: Any = "*", axis: int | Sequence[int] | None = None) -> None:
        super().__init__(axis, on)

    def _scale(self, norm: Tensor) -> Tensor:
        return 1.0 / ops.where(norm == 0.0, ones_like(norm), norm)
