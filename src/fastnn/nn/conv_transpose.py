"""Transposed convolutions: ConvTranspose1d, ConvTranspose2d."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import ops
from ..ops.window import numbers
from ..tensor import Tensor, as_tensor
from .conv import BaseConv, Size


class _ConvTranspose(BaseConv):
    """Transposed convolutions along `_axes` axes."""

    _turned = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        *,
        weight_init: Callable[..., Any] | None = None,
        bias_init: Callable[..., Any] | None = None,
        dtype: Any = "float32",
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode can only be 'zeros', not {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"{name}: padding is made of whole numbers, not {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, weight_init, bias_init, dtype,
        )  # fmt: skip
        self.output_padding = numbers(name, "output_padding", output_padding, self._axes, 0)

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """(N, in_channels, ...) to (N, out_channels, ...), of `output_size` if that is given."""
        return self._function(
            x, self.weight, self.bias, self.stride, self.padding, self._rest(x, output_size),
            self.groups, self.dilation,
        )  # fmt: skip

    def _rest(self, x: Any, output_size: Size | None) -> tuple[int, ...]:
        """The output_padding that gives a size that was asked for."""
        if output_size is None:
            return self.output_padding
        name, axes = type(self).__name__, self._axes
        if isinstance(output_size, Sequence):
            output_size = tuple(output_size)[-axes:]
        wanted = numbers(name, "output_size", output_size, axes, 1)
        given = as_tensor(x).shape[-axes:]
        least = [
            (n - 1) * s - 2 * p + span
            for n, s, p, span in zip(given, self.stride, self.padding, self._spans(), strict=True)
        ]
        rest = tuple([n - m for n, m in zip(wanted, least, strict=True)])
        if any(not 0 <= r < s for r, s in zip(rest, self.stride, strict=True)):
            most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
            raise ValueError(
                f"{name}: output_size {wanted} is not between {tuple(least)} and {tuple(most)} "
                f"(x: {as_tensor(x).shape})"
            )
        return rest

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        each = 2 * math.prod(self.kernel_size) * (self.out_channels // self.groups)
        given = math.prod(as_tensor(inputs[0]).shape)
        return given * each + int(output.size) * (self.bias is not None)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`, (N, C, L) to longer sequences; see `ConvTranspose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int
    stride, padding, output_padding, groups, bias, dilation, weight_init, bias_init, dtype
        As of `ConvTranspose2d`, for one axis.

    Attributes
    ----------
    weight : (in_channels, out_channels / groups, kernel_size)
    bias : (out_channels,), or None

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ConvTranspose1d(8, 4, 2, stride=2)(fastnn.zeros((2, 8, 50))).shape
    (2, 4, 100)
    """

    _axes, _function = 1, staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d`, to larger images: each input adds the kernel that it multiplies.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
    stride, dilation : int or (int, int)
        The steps between kernels, and between a kernel's elements.
    padding : int or (int, int)
        How much of the result's border is cut off.
    output_padding : int or (int, int)
        Rows and columns more at the end; smaller than the stride or the dilation.
    groups, bias, weight_init, bias_init, dtype
        As of `Conv2d`.
    padding_mode : {"zeros"}

    Attributes
    ----------
    weight : (in_channels, out_channels / groups, *kernel_size)
    bias : (out_channels,), or None

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> layer = nn.ConvTranspose2d(16, 3, 3, stride=2, padding=1, output_padding=1)
    >>> layer(fastnn.zeros((8, 16, 16, 16))).shape
    (8, 3, 32, 32)
    """

    _axes, _function = 2, staticmethod(ops.conv_transpose2d)
