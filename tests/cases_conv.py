"""Convolutions in numpy, and their rows of the table in cases.py."""

import itertools

import numpy as np

from case import Case, real
from fastnn import ops as F

# --- plain sums over the kernel's elements, in float64 ---


def grouped(values, groups, axis):
    """With an axis cut into groups and what is in each."""
    shape = values.shape
    return values.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def convolve(x, w, stride, before, dilation, groups, places):
    """y[n, o, p] = the sum over c, k of w[o, c, k] * x[n, c, p * stride + k * dilation - before]."""
    y = np.zeros((len(x), len(w), *places))
    parts = grouped(y, groups, 1)
    for padded, tap, k in taps(x, w, stride, before, dilation, places):
        seen, weight = grouped(padded[tap], groups, 1), grouped(w[k], groups, 0)
        parts += np.einsum("ngc...,goc->ngo...", seen, weight)
    return y


def spread(y, w, stride, before, dilation, groups, places):
    """The sums the other way: what each y adds to the places that it was made from."""
    channels = w.shape[1] * groups
    x = np.zeros((len(y), channels, *places))
    parts = grouped(y, groups, 1)
    for padded, tap, k in taps(x, w, stride, before, dilation, y.shape[2:]):
        added = np.einsum("ngo...,goc->ngc...", parts, grouped(w[k], groups, 0))
        padded[tap] += added.reshape(len(y), channels, *y.shape[2:])
        inner = tuple(slice(b, b + n) for b, n in zip(before, places, strict=True))
        x = padded[(..., *inner)]
    return x


def correlate(x, y, kernel, stride, before, dilation, groups):
    """The sums of the products of x and y that each weight joins."""
    w = np.zeros((y.shape[1], x.shape[1] // groups, *kernel))
    parts = grouped(y.reshape(*y.shape[:2], -1), groups, 1)
    for padded, tap, k in taps(x, w, stride, before, dilation, y.shape[2:]):
        seen = grouped(padded[tap].reshape(*x.shape[:2], -1), groups, 1)
        w[k] = np.einsum("ngop,ngcp->goc", parts, seen).reshape(w[k].shape)
    return w


def taps(x, w, stride, before, dilation, places):
    """For each element of the kernel: x with zeros around, which of it the element meets for all places, and
    which element of the weights it is.
    """
    after = [
        max(0, (p - 1) * s + (k - 1) * d + 1 - b - n)
        for p, s, k, d, b, n in zip(
            places, stride, w.shape[2:], dilation, before, x.shape[2:], strict=True
        )
    ]
    padded = np.pad(x, ((0, 0), (0, 0), *zip(before, after, strict=True)))
    for k in itertools.product(*map(range, w.shape[2:])):
        met = tuple(
            slice(i * d, i * d + (p - 1) * s + 1, s)
            for i, d, p, s in zip(k, dilation, places, stride, strict=True)
        )
        yield padded, (slice(None), slice(None), *met), (slice(None), slice(None), *k)


# --- the rows ---

BATCH, SIDE = (2, 1, 3), (5, 3, 8)
SIZES = {"n": BATCH, "c": (3, 1, 4, 17), "o": (4, 1, 16, 17), "h": SIDE, "w": (6, 3, 17)}
LARGE = {"n": 5, "c": 24, "o": 40, "h": 29, "w": 31}


def _places(x, w, stride, padding, dilation):
    sizes = zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]


def row(name, weight, stride=1, padding=0, dilation=1, groups=1, axes=2, **more):
    """A row for a convolution of one kind; the weight's shape in letters."""
    window = [(n,) * axes for n in (stride, padding, dilation)]
    options = (stride, padding, dilation, groups)
    ops = {1: F.conv1d, 2: F.conv2d}

    def reference(x, w, b):
        places = _places(x, w, *window)
        count = x.shape[1] if groups == "c" else groups
        return convolve(x, w, *window, count, places) + b.reshape(-1, *(1,) * axes)

    def call(x, w, b):
        return ops[axes](x, w, b, *options[:3], x.shape[1] if groups == "c" else groups)

    def theirs(t, x, w, b):
        count = x.shape[1] if groups == "c" else groups
        function = getattr(t.nn.functional, f"conv{axes}d")
        return function(x, w, b, *options[:3], count)

    image = "n c h w" if axes == 2 else "n c w"
    bias = weight.split()[0]
    arguments = (real(image), real(weight), real(bias))
    sizes, large = SIZES | more.pop("sizes", {}), LARGE | more.pop("large", {})
    return Case(
        name,
        call,
        reference,
        arguments,
        torch=theirs,
        sizes=sizes,
        large=large,
        tolerance=256,
        **more,
    )


def _turned(x, w, b):
    places = [(n - 1) * 2 - 2 + 3 + 1 for n in x.shape[2:]]
    return spread(x, w, (2, 2), (1, 1), (1, 1), 1, places) + b.reshape(-1, 1, 1)


CONV = [
    row("conv2d", "o c 3 3", padding=1, flops="2*n*o*c*9*h*w"),
    row("conv2d-strided", "o c 3 2", stride=2, padding=2, dilation=2),
    row("conv2d-1x1", "o c 1 1"),
    row("conv2d-1x1-pixels", "o c 1 1", sizes={"n": (3, 2), "o": (4, 33), "h": (19,), "w": (14,)}),
    row("conv2d-first", "o c 3 3", stride=2, padding=1, sizes={"c": (1, 3), "o": (32, 17)}),
    row("conv2d-head", "o c 3 3", padding=1, sizes={"c": (33, 16), "o": (1, 3, 6)}, large={"o": 3}),
    row("conv2d-1x1-head", "o c 1 1", sizes={"c": (64, 33), "o": (1, 3, 6)}, large={"o": 2}),
    row("conv2d-whole", "o c h w", large={"h": 7, "w": 5}),
    row("conv2d-grouped", "o 3 3 3", groups=2, sizes={"c": (6,), "o": (4, 2, 32)}, large={"c": 6}),
    row("conv2d-depthwise", "c 1 3 3", padding=1, groups="c"),
    row("conv2d-depthwise-strided", "c 1 5 5", stride=2, padding=2, groups="c"),
    row(
        "conv2d-few", "o 2 3 3", groups=3, sizes={"c": (6,), "o": (6, 3, 9)}, large={"c": 6, "o": 9}
    ),
    row("conv1d", "o c 4", stride=2, padding=1, axes=1),
    Case(
        "conv_transpose2d",
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1),
        _turned,
        (real("n c h w"), real("c o 3 3"), real("o")),
        torch=lambda t, x, w, b: t.nn.functional.conv_transpose2d(x, w, b, 2, 1, 1),
        sizes=SIZES,
        large=LARGE,
        tolerance=256,
    ),
]
