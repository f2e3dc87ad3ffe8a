"""Pooling: maxima and averages of windows of images (N, C, H, W) and sequences (N, C, L).

The channels of results come last in memory, as those of convolutions do, and images whose channels do are
read where they lie. A maximum keeps the number of its tap, a byte, for the gradient, and not its input.
Every gradient is linear in dy and has the forward pass, at the same places, as its own gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._core import empty, launch
from .._core import ops as op
from ..autograd import Node, is_grad_enabled, record
from ..tensor import Tensor
from .broadcast import broadcast_to
from .layout import channels_last, empty_images, planes
from .pool_windows import Size, Windows, adaptive_windows, fixed_windows, float_images
from .window import numbers, over_batch

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip

_UINT8_TAPS = 256  # windows of more keep int32 places
_INT64, _INT32, _UINT8 = 2, 3, 4


def _result_shape(x: Tensor, windows: Windows) -> tuple[int, ...]:
    return (*x.shape[:2], *windows.out[4 - x.ndim :])


def _contiguous_planes(x: Tensor) -> Tensor:
    """Images whose channels come last, as contiguous (N, H, W, C). Not recorded."""
    lies = planes(x)
    if lies.is_contiguous():
        return lies
    y: Tensor = empty(Tensor, lies.shape, lies.code)
    launch(op.copy, (lies, y))
    return y


# --- maxima ---


def _max_pool(
    over: Callable[..., Windows], name: str, axes: int, x: Any, indices: bool, *options: Any
) -> Any:
    x = float_images(x, axes, name)
    windows = over(x, axes, name, *options)
    return over_batch(lambda x: _maxima(x, windows, name, indices), x, axes)


def _maxima(x: Tensor, windows: Windows, name: str, indices: bool) -> Any:
    x = channels_last(x)
    shape = _result_shape(x, windows)
    y, lies = empty_images(shape, x.code)
    places: Tensor | None = None
    if indices or (is_grad_enabled() and x._requires_grad):
        places = empty(Tensor, lies.shape, _UINT8 if windows.taps <= _UINT8_TAPS else _INT32)
    launch(op.max_pool, (planes(x), lies, places), windows.scalars)
    y = record(y, name, _max_pool_backward, (x,), (places, windows, x.shape))
    if not indices:
        return y
    index, lies = empty_images(shape, _INT64)
    launch(op.max_pool_index, (places, lies), (*windows.scalars, *planes(x).shape[1:3]))
    return y, index


def _max_pool_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    places, windows, shape = node.saved
    dy = channels_last(dy)
    dx, lies = empty_images(shape, dy.code)
    launch(op.max_pool_grad, (_contiguous_planes(dy), places, None, lies), windows.scalars)
    return (record(dx, "max_pool_grad", _max_pool_at, (dy,), node.saved),)


def _max_pool_at(node: Node, dx: Tensor) -> tuple[Tensor]:
    """The elements of dx at the places of the maxima."""
    places, windows, _ = node.saved
    dx = channels_last(dx)
    y, lies = empty_images(_result_shape(dx, windows), dx.code)
    launch(op.max_pool_at, (planes(dx), places, lies), windows.scalars)
    return (record(y, "max_pool_at", _max_pool_backward, (dx,), node.saved),)


def max_pool1d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window along the last axis of (N, C, L); see `max_pool2d`.

    Examples
    --------
    >>> max_pool1d(Tensor([[[1.0, 3.0, 2.0, 5.0]]]), 2)
    Tensor([[[3., 5.]]])
    """
    windows = kernel_size, stride, padding, dilation, ceil_mode
    return _max_pool(fixed_windows, "max_pool1d", 1, x, return_indices, *windows)


def max_pool2d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window of an image, for each channel.

    The gradient of a window goes to its largest element: to the first of equals, and to the last NaN where
    there is one, which is then the result.

    Parameters
    ----------
    x : Tensor
        (N, C, H, W) or (C, H, W).
    kernel_size : int or two of them
        Height and width of a window.
    stride : int or two of them, optional
        From one window to the next; by default the kernel's size.
    padding : int or two of them
        Rows and columns on each side that count as minus infinity; at most half of a window.
    dilation : int or two of them
        From one element of a window to the next.
    ceil_mode : bool
        Whether the last window may stick out of the image.
    return_indices : bool
        Whether to give the places of the maxima too.

    Returns
    -------
    Tensor, or two
        (N, C, OH, OW), with OH = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1, or
        rounded up with `ceil_mode`. Indices are int64: row * W + column.

    Raises
    ------
    ValueError
        If no window fits, or padding is more than half of one.

    Examples
    --------
    >>> max_pool2d(Tensor([[[1.0, 3.0], [2.0, 4.0]]]), 2)
    Tensor([[[4.]]])
    """
    windows = kernel_size, stride, padding, dilation, ceil_mode
    return _max_pool(fixed_windows, "max_pool2d", 2, x, return_indices, *windows)


def adaptive_max_pool1d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of each of `output_size` windows that cover (N, C, L) evenly.

    Examples
    --------
    >>> adaptive_max_pool1d(Tensor([[[1.0, 3.0, 2.0, 5.0]]]), 1)
    Tensor([[[5.]]])
    """
    return _max_pool(adaptive_windows, "adaptive_max_pool1d", 1, x, return_indices, output_size)


