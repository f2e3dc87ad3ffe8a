"""Optimizers against PyTorch and numpy, flat memory, clipping, averages, state."""

import copy
import math

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn, no_grad, optimizers
from fastnn.flat import Flat, flatten, gradients, runs

ALL = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("NAdam", {"lr": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {"lr": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True, "alpha": 0.9}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5}),
]
NAMES = [f"{name}-{'-'.join(options)}" for name, options in ALL]


def weights(dtype="float64", shapes=((7, 5), (5,), (), (33,))):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def gradient(i, step, shape, dtype):
    return np.random.default_rng([i, step]).normal(size=shape).astype(dtype)


def parameters(dtype="float64"):
    return [Tensor(np.array(w), requires_grad=True) for w in weights(dtype)]


def give_gradients(params, step, skip=()):
    for i, p in enumerate(params):
        p.grad = None if i in skip else Tensor(gradient(i, step, p.shape, p.dtype.numpy))


def run(optimizer, params, steps=20, start=0):
    for step in range(start, start + steps):
        optimizer.zero_grad()
        give_gradients(params, step)
        optimizer.step()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), ALL, ids=NAMES)
def test_twenty_steps_equal_torchs(name, options, dtype):
    torch = pytest.importorskip("torch")
    ours = parameters(dtype)
    mine = getattr(optimizers, name)(ours, **options)
    theirs = [torch.nn.Parameter(torch.from_numpy(np.array(w))) for w in weights(dtype)]
    other = getattr(torch.optim, name)(theirs, **options)
    for step in range(20):
        give_gradients(ours, step)
        mine.step()
        for i, q in enumerate(theirs):
            q.grad = torch.from_numpy(np.array(gradient(i, step, tuple(q.shape), dtype)))
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        # torch keeps NAdam's product of momenta in float32
        tolerance = 2e-5 if dtype == "float32" else 1e-7 if name == "NAdam" else 1e-12
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "LBFGS"])
def test_defaults_are_torchs(name):
    torch = pytest.importorskip("torch")
    p = torch.nn.Parameter(torch.zeros(1))
    theirs = getattr(torch.optim, name)([p], **({"lr": 1e-3} if name == "SGD" else {})).defaults
    ours = getattr(optimizers, name)([Tensor([0.0], requires_grad=True)]).param_groups[0]
    shared = set(theirs) & set(ours)
    assert {"lr"} < shared
    for key in shared:
        assert ours[key] == theirs[key], key


def test_lion_is_the_papers():
    params = parameters()
    optimizer = optimizers.Lion(params, lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    want, momenta = weights(), [np.zeros_like(w) for w in weights()]
    for step in range(20):
        give_gradients(params, step)
        optimizer.step()
        for i, m in enumerate(momenta):
            g = gradient(i, step, m.shape, "float64")
            want[i] = want[i] - 0.01 * (np.sign(0.9 * m + 0.1 * g) + 0.1 * want[i])
            momenta[i] = 0.98 * m + 0.02 * g
    for p, w in zip(params, want, strict=True):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), [*ALL, ("Lion", {"lr": 0.1})], ids=[*NAMES, "Lion"])
def test_same_bits_at_any_thread_count(name, options, threads):
    results = []
    for count in (1, 2, 3, 4):
        with threads(count):
            p = Tensor(
                np.random.default_rng(0).normal(size=100_003).astype("float32"), requires_grad=True
            )
            optimizer = getattr(optimizers, name)([p], clip_norm=0.5, clip_value=0.01, **options)
            for step in range(3):
                p.grad = Tensor(gradient(0, step, p.shape, "float32"))
                optimizer.step()
            results.append((p.numpy().tobytes(), optimizer.grad_norm))
    assert all(r == results[0] for r in results)


@pytest.mark.parametrize(("name", "options"), [*ALL, ("Lion", {"lr": 0.1})], ids=[*NAMES, "Lion"])
def test_every_isa_agrees(name, options, isa):
    from fastnn import _core

    results = []
    for which in ("portable", isa):
        _core.isa_select(which)
        params = parameters("float32")
        run(getattr(optimizers, name)(params, **options), params, 5)
        results.append(np.concatenate([p.numpy().ravel() for p in params]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), [*ALL, ("Lion", {"lr": 0.1})], ids=[*NAMES, "Lion"])
