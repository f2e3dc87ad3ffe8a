"""Winograd's convolutions: any 3x3 call in tiles of either size against plain loops in float64, within the
bound that kernels/winograd.inc states; packed weights, chains, ISAs and threads; and when they are chosen.
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
from fastnn.compiler.chaincode import OUTPUT, Step, encode
from test_conv_calls import ORDERS, backward, forward, laid_out, packed, run, scalars, tensors
from test_conv_grad_w import reference as backward_w
from test_conv_grad_w import run as run_grad_w

BOUND = {2: 16, 4: 64}  # roundings of the sum of |w| times the largest |x| of the tile
THREE = (3, 3)


# --- the bound ---


def largest(x, out, pad, m):
    """For each output, the largest |x| of each channel that its tile reads."""
    n, *size, c = x.shape
    tiles = [-(-length // m) for length in out]
    around = np.zeros((n, *(t * m + 2 for t in tiles), c))
    kept = []
    for i in range(2):
        low, high = max(0, -pad[i]), min(size[i], around.shape[1 + i] - pad[i])
        kept.append((slice(low, high), slice(low + pad[i], max(high, low) + pad[i])))
    (from_i, to_i), (from_j, to_j) = kept
    around[:, to_i, to_j] = np.abs(x[:, from_i, from_j])
    windows = np.lib.stride_tricks.sliding_window_view(around, (m + 2, m + 2), (1, 2))
    return windows[:, ::m, ::m].max((-1, -2))


def over_outputs(tiles, out, m):
    return tiles.repeat(m, 1).repeat(m, 2)[:, : out[0], : out[1]]


def assert_within(got, want, scale, real, m):
    assert not np.isnan(got).any()
    error = np.abs(got - want) / np.maximum(scale, np.finfo(real).tiny)
    assert error.max(initial=0) <= BOUND[m] * np.finfo(real).eps


def check_forward(x, w, bias, out, pad, m, number=op.conv, size=None):
    """conv, or conv_grad_x as the convolution with turned kernels that it is."""
    shape = (x.shape[0], *out, w.shape[0] if number == op.conv else w.shape[3])
    got = run(number, x, w, bias, shape, pad=pad, ways=m)
    wide = [None if a is None else a.astype("float64") for a in (x, w, bias)]
    if number == op.conv:
        want = forward(*wide, out, pad=pad)
        weights = np.abs(wide[1]).sum((1, 2)).T
    else:
        want = backward(*wide, out, pad=pad)
        weights = np.abs(wide[1]).sum((1, 2))
        pad = [2 - p for p in pad]
    scale = over_outputs(largest(wide[0], out, pad, m) @ weights, out, m)
    if bias is not None:
        scale = scale + np.abs(wide[2])
    assert_within(got, want, scale, x.dtype, m)
    return got


def check_grad_w(x, dy, pad, m):
    got = run_grad_w(x, dy, THREE, pad=pad, ways=m)
    out = dy.shape[1:3]
    want = backward_w(x.astype("float64"), dy.astype("float64"), THREE, pad=pad)
    inputs = largest(x.astype("float64"), out, pad, m)
    tiles = inputs.shape[1:3]
    whole = np.zeros((len(dy), tiles[0] * m, tiles[1] * m, dy.shape[3]))
    whole[:, : out[0], : out[1]] = np.abs(dy)
    sums = whole.reshape(len(dy), tiles[0], m, tiles[1], m, -1).sum((2, 4))
    scale = np.einsum("nijc,nijo->oc", inputs, sums)[:, None, None]
    assert_within(got, want, scale, x.dtype, m)
    return got


def check(x, w, bias, out, pad, m):
    """All three directions."""
    y = check_forward(x, w, bias, out, pad, m)
    dx = check_forward(y, w, None, x.shape[1:3], pad, m, op.conv_grad_x)
    return y, dx, check_grad_w(x, y, pad, m)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_call(seed):
    """Random shapes, paddings, ends, layouts and sizes of numbers."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: int(rng.choice(values))  # noqa: E731
    real, pad = str(rng.choice(["float32", "float64"])), [pick(0, 1, 1, 2, 4) for _ in range(2)]
    size = [pick(1, 2, 4, 7, 9, 14, 17) for _ in range(2)]
    out = [max(1, n + 2 * p - 2 - pick(0, 0, 0, 1, 3)) for n, p in zip(size, pad, strict=True)]
    c, o = (pick(1, 3, 8, 16, 17, 33, 70) for _ in range(2))
    x = laid_out(rng, (pick(1, 2, 5), *size, c), real, ORDERS[pick(0, 0, 1, 2, 3, 4)])
    w = laid_out(rng, (o, 3, 3, c), real, ORDERS[pick(0, 0, 1, 2)])
    if pick(0, 1):  # some numbers much larger than others
        x = x * np.exp(2 * rng.standard_normal(x.shape)).astype(real)
    bias = rng.uniform(-1, 1, o).astype(real) if pick(0, 1) else None
    check(x, w, bias, out, pad, pick(2, 4))


