"""The networks that compare.py times, as layers that every library can be told, with data and weights."""

from __future__ import annotations

import gzip
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

# For each layer that has weights, in order: (w, b) or (w,) of a Linear or Conv, and of a Norm (weight,
# bias, running mean, running variance).
Weights = list[tuple[np.ndarray, ...]]


# --- layers; shapes are those of PyTorch ---


@dataclass(frozen=True)
class Linear:
    inputs: int
    outputs: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
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

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        w = (self.outputs, self.inputs // self.groups, self.size, self.size)
        return (w, (self.outputs,)) if self.bias else (w,)


@dataclass(frozen=True)
class Norm:
    """Batch normalisation of channels."""

    channels: int


@dataclass(frozen=True)
class Activation:
    name: str = "relu"  # or "gelu", with erf


@dataclass(frozen=True)
class Dropout:
    p: float


@dataclass(frozen=True)
class MaxPool:
    size: int = 2


@dataclass(frozen=True)
class GlobalMean:
    """The mean of each channel: (N, C, H, W) to (N, C)."""


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Residual:
    """ReLU of the sum of what the body and the shortcut (without layers: the input) make."""

    body: tuple[Any, ...]
    shortcut: tuple[Any, ...] = ()


def weighted(layers: tuple[Any, ...]) -> Iterator[Linear | Conv | Norm]:
    """The layers that have weights, in order."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from weighted(layer.body)
            yield from weighted(layer.shortcut)
        elif isinstance(layer, Linear | Conv | Norm):
            yield layer


def weights_of(layers: tuple[Any, ...], seed: int) -> Weights:
    """He-uniform weights and zero biases; a Norm's are near those that it starts with."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in weighted(layers):
        if isinstance(layer, Norm):
            low_high = ((0.9, 1.1), (-0.1, 0.1), (-0.1, 0.1), (0.8, 1.2))
            made = [rng.uniform(*ends, layer.channels) for ends in low_high]
        else:
            w, *rest = layer.shapes
            bound = (6 / math.prod(w[1:])) ** 0.5
            made = [rng.uniform(-bound, bound, w), *map(np.zeros, rest)]
        found.append(tuple(a.astype("float32") for a in made))
    return found


# --- networks ---


@dataclass(frozen=True)
class Net:
    """A multilayer perceptron and how it is trained."""

    sizes: tuple[int, ...]
    loss: str  # "cross_entropy" of class indices, or "mse"
    rule: str  # "sgd" (with momentum 0.9), "adam" or "adamw" (decay 0.01)
    lr: float
    activation: str = "relu"
    dropout: float = 0.0

    @property
    def layers(self) -> tuple[Any, ...]:
        between: list[Any] = [Activation(self.activation)]
        between += [Dropout(self.dropout)] * (self.dropout > 0)
        pairs = itertools.starmap(Linear, itertools.pairwise(self.sizes))
        first, *rest = ([pair, *between] for pair in pairs)
        return tuple(itertools.chain(first, *rest))[: -len(between)]

    def without_dropout(self) -> Net:
        return replace(self, dropout=0.0)

    def weights(self, seed: int = 0) -> Weights:
        """The same for every library."""
        return weights_of(self.layers, seed)

    def rows(self, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets: MNIST where the net is made for it, else normal noise."""
        rng = np.random.default_rng(seed)
        if (self.sizes[0], self.sizes[-1]) == (784, 10) and mnist() is not None:
            x, y = mnist()
            return np.ascontiguousarray(x[:n]), y[:n].copy()
        x = rng.standard_normal((n, self.sizes[0]), "float32")
        if self.loss == "mse":
            return x, rng.standard_normal((n, self.sizes[-1]), "float32")
        return x, rng.integers(0, self.sizes[-1], n)


@dataclass(frozen=True)
class ImageNet:
    """A convolutional classifier (or, without classes, a part of one) and how it is trained."""

    image: tuple[int, int, int]  # channels, height, width
    layers: tuple[Any, ...]
    rule: str
    lr: float
    classes: int = 10
    loss: str = "cross_entropy"

    def without_dropout(self) -> ImageNet:
        return self

    def weights(self, seed: int = 0) -> Weights:
        """The same for every library."""
        return weights_of(self.layers, seed)

    def rows(self, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, C, H, W) of normal noise and their labels."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n, *self.image), "float32")
        return x, rng.integers(0, self.classes, n)

    def flops(self) -> int:
        """Of one image's forward pass: what convolutions and linear layers multiply and add."""
        return _walk(self.layers, self.image)[0]

    def gradient(self, n: int, seed: int = 2) -> np.ndarray:
        """Normal noise in the shape of the last layer's result."""
        shape = _walk(self.layers, self.image)[1]
        return np.random.default_rng(seed).standard_normal((n, *shape), "float32")


def _walk(layers: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The operations of layers on one image, and the shape that they make of it."""
    flops = 0
    for layer in layers:
        if isinstance(layer, Conv):
            side = [
                (n + 2 * layer.padding - layer.dilation * (layer.size - 1) - 1) // layer.stride + 1
                for n in shape[1:]
            ]
            flops += 2 * math.prod(layer.shapes[0]) * math.prod(side)
            shape = (layer.outputs, *side)
        elif isinstance(layer, Linear):
            flops += 2 * layer.inputs * layer.outputs
            shape = (layer.outputs,)
        elif isinstance(layer, MaxPool):
            shape = (shape[0], *(n // layer.size for n in shape[1:]))
        elif isinstance(layer, GlobalMean):
            shape = shape[:1]
        elif isinstance(layer, Residual):
            flops += _walk(layer.shortcut, shape)[0]
            more, shape = _walk(layer.body, shape)
            flops += more
    return flops, shape


def lenet(rule: str = "adam") -> ImageNet:
    """LeNet's plan with wider layers, on 28 x 28 pixels."""
    layers = (
        Conv(1, 32, padding=0, bias=True), Activation(), MaxPool(),
        Conv(32, 64, padding=0, bias=True), Activation(), MaxPool(),
        Flatten(), Linear(64 * 5 * 5, 128), Activation(), Linear(128, 10),
    )  # fmt: skip
    return ImageNet((1, 28, 28), layers, rule, 1e-3)


def resnet(blocks: int, widths: tuple[int, ...] = (16, 32, 64), side: int = 32) -> ImageNet:
    """He et al. 2015 for small images, 6 * blocks + 2 layers; shortcuts to more channels are convolutions."""
    layers: list[Any] = [Conv(3, widths[0]), Norm(widths[0]), Activation()]
    before = widths[0]
    for i, width in enumerate(widths):
        for j in range(blocks):
            stride = 2 if i and not j else 1
            body = (
                Conv(before, width, stride=stride), Norm(width), Activation(),
                Conv(width, width), Norm(width),
            )  # fmt: skip
            turn = (Conv(before, width, 1, stride, 0), Norm(width)) if before != width else ()
            layers.append(Residual(body, turn))
            before = width
    layers += [GlobalMean(), Linear(before, 10)]
    return ImageNet((3, side, side), tuple(layers), "sgd", 0.01)


def separable(inputs: int = 64, outputs: int = 128, side: int = 56) -> ImageNet:
    """A block of MobileNet (Howard et al. 2017), and the least that makes a loss of it."""
    layers = (
        Conv(inputs, inputs, groups=inputs), Norm(inputs), Activation(),
        Conv(inputs, outputs, 1, padding=0), Norm(outputs), Activation(),
        GlobalMean(), Linear(outputs, 10),
    )  # fmt: skip
    return ImageNet((inputs, side, side), layers, "sgd", 0.01)


# --- data ---

_mnist: list[tuple[np.ndarray, np.ndarray]] = []


def mnist() -> tuple[np.ndarray, np.ndarray] | None:
    """MNIST's training images if FASTNN_DATA has them."""
    folder = Path(os.environ.get("FASTNN_DATA", "."), "mnist")
    files = [folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    if not _mnist and all(f.exists() for f in files):
        pixels, labels = (np.frombuffer(gzip.decompress(f.read_bytes()), np.uint8) for f in files)
        x = pixels[16:].reshape(-1, 784).astype("float32") / 255
        _mnist.append((x, labels[8:].astype("int64")))
    return _mnist[0] if _mnist else None