def test_a_resumed_run_has_the_same_bits(name, options):
    params = parameters("float32")
    optimizer = getattr(optimizers, name)(params, **options)
    run(optimizer, params, 3)
    saved, values = copy.deepcopy(optimizer.state_dict()), [p.numpy().copy() for p in params]
    run(optimizer, params, 4, start=3)
    again = [Tensor(v.copy(), requires_grad=True) for v in values]
    other = getattr(optimizers, name)(again, lr=123)
    other.load_state_dict(saved)
    run(other, again, 4, start=3)
    for p, q in zip(params, again, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_state_is_plain_and_named_as_torchs():
    params = parameters()
    optimizer = optimizers.Adam(params, amsgrad=True)
    run(optimizer, params, 2)
    saved = optimizer.state_dict()
    assert set(saved["state"][0]) == {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert saved["state"][0]["exp_avg"].shape == (7, 5)
    assert saved["param_groups"][0]["step"] == 2
    assert saved["param_groups"][0]["params"] == [0, 1, 2, 3]
    broken = copy.deepcopy(saved)
    broken["state"][1]["exp_avg"] = np.zeros(3)
    with pytest.raises(ValueError, match="exp_avg of parameter 1 has shape"):
        optimizer.load_state_dict(broken)
    with pytest.raises(ValueError, match="groups have"):
        optimizers.Adam(params[:2]).load_state_dict(saved)


# --- groups, absent gradients ---


def test_groups_have_their_own_options():
    params = parameters()
    optimizer = optimizers.SGD(
        [{"params": params[:2], "weight_decay": 0.5}, {"params": params[2:], "lr": 1.0}], lr=0.1
    )
    give_gradients(params, 0)
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()
    for i, (p, w) in enumerate(zip(params, weights(), strict=True)):
        g = gradient(i, 0, w.shape, "float64")
        want = w - 0.2 * (g + 0.5 * w) if i < 2 else w - g
        np.testing.assert_allclose(p.numpy(), want, rtol=1e-14)
    assert [len(group.runs) for group in optimizer.param_groups] == [1, 1]
    assert optimizer.param_groups[0].steps == 1


@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion"])
def test_parameters_without_gradient_are_left_alone(name):
    params = parameters()
    optimizer = getattr(optimizers, name)(params, lr=0.1, weight_decay=0.1)
    for step in range(3):
        give_gradients(params, step, skip=(1,))
        optimizer.step()
    assert (params[1].numpy() == weights()[1]).all()
    alone = [p for i, p in enumerate(parameters()) if i != 1]
    other = getattr(optimizers, name)(alone, lr=0.1, weight_decay=0.1)
    for step in range(3):
        for i, p in zip((0, 2, 3), alone, strict=True):
            p.grad = Tensor(gradient(i, step, p.shape, "float64"))
        other.step()
    for p, q in zip([p for i, p in enumerate(params) if i != 1], alone, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_no_gradients_at_all():
    params = parameters()
    optimizers.Adam(params, clip_norm=1.0).step()
    assert all((p.numpy() == w).all() for p, w in zip(params, weights(), strict=True))


def test_mixed_dtypes():
    params = [Tensor(np.ones(3, t), requires_grad=True) for t in ("float32", "float64", "float32")]
    optimizer = optimizers.SGD(params, lr=0.5)
    for p in params:
        p.grad = fastnn.ones_like(p)
    optimizer.step()
    assert all((p.numpy() == 0.5).all() for p in params)


def test_bad_arguments():
    p = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="no parameters"):
        optimizers.SGD([])
    with pytest.raises(ValueError, match="comes twice"):
        optimizers.SGD([p, p])
    with pytest.raises(ValueError, match="comes twice"):
        optimizers.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.raises(TypeError, match="single tensor"):
        optimizers.SGD(p)
    with pytest.raises(TypeError, match="parameter 0 is a tensor of int64"):
        optimizers.SGD([Tensor([1])])
    with pytest.raises(ValueError, match="computed from other"):
        optimizers.SGD([p * 2])
    with pytest.raises(ValueError, match="lr must not be negative"):
        optimizers.SGD([p], lr=-1)
    with pytest.raises(ValueError, match="lr must not be negative"):
        optimizers.SGD([p], lr=math.nan)
    with pytest.raises(TypeError, match="lr must be a number"):
        optimizers.SGD([p], lr="fast")
    with pytest.raises(ValueError, match="betas"):
        optimizers.Adam([p], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="nesterov"):
        optimizers.SGD([p], nesterov=True)
    with pytest.raises(ValueError, match="unknown option 'momentun'"):
        optimizers.SGD([{"params": [p], "momentun": 1}])
    with pytest.raises(ValueError, match="clip_norm"):
        optimizers.SGD([p], clip_norm=0)
    p.grad = None
    optimizer = optimizers.SGD([p])
    p.grad = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="gradient has shape"):
        optimizer.step()
    q = Tensor([1.0], requires_grad=True)
    other = optimizers.SGD([q])
    q._rebind(Tensor([2.0]))
    q.grad = Tensor([1.0])
    with pytest.raises(RuntimeError, match="moved"):
        other.step()


# --- flat memory ---


def test_flatten_keeps_objects_values_and_gradients():
    params = parameters("float32")
    params[1].grad = fastnn.ones_like(params[1])
    (flat,) = flatten(params)
    assert flat.data._pointer % 64 == 0 and flat.grad._pointer % 64 == 0
    assert all(o % 16 == 0 for o in flat.offsets)
    for p, w in zip(params, weights("float32"), strict=True):
        np.testing.assert_array_equal(p.numpy(), w)
        assert p._shares_memory_with(flat.data)
    assert params[1].grad is params[1]._grad_view
    assert flat.grad.numpy().sum() == 5
    assert flatten(params) == (flat,)
    assert flatten(params[1:3]) == (flat,)
    extra = Tensor([1.0], requires_grad=True)
    assert flatten([*params, extra])[0] is flat
    with no_grad():
        params[0].fill_(2)
    assert flat.data.numpy()[: params[0].size].sum() == 70
    (params[3] * 2.0).sum().backward()
    assert params[3].grad is params[3]._grad_view
    assert flat.grad.numpy().sum() == 5 + 66


def test_flat_memory_that_nobody_keeps_is_made_again():
    params = parameters("float32")
    first = flatten(params)[0].data._pointer
    second = flatten(params)[0]
    assert second.data._pointer != first or isinstance(second, Flat)
    for p, w in zip(params, weights("float32"), strict=True):
        np.testing.assert_array_equal(p.numpy(), w)


def test_runs_and_gradients_are_as_few_as_possible():
    params = parameters()
    flats = flatten(params)
    assert len(runs(flats, params)) == 1
    assert [len(r.params) for r in runs(flats, [params[0], params[1], params[3]])] == [2, 1]
    give_gradients(params, 0)
    assert len(gradients(params)) == 4
    optimizers.SGD(params).step()
    assert len(gradients(params)) == 1
    empty = Tensor(np.zeros((0, 3), "float32"), requires_grad=True)
    optimizer = optimizers.Adam([empty, Tensor([1.0], requires_grad=True)])
    empty.grad = fastnn.zeros((0, 3))
    optimizer.step()


# --- clipping ---


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("norm", [2.0, 1.0, 3.0, math.inf])
def test_clip_grad_norm(norm, flat):
    params = parameters()
    kept = flatten(params) if flat else ()
    give_gradients(params, 0)
    if flat:
        gs = [p.grad for p in params]
        from fastnn.flat import adopt_gradient

        for p in params:
            adopt_gradient(p)
        assert len(gs) == len(params) and kept
    whole = np.concatenate(
        [gradient(i, 0, p.shape, "float64").ravel() for i, p in enumerate(params)]
    )
    total = np.linalg.norm(whole, norm)
    got = optimizers.clip_grad_norm_(params, 0.5, norm)
    assert got.item() == pytest.approx(total, rel=1e-12)
    after = np.concatenate([p.grad.numpy().ravel() for p in params])
    np.testing.assert_allclose(after, whole * (0.5 / (total + 1e-6)), rtol=1e-12)
    optimizers.clip_grad_norm_(params, 1e9)
    np.testing.assert_array_equal(np.concatenate([p.grad.numpy().ravel() for p in params]), after)


def test_clip_grad_value_and_strided_gradients():
    p = Tensor(np.zeros((4, 3)), requires_grad=True)
    p.grad = Tensor(np.arange(12.0).reshape(3, 4).T - 5)
    want = p.grad.numpy().clip(-2, 2)
    optimizers.clip_grad_value_([p, Tensor([1.0], requires_grad=True)], 2.0)
    np.testing.assert_array_equal(p.grad.numpy(), want)
    assert optimizers.clip_grad_norm_(p, 1.0).item() == pytest.approx(np.linalg.norm(want))
    assert np.linalg.norm(p.grad.numpy()) == pytest.approx(1.0, rel=1e-5)


def test_a_gradient_that_is_nan_spoils_no_later_step():
    layer = nn.Linear(5, 3)  # between whose weight and bias in flat memory there is room
    optimizer = optimizers.SGD(layer.parameters(), lr=0.0, clip_norm=1.0)

    def norms(x):
        optimizer.zero_grad()
        layer(Tensor(np.full((2, 5), x, np.float32))).square().sum().backward()
        norm = optimizers.clip_grad_norm_(layer.parameters(), 1.0).item()
        optimizer.step()
        return norm, optimizer.grad_norm

    first = norms(1.0)
    assert np.isnan(norms(np.nan)).all()
    for p in layer.parameters():
        p.numpy()[...] = np.nan_to_num(p.numpy(), nan=0.5)
    assert np.isfinite(norms(1.0)).all() and np.isfinite(first).all()


def test_clipping_of_what_is_not_finite():
    p = Tensor([1.0, 1.0], requires_grad=True)
    p.grad = Tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match="norm of the gradients is nan"):
        optimizers.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    optimizers.clip_grad_value_(p, 0.5)
    assert math.isnan(p.grad.numpy()[0]) and p.grad.numpy()[1] == 0.5
    assert optimizers.clip_grad_norm_([], 1.0).item() == 0


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_clipping_as_an_argument_equals_the_function(name):
    one, two = parameters(), parameters()
    mine = getattr(optimizers, name)(one, lr=0.1, clip_norm=0.7, clip_value=0.05)
    other = getattr(optimizers, name)(two, lr=0.1)
    for step in range(5):
        give_gradients(one, step)
        give_gradients(two, step)
        mine.step()
        norm = optimizers.clip_grad_norm_(two, 0.7)
        optimizers.clip_grad_value_(two, 0.05)
        other.step()
        assert mine.grad_norm == pytest.approx(norm.item(), rel=1e-12)
    for p, q in zip(one, two, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)
    with pytest.raises(RuntimeError, match="clip_norm"):
        other.grad_norm


