"""Embedding: a table of vectors, looked up by index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from .. import ops
from ..autograd import no_grad
from ..dtypes import as_dtype
from ..initializers import normal
from ..tensor import Tensor, empty
from ._check import initializer, positive, whole
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """Row `i` of the weight for each index `i`.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The number of rows, and their length.
    padding_idx : int, optional
        A row that starts as zeros and gets no gradient; negative counts from the end.
    weight_init : callable, optional
        A function of `fastnn.initializers`, in place of N(0, 1).
    dtype
        float32 or float64.

    Attributes
    ----------
    weight : (num_embeddings, embedding_dim)

    Examples
    --------
    >>> from fastnn import Tensor, nn
    >>> nn.Embedding(10, 3)(Tensor([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
    (2, 4, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        weight_init: Callable[..., Any] | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.num_embeddings = positive("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = positive("Embedding", "embedding_dim", embedding_dim, zero=True)
        if padding_idx is not None:
            padding_idx = whole("Embedding", "padding_idx", padding_idx)
            if not -self.num_embeddings <= padding_idx < self.num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx {padding_idx} is not one of {self.num_embeddings} rows"
                )
            padding_idx %= self.num_embeddings
        self.padding_idx = padding_idx
        self._init = initializer("Embedding", "weight_init", weight_init)
        self.weight = Parameter(empty((self.num_embeddings, self.embedding_dim), as_dtype(dtype)))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, weight: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """An embedding whose rows are a copy of `weight`'s; it is not trained if `freeze`."""
        table = Tensor(weight)
        if table.ndim != 2 or not table.dtype.is_float:
            raise ValueError(
                f"Embedding.from_pretrained: weight must be a table of real numbers, not "
                f"{table.dtype.name} of shape {table.shape}"
            )
        rows = table.detach().numpy()
        layer = cls(rows.shape[0], rows.shape[1], padding_idx, dtype=table.dtype)
        layer.load_state_dict({"weight": rows})
        return layer.requires_grad_(not freeze)

    def reset_parameters(self) -> None:
        """Draw the weight anew."""
        (self._init or normal)(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, indices: Tensor) -> Tensor:
        """Integers of any shape (...) to (..., embedding_dim)."""
        return ops.embedding(self.weight, indices, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
