"""U-Net: an image in, an image out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .. import nn, ops
from ..tensor import Tensor
from ._parts import conv_norm

__all__ = ["UNet", "unet"]


def _twice(before: int, after: int, batch_norm: bool, dtype: Any) -> nn.Sequential:
    """Two 3x3 convolutions, each with its norm and a ReLU."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        if batch_norm:
            layers += conv_norm(channels, after, 3, dtype=dtype)
        else:
            layers.append(nn.Conv2d(channels, after, 3, padding=1, dtype=dtype))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Ever smaller images with ever more channels, and the way back, where each size is met again.

    Parameters
    ----------
    in_channels, out_channels : int
    channels : sequence of int
        Of each size of image, the whole one first; each after it has half the height and width.
    batch_norm : bool
        Whether each 3x3 convolution is followed by one.
    dtype
        float32 or float64.

    Attributes
    ----------
    down, up, join : ModuleList
        The convolutions on the way down, what doubles the image's size, and the convolutions that
        follow, the largest image first.
    head : Conv2d

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation",
    2015. Unlike there, convolutions keep the image's size.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (16, 32, 64, 128),
        *,
        batch_norm: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"unet: channels are those of two sizes or more, got {channels!r}")
        sizes = pairwise((in_channels, *channels))
        down = [_twice(before, after, batch_norm, dtype) for before, after in sizes]
        self.down = nn.ModuleList(down)
        self.pool = nn.MaxPool2d(2)
        pairs = list(pairwise(channels))
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(wide, narrow, 2, stride=2, dtype=dtype) for narrow, wide in pairs]
        )
        self.join = nn.ModuleList(
            [_twice(2 * narrow, narrow, batch_norm, dtype) for narrow, _ in pairs]
        )
        self.head = nn.Conv2d(channels[0], out_channels, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W): logits of each pixel."""
        least = 2 ** (len(self.down) - 1)
        if min(x.shape[-2:]) < least:
            raise ValueError(
                f"unet: images of {x.shape[-2:]} are too small to be halved {len(self.down) - 1} "
                f"times; {least} pixels are the least"
            )
        met = []
        for i, convolutions in enumerate(self.down):
            x = convolutions(x if i == 0 else self.pool(x))
            met.append(x)
        for i in reversed(range(len(self.up))):
            # Halving an odd size loses a row, which is asked for again here.
            x = self.up[i](x, output_size=met[i].shape[-2:])
            x = self.join[i](ops.concat([met[i], x], 1))
        return self.head(x)


def unet(
    in_channels: int = 3,
    out_channels: int = 1,
    channels: Sequence[int] = (16, 32, 64, 128),
    *,
    batch_norm: bool = True,
    dtype: Any = "float32",
) -> UNet:
    """A small U-Net, which gives each pixel of an image its logits.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the image, and how many numbers each pixel gets: the classes, or 1 for yes or no.
    channels : sequence of int
        Of each size of image, the whole one first; each after it has half the height and width.
    batch_norm : bool
        Whether each 3x3 convolution is followed by one.
    dtype
        float32 or float64.

    Examples
    --------
    >>> import fastnn
    >>> model = fastnn.models.unet(3, 2)
    >>> model(fastnn.zeros((1, 3, 50, 37))).shape, sum(p.size for p in model.parameters())
    ((1, 2, 50, 37), 482754)
    """
    return UNet(in_channels, out_channels, channels, batch_norm=batch_norm, dtype=dtype)
