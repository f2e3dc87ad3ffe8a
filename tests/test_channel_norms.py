"""Batch, group and instance normalisation of images whose channels come last in memory: values and
gradients against float64 numpy, bits, layouts; fused with a residual and an activation."""

import numpy as np
import pytest

import fastnn as fn
from conftest import using_threads
from fastnn import Tensor, nn

LIMITS = {None: (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6)}
# (N, H, W, C): more and fewer channels than lanes, that divide them and not; more than a kernel's row has
IMAGES = [
    (2, 3, 5, 1), (3, 2, 2, 3), (2, 9, 7, 16), (5, 3, 3, 17), (1, 2, 2, 24), (4, 8, 8, 64), (2, 5, 1, 65),
    (3, 4, 4, 300), (2, 2, 3, 600), (7, 21, 20, 16),
]  # fmt: skip


def images(x, **options):
    """A tensor (N, C, H, W) on the memory of (N, H, W, C)."""
    return Tensor(np.asarray(x).transpose(0, 3, 1, 2), **options)


def order(x):
    """The strides along axes that say something."""
    return [s for s, n in zip(x.strides, x.shape, strict=True) if n > 1]


def normalise(x, dy, w, b, residual, limits, axes, groups=None, eps=1e-3):
    """y, dx, dw, db, dresidual by the textbook, in float64; channels last."""
    x, dy, w, b = (a.astype("f8") for a in (x, dy, w, b))
    shape = x.shape
    if groups:
        n, c = shape[0], shape[-1]
        split = (n, x.size // (n * c), groups, c // groups)
        axes, x = (1, 3), x.reshape(split)
    rstd = 1 / np.sqrt(x.var(axes, keepdims=True) + eps)
    h = (x - x.mean(axes, keepdims=True)) * rstd
    y = h.reshape(shape) * w + b + (0 if residual is None else residual)
    g = np.where((y > limits[0]) & (y < limits[1]), dy, 0)
    gw = (g * w).reshape(h.shape)
    dx = rstd * (gw - gw.mean(axes, keepdims=True) - h * (gw * h).mean(axes, keepdims=True))
    others = tuple(range(len(shape) - 1))
    dw, db = (g * h.reshape(shape)).sum(others), g.sum(others)
    return np.clip(y, *limits), dx.reshape(shape), dw, db, g


def draw(shape, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    c = shape[-1]
    x, dy, r = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    w, b = (rng.uniform(-2, 2, c).astype(dtype) for _ in range(2))
    return 2 * x + 3, dy, w, b, r


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
@pytest.mark.parametrize("with_residual", [False, True])
def test_batch_norm(shape, activation, with_residual, dtype, isa):
    x, dy, w, b, r = draw(shape, dtype)
    r = 4 * r if with_residual else None
    want = normalise(x, dy, w, b, r, LIMITS[activation], (0, 1, 2))
    arrays = [images(x, requires_grad=True), Tensor(w, requires_grad=True)]
    arrays += [Tensor(b, requires_grad=True)]
    arrays += [images(r, requires_grad=True)] if with_residual else []
    y = fn.batch_norm(
        arrays[0], None, None, *arrays[1:3], True, eps=1e-3, activation=activation,
        residual=arrays[3] if with_residual else None,
    )  # fmt: skip
    y.backward(images(dy))
    got = [y.detach(), *(a.grad for a in arrays)]
    tol = 4e-5 if dtype == "float32" else 1e-11
    for g, e in zip(got, want, strict=False):
        g = g.numpy().transpose(0, 2, 3, 1) if g.ndim == 4 else g.numpy()
        room = np.sqrt(x.size / shape[-1]) if e.ndim == 1 else 2
        near = np.abs(g - e) <= tol * (room + np.abs(e))
        assert near.mean() > 0.999, np.abs(g - e).max()  # a y at a limit may be on either side


@pytest.mark.parametrize("shape", [s for s in IMAGES if s[0] < 5], ids=str)
@pytest.mark.parametrize("rows", [False, True])
def test_group_and_instance_norm(shape, rows, isa):
    x, dy, w, b, _ = draw(shape)
    c = shape[-1]
    for groups in sorted({g for g in (1, 3, c) if c % g == 0}):
        want = normalise(x, dy, w, b, None, LIMITS[None], None, groups)
        a, v, o = images(x), Tensor(w, requires_grad=True), Tensor(b, requires_grad=True)
        a = Tensor(np.ascontiguousarray(a.numpy()) if rows else a, requires_grad=True)
        if groups == c and x[0].size > c:
            y = fn.instance_norm(a, None, None, v, o, eps=1e-3)
        else:
            y = fn.group_norm(a, groups, v, o, 1e-3)
        assert order(y) == order(a)
        y.backward(images(dy))
        assert order(a.grad) == order(a)
        got = [y.detach(), a.grad, v.grad, o.grad]
        for g, e in zip(got, want, strict=False):
            g = g.numpy().transpose(0, 2, 3, 1) if g.ndim == 4 else g.numpy()
            scale = np.sqrt(x.size / c) if e.ndim == 1 else 1
            np.testing.assert_allclose(g, e, rtol=2e-4, atol=2e-4 * scale)


def step(x, dy, w, b, r, fused, activation):
    """The results of a block's end and its gradients, by one call or by three."""
    arrays = [images(x, requires_grad=True), *(Tensor(a, requires_grad=True) for a in (w, b))]
    arrays += [] if r is None else [images(r, requires_grad=True)]
    running = fn.zeros(len(w)), fn.ones(len(w)), Tensor(0)
    residual = None if r is None else arrays[3]
    options = {"training": True, "num_batches_tracked": running[2]}
    if fused:
        options |= {"residual": residual, "activation": activation}
    y = fn.batch_norm(arrays[0], *running[:2], *arrays[1:3], **options)
    if not fused:
        y = y if residual is None else y + residual
        y = getattr(fn, activation)(y) if activation else y
    y.backward(images(dy))
    return [y.detach(), *(a.grad for a in arrays), *running]


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
@pytest.mark.parametrize("with_residual", [False, True])
def test_fused_gives_the_bits_of_separate_calls(shape, activation, with_residual, isa):
    x, dy, w, b, r = draw(shape)
    r = r if with_residual else None
    one, three = (step(x, dy, w, b, r, fused, activation) for fused in (True, False))
    for a, e in zip(one, three, strict=True):
        np.testing.assert_array_equal(a.numpy(), e.numpy())


@pytest.mark.parametrize("shape", [(9, 40, 40, 16), (3, 17, 19, 100), (2, 9, 9, 700)], ids=str)
def test_same_bits_at_any_thread_count(shape, isa):
    arrays = draw(shape)
    results = set()
    for count in (1, 2, 3, 5):
        with using_threads(count):
            made = step(*arrays, True, "relu")
            a = images(arrays[0], requires_grad=True)
            fn.group_norm(a, shape[-1] // 2).backward(images(arrays[1]))
        results.add(b"".join(t.numpy().tobytes() for t in (*made, a.grad)))
    assert len(results) == 1


def test_layouts_are_kept():
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype("f4")
    for a in (images(x), Tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))):
        a._requires_grad = True
        for function in (
            lambda a: fn.batch_norm(a, None, None, training=True),
            lambda a: fn.batch_norm(a, fn.zeros(3), fn.ones(3)),
            lambda a: fn.group_norm(a, 3),
            fn.instance_norm,
        ):
            y = function(a)
            assert order(y) == order(a)
            a.grad = None
            y.backward(Tensor(np.ones(a.shape, "f4")))
            assert order(a.grad) == order(a)
    part = images(x)[:, :, 1:4, ::2]  # rows and pixels lie apart
    got = fn.batch_norm(part, None, None, training=True)
    want = fn.batch_norm(part.contiguous(), None, None, training=True)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [0.0, 1e6])
