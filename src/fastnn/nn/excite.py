"""Squeeze and excitation: channels that weigh each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from ._check import positive
from .activation import ReLU, Sigmoid
from .conv import Conv2d
from .module import Module
from .pooling import AdaptiveAvgPool2d


class SqueezeExcite(Module):
    """Multiplies each channel by a number that the means of all channels decide.

    `x * scale_activation(fc2(activation(fc1(mean(x)))))`, with a mean over the image. Hu, Shen, Sun 2018; the
    parts have torchvision's names (`torchvision.ops.SqueezeExcitation`).

    Parameters
    ----------
    input_channels : int
        Channels of the image.
    squeeze_channels : int
        Channels between the two layers; often a quarter to a sixteenth as many.
    activation, scale_activation : callable
        Make the two activations: layer classes.

    Attributes
    ----------
    fc1, fc2 : Conv2d
        1 x 1 convolutions: weights (squeeze_channels, input_channels, 1, 1) and the reverse, with biases.

    Examples
    --------
    >>> from fastnn import nn, ones
    >>> nn.SqueezeExcite(16, 4)(ones((2, 16, 8, 8))).shape
    (2, 16, 8, 8)
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Callable[[], Module] = ReLU,
        scale_activation: Callable[[], Module] = Sigmoid,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        wide = positive("SqueezeExcite", "input_channels", input_channels)
        narrow = positive("SqueezeExcite", "squeeze_channels", squeeze_channels)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(wide, narrow, 1, dtype=dtype)
        self.fc2 = Conv2d(narrow, wide, 1, dtype=dtype)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        hidden = self.activation(self.fc1(self.avgpool(x)))
        scale: Tensor = self.scale_activation(self.fc2(hidden))
        return x * scale
