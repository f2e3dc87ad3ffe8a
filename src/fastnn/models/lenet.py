"""Small convolutional networks for small images: LeNet-5, and a plain one of today."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .. import nn
from ._parts import Make, layer_of

__all__ = ["lenet5", "simple_cnn"]


def lenet5(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    image_size: int = 28,
    activation: Make = "tanh",
    pooling: str = "avg",
    dtype: Any = "float32",
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998): two convolutions and three dense layers, 61,706 weights.

    The second convolution sees all channels, and the last layer is linear.

    Parameters
    ----------
    num_classes, in_channels : int
    image_size : int
        The images' height and width. Those of 28 pixels get the border of two that makes them the
        paper's 32.
    activation : str or callable
        The paper's is `"tanh"`; `"relu"` trains faster.
    pooling : {"avg", "max"}
    dtype
        float32 or float64.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> import fastnn
    >>> model = fastnn.models.lenet5()
    >>> model(fastnn.zeros((2, 1, 28, 28))).shape, sum(p.size for p in model.parameters())
    ((2, 10), 61706)
    """
    padding = 2 if image_size == 28 else 0
    side = ((image_size + 2 * padding - 4) // 2 - 4) // 2
    if side < 1:
        raise ValueError(f"lenet5: images of {image_size} pixels are too small; 16 is the least")
    if pooling not in ("avg", "max"):
        raise ValueError(f"lenet5: pooling is 'avg' or 'max', not {pooling!r}")
    pool = nn.AvgPool2d if pooling == "avg" else nn.MaxPool2d
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5, padding=padding, dtype=dtype), layer_of("lenet5", activation), pool(2),
        nn.Conv2d(6, 16, 5, dtype=dtype), layer_of("lenet5", activation), pool(2),
        nn.Flatten(),
        nn.Linear(16 * side * side, 120, dtype=dtype), layer_of("lenet5", activation),
        nn.Linear(120, 84, dtype=dtype), layer_of("lenet5", activation),
        nn.Linear(84, num_classes, dtype=dtype),
    )  # fmt: skip


def simple_cnn(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    image_size: int | Sequence[int] = 28,
    channels: Sequence[int] = (32, 64),
    hidden: int = 128,
    activation: Make = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    dtype: Any = "float32",
) -> nn.Sequential:
    """3x3 convolutions with a pooling after each, a hidden layer and the classes.

    Parameters
    ----------
    num_classes, in_channels : int
    image_size : int or (int, int)
        The images' height and width.
    channels : sequence of int
        Of each convolution.
    hidden : int
        Features of the hidden layer.
    activation : str or callable
        A name as in `nn.activation`, or what makes a layer.
    batch_norm : bool
        Whether each convolution is followed by one (and has no bias then).
    dropout : float
        The probability before each dense layer.
    dtype
        float32 or float64.

    Examples
    --------
    >>> import fastnn
    >>> model = fastnn.models.simple_cnn()
    >>> model(fastnn.zeros((2, 1, 28, 28))).shape, sum(p.size for p in model.parameters())
    ((2, 10), 225034)
    """
    sides = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    layers: list[nn.Module] = []
    for before, after in pairwise((in_channels, *channels)):
        layers.append(nn.Conv2d(before, after, 3, bias=not batch_norm, dtype=dtype))
        if batch_norm:
            layers.append(nn.BatchNorm2d(after, dtype=dtype))
        layers += [layer_of("simple_cnn", activation), nn.MaxPool2d(2)]
        sides = [(n - 2) // 2 for n in sides]
    if min(sides) < 1:
        raise ValueError(
            f"simple_cnn: images of {image_size} are too small for {len(channels)} convolutions, "
            "each of which leaves half of the size less one"
        )
    layers.append(nn.Flatten())
    widths = (channels[-1] * sides[0] * sides[1], hidden, num_classes)
    for before, after in pairwise(widths):
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers += [nn.Linear(before, after, dtype=dtype), layer_of("simple_cnn", activation)]
    return nn.Sequential(*layers[:-1])