def test_a_mean_far_from_zero(first):
    """Digits are kept where the mean is large, also where the first rows are not like the others."""
    x = np.float32(np.random.default_rng(0).standard_normal((8, 32, 32, 16)) + 1e4)
    x[0, 0, :16] = first
    y = fn.batch_norm(images(x), None, None, training=True).numpy().transpose(0, 2, 3, 1)
    wide = x.astype("f8")
    want = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, want, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((2, 5, 5, 200), 2), ((2, 3, 3, 1200), 3), ((3, 20, 20, 70), 1), ((2, 4, 4, 130), 130)],
    ids=str,
)
def test_wide_groups_of_channels_with_means_far_apart(shape, groups, isa):
    """Groups that are joined in blocks, that reach over the strips of a task, of several chunks."""
    x, dy, w, b, _ = draw(shape)
    x += np.arange(shape[-1], dtype="f4") % 89
    want = normalise(x, dy, w, b, None, LIMITS[None], None, groups)
    a, v, o = images(x, requires_grad=True), Tensor(w, requires_grad=True), Tensor(b)
    y = fn.group_norm(a, groups, v, o, 1e-3)
    y.backward(images(dy))
    for got, e in zip((y.detach(), a.grad), want, strict=False):
        np.testing.assert_allclose(got.numpy().transpose(0, 2, 3, 1), e, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(v.grad.numpy(), want[2], rtol=2e-4, atol=2e-3)


def test_infinite_values_stay_in_their_channel():
    x = draw((4, 8, 8, 16))[0]
    x[0, 0, 0, 3] = np.inf
    y = fn.batch_norm(images(x), None, None, training=True).numpy()
    assert np.isnan(y[:, 3]).all()
    assert np.isfinite(np.delete(y, 3, 1)).all()


@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_every_order(activation, training):
    x, _, w, b, r = draw((2, 3, 1, 4), "float64")
    running = Tensor(np.linspace(-1, 1, 4)), Tensor(np.linspace(1, 2, 4))

    def function(x, w, b, r):
        return fn.batch_norm(
            x, *running, w, b, training, 0.0, residual=r, activation=activation
        )  # fmt: skip

    tensors = [images(x), Tensor(w), Tensor(b), images(r)]
    for t in tensors:
        t._requires_grad = True
    fn.gradcheck(function, tensors)
    for i in (0, 1, 3):

        def first(t, i=i):
            with fn.enable_grad():
                t = t if t.requires_grad else Tensor(t, requires_grad=True)
                y = function(*tensors[:i], t, *tensors[i + 1 :])
                return fn.grad((y * y * y).sum(), t, create_graph=True)

        fn.gradcheck(first, [tensors[i]])


LAYERS = [
    ("BatchNorm2d", (4,), {}, (3, 4, 5, 2)),
    ("BatchNorm2d", (4,), {"momentum": None, "affine": False}, (3, 4, 5, 2)),
    ("BatchNorm2d", (3,), {"momentum": 0.3, "eps": 1e-2}, (6, 3, 1, 1)),
    ("GroupNorm", (2, 6), {}, (3, 6, 4, 5)),
    ("GroupNorm", (3, 6), {"affine": False, "eps": 1e-3}, (2, 6)),
    ("InstanceNorm2d", (4,), {}, (3, 4, 5, 2)),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True}, (3, 4, 5, 2)),
    ("InstanceNorm2d", (4,), {"affine": True}, (4, 5, 2)),
    ("InstanceNorm1d", (4,), {"track_running_stats": True, "momentum": 0.4}, (3, 4, 7)),
    ("InstanceNorm1d", (4,), {}, (4, 7)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
@pytest.mark.parametrize("last", [False, True])
def test_layers_like_torch(name, args, options, shape, last):
    torch = pytest.importorskip("torch")
    ours = getattr(nn, name)(*args, **options)
    theirs = getattr(torch.nn, name)(*args, **options)
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    for mode in (True, True, False):
        ours.train(mode), theirs.train(mode)
        x, dy = (rng.standard_normal(shape).astype("f4") + 1 for _ in range(2))
        if last and len(shape) == 4:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        a, t = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(t)
        y.backward(Tensor(dy)), z.backward(torch.tensor(dy))
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(a.grad.numpy(), t.grad.numpy(), rtol=1e-3, atol=1e-5)
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[key].numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, track_running_stats=True)],
    ids=lambda layer: type(layer).__name__,
)
def test_compiled_steps_are_the_eager_ones(layer):
    x, dy, *_ = draw((3, 5, 4, 4))

    def run(x, dy):
        return fn.grad(fn.relu(layer(x)), [x, *layer.parameters()], dy)

    start = {k: np.array(v.numpy()) for k, v in layer.state_dict().items()}
    results = []
    for function in (run, fn.compile(run)):
        layer.load_state_dict(start)
        for _ in range(3):
            a = images(x, requires_grad=True)
            gradients = function(a, images(dy))
        parts = [*gradients, *layer.state_dict().values()]
        results.append([np.array(p.detach().numpy()) for p in parts])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors():
    x = fn.ones((2, 4, 3, 3))
    for match, call in {
        r"x must be \(N, 3, H, W\), not \(2, 4, 3, 3\)": lambda: nn.BatchNorm2d(3)(x),
        r"x must be \(N, 4, H, W\), not \(4, 3, 3\)": lambda: nn.BatchNorm2d(4)(x[0]),
        r"divisible by num_groups=3": lambda: nn.GroupNorm(3, 4),
        r"must divide the channels, got 3": lambda: fn.group_norm(x, 3),
        r"GroupNorm: x must be \(N, 6, ...\)": lambda: nn.GroupNorm(3, 6)(x),
        r"\(N, 3, H, W\) or \(3, H, W\)": lambda: nn.InstanceNorm2d(3)(x),
        r"more than one value": lambda: nn.InstanceNorm2d(4)(x[:, :, :1, :1]),
        r"residual must be float32": lambda: fn.batch_norm(
            x, None, None, training=True, residual=x[:1]
        ),
        r"activation must be one of": lambda: fn.batch_norm(
            x, None, None, training=True, activation="tanh"
        ),
        r"use_input_stats=True": lambda: fn.instance_norm(x, use_input_stats=False),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="residual must be a tensor"):
        fn.batch_norm(x, None, None, training=True, residual=1.0)
    with pytest.raises(TypeError, match="expected a float tensor"):
        nn.BatchNorm2d(4)(fn.ones((2, 4, 3, 3), dtype="uint8"))
