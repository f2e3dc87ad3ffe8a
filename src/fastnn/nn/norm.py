"""Normalisation: LayerNorm, RMSNorm, BatchNorm1d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..autograd import no_grad
from ..dtypes import as_dtype
from ..tensor import Tensor, as_tensor, ones, zeros
from ._check import positive, real, shape_of
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
        _reset(self)

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
        _reset(self)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        return ops.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * (3 + (self.weight is not None))

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"
        )


class BatchNorm1d(Module):
    """Normalises each feature over the batch: `(x - mean) / sqrt(var + eps) * weight + bias`.

    Ioffe and Szegedy 2015. In training the batch's mean and biased variance are used, and the
    running ones move towards the batch's mean and unbiased variance by `momentum`; in evaluation
    the running ones are used.

    Parameters
    ----------
    num_features : int
        The second axis of the input, (N, C) or (N, C, L).
    eps : float
        Added to the variance.
    momentum : float or None
        Of the running statistics; None averages all batches equally.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Without them the batch's statistics are used in evaluation too.

    Attributes
    ----------
    weight, bias : (num_features,), starting as ones and zeros
    running_mean, running_var : buffers, (num_features,)
    num_batches_tracked : buffer, int64, ()

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.BatchNorm1d(4)(fastnn.ones((8, 4))).shape
    (8, 4)
    """

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.num_features = positive("BatchNorm1d", "num_features", num_features)
        self.eps = real("BatchNorm1d", "eps", eps, 0)
        self.momentum = (
            None if momentum is None else real("BatchNorm1d", "momentum", momentum, 0, 1)
        )
        self.track_running_stats = track_running_stats
        shape, dtype = (self.num_features,), as_dtype(dtype)
        self.weight = Parameter(ones(shape, dtype)) if affine else None
        self.bias = Parameter(zeros(shape, dtype)) if affine else None
        self.register_buffer("running_mean", zeros(shape, dtype) if track_running_stats else None)
        self.register_buffer("running_var", ones(shape, dtype) if track_running_stats else None)
        self.register_buffer(
            "num_batches_tracked", zeros((), "int64") if track_running_stats else None
        )

    def reset_parameters(self) -> None:
        """The starting values again, of the running statistics too."""
        _reset(self)
        with no_grad():
            if self.running_mean is not None and self.running_var is not None:
                self.running_mean.zero_()
                self.running_var.fill_(1)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) or (N, C, L) to the same shape."""
        x = as_tensor(x)
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            n = self.num_features
            raise ValueError(f"BatchNorm1d: x must be (N, {n}) or (N, {n}, L), not {x.shape}")
        return ops.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=self.momentum,
            eps=self.eps,
            num_batches_tracked=self.num_batches_tracked,
        )

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * 2

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.weight is not None}, track_running_stats={self.track_running_stats}"
        )


def _reset(layer: Any) -> None:
    with no_grad():
        if layer.weight is not None:
            layer.weight.fill_(1)
        if getattr(layer, "bias", None) is not None:
            layer.bias.zero_()
