"""Images and sequences made larger or smaller: Upsample, PixelShuffle, PixelUnshuffle."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..ops.resize import check_mode
from ..tensor import Tensor
from ._check import positive
from .module import Module


class Upsample(Module):
    """Brings images (N, C, H, W) or sequences (N, C, L) to another size; see `ops.upsample`.

    Parameters
    ----------
    size : int or tuple of int, optional
        The new one, or
    scale_factor : float or tuple of float, optional
        how many times the old one that is.
    mode : {"nearest", "linear", "bilinear"}
    align_corners : bool
        Of the linear modes: whether the centres of the corners lie on each other.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Upsample(scale_factor=2, mode="bilinear")(fastnn.zeros((1, 3, 8, 8))).shape
    (1, 3, 16, 16)
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: give either size or scale_factor")
        check_mode(mode)
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return ops.upsample(x, self.size, self.scale_factor, self.mode, bool(self.align_corners))

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * {"nearest": 0, "linear": 3, "bilinear": 7}.get(self.mode, 0)

    def extra_repr(self) -> str:
        size = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{size}, mode={self.mode!r}"


class PixelShuffle(Module):
    """Each pixel's channels become a square of pixels: (N, C r r, H, W) to (N, C, H r, W r).

    Shi et al. 2016.

    Parameters
    ----------
    upscale_factor : int
        r

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.PixelShuffle(2)(fastnn.zeros((1, 12, 8, 8))).shape
    (1, 3, 16, 16)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = positive("PixelShuffle", "upscale_factor", upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        return ops.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """The reverse of `PixelShuffle`: (N, C, H r, W r) to (N, C r r, H, W).

    Parameters
    ----------
    downscale_factor : int
        r

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.PixelUnshuffle(2)(fastnn.zeros((1, 3, 8, 8))).shape
    (1, 12, 4, 4)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = positive("PixelUnshuffle", "downscale_factor", downscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        return ops.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
