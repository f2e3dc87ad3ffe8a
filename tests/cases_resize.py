"""Padding, upsampling and pixel shuffling in numpy, and their rows of the table in cases.py."""

import numpy as np

from case import Case, real
from fastnn import ops as F

NUMPY = {"replicate": "edge", "circular": "wrap"}  # numpy's words


def pad(x, widths, mode="constant", value=0):
    more = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, widths, NUMPY.get(mode, mode), **more)


def matrix(n, m, mode, align_corners=False, scale=None):
    """The m x n matrix that brings an axis of n to m, as PyTorch's sources have it."""
    result = np.zeros((m, n))
    step = n / m if scale is None else 1 / scale
    for i in range(m):
        if mode == "nearest":
            exact = i * n // m if scale is None else int(i * step)
            result[i, min(exact, n - 1)] = 1
            continue
        at = i * (n - 1) / max(m - 1, 1) if align_corners else max((i + 0.5) * step - 0.5, 0)
        low = min(int(at), n - 1)
        high = min(low + 1, n - 1)
        share = min(at, n - 1) - low
        result[i, low] += 1 - share
        result[i, high] += share
    return result


def upsample(x, sizes, mode="nearest", align_corners=False, scales=None):
    for i, m in enumerate(sizes):
        scale = None if scales is None else scales[i]
        how = matrix(x.shape[2 + i], m, mode, align_corners, scale)
        x = np.moveaxis(np.tensordot(how, x, (1, 2 + i)), 0, 2 + i)
    return x


def shuffle(x, r):
    n, c, h, w = x.shape
    return (
        x.reshape(n, c // (r * r), r, r, h, w)
        .transpose(0, 1, 4, 2, 5, 3)
        .reshape(n, c // (r * r), h * r, w * r)
    )


def unshuffle(x, r):
    n, c, h, w = x.shape
    return (
        x.reshape(n, c, h // r, r, w // r, r)
        .transpose(0, 1, 3, 5, 2, 4)
        .reshape(n, c * r * r, h // r, w // r)
    )


SIZES = {"n": (2, 1), "c": (3, 1, 17, 64, 70), "h": (5, 4), "w": (6, 3, 17)}
LARGE = {"n": 4, "c": 48, "h": 31, "w": 29}
WIDTHS = ((0, 0), (0, 0), (2, 1), (0, 2))


def row(name, call, reference, torch, axes="n c h w", **more):
    sizes, large = SIZES | more.pop("sizes", {}), LARGE | more.pop("large", {})
    return Case(name, call, reference, (real(axes),), torch=torch, sizes=sizes, large=large, **more)


def _padding(mode):
    return row(
        f"pad-{mode}",
        lambda x: F.pad(x, WIDTHS, mode),
        lambda x: pad(x, WIDTHS, mode),
        lambda t, x: t.nn.functional.pad(x, (0, 2, 2, 1), mode),
    )


def _upsampling(name, scale=None, sizes=None, **how):
    def reference(x):
        places = sizes or tuple(int(n * scale) for n in x.shape[2:])
        return upsample(x, places, **how, scales=scale and (scale, scale))

    return row(
        f"upsample-{name}",
        lambda x: F.upsample(x, sizes, scale, **how),
        reference,
        lambda t, x: t.nn.functional.interpolate(x, sizes, scale, **how),
    )


RESIZE = [
    *map(_padding, ("constant", "reflect", "replicate", "circular")),
    row(
        "pad-many",
        lambda x: F.pad(x, [(1, 2), (0, 0), (2, 0), (1, 1)], value=2.5),
        lambda x: pad(x, [(1, 2), (0, 0), (2, 0), (1, 1)], value=2.5),
        None,
    ),
    _upsampling("nearest", 2),
    _upsampling("nearest-less", 0.6),
    _upsampling("bilinear", 2, mode="bilinear"),
    _upsampling("bilinear-size", None, (3, 7), mode="bilinear"),
    _upsampling("bilinear-corners", None, (9, 11), mode="bilinear", align_corners=True),
    row(
        "upsample-linear",
        lambda x: F.upsample(x, 10, mode="linear"),
        lambda x: upsample(x, (10,), "linear"),
        lambda t, x: t.nn.functional.interpolate(x, 10, mode="linear"),
        axes="n c w",
    ),
    row(
        "pixel_shuffle",
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: shuffle(x, 2),
        lambda t, x: t.pixel_shuffle(x, 2),
        sizes={"c": (4, 12, 68)},
        large={"c": 48},
    ),
    row(
        "pixel_unshuffle",
        lambda x: F.pixel_unshuffle(x, 2),
        lambda x: unshuffle(x, 2),
        lambda t, x: t.pixel_unshuffle(x, 2),
        sizes={"h": (4, 2), "w": (6, 2)},
        large={"h": 30, "w": 28},
    ),
]
