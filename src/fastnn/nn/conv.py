"""Convolutions: Conv1d, Conv2d, SeparableConv2d.

Their weights have PyTorch's shapes and lie in memory with their channels last, as images do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import ops
from ..dtypes import as_dtype
from ..initializers import fans, he_uniform, uniform
from ..ops.layout import empty_images
from ..ops.window import numbers, padding_of
from ..tensor import Tensor, as_tensor, empty
from ._check import initializer, positive
from .module import Module
from .parameter import Parameter

Size = int | Sequence[int]

_MODES = ("zeros", "reflect", "replicate", "circular")


class BaseConv(Module):
    """What convolutions share: their arguments, parameters and how those start."""

    weight: Parameter
    bias: Parameter | None
    padding: Any

    _axes: int
    _turned = False  # whether the weight has the input's channels first
    _function: Callable[..., Tensor]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size,
        padding: Size | str, dilation: Size, groups: int, bias: bool, padding_mode: str,
        weight_init: Callable[..., Any] | None, bias_init: Callable[..., Any] | None, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        name, axes = type(self).__name__, self._axes
        self.in_channels = positive(name, "in_channels", in_channels)
        self.out_channels = positive(name, "out_channels", out_channels)
        self.groups = positive(name, "groups", groups)
        for what, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if count % self.groups:
                raise ValueError(f"{name}: groups ({groups}) must divide {what} ({count})")
        self.kernel_size = numbers(name, "kernel_size", kernel_size, axes, 1)
        self.stride = numbers(name, "stride", stride, axes, 1)
        self.dilation = numbers(name, "dilation", dilation, axes, 1)
        self.padding = padding
        before, after = padding_of(name, padding, self.stride, self._spans())
        if not isinstance(padding, str):
            self.padding = before
        if padding_mode not in _MODES:
            raise ValueError(
                f"{name}: padding_mode is one of {', '.join(_MODES)}, not {padding_mode!r}"
            )
        self.padding_mode = padding_mode
        self._margins = tuple(zip(before, after, strict=True))
        self._init = (
            initializer(name, "weight_init", weight_init),
            initializer(name, "bias_init", bias_init),
        )
        first, second = self.out_channels, self.in_channels
        if self._turned:
            first, second = second, first
        kind = as_dtype(dtype)
        shape = (first, second // self.groups, *self.kernel_size)
        self.weight = Parameter(empty_images(shape, kind.code)[0])
        self.bias = Parameter(empty((self.out_channels,), kind)) if bias else None
        self.reset_parameters()

    def _spans(self) -> list[int]:
        """How many elements the kernel reaches over along each axis."""
        return [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        weight_init, bias_init = self._init
        if weight_init is not None:
            weight_init(self.weight)
        else:
            he_uniform(self.weight, a=math.sqrt(5))  # U(+-1/sqrt(fan_in)), as PyTorch puts it
        if self.bias is None:
            return
        if bias_init is not None:
            bias_init(self.bias)
        else:
            bound = 1 / math.sqrt(fans(self.weight.shape)[0])
            uniform(self.bias, -bound, bound)

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        each = 2 * math.prod(self.kernel_size) * (self.in_channels // self.groups)
        return int(output.size) * (each + (self.bias is not None))

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
        text += f"stride={self.stride}"
        plain = {"padding": 0, "dilation": 1, "output_padding": 0}
        for name, usual in plain.items():
            value = getattr(self, name, (usual,) * self._axes)
            if value != (usual,) * self._axes:
                text += f", {name}={value}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(BaseConv):
    """Convolutions along `_axes` axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        weight_init: Callable[..., Any] | None = None,
        bias_init: Callable[..., Any] | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, weight_init, bias_init, dtype,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, ...) to (N, out_channels, ...)."""
        x, padding = self._padded(x)
        return self._function(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """The image, with what zeros are not put around it, and the padding that is left to do."""
        if self.padding_mode == "zeros":
            return x, self.padding
        x = as_tensor(x)
        lead = ((0, 0),) * (x.ndim - self._axes)
        return ops.pad(x, (*lead, *self._margins), self.padding_mode), 0


class Conv1d(_Conv):
    """Convolves sequences (N, C, L); see `Conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int
    stride, padding, dilation, groups, bias, padding_mode, weight_init, bias_init, dtype
        As of `Conv2d`, for one axis.

    Attributes
    ----------
    weight : (out_channels, in_channels / groups, kernel_size)
    bias : (out_channels,), or None

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Conv1d(4, 8, 3, padding="same")(fastnn.zeros((2, 4, 100))).shape
    (2, 8, 100)
    """

    _axes, _function = 1, staticmethod(ops.conv1d)


class Conv2d(_Conv):
    """Convolves images: each output is a weighted sum over a window of all channels, plus a bias.

    Images are (N, C, H, W) as in PyTorch; in memory their channels come last, which nobody needs to
    know. A numpy batch (N, H, W, C) enters as ``images.transpose(0, 3, 1, 2)`` without a copy.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
    stride, dilation : int or (int, int)
        The steps of the window, and between the elements that it takes.
    padding : int, (int, int), "valid" or "same"
        How much is put around the image. "same" keeps its size, and is for stride 1.
    groups : int
        The channels are cut into so many parts, each with kernels of its own; as many groups as
        channels make a depthwise convolution.
    bias : bool
        Whether there is one.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What is put around: zeros, the image mirrored, its border, or its other side.
    weight_init, bias_init : callable, optional
        Functions of `fastnn.initializers` (or any that fill the tensor they are given), in place of
        PyTorch's default: both from U(-b, b) with b = 1 / sqrt(fan_in).
    dtype
        float32 or float64.

    Attributes
    ----------
    weight : (out_channels, in_channels / groups, *kernel_size)
    bias : (out_channels,), or None

    Raises
    ------
    ValueError
        From the call, if x has other channels or the kernel is larger than the padded image.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> layer = nn.Conv2d(3, 16, 3, stride=2, padding=1)
    >>> layer
    Conv2d(3, 16, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
    >>> layer(fastnn.zeros((8, 3, 32, 32))).shape
    (8, 16, 16, 16)
    """

    _axes, _function = 2, staticmethod(ops.conv2d)


class SeparableConv2d(Module):
    """A depthwise convolution, each channel on its own, and then a pointwise one over the channels.

    Much fewer weights and flops than a `Conv2d` of the same kernel (Chollet 2017; Keras'
    SeparableConv2D).

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation, padding_mode
        Of the depthwise convolution, as in `Conv2d`.
    depth_multiplier : int
        How many outputs the depthwise convolution makes of each channel.
    bias : bool
        Whether the pointwise convolution has one; the depthwise one has none.
    weight_init, bias_init : callable, optional
        As of `Conv2d`, for both.
    dtype
        float32 or float64.

    Attributes
    ----------
    depthwise, pointwise : Conv2d

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> layer = nn.SeparableConv2d(64, 128, 3, padding=1)
    >>> layer(fastnn.zeros((2, 64, 14, 14))).shape
    (2, 128, 14, 14)
    >>> sum(p.size for p in layer.parameters()), sum(
    ...     p.size for p in nn.Conv2d(64, 128, 3).parameters()
    ... )
    (8896, 73856)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        weight_init: Callable[..., Any] | None = None,
        bias_init: Callable[..., Any] | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        middle = positive("SeparableConv2d", "in_channels", in_channels) * positive(
            "SeparableConv2d", "depth_multiplier", depth_multiplier
        )
        self.depthwise = Conv2d(
            in_channels, middle, kernel_size, stride, padding, dilation, in_channels, False,
            padding_mode, weight_init=weight_init, dtype=dtype,
        )  # fmt: skip
        self.pointwise = Conv2d(
            middle, out_channels, 1, bias=bias, weight_init=weight_init, bias_init=bias_init,
            dtype=dtype,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W')."""
        return self.pointwise(self.depthwise(x))
