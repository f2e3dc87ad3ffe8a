"""Images and sequences made larger or smaller: upsampling, and pixels that come from channels."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..tensor import Tensor, as_tensor
from .layout import channels_last
from .resample import CORNERS, LINEAR, NEAREST, Change, resampled
from .shape import permute, reshape
from .window import numbers

__all__ = ["pixel_shuffle", "pixel_unshuffle", "upsample"]

_AXES = {"nearest": (1, 2), "linear": (1,), "bilinear": (2,)}


def upsample(
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Images or sequences of another size.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (N, C, L)
    size : int or tuple of int
        The new one, or
    scale_factor : float or tuple of float
        how many times the old one that is, rounded down.
    mode : {"nearest", "linear", "bilinear"}
        Each element is the nearest one of x, or a mean of the two nearest ones along each axis,
        "linear" for sequences and "bilinear" for images.
    align_corners : bool
        Whether the linear modes put the centres of the corners on each other, or the corners of the
        corners.

    Returns
    -------
    Tensor, shape (N, C, H', W') or (N, C, L')
        Its channels come last in memory.

    Raises
    ------
    ValueError
        If not one of `size` and `scale_factor` is given, or they or the mode do not fit x.

    Examples
    --------
    >>> x = Tensor([[[1.0, 2.0]]])
    >>> upsample(x, scale_factor=2)
    Tensor([[[1., 1., 2., 2.]]])
    >>> upsample(x, size=4, mode="linear")
    Tensor([[[1.  , 1.25, 1.75, 2.  ]]])
    """
    x = as_tensor(x)
    axes = x.ndim - 2
    check_mode(mode)
    if axes not in _AXES[mode]:
        wanted = " or ".join(("(N, C, L)", "(N, C, H, W)")[n - 1] for n in _AXES[mode])
        raise ValueError(f"upsample: x of mode {mode!r} must be {wanted}, not {x.shape}")
    if mode != "nearest" and not x.dtype.is_float:
        raise TypeError(f"upsample: mode {mode!r} is for float tensors, not {x.dtype}")
    if align_corners and mode == "nearest":
        raise ValueError("upsample: align_corners is for the linear modes")
    sizes, scales = _sizes(x, size, scale_factor)
    if 0 in x.shape[2:]:
        raise ValueError(f"upsample: nothing can be made of {x.shape}")
    kind = NEAREST if mode == "nearest" else CORNERS if align_corners else LINEAR
    changes = [
        Change(2 + i, n, m, 0, 1 / scale if scale else 0.0)
        for i, (n, m, scale) in enumerate(zip(x.shape[2:], sizes, scales, strict=True))
    ]
    return resampled(channels_last(x), "upsample", kind, changes)


def check_mode(mode: str) -> None:
    """Refuse what `upsample` has no mode for."""
    if mode not in _AXES:
        raise ValueError(f"upsample: mode is 'nearest', 'linear' or 'bilinear', not {mode!r}")


def _sizes(x: Tensor, size: Any, scale_factor: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The new lengths, and the scales that they came from or zeros."""
    axes = x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("upsample: give either size or scale_factor")
    if size is not None:
        return numbers("upsample", "size", size, axes, 1), (0.0,) * axes
    given = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * axes
    real = all(isinstance(s, Real) for s in given)
    scales = tuple(float(s) for s in given) if real else ()
    if len(scales) != axes or not all(math.isfinite(s) and s > 0 for s in scales):
        raise ValueError(
            f"upsample: scale_factor has one positive number or {axes}, not {scale_factor!r}"
        )
    sizes = tuple(math.floor(n * s) for n, s in zip(x.shape[2:], scales, strict=True))
    if min(sizes, default=1) < 1:
        raise ValueError(f"upsample: scale_factor {scale_factor!r} leaves nothing of {x.shape}")
    return sizes, scales


def _block(name: str, what: str, r: Any) -> int:
    return numbers(name, what, r, 1, 1)[0]


def pixel_shuffle(x: Any, upscale_factor: int) -> Tensor:
    """Each pixel's channels become a square of r x r pixels: (N, C r r, H, W) to (N, C, H r, W r).

    Shi et al. 2016.

    Parameters
    ----------
    x : Tensor, shape (..., C * r * r, H, W)
    upscale_factor : int
        r

    Raises
    ------
    ValueError
        If the channels are not a multiple of ``r * r``.

    Examples
    --------
    >>> pixel_shuffle(Tensor([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]]), 2)
    Tensor([[[[1., 2.],
              [3., 4.]]]])
    """
    x, r = as_tensor(x), _block("pixel_shuffle", "upscale_factor", upscale_factor)
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ValueError(f"pixel_shuffle: x must be (..., C * {r * r}, H, W), not {x.shape}")
    *lead, channels, h, w = x.shape
    n, c = math.prod(lead), channels // (r * r)
    y = channels_last(reshape(x, n, channels, h, w))
    y = permute(reshape(permute(y, 0, 2, 3, 1), n, h, w, c, r, r), 0, 1, 4, 2, 5, 3)
    y = permute(reshape(y, n, h * r, w * r, c), 0, 3, 1, 2)
    return y if len(lead) == 1 else reshape(y, *lead, c, h * r, w * r)


def pixel_unshuffle(x: Any, downscale_factor: int) -> Tensor:
    """The reverse of `pixel_shuffle`: (N, C, H r, W r) to (N, C r r, H, W).

    Parameters
    ----------
    x : Tensor, shape (..., C, H * r, W * r)
    downscale_factor : int
        r

    Raises
    ------
    ValueError
        If rows and columns are not multiples of r.

    Examples
    --------
    >>> pixel_unshuffle(Tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2).shape
    (1, 4, 1, 1)
    """
    x, r = as_tensor(x), _block("pixel_unshuffle", "downscale_factor", downscale_factor)
    if x.ndim < 3 or x.shape[-1] % r or x.shape[-2] % r:
        raise ValueError(f"pixel_unshuffle: x must be (..., C, H * {r}, W * {r}), not {x.shape}")
    *lead, c, height, width = x.shape
    n, h, w = math.prod(lead), height // r, width // r
    y = channels_last(reshape(x, n, c, height, width))
    y = permute(reshape(permute(y, 0, 2, 3, 1), n, h, r, w, r, c), 0, 1, 3, 5, 2, 4)
    y = permute(reshape(y, n, h, w, c * r * r), 0, 3, 1, 2)
    return y if len(lead) == 1 else reshape(y, *lead, c * r * r, h, w)
