"""The networks that compare.py times, with their data."""

from __future__ import annotations

import gzip
import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from layers import (
    Activation,
    Conv,
    Dropout,
    Flatten,
    GlobalMean,
    Linear,
    MaxPool,
    Norm,
    Residual,
    Weights,
    walk,
    weights_of,
)  # fmt: skip


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
    """A network of convolutions, or a part of one, and how it is trained."""

    image: tuple[int, ...]  # channels, height and width or length
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
        """Images (n, C, H, W) of normal noise and their labels, or images to make of them."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n, *self.image), "float32")
        if self.loss == "mse":
            return x, rng.standard_normal((n, *walk(self.layers, self.image)[1]), "float32")
        return x, rng.integers(0, self.classes, n)

    def flops(self) -> int:
        """Of one image's forward pass: what convolutions and linear layers multiply and add."""
        return walk(self.layers, self.image)[0]

    def gradient(self, n: int, seed: int = 2) -> np.ndarray:
        """Normal noise in the shape of the last layer's result."""
        shape = walk(self.layers, self.image)[1]
        return np.random.default_rng(seed).standard_normal((n, *shape), "float32")


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
