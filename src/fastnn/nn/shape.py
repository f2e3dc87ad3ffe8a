"""Layers that change only the shape."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor, as_tensor
from ._check import whole
from .module import Module


class Flatten(Module):
    """Joins the axes `start_dim` to `end_dim` into one: by default all but the batch.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Flatten()(fastnn.zeros((32, 28, 28))).shape
    (32, 784)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = whole("Flatten", "start_dim", start_dim)
        self.end_dim = whole("Flatten", "end_dim", end_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to (N, product of ...)."""
        x = as_tensor(x)
        first = self.start_dim + x.ndim * (self.start_dim < 0)
        last = self.end_dim + x.ndim * (self.end_dim < 0)
        if not 0 <= first <= last < x.ndim:
            raise ValueError(
                f"Flatten: x has no axes {self.start_dim} to {self.end_dim} to join (x: {x.shape})"
            )
        if first == last:
            return x
        size = 1
        for length in x.shape[first : last + 1]:
            size *= length
        return ops.reshape(x, (*x.shape[:first], size, *x.shape[last + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
