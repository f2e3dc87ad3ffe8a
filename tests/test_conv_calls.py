"""Calls of the convolution ops, below their Python: any strides, sizes, groups and dilations, against
plain loops over the kernel; every ISA, every number of threads, weights that were packed before.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from conftest import ISAS, using_isa, using_threads
from fastnn import _core
from fastnn._core import launch
from fastnn._core import ops as op
from fastnn.compiler.chaincode import OUTPUT, REGISTER, Step, encode


def scalars(stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, ways=0):
    return (*stride, *pad, *dilation, groups, ways)


def patch(shape, kernel, out, stride, pad, dilation, u, v):
    """Where element (u, v) of the kernel meets the input: the output's pixels and the input's."""
    places = []
    for i, k in enumerate((u, v)):
        at = np.arange(out[i]) * stride[i] + k * dilation[i] - pad[i]
        inside = (at >= 0) & (at < shape[i])
        places.append((np.flatnonzero(inside), at[inside]))
    (yi, xi), (yj, xj) = places
    return np.ix_(yi, yj), np.ix_(xi, xj)


def forward(x, w, bias, out, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, ways=0):
    """conv in float64."""
    n, h, width, c = x.shape
    o, kh, kw, each = w.shape
    y = np.zeros((n, *out, o)) + (0 if bias is None else bias)
    for u in range(kh):
        for v in range(kw):
            to, of = patch((h, width), (kh, kw), out, stride, pad, dilation, u, v)
            for g in range(groups):
                made = slice(g * (o // groups), (g + 1) * (o // groups))
                part = x[:, of[0], of[1], g * each : (g + 1) * each]
                y[:, to[0], to[1], made] += part @ w[made, u, v].T
    return y


def backward(dy, w, bias, size, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, ways=0):
    """conv_grad_x in float64."""
    n, *out, o = dy.shape
    _, kh, kw, each = w.shape
    dx = np.zeros((n, *size, each * groups)) + (0 if bias is None else bias)
    for u in range(kh):
        for v in range(kw):
            of, to = patch(size, (kh, kw), out, stride, pad, dilation, u, v)
            for g in range(groups):
                made = slice(g * (o // groups), (g + 1) * (o // groups))
                part = dy[:, of[0], of[1], made] @ w[made, u, v]
                dx[:, to[0], to[1], g * each : (g + 1) * each] += part
    return dx


def run(number, x, w, bias, shape, **how):
    """The call on arrays that are views, into one without a number in it."""
    y = np.full(shape, np.nan, x.dtype)
    launch(number, tensors(x, w, bias, y), scalars(**how))
    return y


def tensors(*arrays):
    return tuple(None if a is None else fastnn.Tensor(a) for a in arrays)


def packed(number, x, w, shape, groups=1, **how):
    """w as conv_pack makes it for the call."""
    y = np.zeros(shape, x.dtype)
    made = _core.packed_shape(number, tensors(x, w, None, y), scalars(groups=groups, **how))
    if not made:
        return w
    other = np.full(made, np.nan, x.dtype)
    launch(op.conv_pack, tensors(w, other), (groups, int(number == op.conv_grad_x)))
    return other


def out_size(x, w, stride, pad, dilation):
    return tuple(
        max(
            1,
            (x.shape[1 + i] + 2 * pad[i] - (w.shape[1 + i] - 1) * dilation[i] - 1) // stride[i] + 1,
        )
        for i in range(2)
    )


def laid_out(rng, shape, real, order):
    """Random numbers whose axes lie in memory in the given order."""
    memory = rng.uniform(-1, 1, [shape[i] for i in order]).astype(real)
    return memory.transpose(np.argsort(order))


def check(real, x, w, bias, out, **how):
    """Both directions against the reference; the output of the forward pass."""
    eps = np.finfo(real).eps
    wide = [None if a is None else a.astype("float64") for a in (x, w, bias)]
    y = run(op.conv, x, w, bias, (x.shape[0], *out, w.shape[0]), **how)
    want = forward(*wide, out, **how)
    tolerance = 2 * eps * (1 + w[0].size)
    np.testing.assert_allclose(y, want, rtol=0, atol=tolerance)
    dx = run(op.conv_grad_x, y, w, None, x.shape, **how)
    want = backward(y.astype("float64"), wide[1], None, x.shape[1:3], **how)
    scale = max(1, np.abs(y).max(initial=0))
    np.testing.assert_allclose(dx, want, rtol=0, atol=tolerance * scale * w.shape[0])
    return y


ORDERS = ((0, 1, 2, 3), (0, 3, 1, 2), (3, 0, 1, 2), (1, 2, 0, 3), (0, 3, 2, 1))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_call(seed):
    """Random shapes, strides, paddings, dilations, groups and layouts."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: int(rng.choice(values))  # noqa: E731
    groups = pick(1, 1, 1, 2, 3)
    kernel = [pick(1, 2, 3, 3, 5) for _ in range(2)]
    stride, dilation = ([pick(1, 1, 2, 3) for _ in range(2)] for _ in range(2))
    pad = [pick(0, 1, 2, 4) for _ in range(2)]
    size = [pick(1, 2, 4, 7, 9, 17, 31) for _ in range(2)]
    if pick(0, 0, 0, 1):  # a kernel as large as the image
        size, pad = kernel, [0, 0]
    channels, outputs = (pick(1, 2, 3, 5, 8, 16, 17, 40) for _ in range(2))
    real = str(rng.choice(["float32", "float64"]))
    x = laid_out(
        rng, (pick(1, 2, 3), *size, channels * groups), real, ORDERS[pick(0, 0, 1, 2, 3, 4)]
    )
    w = laid_out(rng, (outputs * groups, *kernel, channels), real, ORDERS[pick(0, 0, 1, 2)])
    bias = rng.uniform(-1, 1, outputs * groups).astype(real) if pick(0, 1) else None
    out = out_size(x, w, stride, pad, dilation)
    out = tuple(max(1, n + pick(0, 0, 0, -1, 1)) for n in out)  # padding behind that differs
    how = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
    y = check(real, x, w, bias, out, **how)
    again = run(op.conv, x, packed(op.conv, x, w, y.shape, **how), bias, y.shape, **how)
    np.testing.assert_array_equal(again, y)
    dx = run(op.conv_grad_x, y, w, None, x.shape, **how)
    turned = packed(op.conv_grad_x, y, w, x.shape, **how)
    np.testing.assert_array_equal(run(op.conv_grad_x, y, turned, None, x.shape, **how), dx)


