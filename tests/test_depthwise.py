"""Convolutions of groups of few channels, below their Python: all three directions against plain loops over the
kernel; every ISA, every number of threads, chains at the end, and numbers that no product may touch.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import test_conv_calls as calls
import test_conv_grad_w as grad_w
from conftest import ISAS, using_isa, using_threads
from fastnn._core import launch
from fastnn._core import ops as op
from fastnn.compiler.chaincode import OUTPUT, Step, encode
from test_conv_calls import laid_out, out_size, patch, scalars, tensors

HOW = {"stride": (1, 1), "pad": (0, 0), "dilation": (1, 1)}


def in_groups(a, groups):
    return a.reshape(*a.shape[:-1], groups, -1)


def references(x, w, bias, dy, groups, **how):
    """y, dx and dw in float64, all groups at once."""
    x, dy = in_groups(x.astype("float64"), groups), in_groups(dy.astype("float64"), groups)
    w = w.astype("float64").reshape(groups, -1, *w.shape[1:])
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
    for u, v in np.ndindex(*w.shape[2:4]):
        to, of = patch(x.shape[1:3], w.shape[2:4], dy.shape[1:3], **how, u=u, v=v)
        read, made = (slice(None), of[0], of[1]), (slice(None), to[0], to[1])
        y[made] += np.einsum("nhwgi,goi->nhwgo", x[read], w[:, :, u, v])
        dx[read] += np.einsum("nhwgo,goi->nhwgi", dy[made], w[:, :, u, v])
        dw[:, :, u, v] = np.einsum("nhwgi,nhwgo->goi", x[read], dy[made])
    y, dx = (a.reshape(*a.shape[:3], -1) for a in (y, dx))
    return y + (0 if bias is None else bias), dx, dw.reshape(-1, *w.shape[2:])


def run(x, w, bias, dy, **how):
    """All three directions."""
    y = calls.run(op.conv, x, w, bias, dy.shape, **how)
    dx = calls.run(op.conv_grad_x, dy, w, None, x.shape, **how)
    return y, dx, grad_w.run(x, dy, w.shape[1:3], **how)


def check(x, w, bias, out, **how):
    dy = np.random.default_rng(1).uniform(-1, 1, (len(x), *out, len(w))).astype(x.dtype)
    products = w[0].size, w[..., 0].size, len(x) * out[0] * out[1]
    wanted = references(x, w, bias, dy, **how)
    for got, want, count in zip(run(x, w, bias, dy, **how), wanted, products, strict=True):
        tolerance = 2 * np.finfo(x.dtype).eps * (1 + count)
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_any_call(seed):
    """Random shapes, strides, paddings, dilations, groups and layouts."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: int(rng.choice(values))  # noqa: E731
    groups = pick(2, 3, 4, 8, 15, 16, 17, 24, 33, 64)
    ins, outs = pick(1, 1, 1, 2, 3, 4, 7), pick(1, 1, 1, 2, 3, 4, 5)
    kernel = [pick(1, 2, 3, 3, 4, 5, 5, 6, 7) for _ in range(2)]
    stride, dilation = ([pick(1, 1, 2, 3) for _ in range(2)] for _ in range(2))
    pad = [pick(0, 1, 2, 4) for _ in range(2)]
    size = [pick(1, 2, 4, 7, 9, 17, 37) for _ in range(2)]
    real = str(rng.choice(["float32", "float64"]))
    order = calls.ORDERS[pick(0, 0, 1, 2, 3, 4)]
    x = laid_out(rng, (pick(1, 2), *size, ins * groups), real, order)
    order = calls.ORDERS[pick(0, 0, 1, 2)]
    w = laid_out(rng, (outs * groups, *kernel, ins), real, order)
    bias = rng.uniform(-1, 1, outs * groups).astype(real) if pick(0, 1) else None
    out = tuple(
        max(1, n + pick(0, 0, 0, -1, 1)) for n in out_size(x, w, stride, pad, dilation)
    )  # padding behind that differs
    check(x, w, bias, out, stride=stride, pad=pad, dilation=dilation, groups=groups)


