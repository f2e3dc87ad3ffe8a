"""Convolutions against numpy, and against torch where it is installed."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastnn
from cases_conv import convolve, correlate, spread
from fastnn import Tensor, nn, ops
from fastnn.autograd import gradcheck

RNG = np.random.default_rng(0)


# --- random convolutions ---


@st.composite
def convolutions(draw):
    axes = draw(st.sampled_from([1, 2, 2]))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups = draw(st.integers(1, 4))
    ins, outs = draw(st.sampled_from([(1, 1), (1, 2), (2, 3), (3, 1), (5, 4), (9, 17)]))
    kernel, stride, padding, dilation = each(1, 4), each(1, 3), each(0, 3), each(1, 3)
    size = each(1, 12)
    return {
        "n": draw(st.integers(1, 3)), "c": ins * groups, "o": outs * groups, "groups": groups,
        "size": size, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation,
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "seed": draw(st.integers(0, 99)),
        "layout": draw(st.sampled_from(["channels last", "row-major", "part"])),
    }  # fmt: skip


def laid_out(values, layout):
    """The same values in another order of memory, or with gaps."""
    if layout == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)
    if layout == "part":
        wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1] + 1), values.dtype)
        wide[..., 1::2] = values
        return wide[..., 1::2]
    return values


def tolerance(dtype, count):
    return (4e-7 if dtype == "float32" else 1e-15) * math.sqrt(count) * 8


def check(got, want, dtype, count):
    assert got.shape == want.shape
    scale = max(1.0, np.abs(want).max(initial=0))
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=tolerance(dtype, count) * scale)


def drawn(how, weight_shape):
    rng = np.random.default_rng(how["seed"])
    shape = (how["n"], weight_shape[0], *how["size"])
    x = rng.standard_normal(shape).astype(how["dtype"])
    w = rng.standard_normal(weight_shape[1:]).astype(how["dtype"])
    return x, w, rng


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_values_and_gradients(how):
    axes, groups = len(how["size"]), how["groups"]
    spans = [d * (k - 1) + 1 for d, k in zip(how["dilation"], how["kernel"], strict=True)]
    assume(all(n + 2 * p >= k for n, p, k in zip(how["size"], how["padding"], spans, strict=True)))
    x, w, rng = drawn(how, (how["c"], how["o"], how["c"] // groups, *how["kernel"]))
    b = rng.standard_normal(how["o"]).astype(how["dtype"])
    places = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(how["size"], how["padding"], spans, how["stride"], strict=True)
    ]
    window = (how["stride"], how["padding"], how["dilation"], groups)
    tx = Tensor(laid_out(x, how["layout"]), requires_grad=True)
    tw = Tensor(laid_out(w, how["layout"]), requires_grad=True)
    tb = Tensor(b, requires_grad=True)
    function = (ops.conv1d, ops.conv2d)[axes - 1]
    y = function(tx, tw, tb, *window)
    count = math.prod(w.shape[1:])
    want = convolve(x, w, *window, places) + b.reshape(-1, *(1,) * axes)
    check(y, want, how["dtype"], count)
    dy = rng.standard_normal(y.shape).astype(how["dtype"])
    y.backward(Tensor(dy))
    check(tx.grad, spread(dy, w, *window, how["size"]), how["dtype"], count)
    per_weight = dy[0, 0].size * len(dy)
    check(tw.grad, correlate(x, dy, how["kernel"], *window), how["dtype"], per_weight)
    check(tb.grad, dy.sum((0, *range(2, dy.ndim))), how["dtype"], per_weight)


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_transposed(how, more):
    axes, groups = len(how["size"]), how["groups"]
    more = [
        min(m, max(s, d) - 1) for m, s, d in zip(more, how["stride"], how["dilation"], strict=False)
    ]
    places = [
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(
            how["size"], how["stride"], how["padding"], how["dilation"], how["kernel"], more,
            strict=True,
        )
    ]  # fmt: skip
    assume(all(n >= 1 for n in places))
    x, w, rng = drawn(how, (how["c"], how["c"], how["o"] // groups, *how["kernel"]))
    b = rng.standard_normal(how["o"]).astype(how["dtype"])
    window = (how["stride"], how["padding"], how["dilation"], groups)
    tx = Tensor(laid_out(x, how["layout"]), requires_grad=True)
    tw, tb = Tensor(w, requires_grad=True), Tensor(b, requires_grad=True)
    function = (ops.conv_transpose1d, ops.conv_transpose2d)[axes - 1]
    y = function(tx, tw, tb, how["stride"], how["padding"], more, how["groups"], how["dilation"])
    count = math.prod(w.shape[2:]) * how["c"] // groups
    want = spread(x, w, *window, places) + b.reshape(-1, *(1,) * axes)
    check(y, want, how["dtype"], count)
    dy = rng.standard_normal(y.shape).astype(how["dtype"])
    y.backward(Tensor(dy))
    check(tx.grad, convolve(dy, w, *window, how["size"]), how["dtype"], w[0].size)
    per_weight = x[0, 0].size * len(x)
    check(tw.grad, correlate(dy, x, how["kernel"], *window), how["dtype"], per_weight)
    check(tb.grad, dy.sum((0, *range(2, dy.ndim))), how["dtype"], dy[0, 0].size * len(dy))


@pytest.mark.parametrize(
    ("function", "shapes", "options"),
    [
        (ops.conv2d, [(2, 3, 4, 5), (4, 3, 2, 3), (4,)], {"stride": (2, 1), "padding": (1, 2)}),
        (ops.conv2d, [(2, 4, 5, 4), (4, 2, 2, 2), (4,)], {"groups": 2, "dilation": 2}),
        (ops.conv2d, [(1, 3, 4, 4), (6, 1, 3, 3), (6,)], {"groups": 3, "padding": "same"}),
        (ops.conv1d, [(2, 2, 7), (3, 2, 3), (3,)], {"stride": 2, "padding": 1}),
        (
            ops.conv_transpose2d,
            [(2, 4, 3, 3), (4, 2, 3, 2), (4,)],
            {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2},
        ),
        (ops.conv_transpose1d, [(2, 3, 4), (3, 2, 3), (2,)], {"stride": 3, "dilation": 2}),
    ],
)
def test_gradients_of_both_orders(function, shapes, options):
    tensors = [Tensor(RNG.standard_normal(s), requires_grad=True) for s in shapes]
    assert gradcheck(lambda *t: function(*t, **options), tensors)
    x, w, b = tensors

    def first(x, w):
        """Gradients of a sum whose derivatives are not constant, recorded."""
        y = function(x, w, b, **options)
        dx, dw, db = fastnn.grad(ops.square(y).sum(), [x, w, b], create_graph=True)
        return dx.sum() + (dw * dw).sum() + (db * dx.sum()).sum()

    assert gradcheck(first, [x, w])


@pytest.mark.parametrize("case", ["plain", "strided", "grouped", "transposed", "sequence"])
def test_compiled_is_eager(case):
    fastnn.manual_seed(0)
    layer, shape = {
        "plain": (nn.Conv2d(3, 8, 3, padding=1), (4, 3, 9, 10)),
        "strided": (nn.Conv2d(5, 7, 3, stride=2, bias=False), (2, 5, 11, 9)),
        "grouped": (nn.Conv2d(8, 8, 5, padding=2, groups=8), (2, 8, 7, 7)),
        "transposed": (nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1), (2, 6, 5, 4)),
        "sequence": (nn.Conv1d(4, 6, 3, padding="same"), (3, 4, 20)),
    }[case]
    layer.flat()

    def step(x):
        layer.zero_grad()
        y = ops.relu(layer(x))
        loss = ops.square(y).mean()
        loss.backward()
        return y, loss, [p.grad for p in layer.parameters()]

    compiled = fastnn.compile(step)
    for seed in range(2):
        x = Tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))
        ours, theirs = step(x), compiled(x)
        flat = [*ours[:2], *ours[2]], [*theirs[:2], *theirs[2]]
        for a, b in zip(*flat, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            assert a.strides == b.strides


def test_channels_last_memory_needs_no_copy():
    memory = RNG.standard_normal((2, 8, 8, 3)).astype("float32")
    x = Tensor(memory.transpose(0, 3, 1, 2))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, bias=False))
    optimizer = fastnn.optimizers.SGD(model.parameters(), lr=0.1)

    @fastnn.compile
    def step(x):
        optimizer.zero_grad()
        loss = ops.square(model(x)).mean()
        loss.backward()
        optimizer.step()
        return loss

    step(x)
    names = [call.name for call in step.latest.program.calls]
    assert "copy" not in names and "conv_grad_w" in names
    y = model(x)
    assert np.moveaxis(y.numpy(), 1, -1).flags.c_contiguous
    assert np.moveaxis(model[0].weight.numpy(), 1, -1).flags.c_contiguous
    row_major = Tensor(np.ascontiguousarray(x.numpy()))
    np.testing.assert_array_equal(model(row_major).numpy(), y.numpy())


@pytest.mark.parametrize("axes", [1, 2])
def test_one_image_without_a_batch(axes):
    layer = (nn.Conv1d, nn.Conv2d)[axes - 1](3, 4, 3, padding=1)
    turned = (nn.ConvTranspose1d, nn.ConvTranspose2d)[axes - 1](4, 3, 2, stride=2)
    x = Tensor(RNG.standard_normal((3, *(6,) * axes)).astype("float32"), requires_grad=True)
    y = layer(x)
    assert y.shape == (4, *(6,) * axes) and turned(y).shape == (3, *(12,) * axes)
    np.testing.assert_array_equal(y.numpy(), layer(x.detach().unsqueeze(0)).numpy()[0])
    turned(y).sum().backward()
    assert x.grad.shape == x.shape


def test_no_images():
    layer = nn.Conv2d(3, 4, 3)
    x = fastnn.zeros((0, 3, 5, 5), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == (0, 4, 3, 3) and x.grad.shape == x.shape
    assert (layer.weight.grad.numpy() == 0).all() and (layer.bias.grad.numpy() == 0).all()


IMAGE, KERNEL = fastnn.zeros((2, 3, 8, 8)), fastnn.zeros((4, 3, 3, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.conv2d(IMAGE[:, :2], KERNEL),
            ValueError,
            "x has 2 channels but weight expects 3",
        ),
        (
            lambda: ops.conv2d(fastnn.zeros((2, 8, 8, 3)), KERNEL),
            ValueError,
            r"images \(N, H, W, C\) enter as x.transpose\(0, 3, 1, 2\)",
        ),
        (
            lambda: ops.conv2d(IMAGE[:, :, :1], KERNEL),
            ValueError,
            "the kernel is larger than the padded image: it spans 3 x 3 of 1 x 8",
        ),
        (
            lambda: ops.conv2d(IMAGE, KERNEL, padding=1, dilation=6),
            ValueError,
            "it spans 13 x 13 of 10 x 10",
        ),
        (lambda: ops.conv2d(IMAGE, KERNEL, padding=-1), ValueError, "padding must be 0 or more"),
        (
            lambda: ops.conv2d(IMAGE, KERNEL, padding="full"),
            ValueError,
            "'same' or 'valid', not 'full'",
        ),
        (
            lambda: ops.conv2d(IMAGE, KERNEL, padding="same", stride=2),
            ValueError,
            "'same' is for stride 1",
        ),
        (lambda: ops.conv2d(IMAGE, KERNEL, stride=0), ValueError, "stride must be 1 or more"),
        (
            lambda: ops.conv2d(IMAGE, KERNEL, stride=1.5),
            TypeError,
            "stride is made of whole numbers",
        ),
        (lambda: ops.conv2d(IMAGE, KERNEL, stride=(1, 2, 3)), ValueError, "one number or 2"),
        (lambda: ops.conv2d(IMAGE, KERNEL, groups=3), ValueError, r"groups \(3\) must divide"),
        (lambda: ops.conv2d(IMAGE, KERNEL, groups=2), ValueError, "weight expects 6 in 2 groups"),
        (
            lambda: ops.conv2d(IMAGE.astype("uint8"), KERNEL),
            TypeError,
            r'x is uint8.*x.astype\("float32"\) / 255',
        ),
        (
            lambda: ops.conv2d(IMAGE.astype("float64"), KERNEL),
            TypeError,
            "weight is float32 and x float64",
        ),
        (lambda: ops.conv2d(IMAGE, KERNEL, fastnn.zeros(3)), ValueError, r"bias must be \(4,\)"),
        (
            lambda: ops.conv2d(IMAGE[:, 0], KERNEL[:, :1]),
            ValueError,
            r"x has \d+ channels but weight expects 1 \(x: \(\d+, \d+, \d+\), .*give x\[:, None\]",
        ),
        (
            lambda: ops.conv2d(IMAGE, KERNEL, stride=2**40),
            ValueError,
            r"stride must be below 2\*\*31",
        ),
        (lambda: ops.conv2d(IMAGE[0, 0], KERNEL), ValueError, r"x must be \(N, C, H, W\)"),
        (lambda: ops.conv2d(IMAGE, KERNEL[0]), ValueError, "weight must have 4 axes"),
        (lambda: ops.conv1d(IMAGE[0], KERNEL), ValueError, "weight must have 3 axes"),
        (lambda: ops.conv2d(IMAGE, KERNEL[:, :, :0]), ValueError, "has no elements"),
        (
            lambda: ops.conv_transpose2d(IMAGE, KERNEL),
            ValueError,
            "x has 3 channels but weight expects 4",
        ),
        (
            lambda: ops.conv_transpose2d(IMAGE, KERNEL[:3], output_padding=1),
            ValueError,
            "output_padding .* must be below the stride",
        ),
        (
            lambda: ops.conv_transpose2d(IMAGE[:, :, :1, :1], KERNEL[:3], padding=2),
            ValueError,
            "nothing is left of the image",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"groups \(2\) must divide in_channels"),
        (
            lambda: nn.Conv2d(4, 3, 3, groups=2),
            ValueError,
            r"groups \(2\) must divide out_channels",
        ),
        (lambda: nn.Conv2d(3, 4, 0), ValueError, "kernel_size must be 1 or more"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError, "padding_mode is one of"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-2), ValueError, "Conv2d: padding must be 0 or more"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), TypeError, "whole numbers"),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, stride=2)(IMAGE, output_size=(20, 17)),
            ValueError,
            r"output_size \(20, 17\) is not between \(17, 17\) and \(18, 18\)",
        ),
    ],
)
def test_errors_say_what_was_seen(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- the layers ---


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, (2, 0), "same"])
def test_padding_modes(mode, padding):
    layer = nn.Conv2d(3, 4, (3, 2), padding=padding, padding_mode=mode)
    x = RNG.standard_normal((2, 3, 5, 6)).astype("float32")
    widths = {1: ((1, 1), (1, 1)), (2, 0): ((2, 2), (0, 0)), "same": ((1, 1), (0, 1))}[padding]
    name = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    around = np.pad(x, ((0, 0), (0, 0), *widths), mode=name)
    want = ops.conv2d(Tensor(around), layer.weight, layer.bias)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), want.numpy(), rtol=1e-6, atol=1e-6)


def test_reprs_are_torchs():
    for layer, text in (
        (nn.Conv2d(3, 16, 3), "Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1))"),
        (
            nn.Conv2d(4, 8, (3, 1), 2, (1, 0), 2, 4, False, "reflect"),
            "Conv2d(4, 8, kernel_size=(3, 1), stride=(2, 2), padding=(1, 0), dilation=(2, 2), "
            "groups=4, bias=False, padding_mode=reflect)",
        ),
        (
            nn.Conv1d(4, 8, 3, padding="same"),
            "Conv1d(4, 8, kernel_size=(3,), stride=(1,), padding=same)",
        ),
        (
            nn.ConvTranspose2d(4, 8, 3, 2, 1, 1),
            "ConvTranspose2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), "
            "output_padding=(1, 1))",
        ),
    ):
        assert repr(layer) == text


def test_parameters_start_as_torchs():
    fastnn.manual_seed(0)
    layer = nn.Conv2d(32, 64, 3)
    bound = 1 / math.sqrt(32 * 9)
    for p in layer.parameters():
        assert np.abs(p.numpy()).max() <= bound
        assert p.numpy().std() == pytest.approx(bound / math.sqrt(3), rel=0.15)
    turned = nn.ConvTranspose2d(64, 32, 3)  # torch takes the second axis for its fan
    assert np.abs(turned.weight.numpy()).max() == pytest.approx(bound, rel=0.01)
    given = nn.Conv2d(
        3, 4, 3, weight_init=fastnn.initializers.ones, bias_init=fastnn.initializers.zeros
    )
    assert (given.weight.numpy() == 1).all() and (given.bias.numpy() == 0).all()


def test_output_size_of_a_transposed_convolution():
    down, up = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ConvTranspose2d(4, 3, 3, 2, 1)
    for size in ((8, 9), (7, 10)):
        x = fastnn.zeros((2, 3, *size))
        assert up(down(x), output_size=x.shape).shape == x.shape
        assert up(down(x), output_size=size).shape == x.shape
    assert up(fastnn.zeros((1, 4, 5, 5)), output_size=10).shape == (1, 3, 10, 10)


def test_separable():
    layer = nn.SeparableConv2d(6, 10, 3, padding=1, depth_multiplier=2)
    x = Tensor(RNG.standard_normal((2, 6, 5, 7)).astype("float32"))
    names = {name: p.shape for name, p in layer.named_parameters()}
    assert names == {
        "depthwise.weight": (12, 1, 3, 3), "pointwise.weight": (10, 12, 1, 1),
        "pointwise.bias": (10,),
    }  # fmt: skip
    d, p = layer.depthwise.weight.numpy(), layer.pointwise.weight.numpy()
    whole = np.zeros((10, 6, 3, 3))
    for c in range(12):
        whole[:, c // 2] += p[:, c, 0, 0][:, None, None] * d[c, 0]
    want = convolve(x.numpy(), whole, (1, 1), (1, 1), (1, 1), 1, (5, 7))
    np.testing.assert_allclose(
        layer(x).numpy(),
        want + layer.pointwise.bias.numpy().reshape(-1, 1, 1),
        rtol=1e-4,
        atol=1e-5,
    )


def test_flops_and_summary():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False)
    )
    summary = model.summary((1, 3, 10, 10))
    assert [row.flops for row in summary.rows] == [0, 800 * (2 * 27 + 1), 800 * 2 * 16]
    assert summary.parameters == 8 * 27 + 8 + 8 * 4 * 4


TORCHS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, (2, 4, 11)),
    ("Conv1d", (4, 6, 4), {"padding": "same", "padding_mode": "circular"}, (2, 4, 11)),
    ("Conv2d", (3, 8, 3), {"padding": 1}, (2, 3, 9, 8)),
    ("Conv2d", (4, 8, (3, 2)), {"stride": (2, 1), "dilation": (1, 3), "groups": 2}, (2, 4, 9, 8)),
    ("Conv2d", (6, 6, 3), {"groups": 6, "padding": 2, "bias": False}, (2, 6, 7, 7)),
    ("Conv2d", (3, 5, 4), {"padding": "same", "padding_mode": "reflect"}, (2, 3, 9, 8)),
    ("Conv2d", (3, 5, 3), {"padding": (2, 1), "padding_mode": "replicate"}, (2, 3, 9, 8)),
    ("Conv2d", (3, 5, 3), {"padding": "valid"}, (3, 9, 8)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 3, "output_padding": 2, "padding": 1}, (2, 4, 7)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "output_padding": 1, "groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose2d", (4, 6, 3), {"dilation": 2, "padding": 1, "bias": False}, (2, 4, 5, 6)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "options", "shape"), TORCHS)
def test_layers_are_torchs(name, args, options, shape):
    torch = pytest.importorskip("torch")
    ours = getattr(nn, name)(*args, **options)
    theirs = getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = RNG.standard_normal(shape).astype("float32")
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
    dy = RNG.standard_normal(y.shape).astype("float32")
    y.backward(Tensor(dy))
    z.backward(torch.tensor(dy))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-4)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-3)
    again = getattr(torch.nn, name)(*args, **options)
    again.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    np.testing.assert_array_equal(again(b).detach().numpy(), z.detach().numpy())
