"""What several networks are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..initializers import he_normal
from ..tensor import Tensor

__all__ = ["Make", "conv_norm", "he_fan_out", "layer_of", "widened"]

Make = str | Callable[[], nn.Module]


def layer_of(network: str, activation: Make) -> nn.Module:
    """A new layer, by its name as in `nn.activation` or by what makes it."""
    if isinstance(activation, str):
        return nn.activation(activation)
    if not callable(activation):
        raise TypeError(
            f"{network}: an activation is a name or a class of layers, not {activation!r}"
        )
    return activation()


def he_fan_out(weight: Tensor) -> None:
    """How the weights of convolutions start in torchvision: He's normal numbers by fan-out."""
    he_normal(weight, mode="fan_out", nonlinearity="relu")


def conv_norm(
    before: int,
    after: int,
    size: int,
    stride: int = 1,
    groups: int = 1,
    dtype: Any = "float32",
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution that keeps the size but for its stride, and the batch norm behind it.

    It has no bias, which the norm would take away again, and starts from He's normal numbers by
    fan-out, as in torchvision.
    """
    conv = nn.Conv2d(
        before, after, size, stride, size // 2, groups=groups, bias=False,
        weight_init=he_fan_out, dtype=dtype,
    )  # fmt: skip
    return conv, nn.BatchNorm2d(after, dtype=dtype)


def widened(channels: float, by: int = 8) -> int:
    """The nearest multiple of `by`, at least one of them and not below nine tenths of `channels`."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest
