"""The windows of pooling: arguments checked by PyTorch's rules, and how many windows there are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..tensor import Tensor, as_tensor
from .window import numbers

__all__: list[str] = []

Size = int | Sequence[int]


class Windows(NamedTuple):
    """The windows of a call, as the ops take them."""

    scalars: tuple[int, ...]  # kernel, stride, padding, dilation, each of rows and columns
    out: tuple[int, int]
    taps: int  # of a window, at most
    average: tuple[int, int] = (0, 0)  # whether padding counts; what to divide by, if not 0


def float_images(x: Any, axes: int, name: str) -> Tensor:
    """X as a float tensor of (N, C, ...) or (C, ...), checked."""
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    if x.code > 1:
        raise TypeError(
            f'{name}: expected a float tensor, got {x.dtype}; convert it with x.astype("float32")'
        )
    if x.ndim not in (axes + 1, axes + 2):
        wanted = "(N, C, L) or (C, L)" if axes == 1 else "(N, C, H, W) or (C, H, W)"
        raise ValueError(f"{name}: x must be {wanted}, its shape is {x.shape}")
    if 0 in x.shape[-axes:]:
        raise ValueError(f"{name}: x has no pixels (x: {x.shape})")
    return x


def fixed_windows(x: Tensor, axes: int, name: str, *options: Any) -> Windows:
    """The windows of fixed size over x, by PyTorch's rules."""
    options = tuple([tuple(n) if isinstance(n, list) else n for n in options])
    return _windows_over(x.shape[-axes:], axes, name, *options)


@lru_cache(256, typed=True)  # of a small network they would take longer than the pooling
def _windows_over(
    pixels: tuple[int, ...],
    axes: int,
    name: str,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> Windows:
    kernel = numbers(name, "kernel_size", kernel_size, axes, 1)
    step = kernel if stride is None else numbers(name, "stride", stride, axes, 1)
    pad = numbers(name, "padding", padding, axes, 0)
    apart = numbers(name, "dilation", dilation, axes, 1)
    out = []
    for n, k, s, p, d in zip(pixels, kernel, step, pad, apart, strict=True):
        reach = d * (k - 1) + 1
        if 2 * p > reach:
            raise ValueError(
                f"{name}: padding {padding} is more than half of the window, which reaches over "
                f"{reach} pixels (kernel_size {kernel_size}, dilation {dilation})"
            )
        room = n + 2 * p - reach
        count = room // s + 1
        # One more window where pixels are left, unless it would begin in the padding behind them.
        if ceil_mode and -(-room // s) * s < n + p:
            count = -(-room // s) + 1
        if count < 1:
            raise ValueError(
                f"{name}: a window over {reach} pixels does not fit into an image of "
                f"{pixels} padded by {padding} (kernel_size {kernel_size}, "
                f"dilation {dilation}); make the kernel smaller or the image larger"
            )
        out.append(count)
    lead = 2 - axes  # a sequence is an image of one row
    each = ((1,) * lead + kernel, (1,) * lead + step, (0,) * lead + pad, (1,) * lead + apart)
    (kh, kw), *_ = each
    return Windows(tuple([n for pair in each for n in pair]), ((1,) * lead + tuple(out)), kh * kw)  # type: ignore[arg-type]


def adaptive_windows(x: Tensor, axes: int, name: str, output_size: Any) -> Windows:
    """Windows that cover x evenly: window i from floor(i n / m) to ceil((i + 1) n / m)."""
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(given) == axes:
        given = [n if m is None else m for m, n in zip(given, x.shape[-axes:], strict=True)]
    out = numbers(name, "output_size", tuple(given), axes, 1)
    taps = 1
    for n, m in zip(x.shape[-axes:], out, strict=True):
        taps *= n // m + 2 * (n % m != 0)
    lead = 2 - axes
    return Windows((0, 0, 1, 1, 0, 0, 1, 1), (1,) * lead + out, taps)  # type: ignore[arg-type]
