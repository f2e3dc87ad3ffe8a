"""Layer, RMS and batch norm: values, statistics and gradients against float64 numpy and PyTorch."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import Tensor


def normalised(x, axes, eps, center=True):
    mean = x.mean(axes, keepdims=True) if center else 0
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


def gradient(x, dy, w, axes, eps, center=True):
    """dx by the textbook formula in float64; w broadcasts to x."""
    rstd = 1 / np.sqrt(
        (x.var(axes, keepdims=True) if center else (x * x).mean(axes, keepdims=True)) + eps
    )
    h, g = normalised(x, axes, eps, center), dy * w
    flat = g.mean(axes, keepdims=True) if center else 0
    return rstd * (g - flat - h * (g * h).mean(axes, keepdims=True)), h


def data(*shapes, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(s) * 2 + 1).astype(dtype) for s in shapes]


ROWS = [
    ((3, 1), 1),
    ((4, 7), 1),
    ((5, 33), 1),
    ((2, 3, 16), 2),
    ((2, 5, 3), 1),
    ((300, 17), 1),
    ((3, 5000), 1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "count"), ROWS, ids=str)
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_rows(name, shape, count, dtype, isa):
    tol = 2e-5 if dtype == "float32" else 1e-12
    inner = shape[len(shape) - count :]
    x, dy, w, b = data(shape, shape, inner, inner, dtype=dtype)
    axes, center = tuple(range(len(shape) - count, len(shape))), name == "layer_norm"
    lead = tuple(range(len(shape) - count))
    for affine in (True, False):
        a, v, c = (
            Tensor(x, requires_grad=True),
            Tensor(w, requires_grad=True),
            Tensor(b, requires_grad=True),
        )
        if center:
            y = fn.layer_norm(a, inner, *((v, c) if affine else (None, None)), 1e-3)
        else:
            y = fn.rms_norm(a, inner, v if affine else None, 1e-3)
        wide = (x.astype("f8"), dy.astype("f8"), w.astype("f8") if affine else np.ones(inner))
        dx, h = gradient(*wide, axes, 1e-3, center)
        want = h * wide[2] + (b if affine and center else 0)
        np.testing.assert_allclose(y.numpy(), want, rtol=tol, atol=tol)
        y.backward(Tensor(np.asfortranarray(dy)))
        np.testing.assert_allclose(a.grad.numpy(), dx, rtol=tol, atol=tol * 5)
        if affine:
            scale = tol * np.sqrt(max(1, x.size // w.size))
            np.testing.assert_allclose(
                v.grad.numpy(), (wide[1] * h).sum(lead), rtol=tol, atol=scale
            )
            if center:
                np.testing.assert_allclose(c.grad.numpy(), wide[1].sum(lead), rtol=tol, atol=scale)


CHANNELS = [
    (2, 1),
    (5, 3),
    (131, 17),
    (300, 600),
    (2, 3, 5),
    (4, 33, 7),
    (3, 2, 2500),
    (70, 3, 100),
    (2, 3, 4, 5),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", CHANNELS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape, training, dtype, isa):
    tol = 3e-5 if dtype == "float32" else 1e-12
    c = (shape[1],)
    x, dy, w, b, mean, var = data(shape, shape, c, c, c, c, dtype=dtype)
    var = abs(var) + np.asarray(0.5, dtype)
    wide = (1, shape[1]) + (1,) * (len(shape) - 2)
    axes = (0, *range(2, len(shape)))
    a, v, o = (
        Tensor(x, requires_grad=True),
        Tensor(w, requires_grad=True),
        Tensor(b, requires_grad=True),
    )
    running = Tensor(mean.copy()), Tensor(var.copy())
    y = fn.batch_norm(a, *running, v, o, training=training, momentum=0.2, eps=1e-3)
    x, dy, w = x.astype("f8"), dy.astype("f8"), w.astype("f8").reshape(wide)
    if training:
        dx, h = gradient(x, dy, w, axes, 1e-3)
        moved = 0.8 * mean + 0.2 * x.mean(axes), 0.8 * var + 0.2 * x.var(axes, ddof=1)
    else:
        rstd = 1 / np.sqrt(var.astype("f8").reshape(wide) + 1e-3)
        h = (x - mean.reshape(wide)) * rstd
        dx, moved = dy * w * rstd, (mean, var)
    np.testing.assert_allclose(y.numpy(), h * w + b.reshape(wide), rtol=tol, atol=tol)
    for got, want in zip(running, moved, strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=tol, atol=tol)
    y.backward(Tensor(np.asfortranarray(dy.astype(dtype))))
    scale = tol * np.sqrt(x.size / shape[1])
    np.testing.assert_allclose(a.grad.numpy(), dx, rtol=tol, atol=tol * 5)
    np.testing.assert_allclose(v.grad.numpy(), (dy * h).sum(axes), rtol=tol, atol=scale)
    np.testing.assert_allclose(o.grad.numpy(), dy.sum(axes), rtol=tol, atol=scale)


def test_running_statistics_over_all_batches():
    mean, var, count = fn.zeros(3), fn.ones(3), Tensor(0)
    batches = [np.float32(x) for x in data((8, 3), (8, 3), (8, 3))]
    for x in batches:
        fn.batch_norm(x, mean, var, training=True, momentum=None, num_batches_tracked=count)
    assert count.item() == 3
    np.testing.assert_allclose(mean.numpy(), np.mean([x.mean(0) for x in batches], 0), rtol=1e-5)
    np.testing.assert_allclose(
        var.numpy(), np.mean([x.var(0, ddof=1) for x in batches], 0), rtol=1e-5
    )
    with pytest.raises(ValueError, match="num_batches_tracked"):
        fn.batch_norm(batches[0], mean, var, training=True, momentum=None)


def run(name, x, dy, w, b):
    a, v, o = (Tensor(t, requires_grad=True) for t in (x, w, b))
    if name == "batch_norm":
        y = fn.batch_norm(a, None, None, v, o, training=True)
    elif name == "layer_norm":
        y = fn.layer_norm(a, x.shape[-1], v, o)
    else:
        y = fn.rms_norm(a, x.shape[-1], v)
    y.backward(Tensor(dy))
    return y, *(t.grad for t in (a, v, o) if t.grad is not None)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "batch_norm"])
@pytest.mark.parametrize("shape", [(3000, 65), (40, 3, 800), (4, 3, 5000), (2, 50_000)], ids=str)
def test_same_bits_at_any_thread_count(name, shape, isa):
    c = shape[1] if name == "batch_norm" else shape[-1]
    arrays = data(shape, shape, c, c, dtype="float32")
    results = set()
    for count in (1, 2, 4):
        fn.set_num_threads(count)
        results.add(b"".join(t.numpy().tobytes() for t in run(name, *arrays)))
    assert len(results) == 1


def test_a_mean_far_from_zero():
    """E[x^2] - E[x]^2 has no right digit here."""
    x = np.float32(np.random.default_rng(0).standard_normal((64, 48)) + 1e4)
    want = x.astype("f8")
    y = fn.layer_norm(x, 48).numpy()
    np.testing.assert_allclose(y, normalised(want, 1, 1e-5), atol=2e-3)
    y = fn.batch_norm(x, None, None, training=True).numpy()
    np.testing.assert_allclose(y, normalised(want, 0, 1e-5), atol=2e-3)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "batch_norm", "batch_norm_eval"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 4)], ids=str)
def test_gradients_of_every_order(name, shape):
    c = shape[1] if "batch" in name else shape[-1]
    x, w, b, mean, var = data(shape, c, c, c, c)
    mean, var = Tensor(mean), Tensor(abs(var) + 0.5)
    functions = {
        "layer_norm": lambda x, w, b: fn.layer_norm(x, c, w, b),
        "rms_norm": lambda x, w, b: fn.rms_norm(x, c, w) + b,
        "batch_norm": lambda x, w, b: fn.batch_norm(x, None, None, w, b, training=True),
        "batch_norm_eval": lambda x, w, b: fn.batch_norm(x, mean, var, w, b),
    }
    function = functions[name]
    tensors = [Tensor(t, requires_grad=True) for t in (x, w, b)]
    fn.gradcheck(function, tensors)
    for i in range(2):

        def first(t, i=i):
            with fn.enable_grad():
                t = t if t.requires_grad else Tensor(t, requires_grad=True)
                at = [*tensors[:i], t, *tensors[i + 1 :]]
                y = function(*at)
                return fn.grad((y * y * y).sum(), t, create_graph=True)

        fn.gradcheck(first, [tensors[i]])


def test_only_some_gradients():
    x, dy, w = data((6, 5), (6, 5), 5)
    w = Tensor(w, requires_grad=True)
    for y in (
        fn.layer_norm(x, 5, w),
        fn.rms_norm(x, 5, w),
        fn.batch_norm(x, None, None, w, training=True),
    ):
        w.grad = None
        y.backward(Tensor(dy))
        assert w.grad.shape == (5,)


def test_strided_input():
    x = data((6, 10))[0]
    for view in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x[::-1].copy()[::-1]):
        np.testing.assert_array_equal(fn.layer_norm(view, 10).numpy(), fn.layer_norm(x, 10).numpy())
        got = fn.batch_norm(view, None, None, training=True).numpy()
        np.testing.assert_array_equal(got, fn.batch_norm(x, None, None, training=True).numpy())


def test_empty():
    w = fn.ones(3, requires_grad=True)
    for y in (fn.layer_norm(fn.zeros((0, 3)), 3, w), fn.rms_norm(fn.zeros((0, 3)), 3, w)):
        w.grad = None
        y.sum().backward()
        assert y.shape == (0, 3)
        assert w.grad.tolist() == [0, 0, 0]
    mean = fn.zeros(3)
    assert fn.batch_norm(fn.zeros((0, 3)), mean, fn.ones(3), training=True).shape == (0, 3)
    assert mean.tolist() == [0, 0, 0]


def test_bad_input():
    x = fn.zeros((4, 3))
    with pytest.raises(ValueError, match=r"last axes of x must be \(4,\), its shape is \(4, 3\)"):
        fn.layer_norm(x, 4)
    with pytest.raises(ValueError, match=r"weight has shape \(4,\) but must be \(3,\)"):
        fn.layer_norm(x, 3, fn.ones(4))
    with pytest.raises(TypeError, match="astype"):
        fn.layer_norm(Tensor([1, 2]), 2)
    with pytest.raises(TypeError, match="weight is float64 and x float32"):
        fn.rms_norm(x, 3, fn.ones(3, "float64"))
    with pytest.raises(ValueError, match="more than one value"):
        fn.batch_norm(fn.zeros((1, 3)), None, None, training=True)
    with pytest.raises(ValueError, match="running statistics"):
        fn.batch_norm(x, None, None)
    with pytest.raises(ValueError, match="running_mean has shape"):
        fn.batch_norm(x, fn.zeros(4), fn.ones(3))
    with pytest.raises(ValueError, match=r"\(N, C\)"):
        fn.batch_norm(fn.zeros(3), None, None, training=True)


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm"])
def test_against_torch(name):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    for shape in ((8, 5), (4, 5, 6)):
        c = shape[-1] if name == "layer_norm" else 5
        x, dy, w, b = data(shape, shape, c, c)
        mine = [Tensor(t, requires_grad=True) for t in (x, w, b)]
        theirs = [torch.tensor(t, requires_grad=True) for t in (x, w, b)]
        if name == "layer_norm":
            y, z = fn.layer_norm(mine[0], c, *mine[1:]), f.layer_norm(theirs[0], (c,), *theirs[1:])
        else:
            y = fn.batch_norm(mine[0], None, None, *mine[1:], training=True)
            z = f.batch_norm(theirs[0], None, None, *theirs[1:], training=True)
        y.backward(Tensor(dy))
        z.backward(torch.tensor(dy))
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
        for a, t in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-12)
