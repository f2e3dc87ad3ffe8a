"""Normalisation of each sample's channels: GroupNorm, InstanceNorm1d and InstanceNorm2d."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..dtypes import as_dtype
from ..tensor import Tensor, as_tensor, ones, zeros
from ._check import positive, real
from .batch_norm import TrackedNorm
from .module import Module
from .norm import reset_affine
from .parameter import Parameter


class GroupNorm(Module):
    """Normalises each sample over groups of its channels: `(x - mean) / sqrt(var + eps) * weight + bias`.

    Wu and He 2018. Statistics are over the channels of a group and all axes behind them; they are
    the sample's own in evaluation too.

    Parameters
    ----------
    num_groups : int
        It must divide num_channels.
    num_channels : int
        The second axis of the input, (N, C, ...).
    eps : float
        Added to the variance, which is the biased one.
    affine : bool
        Whether there are a weight and a bias.

    Attributes
    ----------
    weight, bias : (num_channels,), starting as ones and zeros

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.GroupNorm(2, 4)(fastnn.ones((3, 4, 8, 8))).shape
    (3, 4, 8, 8)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.num_groups = positive("GroupNorm", "num_groups", num_groups)
        self.num_channels = positive("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} must be divisible by num_groups={num_groups}"
            )
        self.eps = real("GroupNorm", "eps", eps, 0)
        shape, dtype = (self.num_channels,), as_dtype(dtype)
        self.weight = Parameter(ones(shape, dtype)) if affine else None
        self.bias = Parameter(zeros(shape, dtype)) if affine else None

    def reset_parameters(self) -> None:
        """Ones and zeros again."""
        reset_affine(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        x = as_tensor(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"GroupNorm: x must be (N, {self.num_channels}, ...), not {x.shape}")
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * (6 + 2 * (self.weight is not None))

    def extra_repr(self) -> str:
        affine = self.weight is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={affine}"


class _InstanceNorm(TrackedNorm):
    """Instance normalisation for inputs of either of its shapes, with and without the batch's axis."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The input to the same shape."""
        x = self._checked(x)
        single = x.ndim == self.axes[1].count(",") + 1
        y = ops.instance_norm(
            x.reshape((1, *x.shape)) if single else x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            use_input_stats=self.training or self.running_mean is None,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )
        return y.reshape(x.shape) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample: `(x - mean) / sqrt(var + eps) * weight + bias`.

    Ulyanov et al. 2016.

    Parameters
    ----------
    num_features : int
        The channels of the input, (N, C, L) or (C, L).
    eps : float
        Added to the variance, which is the biased one.
    momentum : float
        Of the running statistics.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics, which are then used in evaluation.

    Attributes
    ----------
    weight, bias : (num_features,), starting as ones and zeros, with `affine`
    running_mean, running_var, num_batches_tracked : buffers, with `track_running_stats`

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.InstanceNorm1d(3)(fastnn.ones((2, 3, 8))).shape
    (2, 3, 8)
    """

    axes = ("N, C, L", "C, L")


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each image: `(x - mean) / sqrt(var + eps) * weight + bias`.

    Ulyanov et al. 2016.

    Parameters
    ----------
    num_features : int
        The channels of the input, (N, C, H, W) or (C, H, W).
    eps : float
        Added to the variance, which is the biased one.
    momentum : float
        Of the running statistics.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics, which are then used in evaluation.

    Attributes
    ----------
    weight, bias : (num_features,), starting as ones and zeros, with `affine`
    running_mean, running_var, num_batches_tracked : buffers, with `track_running_stats`

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.InstanceNorm2d(3)(fastnn.ones((2, 3, 8, 8))).shape
    (2, 3, 8, 8)
    """

    axes = ("N, C, H, W", "C, H, W")
