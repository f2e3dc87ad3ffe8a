"""Normalisation of channels over a batch: BatchNorm1d and BatchNorm2d."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..autograd import no_grad
from ..dtypes import as_dtype
from ..tensor import Tensor, as_tensor, ones, zeros
from ._check import positive, real
from .module import Module
from .norm import reset_affine
from .parameter import Parameter


class TrackedNorm(Module):
    """What layers with statistics of channels share: weight, bias and running statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    axes: tuple[str, ...]  # the shapes that the layer takes, in letters

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = positive(name, "num_features", num_features)
        self.eps = real(name, "eps", eps, 0)
        self.momentum = None if momentum is None else real(name, "momentum", momentum, 0, 1)
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
        reset_affine(self)
        with no_grad():
            if self.running_mean is not None and self.running_var is not None:
                self.running_mean.zero_()
                self.running_var.fill_(1)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.zero_()

    def _checked(self, x: Any) -> Tensor:
        """The input as a tensor of one of the layer's shapes."""
        x = as_tensor(x)
        n = self.num_features
        for letters in self.axes:
            at = letters.split(", ").index("C")
            if x.ndim == letters.count(",") + 1 and x.shape[at] == n:
                return x
        wanted = " or ".join(f"({letters.replace('C', str(n))})" for letters in self.axes)
        raise ValueError(f"{type(self).__name__}: x must be {wanted}, not {x.shape}")

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * 2

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.weight is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(TrackedNorm):
    """Batch normalisation for inputs of any of its shapes."""

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
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The input to the same shape."""
        return ops.batch_norm(
            self._checked(x),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=self.momentum,
            eps=self.eps,
            num_batches_tracked=self.num_batches_tracked,
        )


class BatchNorm1d(_BatchNorm):
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

    axes = ("N, C", "N, C, L")


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of images over the batch and the pixels.

    `(x - mean) / sqrt(var + eps) * weight + bias`, as `BatchNorm1d` (Ioffe and Szegedy 2015). Images
    whose channels come last in memory are read as they lie.

    Parameters
    ----------
    num_features : int
        The channels of the input, (N, C, H, W).
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
    >>> nn.BatchNorm2d(3)(fastnn.ones((2, 3, 8, 8))).shape
    (2, 3, 8, 8)
    """

    axes = ("N, C, H, W",)
