"""Losses: values and gradients against float64 formulas, and PyTorch where it is installed."""

import itertools

import numpy as np
import pytest

import fastnn as fn
from fastnn import Tensor, losses

RNG = np.random.default_rng


def softplus(x):
    return np.logaddexp(0, x)


def log_softmax(x):
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def xlogy(t, x):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(t == 0, 0, t * np.log(x))


def rowwise_cosine(x, t):
    return (x * t).sum(-1) / np.sqrt(((x * x).sum(-1) + 1e-12) * ((t * t).sum(-1) + 1e-12))


def positive(shape, rng):
    return rng.uniform(0.1, 2, shape)


def probabilities(shape, rng):
    p = rng.uniform(0.05, 1, shape)
    return p / p.sum(-1, keepdims=True)


def normal(shape, rng):
    return rng.standard_normal(shape) * 2


def signs(shape, rng):
    return rng.choice([-1.0, 1.0], shape)


def zero_one(shape, rng):
    return rng.choice([0.0, 1.0], shape)


def log_p(shape, rng):
    return np.log(probabilities(shape, rng))


# name, options, makers of the inputs, float64 reference of the losses
ELEMENTS = [
    ("mse", {}, (normal, normal), lambda x, t: (x - t) ** 2),
    ("mae", {}, (normal, normal), lambda x, t: np.abs(x - t)),
    ("huber", {}, (normal, normal),
     lambda x, t: np.where(abs(x - t) < 1, (x - t) ** 2 / 2, abs(x - t) - 0.5)),
    ("huber", {"delta": 2.5}, (normal, normal),
     lambda x, t: np.where(abs(x - t) < 2.5, (x - t) ** 2 / 2, 2.5 * (abs(x - t) - 1.25))),
    ("bce", {}, (probabilities, probabilities), lambda x, t: -(xlogy(t, x) + xlogy(1 - t, 1 - x))),
    ("bce_with_logits", {}, (normal, zero_one), lambda x, t: softplus(x) - x * t),
    ("bce_with_logits", {"pos_weight": 3.0}, (normal, zero_one),
     lambda x, t: (1 - t) * softplus(x) + 3 * t * softplus(-x)),
    ("kl_divergence", {}, (log_p, probabilities), lambda x, t: xlogy(t, t) - t * x),
    ("kl_divergence", {"log_target": True}, (log_p, log_p), lambda x, t: np.exp(t) * (t - x)),
    ("hinge", {}, (normal, signs), lambda x, t: np.maximum(0, 1 - x * t)),
    ("squared_hinge", {}, (normal, signs), lambda x, t: np.maximum(0, 1 - x * t) ** 2),
    ("poisson_nll", {}, (normal, positive), lambda x, t: np.exp(x) - t * x),
    ("poisson_nll", {"log_input": False}, (positive, positive),
     lambda x, t: x - t * np.log(x + 1e-8)),
    ("poisson_nll", {"full": True}, (normal, lambda s, r: r.integers(0, 9, s).astype(float)),
     lambda x, t: np.exp(x) - t * x
     + np.where(t > 1, xlogy(t, t) - t + 0.5 * np.log(2 * np.pi * np.maximum(t, 1)), 0)),
    ("gaussian_nll", {}, (normal, normal, positive),
     lambda x, t, v: 0.5 * (np.log(v) + (x - t) ** 2 / v)),
    ("gaussian_nll", {"full": True}, (normal, normal, positive),
     lambda x, t, v: 0.5 * (np.log(v) + (x - t) ** 2 / v + np.log(2 * np.pi))),
    ("focal", {"alpha": None, "gamma": 0}, (normal, zero_one), lambda x, t: softplus(x) - x * t),
    ("focal", {}, (normal, zero_one),
     lambda x, t: (softplus(x) - x * t) * abs(t - 1 / (1 + np.exp(-x))) ** 2
     * np.where(t == 1, 0.25, 0.75)),
]  # fmt: skip
ROWS = [
    ("cosine", {}, (normal, normal), lambda x, t: 1 - rowwise_cosine(x, t)),
    ("triplet_margin", {}, (normal,) * 3,
     lambda a, p, n: np.maximum(0, np.linalg.norm(a - p + 1e-6, axis=-1)
                                - np.linalg.norm(a - n + 1e-6, axis=-1) + 1)),
    ("triplet_margin", {"p": 1, "margin": 2.0, "swap": True}, (normal,) * 3,
     lambda a, p, n: np.maximum(0, abs(a - p + 1e-6).sum(-1)
                                - np.minimum(abs(a - n + 1e-6).sum(-1), abs(p - n + 1e-6).sum(-1))
                                + 2)),
    ("triplet_margin", {"p": 3}, (normal,) * 3,
     lambda a, p, n: np.maximum(0, (abs(a - p + 1e-6) ** 3).sum(-1) ** (1 / 3)
                                - (abs(a - n + 1e-6) ** 3).sum(-1) ** (1 / 3) + 1)),
]  # fmt: skip
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(ELEMENTS + ROWS)]