# (images, size, channels, outputs): several blocks of tiles, slabs, panels; with many channels, chunks
# of channels and blocks of tiles that all threads share; blocks, chunks and passes of the gradient.
CUTS = [
    (9, (29, 31), 24, 40),
    (1, (9, 130), 16, 130),
    (3, (14, 14), 70, 300),
    (1, (12, 9), 200, 200),
    (9, (14, 14), 330, 300),
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_every_isa(isa, real, m):
    rng = np.random.default_rng(0)
    for c, o in ((1, 1), (3, 5), (16, 16), (19, 37)):
        x = rng.uniform(-1, 1, (3, 10, 7, c)).astype(real)
        w = rng.uniform(-1, 1, (o, 3, 3, c)).astype(real)
        with using_isa(isa):
            check(x, w, w[:, 0, 0, 0].copy(), (10, 7), (1, 1), m)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("n, size, c, o", CUTS)
def test_every_cut_has_the_same_bits_at_any_thread_count(n, size, c, o, m):
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (n, *size, c)).astype("float32")
    w = rng.uniform(-1, 1, (o, 3, 3, c)).astype("float32")
    first = check(x, w, None, size, (1, 1), m)
    for count in (1, 3):
        with using_threads(count):
            how = {"pad": (1, 1), "ways": m}
            again = (
                run(op.conv, x, w, None, first[0].shape, **how),
                run(op.conv_grad_x, first[0], w, None, x.shape, **how),
                run_grad_w(x, first[0], THREE, **how),
            )
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_packed_weights_have_the_same_bits(real, m):
    rng = np.random.default_rng(2)
    how = {"pad": (1, 1), "ways": m}
    for c, o in ((16, 16), (5, 70), (40, 24)):
        x = rng.uniform(-1, 1, (2, 9, 13, c)).astype(real)
        w = rng.uniform(-1, 1, (o, 3, 3, c)).astype(real)
        y = run(op.conv, x, w, None, (*x.shape[:3], o), **how)
        other = packed(op.conv, x, w, y.shape, **how)
        assert other.ndim == 2
        np.testing.assert_array_equal(run(op.conv, x, other, None, y.shape, **how), y)
        dx = run(op.conv_grad_x, y, w, None, x.shape, **how)
        turned = packed(op.conv_grad_x, y, w, x.shape, **how)
        np.testing.assert_array_equal(run(op.conv_grad_x, y, turned, None, x.shape, **how), dx)


def test_packed_weights_fit_their_tiles_alone():
    x, w = np.ones((1, 8, 8, 16), "float32"), np.ones((16, 3, 3, 16), "float32")
    two = packed(op.conv, x, w, x.shape, pad=(1, 1), ways=2)
    for ways in (0, 4):
        with pytest.raises(ValueError, match="weights are not of the shape"):
            run(op.conv, x, two, None, x.shape, pad=(1, 1), ways=ways)
    with pytest.raises(ValueError, match="packed weights are not of their shape"):
        launch(op.conv_pack, tensors(w, two[:, 1:].copy()), (1, 0))


