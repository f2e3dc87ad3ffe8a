"""Normalisation of each sample over its last axes: LayerNorm, RMSNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..autograd import no_grad
from ..dtypes import as_dtype
from ..tensor import Tensor, ones, zeros
from ._check import real, shape_of
from .module import Module
from .parameter import Parameter


class LayerNorm(Module):
    """Normalises each sample over its last axes: `(x - mean) / sqrt(var + eps) * weight + bias`.

    Ba et al. 2016. The variance is the biased one.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last axes of the input.
    eps : float
        Added to the variance.
    elementwise_affine, bias : bool
        Whether there is a weight, and a bias.

    Attributes
    ----------
    weight, bias : normalized_shape, starting as ones and zeros

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.LayerNorm(4)(fastnn.ones((2, 4))).shape
    (2, 4)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = shape_of("LayerNorm", "normalized_shape", normalized_shape)
        self.eps = real("LayerNorm", "eps", eps, 0)
        shape, dtype = self.normalized_shape, as_dtype(dtype)
        self.weight = Parameter(ones(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(zeros(shape, dtype)) if elementwise_affine and bias else None

    def reset_parameters(self) -> None:
        """Ones and zeros again."""
        reset_affine(self)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * (6 + (self.weight is not None) + (self.bias is not None))

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"
        )


class RMSNorm(Module):
    """Divides each sample by the root mean square over its last axes: `x / sqrt(mean(x^2) + eps) *
    weight`.

    Zhang and Sennrich 2019.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last axes of the input.
    eps : float, optional
        Added to the mean square; by default the machine epsilon of the input's dtype, as in
        PyTorch.
    elementwise_affine : bool
        Whether there is a weight.

    Attributes
    ----------
    weight : normalized_shape, starting as ones

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.RMSNorm(4)(fastnn.ones((2, 4))).shape
    (2, 4)
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = shape_of("RMSNorm", "normalized_shape", normalized_shape)
        self.eps = None if eps is None else real("RMSNorm", "eps", eps, 0)
        shape = self.normalized_shape
        self.weight = Parameter(ones(shape, as_dtype(dtype))) if elementwise_affine else None

    def reset_parameters(self) -> None:
        """Ones again."""
        reset_affine(self)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        return ops.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * (3 + (self.weight is not None))

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"
        )


def reset_affine(layer: Any) -> None:
    """A layer's weight becomes ones and its bias zeros."""
    with no_grad():
        if layer.weight is not None:
            layer.weight.fill_(1)
        if getattr(layer, "bias", None) is not None:
            layer.bias.zero_()
