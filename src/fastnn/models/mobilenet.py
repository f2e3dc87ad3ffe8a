"""MobileNetV2: depthwise convolutions between narrow layers."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from ..initializers import normal, zeros
from ..tensor import Tensor
from ._parts import conv_norm, widened

__all__ = ["MobileNetV2", "mobilenet_v2"]

# Of each stage: how many times wider its blocks are inside, its channels, blocks, and first stride.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def _conv_relu6(before: int, after: int, size: int, **options: Any) -> nn.Sequential:
    return nn.Sequential(*conv_norm(before, after, size, **options), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Wider by a 1x1 convolution, a depthwise 3x3 one, and narrow again without an activation.

    Parameters
    ----------
    in_channels, channels : int
    stride : int
    expansion : int
        How many times as wide as the input the depthwise convolution is.
    dtype
        float32 or float64.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, expansion: int, dtype: Any
    ) -> None:
        super().__init__()
        inside = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_conv_relu6(in_channels, inside, 1, dtype=dtype))
        layers.append(_conv_relu6(inside, inside, 3, stride=stride, groups=inside, dtype=dtype))
        layers += conv_norm(inside, channels, 1, dtype=dtype)
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        y = self.conv(x)
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    """MobileNetV2 (Sandler et al. 2018), with the names of torchvision's modules.

    Parameters
    ----------
    num_classes, in_channels : int
    width_mult : float
        By how much all layers are wider; channels are rounded to multiples of 8.
    dropout : float
        Before the last layer.
    small : bool
        Whether images are small (32 x 32): the first convolution and the first stage with a stride
        have none then.
    dtype
        float32 or float64.

    Attributes
    ----------
    features, classifier : Sequential

    References
    ----------
    Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear
    bottlenecks", 2018.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width_mult: float = 1.0,
        dropout: float = 0.2,
        small: bool = False,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        if not width_mult > 0:
            raise ValueError(f"mobilenet_v2: width_mult must be above 0, not {width_mult}")
        before, last = widened(32 * width_mult), widened(1280 * max(1.0, width_mult))
        features: list[nn.Module] = [
            _conv_relu6(in_channels, before, 3, stride=1 if small else 2, dtype=dtype)
        ]
        for i, (expansion, channels, blocks, stride) in enumerate(_STAGES):
            after = widened(channels * width_mult)
            for j in range(blocks):
                step = stride if not j and not (small and i == 1) else 1
                features.append(InvertedResidual(before, after, step, expansion, dtype))
                before = after
        features.append(_conv_relu6(before, last, 1, dtype=dtype))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(last, num_classes, weight_init=_start, bias_init=zeros, dtype=dtype),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, num_classes), the classes' logits."""
        return self.classifier(ops.flatten(self.avgpool(self.features(x)), 1))


def _start(weight: Tensor) -> None:
    normal(weight, 0.0, 0.01)


def mobilenet_v2(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    small: bool = False,
    dtype: Any = "float32",
) -> MobileNetV2:
    """MobileNetV2: 3.5 million weights and 0.6 Gflop for 224 x 224 pixels; torchvision's names.

    A file of torchvision's weights, saved as safetensors, loads unchanged.

    Parameters
    ----------
    num_classes, in_channels : int
    width_mult : float
        By how much all layers are wider; channels are rounded to multiples of 8.
    dropout : float
        Before the last layer.
    small : bool
        For images of about 32 x 32: the image is then halved three times instead of five.
    dtype
        float32 or float64.

    Examples
    --------
    >>> from fastnn.models import mobilenet_v2
    >>> sum(p.size for p in mobilenet_v2().parameters())
    3504872
    """
    return MobileNetV2(
        num_classes, in_channels, width_mult=width_mult, dropout=dropout, small=small, dtype=dtype
    )