def made(makers, shape, seed=0):
    rng = RNG(seed)
    return [make(shape, rng) for make in makers]


def reduce(l, how):
    return l.mean() if how == "mean" else l.sum() if how == "sum" else l


@pytest.mark.parametrize(("name", "options", "makers", "formula"), ELEMENTS + ROWS, ids=IDS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (33, 65)], ids=str)
def test_values(name, options, makers, formula, shape, isa):
    for dtype, tol in (("float32", 2e-5), ("float64", 1e-12)):
        arrays = [a.astype(dtype) for a in made(makers, shape)]
        want = formula(*(a.astype("f8") for a in arrays))
        weight = RNG(1).uniform(0, 2, shape[0])
        for how in ("none", "sum", "mean"):
            got = getattr(losses, name)(*map(Tensor, arrays), **options, reduction=how)
            np.testing.assert_allclose(got.numpy(), reduce(want, how), rtol=tol, atol=tol)
            assert got.dtype == dtype
            wide = weight.reshape(weight.shape + (1,) * (want.ndim - 1)) * want
            got = getattr(losses, name)(
                *map(Tensor, arrays), **options, reduction=how, sample_weight=weight
            )
            np.testing.assert_allclose(got.numpy(), reduce(wide, how), rtol=tol, atol=tol)


@pytest.mark.parametrize(("name", "options", "makers", "formula"), ELEMENTS + ROWS, ids=IDS)
def test_gradients(name, options, makers, formula):
    arrays = made(makers, (4, 3), seed=3)
    loss = getattr(losses, name)
    for how in ("none", "sum", "mean"):
        tensors = [Tensor(a, requires_grad=i == 0) for i, a in enumerate(arrays)]
        fn.gradcheck(lambda *xs, how=how: loss(*xs, **options, reduction=how), tensors)
        weight = np.array([0.5, 0, 2, 1])
        fn.gradcheck(
            lambda *xs, how=how, w=weight: loss(*xs, **options, reduction=how, sample_weight=w),
            tensors,
        )
    if all(make in (normal, positive, probabilities, log_p) for make in makers):
        fn.gradcheck(
            lambda *xs: loss(*xs, **options), [Tensor(a, requires_grad=True) for a in arrays]
        )


@pytest.mark.parametrize(
    ("name", "options", "makers", "formula"), ELEMENTS, ids=IDS[: len(ELEMENTS)]
)
def test_recorded_backward_agrees_with_the_fused_one(name, options, makers, formula):
    arrays = made(makers, (5, 7), seed=5)
    for how in ("none", "mean"):
        xs = [Tensor(a, requires_grad=i == 0) for i, a in enumerate(arrays)]
        y = getattr(losses, name)(*xs, **options, reduction=how)
        seed = fn.full(y.shape, 1.5, "float64")
        plain = fn.grad(y, xs[0], seed, retain_graph=True)
        recorded = fn.grad(y, xs[0], seed, create_graph=True)
        np.testing.assert_allclose(plain.numpy(), recorded.numpy(), rtol=1e-10, atol=1e-13)


