"""Plain stacks of 3x3 convolutions in the manner of VGG, with a small head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn
from ..initializers import zeros
from ._parts import Make, he_fan_out, layer_of

__all__ = ["vgg", "vgg11", "vgg13", "vgg16"]


def vgg(
    stages: Sequence[Sequence[int]],
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    batch_norm: bool = True,
    dropout: float = 0.5,
    hidden: int | None = None,
    activation: Make = "relu",
    dtype: Any = "float32",
) -> nn.Sequential:
    """Stages of 3x3 convolutions, each ended by a pooling; then a mean over the image and the classes.

    Where the paper has three wide dense layers, most of its weights, there is the mean over the
    image here, so that images of any size that the poolings leave something of can enter.

    Parameters
    ----------
    stages : sequence of sequence of int
        The channels of each convolution, in stages.
    num_classes, in_channels : int
    batch_norm : bool
        Whether each convolution is followed by one.
    dropout : float
        The probability before each dense layer.
    hidden : int, optional
        Features of a hidden layer before the classes.
    activation : str or callable
        A name as in `nn.activation`, or what makes a layer.
    dtype
        float32 or float64.

    Returns
    -------
    Sequential
        ``features`` and ``classifier``. The former's modules have the numbers, and weights the names
        and shapes, that they have in torchvision's VGG of the same stages.

    References
    ----------
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.

    Examples
    --------
    >>> import fastnn
    >>> model = fastnn.models.vgg([(32, 32), (64, 64)], hidden=128)
    >>> model(fastnn.zeros((2, 3, 32, 32))).shape
    (2, 10)
    """
    if not stages or not all(stages):
        raise ValueError(f"vgg: each stage has the channels of its convolutions, got {stages!r}")
    layers: list[nn.Module] = []
    before = in_channels
    for stage in stages:
        for channels in stage:
            layers.append(
                nn.Conv2d(
                    before, channels, 3, padding=1, weight_init=he_fan_out, bias_init=zeros,
                    dtype=dtype,
                )
            )  # fmt: skip
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels, dtype=dtype))
            layers.append(layer_of("vgg", activation))
            before = channels
        layers.append(nn.MaxPool2d(2))
    head: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for width in () if hidden is None else (hidden,):
        head += [nn.Dropout(dropout), nn.Linear(before, width, dtype=dtype)]
        head.append(layer_of("vgg", activation))
        before = width
    head += [nn.Dropout(dropout), nn.Linear(before, num_classes, dtype=dtype)]
    model = nn.Sequential()
    model.add_module("features", nn.Sequential(*layers))
    model.add_module("classifier", nn.Sequential(*head))
    return model


def vgg11(
    num_classes: int = 10, in_channels: int = 3, *, batch_norm: bool = True, **options: Any
) -> nn.Sequential:
    """VGG's plan A, of 8 convolutions, for small images: 9.2 million weights; see `vgg`.

    Examples
    --------
    >>> from fastnn.models import vgg11
    >>> sum(p.size for p in vgg11().parameters())
    9231114
    """
    return _planned((1, 1, 2, 2, 2), num_classes, in_channels, batch_norm, options)


def vgg13(
    num_classes: int = 10, in_channels: int = 3, *, batch_norm: bool = True, **options: Any
) -> nn.Sequential:
    """VGG's plan B, of 10 convolutions, for small images: 9.4 million weights; see `vgg`."""
    return _planned((2, 2, 2, 2, 2), num_classes, in_channels, batch_norm, options)


def vgg16(
    num_classes: int = 10, in_channels: int = 3, *, batch_norm: bool = True, **options: Any
) -> nn.Sequential:
    """VGG's plan D, of 13 convolutions, for small images: 14.7 million weights; see `vgg`."""
    return _planned((2, 2, 3, 3, 3), num_classes, in_channels, batch_norm, options)


def _planned(
    counts: Sequence[int], num_classes: int, in_channels: int, batch_norm: bool, options: Any
) -> nn.Sequential:
    stages = [(channels,) * n for n, channels in zip(counts, (64, 128, 256, 512, 512), strict=True)]
    return vgg(stages, num_classes, in_channels, batch_norm=batch_norm, **options)