# Each kernel that has a function of its own, with vectors that are not full; channels in several blocks; more than
# a cache holds; groups of a few channels and of more outputs than channels, in several strips.
SHAPES = {
    "3x3": ((2, 9, 10), 40, 40, 40, (3, 3), {"pad": (1, 1)}),
    "3x3-strided": ((2, 9, 14), 24, 24, 24, (3, 3), {"pad": (1, 1), "stride": (2, 2)}),
    "5x5": ((1, 7, 11), 35, 35, 35, (5, 5), {"pad": (2, 2)}),
    "5x5-strided": ((1, 12, 13), 16, 16, 16, (5, 5), {"pad": (2, 2), "stride": (2, 2)}),
    "7x7": ((2, 7, 9), 21, 21, 21, (7, 7), {"pad": (3, 3)}),
    "4x7": ((1, 12, 15), 20, 20, 20, (4, 7), {"pad": (2, 3), "dilation": (2, 1)}),
    "few": ((2, 6, 7), 5, 5, 5, (3, 3), {"pad": (1, 1)}),
    "blocks": ((2, 7, 7), 600, 600, 600, (5, 5), {"pad": (2, 2)}),
    "large": ((2, 100, 90), 80, 80, 80, (3, 3), {"pad": (1, 1), "stride": (1, 1)}),
    "large-strided": ((3, 101, 90), 80, 80, 80, (3, 3), {"pad": (1, 1), "stride": (2, 2)}),
    "fours": ((2, 20, 9), 32, 32, 8, (3, 3), {"pad": (1, 1)}),
    "more-out": ((2, 20, 9), 17, 51, 17, (3, 3), {"pad": (1, 1), "stride": (2, 1)}),
    "more-in": ((2, 9, 20), 36, 24, 12, (3, 2), {"dilation": (2, 2)}),
}  # fmt: skip


def inputs(real, name):
    size, channels, outputs, groups, kernel, how = SHAPES[name]
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (*size, channels)).astype(real)
    w = rng.uniform(-1, 1, (outputs, *kernel, channels // groups)).astype(real)
    how = HOW | how
    return x, w, rng.uniform(-1, 1, outputs).astype(real), how | {"groups": groups}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_kernel(isa, real, name):
    x, w, bias, how = inputs(real, name)
    out = out_size(x, w, *(how[k] for k in HOW))
    with using_isa(isa):
        check(x, w, bias, out, **how)


@pytest.mark.parametrize("name", SHAPES)
def test_bits_do_not_depend_on_threads(name):
    x, w, bias, how = inputs("float32", name)
    dy = np.ones((len(x), *out_size(x, w, *(how[k] for k in HOW)), len(w)), "float32")
    dy[:, ::2, ::3] = 0.3
    results = []
    for threads in (1, 2, 5):
        with using_threads(threads):
            results.append(run(x, w, bias, dy, **how))
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["3x3", "blocks", "fours"])
def test_a_chain_at_the_end(name):
    """relu(conv + residual): the bits of separate calls."""
    x, w, bias, how = inputs("float32", name)
    shape = (len(x), *out_size(x, w, *(how[k] for k in HOW)), len(w))
    residual = np.random.default_rng(2).uniform(-1, 1, shape).astype("float32")
    code = encode([Step(op.add, OUTPUT, (OUTPUT, 0), ()), Step(op.relu, OUTPUT, (OUTPUT,), ())])
    y = np.full(shape, np.nan, "float32")
    arrays = (*tensors(x, w, bias), code, *tensors(residual, None, None, y))
    launch(op.conv_chain, arrays, scalars(**how))
    plain = calls.run(op.conv, x, w, bias, shape, **how)
    np.testing.assert_array_equal(y, np.maximum(plain + residual, 0))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("width", [3, 4, 6, 9])
def test_an_infinite_number_goes_only_where_it_belongs(isa, width):
    """Padding multiplies nothing, and neither does what fills up a vector or a tile."""
    rng = np.random.default_rng(0)
    x, w = rng.uniform(-1, 1, (1, 5, width, 19)), rng.uniform(-1, 1, (19, 3, 3, 1))
    x[0, 2, width - 1, 18] = np.inf
    w[3] = np.nan
    how = HOW | {"pad": (1, 1), "groups": 19}
    with using_isa(isa):
        y = calls.run(op.conv, x, w, None, x.shape, **how)
        dw = grad_w.run(x, np.ones_like(x), (3, 3), **how)
    lost = ~np.isfinite(y)
    wanted = np.zeros(y.shape, bool)
    wanted[0, 1:4, width - 2 :, 18] = True
    wanted[..., 3] = True
    np.testing.assert_array_equal(lost, wanted)
    assert np.isfinite(dw[:18]).all()
    np.testing.assert_array_equal(np.isfinite(dw[18, ..., 0]), [[True, False, False]] * 3)


def test_nothing_to_read():
    """Rows that lie in the padding alone are the bias."""
    x, w = np.zeros((1, 0, 2, 4), "float32"), np.ones((4, 1, 1, 1), "float32")
    bias = np.arange(4, dtype="float32")
    y = calls.run(op.conv, x, w, bias, (1, 2, 4, 4), pad=(1, 1), groups=4)
    np.testing.assert_array_equal(y, np.broadcast_to(bias, y.shape))


def test_strides_larger_than_the_image():
    """Most of dx met nothing."""
    dy, w = np.ones((1, 1, 1, 4), "float32"), np.ones((4, 1, 1, 1), "float32")
    huge = {"stride": (2**30, 2**30), "groups": 4}
    dx = calls.run(op.conv_grad_x, dy, w, None, (1, 3, 3, 4), **huge)
    assert dx.sum() == 4
    assert dx[0, 0, 0].sum() == 4