@pytest.mark.parametrize(
    "kernel,channels,outputs", [(3, 16, 48), (1, 70, 40), (5, 3, 16), (3, 40, 3), (1, 64, 1)]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_chain_at_the_end(kernel, channels, outputs, threads):
    """relu(conv * scale + residual), each of another shape: the bits of separate calls."""
    rng = np.random.default_rng(8)
    x = laid_out(rng, (3, 19, 18, channels), "float32", ORDERS[0])
    w = laid_out(rng, (outputs, kernel, kernel, channels), "float32", ORDERS[0])
    bias, scale = rng.uniform(-1, 1, (2, outputs)).astype("float32")
    how = {"pad": (kernel // 2, kernel // 2)}
    shape = (3, 19, 18, outputs)
    residual = rng.uniform(-1, 1, shape).astype("float32")
    code = encode(
        [
            Step(op.mul, REGISTER, (OUTPUT, 0), ()),
            Step(op.add, REGISTER, (REGISTER, 1), ()),
            Step(op.relu, OUTPUT, (REGISTER,), ()),
        ]
    )
    y = np.full(shape, np.nan, "float32")
    with using_threads(threads):
        launch(
            op.conv_chain,
            (*tensors(x, w, bias), code, *tensors(scale, residual, None, y)),
            scalars(**how),
        )
        plain = run(op.conv, x, w, bias, shape, **how)
    np.testing.assert_array_equal(y, np.maximum(plain * scale + residual, 0))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize(
    "size,kernel,channels,outputs,stride",
    [
        (8, 3, 16, 16, 1),
        (15, 3, 3, 33, 2),
        (14, 5, 24, 70, 1),
        (7, 3, 130, 64, 1),
        (9, 1, 20, 36, 2),
        (17, 1, 20, 36, 1),
        (11, 3, 40, 1, 1),
        (10, 3, 33, 3, 1),
        (13, 1, 64, 6, 1),
        (9, 5, 3, 40, 2),
        (12, 3, 1, 32, 1),
    ],
)
def test_every_isa(isa, real, size, kernel, channels, outputs, stride):
    rng = np.random.default_rng(3)
    x = laid_out(rng, (2, size, size + 1, channels), real, ORDERS[0])
    w = laid_out(rng, (outputs, kernel, kernel, channels), real, ORDERS[0])
    bias = rng.uniform(-1, 1, outputs).astype(real)
    how = {"stride": (stride, stride), "pad": (kernel // 2, kernel // 2)}
    with using_isa(isa):
        check(real, x, w, bias, out_size(x, w, **how, dilation=(1, 1)), **how)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("channels,outputs", [(20, 70), (33, 16), (5, 1)])
def test_kernels_of_one_element_over_many_pixels(order, channels, outputs):
    rng = np.random.default_rng(7)
    x = laid_out(rng, (3, 14, 15, channels), "float32", order)
    w = laid_out(rng, (outputs, 1, 1, channels), "float32", order)
    bias = rng.uniform(-1, 1, outputs).astype("float32")
    check("float32", x, w, bias, (14, 15))


def test_axes_of_one_element_may_have_any_stride():
    """Compiled and eager calls may give them others, and must choose the same way: the bits are the same."""
    rng = np.random.default_rng(0)
    x, w = (rng.uniform(-1, 1, shape).astype("f4") for shape in ((2, 4, 1, 17), (8, 1, 1, 17)))
    other = np.lib.stride_tricks.as_strided(x, x.shape, (*x.strides[:2], 4, 4))
    assert other.strides != x.strides
    made = [run(op.conv, images, w, None, (2, 4, 1, 8)) for images in (x, other)]
    assert made[0].tobytes() == made[1].tobytes()


@pytest.mark.parametrize(
    "channels,outputs,kernel", [(48, 64, 3), (64, 3, 3), (3, 48, 3), (1, 32, 3), (40, 130, 1)]
)
def test_bits_do_not_depend_on_threads(channels, outputs, kernel):
    rng = np.random.default_rng(5)
    x = laid_out(rng, (3, 30, 30, channels), "float32", ORDERS[0])
    w = laid_out(rng, (outputs, kernel, kernel, channels), "float32", ORDERS[0])
    pad = (kernel // 2, kernel // 2)
    results = []
    for threads in (1, 2, 4):
        with using_threads(threads):
            y = run(op.conv, x, w, None, (3, 30, 30, outputs), pad=pad)
            results.append((y, run(op.conv_grad_x, y, w, None, x.shape, pad=pad)))
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


@pytest.mark.parametrize("groups", [1, 2])
def test_few_pixels_of_many_channels(groups):
    """Large panels of weights, which threads fetch before they come to them."""
    rng = np.random.default_rng(9)
    x = laid_out(rng, (1, 4, 5, 300), "float32", ORDERS[0])
    w = laid_out(rng, (200, 3, 3, 300 // groups), "float32", ORDERS[0])
    bias = rng.uniform(-1, 1, 200).astype("float32")
    results = []
    for threads in (1, 2, 4):
        with using_threads(threads):
            results.append(check("float32", x, w, bias, (4, 5), pad=(1, 1), groups=groups))
    for y in results[1:]:
        np.testing.assert_array_equal(y, results[0])


def test_transposed_convolution_has_a_bias():
    rng = np.random.default_rng(6)
    dy = laid_out(rng, (2, 5, 6, 7), "float64", ORDERS[0])
    w = laid_out(rng, (7, 4, 4, 9), "float64", ORDERS[0])
    bias = rng.uniform(-1, 1, 9)
    how = {"stride": (3, 5), "pad": (1, 0)}  # some pixels of dx meet no tap
    dx = run(op.conv_grad_x, dy, w, bias, (2, 14, 30, 9), **how)
    np.testing.assert_allclose(dx, backward(dy, w, bias, (14, 30), **how), atol=1e-13)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"stride": (0, 1)}, "stride and dilation must be 1 or more"),
        ({"dilation": (1, -1)}, "stride and dilation must be 1 or more"),
        ({"pad": (-1, 0)}, "padding 0 or more"),
        ({"groups": 2}, "channels must fall into groups evenly"),
        ({"groups": 0}, "channels must fall into groups evenly"),
        ({"groups": 3}, "weights are not of the shape"),
    ],
)
def test_bad_calls(change, message):
    x, w = np.zeros((1, 4, 4, 3), "float32"), np.zeros((6, 2, 2, 3), "float32")
    with pytest.raises(ValueError, match=message):
        run(op.conv, x, w, None, (1, 3, 3, 6), **change)


def test_packed_weights_of_another_shape_are_refused():
    x, w = np.zeros((1, 8, 8, 16), "float32"), np.zeros((32, 3, 3, 16), "float32")
    shape = (1, 6, 6, 32)
    for_conv = packed(op.conv, x, w, shape)
    with pytest.raises(ValueError, match="weights are not of the shape"):
        run(op.conv, x[..., :15].copy(), for_conv, None, shape)
    with pytest.raises(ValueError, match="not of their shape"):
        launch(op.conv_pack, tensors(w[:, :2], for_conv), (1, 0))
    with pytest.raises(ValueError, match="weights are not of the shape"):
        run(op.conv, x, for_conv.ravel(), None, shape)
