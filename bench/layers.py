"""Layers that every library can be told, with their weights; shapes are those of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# For each layer that has weights, in order: (w, b) or (w,) of a Linear or Conv, (weight, bias) of a norm, of
# a Norm with the running mean and variance.
Weights = list[tuple[np.ndarray, ...]]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Linear:
    inputs: int
    outputs: int

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (self.outputs, self.inputs), (self.outputs,)


@dataclass(frozen=True)
class Conv:
    inputs: int
    outputs: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    groups: int = 1
    bias: bool = False
    dilation: int = 1
    axes: int = 2  # of images, or 1 of sequences

    @property
    def shapes(self) -> tuple[Shape, ...]:
        w = (self.outputs, self.inputs // self.groups, *(self.size,) * self.axes)
        return (w, (self.outputs,)) if self.bias else (w,)


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution, which makes images larger."""

    inputs: int
    outputs: int
    size: int = 4
    stride: int = 2
    padding: int = 1
    bias: bool = False

    @property
    def shapes(self) -> tuple[Shape, ...]:
        w = (self.inputs, self.outputs, self.size, self.size)
        return (w, (self.outputs,)) if self.bias else (w,)


@dataclass(frozen=True)
class Norm:
    """Batch normalisation of channels."""

    channels: int
    axes: int = 2


@dataclass(frozen=True)
class GroupNorm:
    groups: int
    channels: int


@dataclass(frozen=True)
class LayerNorm:
    """Of the last axis."""

    channels: int


@dataclass(frozen=True)
class Activation:
    name: str = "relu"  # or relu6, leaky_relu (0.2), tanh, sigmoid, silu, gelu (with erf)


@dataclass(frozen=True)
class Dropout:
    p: float


@dataclass(frozen=True)
class MaxPool:
    size: int = 2
    stride: int = 2
    padding: int = 0
    axes: int = 2


@dataclass(frozen=True)
class AvgPool:
    size: int = 2


@dataclass(frozen=True)
class ChannelMeans:
    """The mean of each channel, an image of one pixel."""


@dataclass(frozen=True)
class GlobalMean:
    """The mean of each channel: (N, C, H, W) to (N, C)."""

    axes: int = 2


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Upsample:
    """The nearest pixel's value."""

    scale: int = 2


# --- of other layers ---


@dataclass(frozen=True)
class Residual:
    """The sum of what the body and the shortcut (without layers: the input) make, and ReLU of it."""

    body: tuple[Any, ...]
    shortcut: tuple[Any, ...] = ()
    relu: bool = True


@dataclass(frozen=True)
class Beside:
    """The input's channels, then those that the body makes of it."""

    body: tuple[Any, ...]


@dataclass(frozen=True)
class Gate:
    """The input times what the body makes of it."""

    body: tuple[Any, ...]


@dataclass(frozen=True)
class ChannelsLast:
    """The body works on (N, H, W, C)."""

    body: tuple[Any, ...]


Weighted = Linear | Conv | Transposed | Norm | GroupNorm | LayerNorm


def weighted(layers: tuple[Any, ...]) -> Iterator[Weighted]:
    """The layers that have weights, in order."""
    for layer in layers:
        if isinstance(layer, Weighted):
            yield layer
        yield from weighted(getattr(layer, "body", ()))
        yield from weighted(getattr(layer, "shortcut", ()))


def weights_of(layers: tuple[Any, ...], seed: int) -> Weights:
    """He-uniform weights and zero biases; a norm's are near those that it starts with."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in weighted(layers):
        if isinstance(layer, Norm | GroupNorm | LayerNorm):
            low_high = ((0.9, 1.1), (-0.1, 0.1), (-0.1, 0.1), (0.8, 1.2))
            few = low_high if isinstance(layer, Norm) else low_high[:2]
            made = [rng.uniform(*ends, layer.channels) for ends in few]
        else:
            w, *rest = layer.shapes
            fan = math.prod(w[1:])
            if isinstance(layer, Transposed):
                fan = math.prod(w) // w[1] // layer.stride**2
            made = [rng.uniform(-((6 / fan) ** 0.5), (6 / fan) ** 0.5, w), *map(np.zeros, rest)]
        found.append(tuple(a.astype("float32") for a in made))
    return found


def walk(layers: tuple[Any, ...], shape: Shape) -> tuple[int, Shape]:
    """What layers multiply and add on one image, and the shape that they make of it."""
    flops = 0
    for layer in layers:
        more, shape = _step(layer, shape)
        flops += more
    return flops, shape


def _step(layer: Any, shape: Shape) -> tuple[int, Shape]:
    match layer:
        case Conv():
            reach = layer.dilation * (layer.size - 1) + 1
            places = _places(shape, reach, layer.stride, layer.padding)
            return 2 * math.prod(layer.shapes[0]) * math.prod(places), (layer.outputs, *places)
        case Transposed():
            flops = 2 * math.prod(layer.shapes[0]) * math.prod(shape[1:])
            more = layer.size - 2 * layer.padding
            return flops, (layer.outputs, *((n - 1) * layer.stride + more for n in shape[1:]))
        case Linear():
            return 2 * layer.inputs * layer.outputs * math.prod(shape[:-1]), (
                *shape[:-1],
                layer.outputs,
            )
        case MaxPool(size, stride, padding):
            return 0, (shape[0], *_places(shape, size, stride, padding))
        case AvgPool(size):
            return 0, (shape[0], *_places(shape, size, size, 0))
        case ChannelMeans():
            return 0, (shape[0], 1, 1)
        case GlobalMean():
            return 0, shape[:1]
        case Flatten():
            return 0, (math.prod(shape),)
        case Upsample(scale):
            return 0, (shape[0], *(n * scale for n in shape[1:]))
        case Residual(body, shortcut):
            flops, made = walk(body, shape)
            return flops + walk(shortcut, shape)[0], made
        case Beside(body):
            flops, made = walk(body, shape)
            return flops, (shape[0] + made[0], *shape[1:])
        case Gate(body):
            return walk(body, shape)[0], shape
        case ChannelsLast(body):
            flops, made = walk(body, (*shape[1:], shape[0]))
            return flops, (made[-1], *made[:-1])
    return 0, shape


def _places(shape: Shape, reach: int, stride: int, padding: int) -> Shape:
    """Where a window lies along each axis behind the channels."""
    return tuple((n + 2 * padding - reach) // stride + 1 for n in shape[1:])
