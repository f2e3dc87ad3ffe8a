"""Padding of sequences and images: with a number, a reflection, the border or the other side."""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..ops.window import numbers
from ..tensor import Tensor, as_tensor
from ._check import real
from .module import Module

Padding = int | Sequence[int]


class _Pad(Module):
    """Pads the last `_axes` axes."""

    _axes: int
    _mode: str

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        name = type(self).__name__
        self.padding = numbers(name, "padding", padding, 2 * self._axes, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self._padded(x, 0.0)

    def _padded(self, x: Tensor, value: float) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in (self._axes + 1, self._axes + 2):
            shape = ("(N, C, L) or (C, L)", "(N, C, H, W) or (C, H, W)")[self._axes - 1]
            raise ValueError(f"{type(self).__name__}: x must be {shape}, not {x.shape}")
        pairs = list(zip(self.padding[::2], self.padding[1::2], strict=True))[::-1]
        return ops.pad(x, [(0, 0)] * (x.ndim - self._axes) + pairs, self._mode, value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    _mode = "constant"

    def __init__(self, padding: Padding, value: float) -> None:
        super().__init__(padding)
        self.value = real(type(self).__name__, "value", value)

    def forward(self, x: Tensor) -> Tensor:
        return self._padded(x, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Puts `value` before and after sequences; see `ConstantPad2d`.

    Parameters
    ----------
    padding : int or (left, right)
    value : float

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ConstantPad1d((0, 1), 9.0)(fastnn.ones((1, 1, 2)))
    Tensor([[[1., 1., 9.]]])
    """

    _axes = 1


class ConstantPad2d(_ConstantPad):
    """Puts `value` around images.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        One number for all sides, or one each.
    value : float

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ConstantPad2d((1, 0, 0, 0), 9.0)(fastnn.ones((1, 1, 1, 2)))
    Tensor([[[[9., 1., 1.]]]])
    """

    _axes = 2


class ZeroPad1d(_Pad):
    """Puts zeros before and after sequences; see `ZeroPad2d`.

    Parameters
    ----------
    padding : int or (left, right)

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ZeroPad1d(1)(fastnn.ones((1, 1, 2)))
    Tensor([[[0., 1., 1., 0.]]])
    """

    _axes, _mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Puts zeros around images.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        One number for all sides, or one each.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ZeroPad2d((1, 1, 2, 2))(fastnn.ones((1, 3, 8, 8))).shape
    (1, 3, 12, 10)
    """

    _axes, _mode = 2, "constant"


class ReflectionPad1d(_Pad):
    """Mirrors sequences at their ends, which do not come twice.

    Parameters
    ----------
    padding : int or (left, right)
        Less than the length.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ReflectionPad1d(2)(fastnn.tensor([[[1.0, 2.0, 3.0]]]))
    Tensor([[[3., 2., 1., 2., 3., 2., 1.]]])
    """

    _axes, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Mirrors images at their borders, which do not come twice.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        Less than the image has along the axis.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ReflectionPad2d(1)(fastnn.zeros((1, 3, 8, 8))).shape
    (1, 3, 10, 10)
    """

    _axes, _mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """Repeats the first and the last element of sequences.

    Parameters
    ----------
    padding : int or (left, right)

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ReplicationPad1d((2, 1))(fastnn.tensor([[[1.0, 2.0]]]))
    Tensor([[[1., 1., 1., 2., 2.]]])
    """

    _axes, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Repeats the border of images.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.ReplicationPad2d(1)(fastnn.zeros((1, 3, 8, 8))).shape
    (1, 3, 10, 10)
    """

    _axes, _mode = 2, "replicate"


class CircularPad1d(_Pad):
    """Puts the end of sequences before them and their beginning after them.

    Parameters
    ----------
    padding : int or (left, right)

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.CircularPad1d(1)(fastnn.tensor([[[1.0, 2.0, 3.0]]]))
    Tensor([[[3., 1., 2., 3., 1.]]])
    """

    _axes, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Continues images beyond a border with what lies at the other.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.CircularPad2d(1)(fastnn.zeros((1, 3, 8, 8))).shape
    (1, 3, 10, 10)
    """

    _axes, _mode = 2, "circular"