# --- averages ---


@pytest.mark.parametrize("warmup", [False, True])
def test_ema(warmup):
    params = parameters()
    ema = optimizers.EMA(params, 0.9, warmup=warmup)
    optimizer = optimizers.SGD(params, lr=0.1)
    want = weights()
    for step in range(8):
        give_gradients(params, step)
        optimizer.step()
        ema.update()
        decay = min(0.9, (2 + step) / (11 + step)) if warmup else 0.9
        want = [decay * e + (1 - decay) * p.numpy() for e, p in zip(want, params, strict=True)]
    now = [p.numpy().copy() for p in params]
    with ema.apply():
        for p, e in zip(params, want, strict=True):
            np.testing.assert_allclose(p.numpy(), e, rtol=1e-12)
        with pytest.raises(RuntimeError, match="applied already"):
            ema.apply()
        with pytest.raises(RuntimeError, match="restore"):
            ema.update()
    assert all((p.numpy() == w).all() for p, w in zip(params, now, strict=True))
    other = optimizers.EMA(parameters(), 0.5)
    other.load_state_dict(ema.state_dict())
    for a, b in zip(other.state_dict()["average"], ema.state_dict()["average"], strict=True):
        assert (a == b).all()
    with pytest.raises(ValueError, match="saved shapes"):
        optimizers.EMA(params[:1]).load_state_dict(ema.state_dict())


