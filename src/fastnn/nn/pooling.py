"""Layers that pool: maxima and averages of windows, of windows that cover the input evenly, of all of it.

Names, arguments and defaults are PyTorch's; the Global layers are Keras's GlobalAveragePooling and
GlobalMaxPooling.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..ops.pool_windows import Size
from ..tensor import Tensor
from .module import Module


class _Pool(Module):
    """Calls its function with the attributes that `_options` names."""

    _function: str
    _options: tuple[str, ...]

    def forward(self, x: Tensor) -> Any:
        options = {name: getattr(self, name) for name in self._options}
        return getattr(ops, self._function)(x, **options)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._options)


class _WindowPool(_Pool):
    """Pools windows of one size."""

    def __init__(
        self, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode


class _MaxPool(_WindowPool):
    _options = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = dilation
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._options[:5])


class MaxPool1d(_MaxPool):
    """The largest of each window along the last axis of (N, C, L).

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As in `MaxPool2d`, along one axis.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.MaxPool1d(2)(ones((1, 4, 8))).shape
    (1, 4, 4)
    """

    _function = "max_pool1d"


class MaxPool2d(_MaxPool):
    """The largest of each window of an image, for each channel.

    Parameters
    ----------
    kernel_size : int or two of them
        Height and width of a window.
    stride : int or two of them, optional
        From one window to the next; by default the kernel's size.
    padding : int or two of them
        Rows and columns on each side that count as minus infinity.
    dilation : int or two of them
        From one element of a window to the next.
    return_indices : bool
        Whether to give the places of the maxima too, as row * W + column.
    ceil_mode : bool
        Whether the last window may stick out of the image.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.MaxPool2d(3, stride=2, padding=1)(ones((8, 16, 32, 32))).shape
    (8, 16, 16, 16)
    """

    _function = "max_pool2d"


class AvgPool1d(_WindowPool):
    """The mean of each window along the last axis of (N, C, L).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `AvgPool2d`, along one axis.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.AvgPool1d(2)(ones((1, 4, 8))).shape
    (1, 4, 4)
    """

    _function = "avg_pool1d"
    _options = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad


class AvgPool2d(_WindowPool):
    """The mean of each window of an image, for each channel.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool2d`; padding is zeros.
    count_include_pad : bool
        Whether the padding counts in the mean.
    divisor_override : int, optional
        What to divide the sums by instead.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.AvgPool2d(2)(ones((8, 16, 32, 32))).shape
    (8, 16, 16, 16)
    """

    _function = "avg_pool2d"
    _options = (*AvgPool1d._options, "divisor_override")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override


class _AdaptiveAvgPool(_Pool):
    _options = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


class _AdaptiveMaxPool(_Pool):
    _options = ("output_size", "return_indices")

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that cover (N, C, L) evenly.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.AdaptiveAvgPool1d(5)(ones((1, 4, 8))).shape
    (1, 4, 5)
    """

    _function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that cover an image evenly, whatever its size.

    Parameters
    ----------
    output_size : int, None or two of them
        Windows along each axis: window i is from floor(i H / OH) to ceil((i + 1) H / OH). None stands
        for the image's own.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.AdaptiveAvgPool2d(1)(ones((8, 16, 7, 7))).shape
    (8, 16, 1, 1)
    """

    _function = "adaptive_avg_pool2d"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest of each of `output_size` windows that cover (N, C, L) evenly.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.AdaptiveMaxPool1d(5)(ones((1, 4, 8))).shape
    (1, 4, 5)
    """

    _function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest of each of `output_size` windows that cover an image evenly, whatever its size.

    Parameters
    ----------
    output_size : int, None or two of them
        As in `AdaptiveAvgPool2d`.
    return_indices : bool
        Whether to give the places of the maxima too, as row * W + column.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.AdaptiveMaxPool2d((1, 2))(ones((8, 16, 7, 7))).shape
    (8, 16, 1, 2)
    """

    _function = "adaptive_max_pool2d"


class _GlobalPool(Module):
    _function: str

    def __init__(self, keepdims: bool = False) -> None:
        super().__init__()
        self.keepdims = keepdims

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C)."""
        y: Tensor = getattr(ops, self._function)(x, 1)
        if self.keepdims:
            return y
        return ops.reshape(y, y.shape[: -1 if self._function.endswith("1d") else -2])

    def extra_repr(self) -> str:
        return f"keepdims={self.keepdims}"


class GlobalAvgPool1d(_GlobalPool):
    """The mean of each channel of (N, C, L), as (N, C); with `keepdims` as (N, C, 1).

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.GlobalAvgPool1d()(ones((8, 16, 7))).shape
    (8, 16)
    """

    _function = "adaptive_avg_pool1d"


class GlobalAvgPool2d(_GlobalPool):
    """The mean of each channel of (N, C, H, W), as (N, C); with `keepdims` as (N, C, 1, 1).

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.GlobalAvgPool2d()(ones((8, 16, 7, 7))).shape
    (8, 16)
    """

    _function = "adaptive_avg_pool2d"


class GlobalMaxPool1d(_GlobalPool):
    """The largest of each channel of (N, C, L), as (N, C); with `keepdims` as (N, C, 1).

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.GlobalMaxPool1d()(ones((8, 16, 7))).shape
    (8, 16)
    """

    _function = "adaptive_max_pool1d"


class GlobalMaxPool2d(_GlobalPool):
    """The largest of each channel of (N, C, H, W), as (N, C); with `keepdims` as (N, C, 1, 1).

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.GlobalMaxPool2d()(ones((8, 16, 7, 7))).shape
    (8, 16)
    """

    _function = "adaptive_max_pool2d"
