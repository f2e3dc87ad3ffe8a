"""Residual networks: 20 to 56 layers for images of 32 x 32, 18 and 34 for larger ones."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from ..tensor import Tensor
from ._parts import conv_norm

__all__ = [
    "ResNet", "resnet18", "resnet20", "resnet32", "resnet34", "resnet44", "resnet56",
]  # fmt: skip


class _Fewer(nn.Module):
    """The shortcut without weights: every other pixel, and channels of zeros before and after."""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.more // 2
        return ops.pad(x, ((0, 0), (before, self.more - before), (0, 0), (0, 0)))

    def extra_repr(self) -> str:
        return f"more={self.more}, stride={self.stride}"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and the input added to what they make of it.

    Parameters
    ----------
    in_channels, channels : int
    stride : int
        Of the first convolution.
    shortcut : {"A", "B"}
        Where the shape changes: channels of zeros, or a 1x1 convolution.
    dtype
        float32 or float64.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, shortcut: str, dtype: Any
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(in_channels, channels, 3, stride, dtype=dtype)
        self.relu = nn.ReLU()
        self.conv2, self.bn2 = conv_norm(channels, channels, 3, dtype=dtype)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = (
                _Fewer(channels - in_channels, stride)
                if shortcut == "A"
                else nn.Sequential(*conv_norm(in_channels, channels, 1, stride, dtype=dtype))
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A residual network (He et al. 2016) of blocks of two convolutions.

    Parameters
    ----------
    blocks : sequence of int
        How many in each stage; each stage after the first halves the image.
    widths : sequence of int
        The channels of each stage.
    num_classes : int
    in_channels : int
    large : bool
        Whether to begin with a 7x7 convolution and a pooling that make an image four times smaller
        each way, or with a 3x3 convolution, for small images.
    shortcut : {"A", "B"}
        Where the shape changes: channels of zeros (no weights), or a 1x1 convolution.
    dtype
        float32 or float64.

    Notes
    -----
    Modules have the names of torchvision's ResNet (``conv1``, ``bn1``, ``layer1.0.conv1``,
    ``layer2.0.downsample.0``, ``fc``), and their weights its start: He's normal numbers by fan-out.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        large: bool = False,
        shortcut: str = "B",
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        if shortcut not in ("A", "B"):
            raise ValueError(f"resnet: shortcut is 'A' or 'B', not {shortcut!r}")
        if len(blocks) != len(widths) or not 1 <= len(blocks) <= 8:
            raise ValueError(f"resnet: {len(blocks)} stages of blocks but {len(widths)} widths")
        size, stride = (7, 2) if large else (3, 1)
        self.conv1, self.bn1 = conv_norm(in_channels, widths[0], size, stride, dtype=dtype)
        self.relu = nn.ReLU()
        if large:
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        before = widths[0]
        for i, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for j in range(count):
                stride = 2 if i and not j else 1
                stage.append(BasicBlock(before, width, stride, shortcut, dtype))
                before = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self._stages = len(blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, num_classes), the classes' logits."""
        return self.fc(ops.flatten(self.avgpool(self.features(x)), 1))

    def features(self, x: Tensor) -> Tensor:
        """What the last stage makes of images: (N, widths[-1], H', W')."""
        x = self.relu(self.bn1(self.conv1(x)))
        if "maxpool" in self.__dict__:
            x = self.maxpool(x)
        for i in range(self._stages):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return x


def _small(depth: int, num_classes: int, in_channels: int, shortcut: str, dtype: Any) -> ResNet:
    blocks = (depth - 2) // 6
    return ResNet(
        (blocks,) * 3, (16, 32, 64), num_classes, in_channels, shortcut=shortcut, dtype=dtype
    )


def _large(blocks: tuple[int, ...], num_classes: int, in_channels: int, dtype: Any) -> ResNet:
    widths = (64, 128, 256, 512)
    return ResNet(blocks, widths, num_classes, in_channels, large=True, dtype=dtype)


def resnet20(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    dtype: Any = "float32",
) -> ResNet:
    """ResNet-20 for images of about 32 x 32 (He et al. 2016, section 4.2): 0.27 million weights.

    Parameters
    ----------
    num_classes, in_channels : int
    shortcut : {"B", "A"}
        Where a stage begins: "B" is a 1x1 convolution, as in most implementations since; "A" is the
        paper's, without weights. "B" has 1 % more weights and is a little more accurate.
    dtype
        float32 or float64.

    Examples
    --------
    >>> from fastnn.models import resnet20
    >>> sum(p.size for p in resnet20().parameters())
    272474
    >>> sum(p.size for p in resnet20(shortcut="A").parameters())
    269722
    """
    return _small(20, num_classes, in_channels, shortcut, dtype)


def resnet32(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    dtype: Any = "float32",
) -> ResNet:
    """ResNet-32 for small images: 0.47 million weights; see `resnet20`."""
    return _small(32, num_classes, in_channels, shortcut, dtype)


def resnet44(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    dtype: Any = "float32",
) -> ResNet:
    """ResNet-44 for small images: 0.66 million weights; see `resnet20`."""
    return _small(44, num_classes, in_channels, shortcut, dtype)


def resnet56(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    dtype: Any = "float32",
) -> ResNet:
    """ResNet-56 for small images: 0.86 million weights; see `resnet20`."""
    return _small(56, num_classes, in_channels, shortcut, dtype)


def resnet18(num_classes: int = 1000, in_channels: int = 3, *, dtype: Any = "float32") -> ResNet:
    """ResNet-18 for larger images (224 x 224): 11.7 million weights, torchvision's names.

    A file of torchvision's weights, saved as safetensors, loads unchanged.

    Parameters
    ----------
    num_classes, in_channels : int
    dtype
        float32 or float64.

    Examples
    --------
    >>> from fastnn.models import resnet18
    >>> model = resnet18()
    >>> sum(p.size for p in model.parameters()), list(model.state_dict())[-3:]
    (11689512, ['layer4.1.bn2.num_batches_tracked', 'fc.weight', 'fc.bias'])
    """
    return _large((2, 2, 2, 2), num_classes, in_channels, dtype)


def resnet34(num_classes: int = 1000, in_channels: int = 3, *, dtype: Any = "float32") -> ResNet:
    """ResNet-34 for larger images: 21.8 million weights; see `resnet18`."""
    return _large((3, 4, 6, 3), num_classes, in_channels, dtype)
