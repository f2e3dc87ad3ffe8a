"""Networks that people train and run, as bench/compare.py times them: classifiers of images and of series,
and networks that make images."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from layers import (
    Activation,
    AvgPool,
    Beside,
    ChannelMeans,
    ChannelsLast,
    Conv,
    Flatten,
    Gate,
    GlobalMean,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Norm,
    Residual,
    Transposed,
    Upsample,
)  # fmt: skip
from networks import ImageNet

Layers = tuple[Any, ...]
RELU = Activation()


def resnet18(side: int = 224, classes: int = 1000) -> ImageNet:
    """He et al. 2016; the shortcuts to more channels are convolutions."""
    layers: list[Any] = [Conv(3, 64, 7, 2, 3), Norm(64), RELU, MaxPool(3, 2, 1)]
    before = 64
    for width in (64, 128, 256, 512):
        for stride in (1 if width == 64 else 2, 1):
            body = (
                Conv(before, width, stride=stride), Norm(width), RELU, Conv(width, width), Norm(width)
            )  # fmt: skip
            turn = (Conv(before, width, 1, stride, 0), Norm(width)) if before != width else ()
            layers.append(Residual(body, turn))
            before = width
    layers += [GlobalMean(), Linear(512, classes)]
    return ImageNet((3, side, side), tuple(layers), "sgd", 0.01, classes)


def mobilenet_v2(side: int = 224, classes: int = 1000) -> ImageNet:
    """Sandler et al. 2018."""
    six = Activation("relu6")
    layers: list[Any] = [Conv(3, 32, stride=2), Norm(32), six]
    before = 32
    for wider, width, blocks, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for stride in (first, *(1,) * (blocks - 1)):
            inside = before * wider
            body: Layers = (
                Conv(inside, inside, stride=stride, groups=inside), Norm(inside), six,
                Conv(inside, width, 1, padding=0), Norm(width),
            )  # fmt: skip
            if wider > 1:
                body = (Conv(before, inside, 1, padding=0), Norm(inside), six, *body)
            layers += [Residual(body, relu=False)] if before == width else body
            before = width
    layers += [Conv(320, 1280, 1, padding=0), Norm(1280), six, GlobalMean(), Linear(1280, classes)]
    return ImageNet((3, side, side), tuple(layers), "sgd", 1e-4, classes)


def vgg11() -> ImageNet:
    """Simonyan and Zisserman 2015 with batch normalisation, on 32 x 32 pixels."""
    layers: list[Any] = []
    before = 3
    for widths in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for width in widths:
            layers += [Conv(before, width, bias=True), Norm(width), RELU]
            before = width
        layers.append(MaxPool())
    layers += [GlobalMean(), Linear(512, 10)]
    return ImageNet((3, 32, 32), tuple(layers), "sgd", 0.01)


def lenet5() -> ImageNet:
    """LeCun et al. 1998."""
    tanh = Activation("tanh")
    layers = (
        Conv(1, 6, 5, padding=2, bias=True), tanh, AvgPool(),
        Conv(6, 16, 5, padding=0, bias=True), tanh, AvgPool(),
        Flatten(), Linear(400, 120), tanh, Linear(120, 84), tanh, Linear(84, 10),
    )  # fmt: skip
    return ImageNet((1, 28, 28), layers, "adam", 1e-3)


def series() -> ImageNet:
    """Sequences of 6 channels."""
    layers: list[Any] = []
    for before, after in pairwise((6, 32, 64, 128)):
        layers += [Conv(before, after, 5, padding=2, axes=1), Norm(after, 1), RELU, MaxPool(axes=1)]
    layers += [GlobalMean(1), Linear(128, 8)]
    return ImageNet((6, 256), tuple(layers), "adam", 1e-3, 8)


def _twice(before: int, after: int) -> Layers:
    return (Conv(before, after), Norm(after), RELU, Conv(after, after), Norm(after), RELU)


def unet(widths: tuple[int, ...] = (16, 32, 64, 128), side: int = 128) -> ImageNet:
    """Ronneberger et al. 2015, smaller; a mask of each image is to be made."""
    inside: Layers = ()
    for narrow, wide in reversed(list(pairwise(widths))):
        up = Transposed(wide, narrow, 2, 2, 0, True)
        inside = (
            Beside((MaxPool(), *_twice(narrow, wide), *inside, up)), *_twice(2 * narrow, narrow)
        )  # fmt: skip
    layers = (*_twice(1, widths[0]), *inside, Conv(widths[0], 1, 1, padding=0, bias=True))
    return ImageNet((1, side, side), layers, "adam", 1e-3, loss="mse")


def generator() -> ImageNet:
    """Of DCGAN (Radford et al. 2016), 100 numbers to 3 x 32 x 32."""
    layers: list[Any] = [Transposed(100, 256, 4, 1, 0), Norm(256), RELU]
    for before, after in pairwise((256, 128, 64)):
        layers += [Transposed(before, after), Norm(after), RELU]
    layers += [Transposed(64, 3), Activation("tanh")]
    return ImageNet((100, 1, 1), tuple(layers), "adam", 2e-4, loss="mse")


def discriminator() -> ImageNet:
    """Of DCGAN."""
    leaky = Activation("leaky_relu")
    layers: list[Any] = [Conv(3, 64, 4, 2), leaky]
    for before, after in pairwise((64, 128, 256)):
        layers += [Conv(before, after, 4, 2), Norm(after), leaky]
    layers += [Conv(256, 2, 4, 1, 0), Flatten()]
    return ImageNet((3, 32, 32), tuple(layers), "adam", 2e-4, 2)


def autoencoder() -> ImageNet:
    """Images through 8 x 8 pixels of 64 channels."""
    layers: list[Any] = []
    for before, after in ((3, 32), (32, 64)):
        layers += [Conv(before, after, stride=2, bias=True), RELU]
    for before, after in ((64, 64), (64, 32)):
        layers += [Upsample(), Conv(before, after, bias=True), RELU]
    layers += [Conv(32, 3, bias=True), Activation("sigmoid")]
    return ImageNet((3, 32, 32), tuple(layers), "adam", 1e-3, loss="mse")


def _classified(channels: int, side: int, *layers: Any) -> ImageNet:
    """Layers that keep the number of channels, and the least that makes a loss of them."""
    return ImageNet(
        (channels, side, side), (*layers, GlobalMean(), Linear(channels, 10)), "sgd", 0.01
    )


def convnext(channels: int = 96, side: int = 28) -> ImageNet:
    """Two blocks of ConvNeXt (Liu et al. 2022)."""
    wide = 4 * channels
    inside = (
        LayerNorm(channels), Linear(channels, wide), Activation("gelu"), Linear(wide, channels)
    )  # fmt: skip
    depth = Conv(channels, channels, 7, padding=3, groups=channels, bias=True)
    return _classified(channels, side, *[Residual((depth, ChannelsLast(inside)), relu=False)] * 2)


def excited(channels: int = 64, side: int = 28) -> ImageNet:
    """Two residual blocks with squeeze and excitation (Hu et al. 2018)."""
    weighed = (
        ChannelMeans(), Conv(channels, channels // 16, 1, padding=0, bias=True), RELU,
        Conv(channels // 16, channels, 1, padding=0, bias=True), Activation("sigmoid"),
    )  # fmt: skip
    body = (
        Conv(channels, channels),
        Norm(channels),
        RELU,
        Conv(channels, channels),
        Norm(channels),
    )
    return _classified(channels, side, *[Residual((*body, Gate(weighed)))] * 2)


def grouped(channels: int = 64, side: int = 28) -> ImageNet:
    """Two residual blocks with group normalisation (Wu and He 2018)."""
    norm = GroupNorm(channels // 8, channels)
    body = (Conv(channels, channels), norm, RELU, Conv(channels, channels), norm)
    return _classified(channels, side, *[Residual(body)] * 2)