# --- L-BFGS ---


def rosenbrock(x):
    a, b = x[:-1], x[1:]
    return (100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2).sum()


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_follows_torch(line_search):
    torch = pytest.importorskip("torch")
    start = np.linspace(-0.5, 0.4, 6)
    options = {
        "lr": 1.0 if line_search else 1e-3,
        "max_iter": 6,
        "history_size": 4,
        "line_search_fn": line_search,
    }
    x = Tensor(start.copy(), requires_grad=True)
    y = torch.nn.Parameter(torch.from_numpy(start.copy()))
    mine, other = optimizers.LBFGS([x], **options), torch.optim.LBFGS([y], **options)

    def closure():
        mine.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    def torch_closure():
        other.zero_grad()
        loss = rosenbrock(y)
        loss.backward()
        return loss

    for _ in range(5):
        loss, want = mine.step(closure), other.step(torch_closure)
        assert loss.item() == pytest.approx(want.item(), rel=1e-8)
        np.testing.assert_allclose(x.numpy(), y.detach().numpy(), rtol=1e-7)


def test_lbfgs_finds_the_minimum_and_resumes():
    x = Tensor(np.linspace(-1, 1, 8), requires_grad=True)
    optimizer = optimizers.LBFGS([x], max_iter=10, line_search_fn="strong_wolfe")

    def closure_of(x, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(x)
            loss.backward()
            return loss

        return closure

    optimizer.step(closure_of(x, optimizer))
    again = Tensor(x.numpy().copy(), requires_grad=True)
    other = optimizers.LBFGS([again], max_iter=10, line_search_fn="strong_wolfe")
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(20):
        optimizer.step(closure_of(x, optimizer))
        other.step(closure_of(again, other))
    assert x.numpy().tobytes() == again.numpy().tobytes()
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-4)
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()
    with pytest.raises(ValueError, match="line_search_fn"):
        optimizers.LBFGS([x], line_search_fn="armijo")