def test_many_channels_are_not_packed():
    x, w = np.ones((1, 8, 8, 512), "float32"), np.ones((512, 3, 3, 512), "float32")
    assert packed(op.conv, x, w, x.shape, pad=(1, 1), ways=4) is w


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("n, size, c, o", [*CUTS[:2], (2, (9, 9), 330, 300)])
def test_a_chain_finds_what_the_convolution_made(n, size, c, o, m):
    """relu(y) + e, on blocks that end within a row of tiles."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (n, *size, c)).astype("float32")
    w = rng.uniform(-1, 1, (o, 3, 3, c)).astype("float32")
    bias = rng.uniform(-1, 1, o).astype("float32")
    e = rng.uniform(-1, 1, (n, *size, o)).astype("float32")
    plain = run(op.conv, x, w, bias, e.shape, pad=(1, 1), ways=m)
    code = fastnn.Tensor(
        encode([Step(op.relu, OUTPUT, (OUTPUT,), ()), Step(op.add, OUTPUT, (OUTPUT, 0), ())])
    )
    y = np.full(e.shape, np.nan, "float32")
    launch(
        op.conv_chain,
        (*tensors(x, w, bias), code, *tensors(e, None, None, y)),
        scalars(pad=(1, 1), ways=m),
    )
    np.testing.assert_array_equal(y, np.maximum(plain, 0) + e)


# --- when they are chosen ---


def both(x, w, **how):
    """y as it is chosen, and in tiles of 2 and 4 and by direct sums: which is it?"""
    y = {
        ways: run(op.conv, x, w, None, (*x.shape[:3], w.shape[0]), ways=ways, **how)
        for ways in (1, 0, 2, 4)
    }
    return {ways for ways in (0, 2, 4) if np.array_equal(y[1], y[ways])}


@pytest.mark.parametrize(
    "n, size, c, o, want",
    [
        (8, 32, 16, 16, 4),
        (8, 16, 32, 32, 4),
        (8, 14, 64, 48, 4),
        (8, 32, 8, 16, 0),  # too few channels
        (8, 32, 3, 64, 0),
        (1, 4, 64, 64, 0),  # the weights would cost more than they save
    ],
)
def test_chosen_by_shape(n, size, c, o, want):
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (n, size, size, c)).astype("float32")
    w = rng.uniform(-1, 1, (o, 3, 3, c)).astype("float32")
    assert both(x, w, pad=(1, 1)) == {want}


@pytest.mark.parametrize(
    "how",
    [{"stride": (2, 1)}, {"dilation": (1, 2)}, {"groups": 2}],
    ids=["stride", "dilation", "groups"],
)
def test_other_convolutions_are_direct(how):
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, (8, 32, 32, 32)).astype("float32")
    w = rng.uniform(-1, 1, (32, 3, 3, 32 // how.get("groups", 1))).astype("float32")
    shape = (8, 16 if "stride" in how else 32, 32, 32)
    y = [run(op.conv, x, w, None, shape, pad=(1, 1), ways=ways, **how) for ways in (0, 1, 2, 4)]
    for other in y[1:]:
        np.testing.assert_array_equal(y[0], other)


def step(x, w, b):
    y = fastnn.conv2d(x, w, b, padding=1)
    return (y, *fastnn.grad((y * y).sum(), [x, w]))


def test_deterministic_precision_is_the_direct_sum():
    rng = np.random.default_rng(6)
    x, w, b = (
        fastnn.Tensor(rng.uniform(-1, 1, shape).astype("float32"))
        for shape in ((8, 32, 16, 16), (32, 32, 3, 3), (32,))
    )
    x.requires_grad_(), w.requires_grad_()
    compiled = fastnn.compile(step)
    by_default = step(x, w, b)
    with fastnn.deterministic_precision():
        exact = step(x, w, b)
        for a, c in zip(exact, compiled(x, w, b), strict=True):
            np.testing.assert_array_equal(a.numpy(), c.numpy())
    images, kernel = x.numpy().transpose(0, 2, 3, 1), w.numpy().transpose(0, 2, 3, 1)
    direct = run(op.conv, images, kernel, b.numpy(), (8, 16, 16, 32), pad=(1, 1))
    np.testing.assert_array_equal(exact[0].numpy(), direct.transpose(0, 3, 1, 2))
    for a, c, d in zip(by_default, compiled(x, w, b), exact, strict=True):
        np.testing.assert_array_equal(a.numpy(), c.numpy())
        assert not np.array_equal(a.numpy(), d.numpy())


def test_scratch_is_a_few_blocks_of_tiles():
    """Whatever the batch: here 64 MB of images, whose planes would take 144 MB."""
    x, w = fastnn.zeros((512, 32, 32, 32)), fastnn.zeros((32, 3, 3, 32))
    how = scalars(pad=(1, 1), ways=4)
    for number in (op.conv, op.conv_grad_x):
        assert _core.cost(number, (x, w, None, x), how)[2] < 8 << 20
    assert _core.cost(op.conv_grad_w, (x, x, w), how)[2] < 8 << 20