def adaptive_max_pool2d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of each of `output_size` windows that cover an image evenly.

    Parameters
    ----------
    x : Tensor
        (N, C, H, W) or (C, H, W).
    output_size : int or two of them
        Windows along each axis: window i is from floor(i H / OH) to ceil((i + 1) H / OH). None stands
        for the image's own.
    return_indices : bool
        Whether to give the places of the maxima too; see `max_pool2d`.

    Examples
    --------
    >>> adaptive_max_pool2d(Tensor([[[1.0, 3.0], [2.0, 4.0]]]), (1, 2))
    Tensor([[[2., 4.]]])
    """
    return _max_pool(adaptive_windows, "adaptive_max_pool2d", 2, x, return_indices, output_size)


# --- averages ---


def _avg_pool(x: Tensor, axes: int, windows: Windows, name: str) -> Tensor:
    y: Tensor = over_batch(lambda x: _averages(x, windows, name), x, axes)
    return y


def _averages(x: Tensor, windows: Windows, name: str) -> Tensor:
    x = channels_last(x)
    y, lies = empty_images(_result_shape(x, windows), x.code)
    launch(op.avg_pool, (planes(x), lies), (*windows.scalars, *windows.average))
    return record(y, name, _avg_pool_backward, (x,), (windows, x.shape))


def _avg_pool_backward(node: Node, dy: Tensor) -> tuple[Tensor]:
    windows, shape = node.saved
    if windows.out == (1, 1) and not windows.scalars[0] and not windows.scalars[1]:
        # Every pixel has the same: a view that repeats it.
        return (broadcast_to(dy * (1 / math.prod(shape[2:])), shape),)
    dy = channels_last(dy)
    dx, lies = empty_images(shape, dy.code)
    arrays = (_contiguous_planes(dy), lies)
    launch(op.avg_pool_grad, arrays, (*windows.scalars, *windows.average))
    return (record(dx, "avg_pool_grad", _avg_pool_again, (dy,), (windows,)),)


def _avg_pool_again(node: Node, dx: Tensor) -> tuple[Tensor]:
    return (_averages(dx, node.saved[0], "avg_pool"),)


def _fixed_average(
    x: Any,
    axes: int,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    name = f"avg_pool{axes}d"
    x = float_images(x, axes, name)
    windows = fixed_windows(x, axes, name, kernel_size, stride, padding, 1, ceil_mode)
    divisor = 0
    if divisor_override is not None:
        (divisor,) = numbers(name, "divisor_override", divisor_override, 1, -(2**31))
        if divisor == 0:
            raise ValueError(f"{name}: divisor_override must not be 0")
    windows = windows._replace(average=(int(count_include_pad), divisor))
    return _avg_pool(x, axes, windows, name)


def avg_pool1d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window along the last axis of (N, C, L); see `avg_pool2d`.

    Examples
    --------
    >>> avg_pool1d(Tensor([[[1.0, 3.0, 2.0, 5.0]]]), 2)
    Tensor([[[2. , 3.5]]])
    """
    return _fixed_average(x, 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of an image, for each channel.

    Parameters
    ----------
    x : Tensor
        (N, C, H, W) or (C, H, W).
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; padding is zeros.
    count_include_pad : bool
        Whether the padding counts in the mean.
    divisor_override : int, optional
        What to divide the sums by instead.

    Raises
    ------
    ValueError
        If no window fits, or padding is more than half of one.

    Examples
    --------
    >>> avg_pool2d(Tensor([[[1.0, 3.0], [2.0, 4.0]]]), 2)
    Tensor([[[2.5]]])
    """
    return _fixed_average(
        x, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _adaptive_average(x: Any, axes: int, output_size: Any) -> Tensor:
    name = f"adaptive_avg_pool{axes}d"
    x = float_images(x, axes, name)
    windows = adaptive_windows(x, axes, name, output_size)
    return _avg_pool(x, axes, windows, name)


def adaptive_avg_pool1d(x: Any, output_size: Any) -> Tensor:
    """The mean of each of `output_size` windows that cover (N, C, L) evenly.

    Examples
    --------
    >>> adaptive_avg_pool1d(Tensor([[[1.0, 3.0, 2.0, 5.0]]]), 2)
    Tensor([[[2. , 3.5]]])
    """
    return _adaptive_average(x, 1, output_size)


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Tensor:
    """The mean of each of `output_size` windows that cover an image evenly.

    Parameters
    ----------
    x : Tensor
        (N, C, H, W) or (C, H, W).
    output_size : int or two of them
        As in `adaptive_max_pool2d`; 1 is the mean of the whole image.

    Examples
    --------
    >>> adaptive_avg_pool2d(Tensor([[[1.0, 3.0], [2.0, 4.0]]]), 1)
    Tensor([[[2.5]]])
    """
    return _adaptive_average(x, 2, output_size)