def test_second_derivatives():
    def second(loss, x, *rest):
        def first(x):
            with fn.enable_grad():
                x = x if x.requires_grad else Tensor(x, requires_grad=True)
                return fn.grad(loss(x, *rest), x, create_graph=True)

        fn.gradcheck(first, [Tensor(x, requires_grad=True)])

    x, t = made((normal, normal), (4, 3))
    labels = np.array([0, 2, -100, 1])
    second(losses.mse, x, t)
    second(losses.bce_with_logits, x, (t > 0).astype("f8"))
    second(
        lambda x, t: losses.cross_entropy(x, t, label_smoothing=0.1, weight=[1, 2, 3]), x, labels
    )
    second(losses.cross_entropy, x, probabilities((4, 3), RNG(0)))


# --- classes ---


def cross_entropy_reference(x, t, weight, smoothing, ignore, how):
    """PyTorch's documentation, in float64; x (N, C), t labels or probabilities."""
    n, c = x.shape
    w = np.ones(c) if weight is None else weight
    log_p = log_softmax(x)
    if t.ndim == 2:
        l = -(log_p * (t * (1 - smoothing) + smoothing / c) * w).sum(1)
        return l.sum() / n if how == "mean" else reduce(l, how)
    keep = t != ignore
    safe = np.where(keep, t, 0)
    l = -(1 - smoothing) * w[safe] * log_p[np.arange(n), safe] - smoothing / c * (log_p * w).sum(1)
    l = np.where(keep, l, 0)
    return l.sum() / (w[safe] * keep).sum() if how == "mean" else reduce(l, how)


CLASS_OPTIONS = list(itertools.product((0.0, 0.1), (False, True), ("none", "sum", "mean")))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (33, 17), (6, 5000), (2000, 9)], ids=str)
def test_cross_entropy(shape, soft, isa):
    rng = RNG(0)
    for dtype, tol in (("float32", 2e-5), ("float64", 1e-12)):
        x = normal(shape, rng).astype(dtype)
        t = probabilities(shape, rng).astype(dtype) if soft else rng.integers(0, shape[1], shape[0])
        if not soft and shape[0] > 2:
            t[1] = -100
        for smoothing, weighted, how in CLASS_OPTIONS:
            w = rng.uniform(0.5, 2, shape[1]).astype(dtype) if weighted else None
            want = cross_entropy_reference(x.astype("f8"), t, w, smoothing, -100, how)
            for labels in [t] if soft else [t, t.astype("i4")]:
                got = losses.cross_entropy(
                    Tensor(x), Tensor(labels), weight=w, label_smoothing=smoothing, reduction=how
                )
                np.testing.assert_allclose(got.numpy(), want, rtol=tol, atol=tol)


@pytest.mark.parametrize("soft", [False, True])
def test_gradients_of_cross_entropy(soft):
    rng = RNG(0)
    x = normal((4, 5), rng)
    t = probabilities((4, 5), rng) if soft else np.array([0, 4, -100, 2])
    for smoothing, weighted, how in CLASS_OPTIONS:
        options = {
            "label_smoothing": smoothing,
            "reduction": how,
            "sample_weight": [1.0, 2.0, 0.5, 0.0],
        }
        options["weight"] = rng.uniform(0.5, 2, 5) if weighted else None
        inputs = [Tensor(x, requires_grad=True), Tensor(t)]
        fn.gradcheck(lambda x, t, o=options: losses.cross_entropy(x, t, **o), inputs)
        if soft:
            inputs[1].requires_grad = True
            fn.gradcheck(lambda x, t, o=options: losses.cross_entropy(x, t, **o), inputs)
        y = losses.cross_entropy(*inputs, **options)
        seed = fn.ones(y.shape, "float64")
        recorded = fn.grad(y, inputs[0], seed, create_graph=True)
        plain = fn.grad(losses.cross_entropy(inputs[0], Tensor(t), **options), inputs[0], seed)
        np.testing.assert_allclose(plain.numpy(), recorded.numpy(), rtol=1e-10, atol=1e-14)


def test_nll_is_cross_entropy_of_log_probabilities():
    rng = RNG(0)
    x, t, w = normal((6, 4), rng), np.array([0, 3, -100, 2, 1, 0]), rng.uniform(0.5, 2, 4)
    for how in ("none", "sum", "mean"):
        for weight in (None, w):
            got = losses.nll(Tensor(log_softmax(x)), t, weight=weight, reduction=how)
            np.testing.assert_allclose(
                got.numpy(), cross_entropy_reference(x, t, weight, 0, -100, how)
            )
            fn.gradcheck(
                lambda x, weight=weight, how=how: losses.nll(x, t, weight=weight, reduction=how),
                [Tensor(x, requires_grad=True)],
            )


