"""Padding, upsampling and pixel shuffling: random ones against numpy, layers, layouts, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases_resize as ref
import fastnn
from conftest import using_threads
from fastnn import Tensor, nn, ops
from fastnn.autograd import gradcheck


def images(*shape, dtype="float64", last=True):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    if not last:
        return x
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def gradient(function, x, dy):
    x = Tensor(x, requires_grad=True)
    (function(x) * Tensor(dy)).sum().backward()
    return x.grad.numpy()


def transposed(function, x, dy):
    """The gradient of a linear function of x, column by column."""
    result = np.zeros(x.size)
    for i in range(x.size):
        one = np.zeros(x.size)
        one[i] = 1
        result[i] = (function(one.reshape(x.shape)) * dy).sum()
    return result.reshape(x.shape)


# --- random ones ---


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_padding(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    mode = data.draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    most = {"reflect": lambda n: n - 1}.get(mode, lambda n: 6)
    widths = [tuple(data.draw(st.integers(0, most(n))) for _ in range(2) if n >= 0) for n in shape]
    order = data.draw(st.permutations(range(len(shape))))
    lies = np.random.default_rng(1).standard_normal([shape[a] for a in order])
    x = lies.transpose(np.argsort(order))
    got = ops.pad(Tensor(x), widths, mode, 1.5 if mode == "constant" else 0)
    want = ref.pad(x, widths, mode, 1.5)
    np.testing.assert_array_equal(got.numpy(), want)
    dy = np.random.default_rng(2).standard_normal(want.shape)
    want = transposed(lambda x: ref.pad(x, widths, mode, 0), x, dy)
    got = gradient(lambda x: ops.pad(x, widths, mode), x, dy)
    np.testing.assert_allclose(got, want, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_upsampling(data):
    axes = data.draw(st.integers(1, 2))
    places = [data.draw(st.integers(1, 6)) for _ in range(axes)]
    sizes = [data.draw(st.integers(1, 13)) for _ in range(axes)]
    mode = data.draw(st.sampled_from(["nearest", "linear"]))
    corners = mode == "linear" and data.draw(st.booleans())
    x = images(2, data.draw(st.integers(1, 3)), *places, last=data.draw(st.booleans()))
    name = "bilinear" if mode == "linear" and axes == 2 else mode

    def run(x):
        return ops.upsample(x, tuple(sizes), mode=name, align_corners=corners)

    want = ref.upsample(x, sizes, mode, corners)
    np.testing.assert_allclose(run(Tensor(x)).numpy(), want, atol=1e-12)
    dy = np.random.default_rng(2).standard_normal(want.shape)
    want = transposed(lambda x: ref.upsample(x, sizes, mode, corners), x, dy)
    np.testing.assert_allclose(gradient(run, x, dy), want, atol=1e-12)


def test_nearest_is_exact_at_every_size():
    """Where a float would fall just below the element that it stands for."""
    for n, m in [(2, 98), (3, 49), (7, 343), (98, 2)]:
        x = np.arange(n, dtype="float32").reshape(1, 1, n)
        got = ops.upsample(Tensor(x), size=m).numpy()[0, 0]
        np.testing.assert_array_equal(got, np.arange(m) * n // m)


# --- what does not depend on how it is computed ---

FUNCTIONS = {
    "pad": lambda x: ops.pad(x, ((0, 0), (0, 0), (2, 1), (1, 3)), "reflect"),
    "zeros": lambda x: ops.pad(x, ((0, 0), (0, 0), (2, 1), (1, 3))),
    "nearest": lambda x: ops.upsample(x, scale_factor=2),
    "bilinear": lambda x: ops.upsample(x, (41, 35), mode="bilinear"),
    "shuffle": lambda x: ops.pixel_shuffle(x, 2),
    "unshuffle": lambda x: ops.pixel_unshuffle(x, 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_threads_and_replays_give_the_same_bits(name):
    x = images(3, 32, 28, 30, dtype="float32")

    def step(x):
        y = FUNCTIONS[name](x)
        dx = fastnn.autograd.grad((y * y).sum(), x)
        return y, dx

    results = []
    for threads in (1, 2, 5):
        with using_threads(threads):
            results.append([a.numpy() for a in step(Tensor(x, requires_grad=True))])
    replay = fastnn.compile(step)
    for _ in range(2):
        results.append([a.numpy() for a in replay(Tensor(x, requires_grad=True))])
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_gradients(name):
    x = Tensor(images(1, 4, 4, 4), requires_grad=True)
    assert gradcheck(lambda x: (FUNCTIONS[name](x) ** 3).sum(), (x,))
    y = FUNCTIONS[name](x)
    first = fastnn.autograd.grad((y**3).sum(), x, create_graph=True)
    second = fastnn.autograd.grad((first**2).sum(), x).numpy()
    assert np.isfinite(second).all()
    assert (second != 0).any()


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_any_dtype_is_copied(dtype):
    x = (np.arange(24).reshape(1, 2, 3, 4) % 3).astype(dtype)
    for mode in ("constant", "reflect", "circular"):
        got = ops.pad(Tensor(x), ((0, 0), (1, 1), (2, 0), (1, 3)), mode)
        assert got.dtype == dtype
        want = ref.pad(x, ((0, 0), (1, 1), (2, 0), (1, 3)), mode)
        np.testing.assert_array_equal(got.numpy(), want)
    doubled = ops.upsample(Tensor(x), scale_factor=2).numpy()
    np.testing.assert_array_equal(doubled, x.repeat(2, 2).repeat(2, 3))


def test_a_number_goes_into_any_dtype():
    labels = Tensor(np.array([1, 2], "int64"))
    np.testing.assert_array_equal(ops.pad(labels, (0, 2), value=-100).numpy(), [1, 2, -100, -100])
    with pytest.raises(TypeError, match="float"):
        ops.pad(labels, 1, value=0.5)


def test_an_infinite_number_goes_only_where_it_weighs():
    x = np.zeros((1, 1, 1, 3))
    x[..., 2] = np.inf
    y = ops.upsample(Tensor(x), (1, 3), mode="bilinear").numpy()
    np.testing.assert_array_equal(y, x)


# --- layers ---

LAYERS = {
    "ZeroPad1d": ((2,), {}, 1),
    "ZeroPad2d": (((1, 0, 2, 3),), {}, 2),
    "ConstantPad1d": (((0, 2), 1.5), {}, 1),
    "ConstantPad2d": ((1, -2.0), {}, 2),
    "ReflectionPad1d": ((2,), {}, 1),
    "ReflectionPad2d": (((1, 2, 3, 0),), {}, 2),
    "ReplicationPad1d": (((0, 4),), {}, 1),
    "ReplicationPad2d": ((3,), {}, 2),
    "CircularPad1d": ((2,), {}, 1),
    "CircularPad2d": (((2, 1, 0, 1),), {}, 2),
    "Upsample": ((), {"scale_factor": 2, "mode": "bilinear", "align_corners": True}, 2),
    "PixelShuffle": ((2,), {}, 2),
    "PixelUnshuffle": ((2,), {}, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_torchs(name):
    torch = pytest.importorskip("torch")
    args, options, axes = LAYERS[name]
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    x = images(2, 8, *(6, 4)[:axes], dtype="float32")
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, want = ours(a), theirs(b)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-5)
    (y * y).sum().backward()
    (want * want).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_one_image_without_a_batch():
    x = fastnn.ones((3, 4, 5))
    assert nn.ZeroPad2d(1)(x).shape == (3, 6, 7)
    assert ops.pixel_unshuffle(fastnn.ones((3, 4, 6)), 2).shape == (12, 2, 3)


def test_layers_that_pad_a_convolution():
    """padding_mode and a layer before it are one."""
    x = Tensor(images(2, 3, 7, 8, dtype="float32"))
    conv = nn.Conv2d(3, 4, 3, padding=2, padding_mode="reflect")
    plain = nn.Conv2d(3, 4, 3)
    plain.load_state_dict(conv.state_dict())
    want = plain(nn.ReflectionPad2d(2)(x)).numpy()
    np.testing.assert_array_equal(conv(x).numpy(), want)


# --- errors ---


def test_errors():
    x = fastnn.ones((1, 3, 4, 4))
    with pytest.raises(ValueError, match="either size or scale_factor"):
        ops.upsample(x)
    with pytest.raises(ValueError, match="either size or scale_factor"):
        nn.Upsample(size=3, scale_factor=2)
    with pytest.raises(ValueError, match="mode is 'nearest'"):
        ops.upsample(x, 3, mode="cubic")
    with pytest.raises(ValueError, match=r"must be \(N, C, L\)"):
        ops.upsample(x, 3, mode="linear")
    with pytest.raises(ValueError, match="leaves nothing"):
        ops.upsample(x, scale_factor=0.1)
    with pytest.raises(ValueError, match="one positive number or 2"):
        ops.upsample(x, scale_factor=(1, 2, 3))
    with pytest.raises(ValueError, match="one positive number or 2, not '2'"):
        ops.upsample(x, scale_factor="2")
    with pytest.raises(ValueError, match="mode is 'nearest', .* not 'bicubic'"):
        nn.Upsample(scale_factor=2, mode="bicubic")
    with pytest.raises(ValueError, match="for the linear modes"):
        ops.upsample(x, 3, align_corners=True)
    with pytest.raises(TypeError, match="for float tensors"):
        ops.upsample(x.astype("uint8"), 3, mode="bilinear")
    with pytest.raises(ValueError, match="nothing can be made"):
        ops.upsample(fastnn.ones((1, 3, 0, 4)), 3)
    with pytest.raises(ValueError, match=r"must be \(\.\.\., C \* 4, H, W\)"):
        ops.pixel_shuffle(x, 2)
    with pytest.raises(ValueError, match=r"H \* 3"):
        ops.pixel_unshuffle(x, 3)
    with pytest.raises(ValueError, match="1 or more"):
        nn.PixelShuffle(0)
    with pytest.raises(ValueError, match="0 or more"):
        nn.ZeroPad2d(-1)
    with pytest.raises(ValueError, match="one number or 4"):
        nn.ReflectionPad2d((1, 2))
    with pytest.raises(ValueError, match=r"must be \(N, C, H, W\)"):
        nn.ReflectionPad2d(1)(fastnn.ones((4, 4)))
    with pytest.raises(ValueError, match="too short for 'reflect'"):
        nn.ReflectionPad2d(4)(x)
