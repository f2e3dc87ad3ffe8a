"""Pooling beside PyTorch over random windows, and what the table of cases does not ask: ties, NaN, places,
layouts, windows that are large, bad arguments, layers.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
import references as ref
from fastnn import Tensor, _core, nn
from fastnn._core import ops as op


def images(*shape, dtype="float32", ties=False, seed=0):
    """Random (N, C, H, W) whose channels come last in memory."""
    n, c, h, w = shape
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (n, h, w, c)) if ties else rng.normal(size=(n, h, w, c))
    return x.astype(dtype).transpose(0, 3, 1, 2)


def forward_and_back(function, x, seed=1):
    """The value of function and its gradient, for a random dy."""
    t = Tensor(x, requires_grad=True)
    y = function(t)
    dy = np.random.default_rng(seed).normal(size=y.shape).astype(x.dtype)
    (dx,) = fastnn.grad([y], [t], [Tensor(dy)])
    return y.numpy(), dx.numpy(), dy


@st.composite
def windows(draw):
    """kernel, stride, padding, dilation, ceil_mode of one pooling."""
    pair = st.tuples(st.integers(1, 6), st.integers(1, 6))
    kernel, stride = draw(pair), draw(st.one_of(st.none(), pair))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return kernel, stride, padding, dilation, draw(st.booleans())


shapes = st.tuples(
    st.integers(1, 3), st.sampled_from([1, 2, 3, 8, 16, 21]), st.integers(1, 17), st.integers(1, 17)
)


@settings(max_examples=150, deadline=None)
@given(shapes, windows(), st.booleans(), st.booleans(), st.sampled_from(["float32", "float64"]))
def test_max_like_torch(shape, options, ties, last, dtype):
    torch = pytest.importorskip("torch")
    kernel, stride, padding, dilation, ceil = options
    if any(
        n <= (k - 1) * d - p
        for n, k, d, p in zip(shape[2:], kernel, dilation, padding, strict=True)
    ):
        return  # a window may lie beside the image, where PyTorch's places are another row's
    x = images(*shape, dtype=dtype, ties=ties)
    x = x if last else np.ascontiguousarray(x)
    theirs = torch.tensor(x, requires_grad=True)
    try:
        z, places = torch.nn.functional.max_pool2d(theirs, *options, return_indices=True)
    except RuntimeError:
        with pytest.raises(ValueError, match="max_pool2d"):
            fastnn.max_pool2d(x, *options)
        return
    y, dx, dy = forward_and_back(lambda t: fastnn.max_pool2d(t, *options), x)
    z.backward(torch.from_numpy(dy))
    np.testing.assert_array_equal(y, z.detach().numpy())
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-5, atol=1e-5)
    _, index = fastnn.max_pool2d(x, *options, return_indices=True)
    np.testing.assert_array_equal(index.numpy(), places.numpy())


@settings(max_examples=150, deadline=None)
@given(shapes, windows(), st.booleans(), st.sampled_from([None, None, 5]), st.booleans())
def test_average_like_torch(shape, options, include, divisor, last):
    torch = pytest.importorskip("torch")
    kernel, stride, padding, _, ceil = options
    more = kernel, stride, padding, ceil, include, divisor
    x = images(*shape, dtype="float64")
    x = x if last else np.ascontiguousarray(x)
    theirs = torch.tensor(x, requires_grad=True)
    try:
        z = torch.nn.functional.avg_pool2d(theirs, *more)
    except RuntimeError:
        with pytest.raises(ValueError, match="avg_pool2d"):
            fastnn.avg_pool2d(x, *more)
        return
    y, dx, dy = forward_and_back(lambda t: fastnn.avg_pool2d(t, *more), x)
    z.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(shapes, st.tuples(st.integers(1, 20), st.integers(1, 20)), st.sampled_from(["max", "avg"]))
def test_adaptive_like_torch(shape, out, kind):
    torch = pytest.importorskip("torch")
    x = images(*shape, dtype="float64", ties=True)
    theirs = torch.tensor(x, requires_grad=True)
    name = f"adaptive_{kind}_pool2d"
    z = getattr(torch.nn.functional, name)(theirs, out)
    y, dx, dy = forward_and_back(lambda t: getattr(fastnn, name)(t, out), x)
    z.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3, 16, 20])
@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (3, 1)])
def test_first_of_equals_and_last_nan(kernel, stride, channels, isa):
    x = np.zeros((1, channels, 7, 7), "float32")
    x[..., 2, 3] = x[..., 3, 2] = np.nan
    y, index = fastnn.max_pool2d(x, kernel, stride, return_indices=True)
    out = y.shape[-1]
    for i in range(out):
        for j in range(out):
            rows, columns = (
                slice(i * stride, i * stride + kernel),
                slice(j * stride, j * stride + kernel),
            )
            part = x[0, 0, rows, columns]
            where = np.flatnonzero(np.isnan(part))
            tap = where[-1] if where.size else 0
            place = (i * stride + tap // kernel) * 7 + j * stride + tap % kernel
            assert (index.numpy()[0, :, i, j] == place).all()
            assert np.isnan(y.numpy()[0, :, i, j]).all() == bool(where.size)


@pytest.mark.parametrize(
    "shape", [(2, 1, 40, 37), (2, 3, 40, 37), (2, 16, 20, 21), (1, 37, 19, 33)]
)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: fastnn.max_pool2d(x, 2),
        lambda x: fastnn.max_pool2d(x, 3, 2, 1),
        lambda x: fastnn.max_pool2d(x, 5, 1, 2),
        lambda x: fastnn.max_pool2d(x, (17, 18), 1),
        lambda x: fastnn.avg_pool2d(x, 3, 2, 1),
        lambda x: fastnn.avg_pool2d(x, 3, 1, 1),
        lambda x: fastnn.avg_pool2d(x, (17, 18), 2),
        lambda x: fastnn.adaptive_avg_pool2d(x, 7),
        lambda x: fastnn.adaptive_max_pool2d(x, 7),
        lambda x: fastnn.adaptive_avg_pool2d(x, 1),
    ],
)
def test_same_bits_at_any_thread_count(function, shape, threads, isa):
    seen = []
    for count in (1, 2, 4):
        with threads(count):
            seen.append([a.tobytes() for a in forward_and_back(function, images(*shape))])
    assert seen[1:] == seen[:1] * 2


@pytest.mark.parametrize("function", [fastnn.max_pool2d, fastnn.avg_pool2d])
def test_windows_of_more_taps_than_a_byte_counts(function):
    x = images(2, 5, 30, 35, dtype="float64")
    rows, columns = ref.windows(30, 18, 3, 2), ref.windows(35, 17, 4, 0)
    y, dx, dy = forward_and_back(lambda t: function(t, (18, 17), (3, 4), (2, 0)), x)
    reference = ref.max_pool if function is fastnn.max_pool2d else ref.avg_pool
    np.testing.assert_allclose(y, reference(x, rows, columns), rtol=1e-12)
    assert dx.sum() == pytest.approx(dy.sum() if function is fastnn.max_pool2d else dx.sum())
    # a step along dx changes the value as the gradient says
    step = 1e-7 * dx
    change = (reference(x + step, rows, columns) - reference(x, rows, columns)) * dy
    assert change.sum() == pytest.approx(1e-7 * (dx * dx).sum(), rel=1e-5)


def test_parts_of_images_are_read_where_they_lie():
    whole = images(3, 9, 20, 22)
    for part in (whole[1:, :, 2:-3, 1::2], whole[:, 2:6], whole[:, :, ::-1], whole[:, :1]):
        want = fastnn.max_pool2d(part.copy(), 3, 2).numpy()
        np.testing.assert_array_equal(fastnn.max_pool2d(Tensor(part), 3, 2).numpy(), want)
        y, dx, _ = forward_and_back(lambda t: fastnn.avg_pool2d(t, 3, 2), part)
        y2, dx2, _ = forward_and_back(lambda t: fastnn.avg_pool2d(t, 3, 2), part.copy())
        assert y.tobytes() == y2.tobytes() and dx.tobytes() == dx2.tobytes()


def test_results_have_channels_last_in_memory():
    y = fastnn.max_pool2d(np.zeros((2, 8, 6, 6), "float32"), 2)
    assert y.shape == (2, 8, 3, 3) and y.strides == (72, 1, 24, 8)
    assert fastnn.avg_pool1d(np.zeros((2, 8, 6), "float32"), 2).strides == (24, 1, 8)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "adaptive_max_pool2d"])
def test_single_images_and_sequences(name):
    function, line = getattr(fastnn, name), getattr(fastnn, name.replace("2d", "1d"))
    x = images(1, 4, 6, 8)
    y, dx, _ = forward_and_back(lambda t: function(t, 2), x[0])
    np.testing.assert_array_equal(y, function(x, 2).numpy()[0])
    assert dx.shape == (4, 6, 8) and np.any(dx)
    sequence = x[0, :, 0]
    assert line(sequence, 2).shape == (4, 4 if "adaptive" not in name else 2)
    np.testing.assert_array_equal(line(sequence, 2).numpy(), line(sequence[None], 2).numpy()[0])


@pytest.mark.parametrize("kernel", [(2, 2), (3, 2)])
def test_compiled_training_gives_the_same_bits(kernel):
    def run(compiled):
        fastnn.manual_seed(0)
        scale = Tensor(np.linspace(-1, 2, 6, dtype="float32")[:, None, None], requires_grad=True)

        def step(x):
            scale.grad = None
            hidden = fastnn.max_pool2d(fastnn.relu(x * scale), *kernel)
            loss = (fastnn.avg_pool2d(hidden, 3, 1, 1) ** 2).mean()
            loss.backward()
            return loss, scale.grad

        call = fastnn.compile(step) if compiled else step
        return [t.numpy().copy() for _ in range(2) for t in call(Tensor(images(4, 6, 11, 12)))]

    for one, other in zip(run(False), run(True), strict=True):
        assert one.tobytes() == other.tobytes()


BAD = [
    (lambda x: fastnn.max_pool2d(x, 9), ValueError, "does not fit"),
    (lambda x: fastnn.max_pool2d(x, 3, dilation=4), ValueError, "does not fit"),
    (lambda x: fastnn.max_pool2d(x, 2, padding=2), ValueError, "more than half"),
    (lambda x: fastnn.max_pool2d(x, 2, padding=-1), ValueError, "padding must be 0 or more"),
    (lambda x: fastnn.max_pool2d(x, 0), ValueError, "kernel_size must be 1 or more"),
    (lambda x: fastnn.max_pool2d(x, 2, 0), ValueError, "stride must be 1 or more"),
    (lambda x: fastnn.avg_pool2d(x, 2.5), TypeError, "whole number"),
    (lambda x: fastnn.avg_pool2d(x, (2, 2, 2)), ValueError, "kernel_size"),
    (lambda x: fastnn.avg_pool2d(x, 2, divisor_override=0), ValueError, "must not be 0"),
    (lambda x: fastnn.avg_pool1d(x, 2), ValueError, r"\(N, C, L\)"),
    (lambda x: fastnn.max_pool2d(x[0, 0], 2), ValueError, r"\(N, C, H, W\)"),
    (lambda x: fastnn.adaptive_avg_pool2d(x, 0), ValueError, "output_size must be 1 or more"),
    (lambda x: fastnn.adaptive_avg_pool2d(x, (1, 2, 3)), ValueError, "output_size"),
    (lambda x: fastnn.max_pool2d(x.astype("int64"), 2), TypeError, "float"),
    (lambda x: fastnn.max_pool2d(x[:, :, :0], 2), ValueError, "no pixels"),
]


@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(Tensor(images(2, 3, 8, 8)))


def test_places_that_no_forward_pass_made_stay_within_the_image():
    """Ops are called with memory that anybody may have written."""
    scalars = (3, 3, 2, 2, 1, 1, 1, 1)
    dy = np.ones((1, 4, 4, 2), "float32")
    places = np.full((1, 4, 4, 2), 255, "uint8")
    dx, y = Tensor(np.full((1, 8, 8, 2), 7, "float32")), Tensor(np.full((1, 4, 4, 2), 7, "float32"))
    _core.launch(op.max_pool_grad, (Tensor(dy), Tensor(places), None, dx), scalars)
    _core.launch(op.max_pool_at, (dx, Tensor(places), y), scalars)
    assert not dx.numpy().any() and not y.numpy().any()


def test_the_gradient_behind_a_relu():
    """max_pool_grad with y is the gradient of max_pool(relu(x)): the same bits as both gradients."""
    x, scalars = images(2, 6, 9, 10), (3, 3, 2, 2, 1, 1, 1, 1)
    hidden = Tensor(np.ascontiguousarray(np.maximum(x, 0).transpose(0, 2, 3, 1)))
    for dtype in ("uint8", "int32"):
        y, places = fastnn.zeros((2, 5, 5, 6)), fastnn.zeros((2, 5, 5, 6), dtype)
        _core.launch(op.max_pool, (hidden, y, places), scalars)
        dy = Tensor(np.random.default_rng(0).normal(size=y.shape).astype("float32"))
        apart, both, fused = (fastnn.zeros(hidden.shape) for _ in range(3))
        _core.launch(op.max_pool_grad, (dy, places, None, apart), scalars)
        _core.launch(op.relu_grad, (hidden, apart, both), ())
        _core.launch(op.max_pool_grad, (dy, places, y, fused), scalars)
        assert both.numpy().tobytes() == fused.numpy().tobytes()


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("options", [(2, 2, 0), (3, 2, 1), (5, 1, 2), (3, 1, 0)], ids=str)
def test_gradients_of_images_that_are_cut(channels, options):
    """Images of many rows are cut into parts; windows over two of them give to the right one."""
    x = Tensor(images(2, channels, 270, 131), requires_grad=True)
    y, index = fastnn.max_pool2d(x, *options, return_indices=True)
    dy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    want = np.zeros((2, channels, 270 * 131))
    for plane in np.ndindex(2, channels):
        np.add.at(want[plane], index.numpy()[plane].ravel(), dy[plane].ravel())
    (got,) = fastnn.grad(y, [x], Tensor(dy))
    np.testing.assert_allclose(got.numpy(), want.reshape(x.shape), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [(5, 1, 2), (5, 3, 1), (6, 2, 0), (5, 1, 0, 2)], ids=str)
def test_gradients_of_one_image_are_those_of_many(options, isa):
    """Large windows that overlap have another way where there are many images, to the same bits."""
    x, dy = images(16, 19, 14, 13), None
    grads = []
    for begin, end in [(0, 16), *((i, i + 1) for i in range(16))]:
        part = Tensor(x[begin:end], requires_grad=True)
        y = fastnn.max_pool2d(part, *options)
        dy = np.random.default_rng(1).normal(size=y.shape).astype("float32") if dy is None else dy
        (grad,) = fastnn.grad(y, [part], Tensor(dy[begin:end]))
        grads.append(grad.numpy())
    np.testing.assert_array_equal(grads[0], np.concatenate(grads[1:]))


LAYERS = {
    "MaxPool2d": (3, 2, 1),
    "AvgPool2d": (3, 2, 1),
    "AdaptiveAvgPool2d": ((3, None),),
    "AdaptiveMaxPool2d": (2,),
    "MaxPool1d": (2,),
    "AvgPool1d": (3, 1, 1),
    "AdaptiveAvgPool1d": (4,),
    "AdaptiveMaxPool1d": (4,),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_like_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*LAYERS[name]), getattr(torch.nn, name)(*LAYERS[name])
    x = images(2, 5, 9, 8) if "2d" in name else images(2, 5, 1, 9)[:, :, 0]
    np.testing.assert_allclose(
        ours(Tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-6, atol=1e-6
    )
    assert not ours.state_dict() and name in repr(ours)


def test_global_layers():
    x = images(2, 5, 9, 8)
    np.testing.assert_allclose(
        nn.GlobalAvgPool2d()(x).numpy(), x.mean((2, 3)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(nn.GlobalMaxPool2d()(x).numpy(), x.max((2, 3)))
    np.testing.assert_array_equal(nn.GlobalMaxPool1d()(x[:, :, 0]).numpy(), x[:, :, 0].max(2))
    assert nn.GlobalAvgPool1d(keepdims=True)(x[:, :, 0]).shape == (2, 5, 1)
    _, dx, dy = forward_and_back(nn.GlobalAvgPool2d(), x)
    np.testing.assert_allclose(dx, np.broadcast_to(dy[:, :, None, None] / 72, x.shape), rtol=1e-6)
