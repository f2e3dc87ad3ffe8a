"""Layers that change only the shape."""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..tensor import Tensor, as_tensor
from ._check import shape_of, whole
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


class Unflatten(Module):
    """Parts an axis into several: the reverse of `Flatten`.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : sequence of int
        The lengths that it becomes; one may be -1 and is worked out.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Unflatten(1, (1, 28, 28))(fastnn.zeros((32, 784))).shape
    (32, 1, 28, 28)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = whole("Unflatten", "dim", dim)
        sizes = tuple(unflattened_size)
        known = [n for n in sizes if n != -1]
        if known:
            shape_of("Unflatten", "unflattened_size", known)
        if not sizes or len(sizes) - len(known) > 1:
            raise ValueError(f"Unflatten: unflattened_size is {sizes}; one length may be -1")
        self.unflattened_size = sizes

    def forward(self, x: Tensor) -> Tensor:
        """(N, product of sizes) to (N, *sizes), where `dim` is 1."""
        x = as_tensor(x)
        at = self.dim + x.ndim * (self.dim < 0)
        if not 0 <= at < x.ndim:
            raise ValueError(f"Unflatten: x has no axis {self.dim} (x: {x.shape})")
        rest = 1
        for n in self.unflattened_size:
            rest *= abs(n)
        if x.shape[at] % rest or (-1 not in self.unflattened_size and x.shape[at] != rest):
            raise ValueError(
                f"Unflatten: axis {self.dim} of {x.shape} does not part into {self.unflattened_size}"
            )
        sizes = tuple([x.shape[at] // rest if n == -1 else n for n in self.unflattened_size])
        return ops.reshape(x, (*x.shape[:at], *sizes, *x.shape[at + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
