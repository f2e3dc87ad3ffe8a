"""The op conv_grad_w below its Python: against plain loops over the kernel, for random shapes and for those
that are cut in every way; every ISA, every number of threads.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from conftest import ISAS, using_isa, using_threads
from fastnn._core import launch
from fastnn._core import ops as op
from test_conv_calls import laid_out, out_size, patch, scalars


def reference(x, dy, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1):
    """conv_grad_w in float64."""
    n, h, width, c = x.shape
    _, *out, o = dy.shape
    dw = np.zeros((o, *kernel, c // groups))
    ins, outs = np.split(np.arange(c), groups), np.split(np.arange(o), groups)
    for u, v in np.ndindex(*kernel):
        of, at = patch((h, width), kernel, out, stride, pad, dilation, u, v)
        for read, made in zip(ins, outs, strict=True):
            a = x[:, at[0], at[1]][..., read].reshape(-1, len(read)).astype("float64")
            b = dy[:, of[0], of[1]][..., made].reshape(-1, len(made)).astype("float64")
            dw[made, u, v] = b.T @ a
    return dw


def run(x, dy, kernel, groups=1, **how):
    dw = np.full((dy.shape[3], *kernel, x.shape[3] // groups), np.nan, x.dtype)
    launch(
        op.conv_grad_w,
        (fastnn.Tensor(x), fastnn.Tensor(dy), fastnn.Tensor(dw)),
        scalars(groups=groups, **how),
    )
    return dw


def check(x, dy, kernel, **how):
    dw = run(x, dy, kernel, **how)
    steps = dy.shape[0] * dy.shape[1] * dy.shape[2]
    tolerance = np.finfo(x.dtype).eps * (1 + steps)
    np.testing.assert_allclose(dw, reference(x, dy, kernel, **how), rtol=0, atol=tolerance)
    return dw


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_call(seed):
    """Random shapes, strides, paddings, dilations, groups and layouts."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: int(rng.choice(values))  # noqa: E731
    groups = pick(1, 1, 1, 2, 3)
    kernel = tuple(pick(1, 2, 3, 3, 5) for _ in range(2))
    stride, dilation = ([pick(1, 1, 2, 3) for _ in range(2)] for _ in range(2))
    pad = [pick(0, 0, 1, 2, 4) for _ in range(2)]
    size = [pick(1, 2, 4, 7, 9, 17, 31) for _ in range(2)]
    channels, outputs = (pick(1, 2, 3, 5, 8, 16, 17, 24, 40, 70) * groups for _ in range(2))
    real = str(rng.choice(["float32", "float64"]))
    orders = ((0, 1, 2, 3), (0, 3, 1, 2), (1, 2, 0, 3), (0, 3, 2, 1))
    x = laid_out(rng, (pick(1, 2, 3), *size, channels), real, orders[pick(0, 0, 1, 2, 3)])
    w = np.zeros((outputs, *kernel, channels // groups))
    out = [max(1, n + pick(0, 0, -1, 1)) for n in out_size(x, w, stride, pad, dilation)]
    dy = laid_out(rng, (x.shape[0], *out, outputs), real, orders[pick(0, 0, 2)])
    check(x, dy, kernel, stride=stride, pad=pad, dilation=dilation, groups=groups)


# Several parts; blocks of channels beside each other; a task's share of outputs and of channels; channels that
# fill less than a vector; a row in several strips; pixels that lie one after another, whatever their axes.
SHAPES = {
    "parts": (40, (9, 12), 16, 24, (3, 3), {"pad": (1, 1)}),
    "blocks": (9, (14, 14), 72, 40, (3, 3), {"pad": (1, 1)}),
    "wide": (2, (7, 7), 270, 260, (3, 3), {"pad": (1, 1)}),
    "one-channel": (20, (28, 28), 1, 32, (3, 3), {}),
    "three-channels": (6, (40, 40), 3, 70, (7, 7), {"stride": (2, 2), "pad": (3, 3)}),
    "pointwise": (12, (15, 15), 100, 130, (1, 1), {"stride": (2, 2)}),
    "row": (2, (1, 5000), 33, 20, (1, 5), {"pad": (0, 2)}),
    "sequence": (9, (1, 4096), 1, 16, (1, 7), {"pad": (0, 3)}),
    "first": (16, (28, 28), 1, 32, (3, 3), {"pad": (1, 1)}),
    "one image": (1, (20, 20), 32, 64, (5, 5), {"pad": (2, 2)}),
    "column": (2, (3000, 1), 20, 33, (5, 1), {"pad": (2, 0)}),
    "dilated": (3, (33, 30), 24, 20, (3, 3), {"dilation": (2, 3), "pad": (2, 3)}),
    "grouped": (30, (8, 8), 48, 96, (3, 3), {"groups": 3, "pad": (1, 1)}),
}


def inputs(real, images, size, channels, outputs, kernel, how):
    rng = np.random.default_rng(3)
    how = {"stride": (1, 1), "pad": (0, 0), "dilation": (1, 1)} | how
    groups = how.pop("groups", 1)
    x = rng.uniform(-1, 1, (images, *size, channels)).astype(real)
    out = out_size(x, np.empty((outputs, *kernel, channels // groups)), **how)
    return x, rng.uniform(-1, 1, (images, *out, outputs)).astype(real), how | {"groups": groups}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_way(isa, real, name):
    x, dy, how = inputs(real, *SHAPES[name])
    with using_isa(isa):
        results = []
        for threads in (1, 2, 5):
            with using_threads(threads):
                results.append(run(x, dy, SHAPES[name][4], **how))
        check(x, dy, SHAPES[name][4], **how)
    for dw in results[1:]:
        np.testing.assert_array_equal(dw, results[0])


def test_no_images():
    dw = run(np.zeros((0, 4, 4, 3), "float32"), np.zeros((0, 3, 3, 5), "float32"), (2, 2))
    np.testing.assert_array_equal(dw, 0)


def test_channels_of_dy_must_lie_side_by_side():
    x, dy = np.zeros((1, 4, 4, 3), "float32"), np.zeros((1, 5, 3, 3), "float32")
    with pytest.raises(ValueError, match="channels of dy must have unit stride"):
        run(x, dy.transpose(0, 2, 3, 1), (2, 2))


def test_axes_must_fit():
    with pytest.raises(ValueError, match="as many images"):
        run(np.zeros((2, 4, 4, 3), "float32"), np.zeros((1, 3, 3, 5), "float32"), (2, 2))
