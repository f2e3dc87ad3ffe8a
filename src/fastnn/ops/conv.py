"""Convolutions of one and two axes, and transposed ones.

Three functions are all there is: the images that a kernel makes, and the sums that go the other way, to
the images it was made from and to the kernel. Each is the gradient of the others, so gradients of every
order exist; a transposed convolution is the second of them. In C there are images with their channels
last alone, see layout.py; a sequence is an image of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._core import launch
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, zeros
from .layout import channels_last, empty_images, planes
from .reduce import sum
from .window import Places, Window, convolution, hashable, operands, over_batch, transposed

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]

Gradients = tuple[Tensor | None, ...]

# --- the three, each the gradient of the others ---


def _convolve(
    name: str, x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, places: Places
) -> Tensor:
    """Images (N, O, *places) from x (N, C, ...), for weight (O, C / groups, ...)."""
    x = channels_last(x)
    y, lies = empty_images((x.shape[0], weight.shape[0], *places), x.code)
    if y.size:
        launch(op.conv, (planes(x), planes(weight), bias, lies), window.scalars())
    return record(y, name, _convolve_backward, (x, weight, bias), (x, weight, window))


def _convolve_backward(node: Node, dy: Tensor) -> Gradients:
    x, weight, window = node.saved
    dy = channels_last(dy)
    dx = dw = None
    if node.needs(1):
        dw = _correlate(x, dy, window, weight.shape[2:], node.grad_buffer(1))
    if node.needs(0):
        dx = _spread("conv_grad_x", dy, weight, None, window, x.shape[2:])
    return dx, dw, _channel_sums(dy, node)


def _spread(
    name: str, y: Tensor, weight: Tensor, bias: Tensor | None, window: Window, places: Places
) -> Tensor:
    """Images (N, C, *places) to which each element of y (N, O, ...) adds the kernel that it multiplies."""
    y = channels_last(y)
    x, lies = empty_images((y.shape[0], weight.shape[1] * window.groups, *places), y.code)
    if x.size:
        launch(op.conv_grad_x, (planes(y), planes(weight), bias, lies), window.scalars())
    return record(x, name, _spread_backward, (y, weight, bias), (y, weight, window))


def _spread_backward(node: Node, dx: Tensor) -> Gradients:
    y, weight, window = node.saved
    dx = channels_last(dx)
    dy = dw = None
    if node.needs(1):
        dw = _correlate(dx, y, window, weight.shape[2:], node.grad_buffer(1))
    if node.needs(0):
        dy = _convolve("conv", dx, weight, None, window, y.shape[2:])
    return dy, dw, _channel_sums(dx, node)


def _correlate(
    x: Tensor, y: Tensor, window: Window, kernel: Places, home: Tensor | None = None
) -> Tensor:
    """Kernels (O, C / groups, *kernel): the sums of the products of x and y that a weight's element joins."""
    x, y = channels_last(x), channels_last(y)
    if home is not None and planes(home).is_contiguous():
        w, lies = home, planes(home)
    else:
        w, lies = empty_images((y.shape[1], x.shape[1] // window.groups, *kernel), x.code)
    if x.size and y.size:
        launch(op.conv_grad_w, (planes(x), planes(y), lies), window.scalars())
    else:
        launch(op.copy, (zeros((), w.dtype), w))
    return record(w, "conv_grad_w", _correlate_backward, (x, y), (x, y, window))


def _correlate_backward(node: Node, dw: Tensor) -> Gradients:
    x, y, window = node.saved
    dx = dy = None
    if node.needs(0):
        dx = _spread("conv_grad_x", y, dw, None, window, x.shape[2:])
    if node.needs(1):
        dy = _convolve("conv", x, dw, None, window, y.shape[2:])
    return dx, dy


def _channel_sums(dy: Tensor, node: Node) -> Tensor | None:
    """The gradient of a bias, which is input 2."""
    if not node.needs(2):
        return None
    home = node.grad_buffer(2)
    axes = (0, *range(2, dy.ndim))
    if home is None:
        return sum(dy, axes)
    kept = (1, dy.shape[1], *(1,) * (dy.ndim - 2))
    launch(op.sum, (dy, home._as_view(kept, [1] * dy.ndim)))
    return home


# --- convolutions ---


def _apply(
    way: Callable[..., Tensor], rule: Callable[..., tuple[Window, Places]], name: str, axes: int,
    x: Any, weight: Any, bias: Any, *options: Any,
) -> Tensor:  # fmt: skip
    """What one of the three makes of checked operands; rule tells the window from their shapes."""
    x, weight, bias = operands(name, x, weight, bias, axes)
    options = tuple([hashable(value) for value in options])
    biased = None if bias is None else bias.shape
    window, places = rule(name, x.shape, weight.shape, biased, *options)
    y: Tensor = over_batch(lambda x: way(name, x, weight, bias, window, places), x, axes)
    return y


def conv1d(
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """A convolution of sequences; see `conv2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, L) or (C, L)
    weight : Tensor, shape (O, C / groups, K)
    bias : Tensor, shape (O,), optional
    stride, padding, dilation, groups
        As in `conv2d`, for one axis.

    Returns
    -------
    Tensor, shape (N, O, L')

    Examples
    --------
    >>> x = Tensor([[[1.0, 2.0, 4.0, 8.0]]])
    >>> conv1d(x, Tensor([[[-1.0, 1.0]]]))
    Tensor([[[1., 2., 4.]]])
    """
    return _apply(
        _convolve, convolution, "conv1d", 1, x, weight, bias, stride, padding, dilation, groups
    )


def conv2d(
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """A convolution of images, which is a cross-correlation as in every neural network.

    ``y[n, o, i, j] = bias[o] + sum(weight[o, c, k, l] * x[n, c, i * stride + k * dilation - padding, ...])``
    over the channels c of o's group and the elements k, l of the kernel, where x is 0 outside.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
        Fastest where the channels come last in memory, as in ``images.transpose(0, 3, 1, 2)`` of a
        numpy array (N, H, W, C): it is read where it lies. Other orders are copied once.
    weight : Tensor, shape (O, C / groups, KH, KW)
    bias : Tensor, shape (O,), optional
    stride, dilation : int or (int, int)
        The steps of the kernel, and between its elements.
    padding : int, (int, int), "valid" or "same"
        Zeros around the image. "same" is for stride 1 and keeps the size; of an odd number of zeros
        the last is after.
    groups : int
        Channels are cut into so many parts, each with kernels of its own.

    Returns
    -------
    Tensor, shape (N, O, H', W')
        ``H' = floor((H + 2 * padding - dilation * (KH - 1) - 1) / stride) + 1``; channels last in memory.

    Raises
    ------
    TypeError
        If the dtypes differ or are not float.
    ValueError
        If the shapes do not fit together, or the kernel is larger than the padded image.

    Examples
    --------
    >>> x = Tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    >>> conv2d(x, Tensor([[[[1.0, 0.0], [0.0, 1.0]]]]))
    Tensor([[[[ 6.,  8.],
              [12., 14.]]]])
    """
    return _apply(
        _convolve, convolution, "conv2d", 2, x, weight, bias, stride, padding, dilation, groups
    )


# --- transposed convolutions ---


def conv_transpose1d(
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv1d`; see `conv_transpose2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, L) or (C, L)
    weight : Tensor, shape (C, O / groups, K)
    bias : Tensor, shape (O,), optional
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`, for one axis.

    Returns
    -------
    Tensor, shape (N, O, L')

    Examples
    --------
    >>> conv_transpose1d(Tensor([[[1.0, 2.0]]]), Tensor([[[1.0, 10.0]]]), stride=2)
    Tensor([[[ 1., 10.,  2., 20.]]])
    """
    return _apply(
        _spread, transposed, "conv_transpose1d", 1, x, weight, bias, stride, padding,
        output_padding, groups, dilation,
    )  # fmt: skip


def conv_transpose2d(
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv2d`: each element adds the kernel that it multiplies, ``stride`` apart.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
    weight : Tensor, shape (C, O / groups, KH, KW)
    bias : Tensor, shape (O,), optional
    stride, dilation : int or (int, int)
        The steps between the kernels, and between a kernel's elements.
    padding : int or (int, int)
        How much of the result's border is cut off.
    output_padding : int or (int, int)
        Rows and columns more at the end, which with a stride tells from which size a convolution would
        have made this one.
    groups : int
        Channels are cut into so many parts, each with kernels of its own.

    Returns
    -------
    Tensor, shape (N, O, H', W')
        ``H' = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + output_padding + 1``.

    Raises
    ------
    TypeError, ValueError
        As in `conv2d`.

    Examples
    --------
    >>> x = Tensor([[[[1.0, 2.0]]]])
    >>> conv_transpose2d(x, Tensor([[[[1.0, 1.0], [1.0, 1.0]]]]), stride=2)
    Tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    return _apply(
        _spread, transposed, "conv_transpose2d", 2, x, weight, bias, stride, padding,
        output_padding, groups, dilation,
    )  # fmt: skip