def test_more_axes_and_none():
    rng = RNG(0)
    x, t = normal((2, 5, 3, 4), rng), rng.integers(0, 5, (2, 3, 4))
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 5)
    want = cross_entropy_reference(rows, t.ravel(), None, 0.1, -100, "none").reshape(t.shape)
    got = losses.cross_entropy(Tensor(x), t, label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(got.numpy(), want)
    fn.gradcheck(
        lambda x: losses.cross_entropy(x, t, sample_weight=[1.0, 3.0]),
        [Tensor(x, requires_grad=True)],
    )
    one = losses.cross_entropy(Tensor(x[0, :, 0, 0]), Tensor(t[0, 0, 0]))
    np.testing.assert_allclose(
        one.item(), losses.cross_entropy(Tensor(rows[:1]), t.ravel()[:1]).item()
    )


def test_strided_logits():
    rng = RNG(0)
    x, t = normal((6, 4), rng).astype("f4"), rng.integers(0, 4, 6)
    want = losses.cross_entropy(Tensor(x), t).item()
    for view in (np.asfortranarray(x), np.repeat(x, 2, 0)[::2], np.repeat(x, 2, 1)[:, ::2]):
        a = Tensor(view, requires_grad=True)
        y = losses.cross_entropy(a, np.repeat(t, 2)[::2])
        assert y.item() == want
        y.backward()
        np.testing.assert_allclose(a.grad.numpy().sum(), 0, atol=1e-6)


@pytest.mark.parametrize("name", ["mse", "bce_with_logits", "cross_entropy", "soft"])
def test_same_bits_at_any_thread_count(name, isa):
    rng = RNG(0)
    x, t = normal((5000, 40), rng).astype("f4"), rng.uniform(0, 1, (5000, 40)).astype("f4")
    loss = losses.get("cross_entropy" if name == "soft" else name)
    if name == "cross_entropy":
        t = rng.integers(0, 40, 5000)
    results = set()
    for count in (1, 2, 4):
        fn.set_num_threads(count)
        a = Tensor(x, requires_grad=True)
        y = loss(a, t)
        y.backward()
        results.add(y.numpy().tobytes() + a.grad.numpy().tobytes())
    assert len(results) == 1


# --- extremes and bad input ---


def test_where_naive_formulas_overflow():
    big = [1e4, -1e4, 0.0]
    np.testing.assert_allclose(
        losses.bce_with_logits(big, [0.0, 1.0, 1.0], reduction="none").numpy(),
        [1e4, 1e4, np.log(2)],
    )
    np.testing.assert_allclose(
        losses.bce_with_logits([-30.0], [0.0]).item(), np.exp(-30.0), rtol=1e-5
    )
    x = Tensor([-30.0], requires_grad=True)
    losses.bce_with_logits(x, [0.0]).backward()
    np.testing.assert_allclose(x.grad.item(), np.exp(-30.0), rtol=1e-5)
    np.testing.assert_allclose(
        losses.bce([0.0, 1.0], [1.0, 0.0], reduction="none").numpy(), [100, 100]
    )
    assert losses.cross_entropy([[1e30, 0.0]], [0]).item() == 0
    np.testing.assert_allclose(losses.cross_entropy([[1e30, 0.0]], [1]).item(), 1e30)
    x = Tensor([[1e4 + 1, 1e4]], requires_grad=True)  # the gradient is that of [1, 0]
    losses.cross_entropy(x, [1]).backward()
    p = np.exp(1) / (1 + np.exp(1))
    np.testing.assert_allclose(x.grad.numpy(), [[p, -p]], rtol=1e-6)
    masked = losses.cross_entropy([[0.0, -np.inf, 0.0]], [2])
    np.testing.assert_allclose(masked.item(), np.log(2), rtol=1e-6)
    assert losses.kl_divergence([[0.0, -1.0]], [[1.0, 0.0]], reduction="sum").item() == 0


@pytest.mark.parametrize("name", [name for name, *_ in ELEMENTS if "gaussian" not in name])
def test_nan_is_passed_on(name):
    got = getattr(losses, name)([0.5, np.nan], [0.5, 1.0], reduction="none").numpy()
    assert np.isfinite(got[0])
    assert np.isnan(got[1])


def test_nan_logits():
    assert np.isnan(losses.cross_entropy([[np.nan, 0.0]], [1]).item())


def test_labels_out_of_range():
    x = Tensor(np.zeros((4, 10), "f4"), requires_grad=True)
    for loss in (losses.cross_entropy, losses.nll):
        with pytest.raises(ValueError, match=r"label 12 at position 2 is not one of 10 classes"):
            loss(x, [0, 9, 12, -1])
        with pytest.raises(ValueError, match=r"label -1 at position 3"):
            loss(x, [0, 9, 1, -1])
        assert np.isfinite(loss(x, [0, 9, 1, -1], ignore_index=-1).item())
    with pytest.raises(ValueError, match=r"label 7 at position \(1, 0\)"):
        losses.cross_entropy(np.zeros((2, 3, 2), "f4"), [[0, 0], [7, 0]])
    with pytest.raises(TypeError, match="class indices as integers"):
        losses.cross_entropy(x, [0.0, 1.0, 2.0, 3.0])
    assert np.isnan(losses.cross_entropy(x, [-100] * 4).item())  # the mean of nothing


def test_shapes_are_not_broadcast():
    for name in (
        "mse",
        "mae",
        "huber",
        "bce_with_logits",
        "hinge",
        "poisson_nll",
        "kl_divergence",
        "cosine",
    ):
        with pytest.raises(ValueError, match=r"shape \(4, 1\) but target \(4,\); reshape"):
            getattr(losses, name)(fn.zeros((4, 1)), fn.zeros(4))
    with pytest.raises(
        ValueError, match=r"needs a target of shape \(4,\), got \(4, 1\); use target.reshape"
    ):
        losses.cross_entropy(fn.zeros((4, 3)), fn.zeros((4, 1), "int64"))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        losses.mse(fn.zeros(4), fn.zeros(4), sample_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="there are 3 classes"):
        losses.cross_entropy(fn.zeros((4, 3)), [0, 1, 2, 0], weight=[1.0, 1.0])
    with pytest.raises(ValueError, match="no classes"):
        losses.cross_entropy(fn.zeros((4, 0)), [0, 0, 0, 0])
    with pytest.raises(TypeError, match="astype"):
        losses.mse(fn.zeros(4), fn.zeros(4, "float64"))
    with pytest.raises(TypeError, match="astype"):
        losses.mse(fn.zeros(4, "int64"), fn.zeros(4))
    with pytest.raises(ValueError, match='"mean", "sum" or "none"'):
        losses.mse(fn.zeros(4), fn.zeros(4), reduction="average")


def test_empty():
    for how, want in (("sum", 0.0), ("mean", np.nan)):
        np.testing.assert_equal(losses.mse(fn.zeros(0), fn.zeros(0), reduction=how).item(), want)
        empty = losses.cross_entropy(fn.zeros((0, 3)), fn.zeros(0, "int64"), reduction=how)
        np.testing.assert_equal(empty.item(), want)
    x = fn.zeros((0, 3), requires_grad=True)
    losses.cross_entropy(x, fn.zeros(0, "int64"), reduction="sum").backward()
    assert x.grad.shape == (0, 3)


def test_integer_targets_are_converted():
    assert losses.bce_with_logits(fn.zeros(2), Tensor([0, 1])).item() == pytest.approx(np.log(2))
    assert losses.mse(fn.zeros(2), Tensor([True, False])).item() == 0.5
    assert losses.hinge([0.5, 0.5], Tensor([0, 1])).item() == 1.0


def test_classes_and_names():
    x, t = fn.ones((2, 3)), fn.zeros((2, 3))
    assert losses.Huber(delta=0.5)(x, t).item() == losses.huber(x, t, delta=0.5).item()
    assert losses.CrossEntropy(reduction="sum")(x, [0, 1]).item() == pytest.approx(2 * np.log(3))
    assert losses.MSE(reduction="none")(x, t, sample_weight=[0, 2]).numpy().tolist() == [
        [0] * 3,
        [2] * 3,
    ]
    assert losses.MSE().__name__ == "mse"
    assert losses.get("cross_entropy") is losses.cross_entropy
    own = losses.Huber(delta=2.0)
    assert losses.get(own) is own
    assert repr(own) == "Huber(delta=2.0)"
    with pytest.raises(ValueError, match="no loss is called 'mes'"):
        losses.get("mes")
    with pytest.raises(TypeError, match="no option 'beta'"):
        losses.Huber(beta=1)
    with pytest.raises(ValueError, match="reduction"):
        losses.MSE(reduction="max")


# --- PyTorch ---


def torch_cases(functional):
    f = functional
    return {
        "mse": f.mse_loss, "mae": f.l1_loss, "huber": f.huber_loss, "bce": f.binary_cross_entropy,
        "bce_with_logits": f.binary_cross_entropy_with_logits, "kl_divergence": f.kl_div,
        "poisson_nll": f.poisson_nll_loss, "gaussian_nll": f.gaussian_nll_loss,
        "triplet_margin": f.triplet_margin_loss,
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction. .mean. divides the total loss:UserWarning")
@pytest.mark.parametrize(("name", "options", "makers", "formula"), ELEMENTS + ROWS, ids=IDS)
def test_against_torch(name, options, makers, formula):
    torch = pytest.importorskip("torch")
    theirs = torch_cases(torch.nn.functional).get(name)
    if theirs is None:
        pytest.skip(f"PyTorch has no {name}")
    arrays = made(makers, (6, 5), seed=2)
    for how in ("none", "sum", "mean"):
        a = torch.tensor(arrays[0], requires_grad=True)
        extra = dict(options)
        if "pos_weight" in extra:
            extra["pos_weight"] = torch.tensor(extra["pos_weight"])
        want = theirs(a, *map(torch.tensor, arrays[1:]), **extra, reduction=how)
        want.sum().backward()
        x = Tensor(arrays[0], requires_grad=True)
        got = getattr(losses, name)(x, *arrays[1:], **options, reduction=how)
        got.sum().backward()
        np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(x.grad.numpy(), a.grad.numpy(), rtol=1e-7, atol=1e-9)


def test_classes_against_torch():
    torch = pytest.importorskip("torch")
    rng = RNG(0)
    x, w = normal((6, 5, 3), rng), rng.uniform(0.5, 2, 5)
    labels = rng.integers(0, 5, (6, 3))
    labels[2, 1] = -100
    soft = probabilities((6, 3, 5), rng).transpose(0, 2, 1).copy()
    for t, (smoothing, weighted, how) in itertools.product((labels, soft), CLASS_OPTIONS):
        a = torch.tensor(x, requires_grad=True)
        weight = w if weighted else None
        want = torch.nn.functional.cross_entropy(
            a, torch.tensor(t), weight=None if weight is None else torch.tensor(weight),
            label_smoothing=smoothing, reduction=how,
        )  # fmt: skip
        want.sum().backward()
        b = Tensor(x, requires_grad=True)
        got = losses.cross_entropy(b, t, weight=weight, label_smoothing=smoothing, reduction=how)
        got.sum().backward()
        np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_cosine_embedding_against_torch():
    torch = pytest.importorskip("torch")
    x, o = made((normal, normal), (8, 5))
    t = np.array([1, -1] * 4)
    want = torch.nn.functional.cosine_embedding_loss(
        torch.tensor(x), torch.tensor(o), torch.tensor(t), margin=0.1, reduction="none"
    )
    got = losses.cosine_embedding(x, o, t, margin=0.1, reduction="none")
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-10, atol=1e-12)
    fn.gradcheck(
        lambda x, o: losses.cosine_embedding(x, o, t, margin=0.1),
        [Tensor(x, requires_grad=True), Tensor(o, requires_grad=True)],
    )


def test_focal_with_labels():
    rng = RNG(0)
    x, t = normal((6, 4), rng), rng.integers(0, 4, 6)
    l = -log_softmax(x)[np.arange(6), t]
    np.testing.assert_allclose(
        losses.focal(x, t, reduction="none").numpy(), l * (1 - np.exp(-l)) ** 2
    )
    fn.gradcheck(lambda x: losses.focal(x, t), [Tensor(x, requires_grad=True)])
