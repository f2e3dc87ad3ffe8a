"""Random small networks, trained some steps compiled and eagerly: the same bits in all parameters, losses and
random numbers, at any number of threads, and with each pass left out.
"""

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, given, settings

import fastnn
from conftest import using_threads
from fastnn import Tensor, losses, nn, optimizers, regularizers
from fastnn.compiler.passes import PASSES

ACTIVATIONS = [
    "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus",
    "Hardtanh", "Hardsigmoid", "Hardswish", "LogSoftmax", "Softmax",
]  # fmt: skip
OPTIMIZERS = [
    ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.8, "nesterov": True}), ("Adam", {}),
    ("Adam", {"amsgrad": True}), ("AdamW", {}), ("NAdam", {}), ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.5}), ("Adagrad", {}), ("Lion", {}),
]  # fmt: skip
LOSSES = {
    "cross_entropy": (lambda y, t: losses.cross_entropy(y, t), "labels"),
    "smoothed": (lambda y, t: losses.cross_entropy(y, t, label_smoothing=0.1), "labels"),
    "focal": (lambda y, t: losses.focal(y, t), "labels"),
    "mse": (lambda y, t: losses.mse(y, t), "reals"),
    "mae": (lambda y, t: losses.mae(y, t, reduction="sum"), "reals"),
    "huber": (lambda y, t: losses.huber(y, t), "reals"),
    "logits": (lambda y, t: losses.bce_with_logits(y, (t > 0).astype(y.dtype)), "reals"),
    "of one's own": (lambda y, t: fastnn.logsumexp(fastnn.abs(y - t) * 2, axis=1).mean(), "reals"),
}

sizes = st.integers(1, 40)
layers = st.one_of(
    st.tuples(st.just("linear"), sizes, st.booleans()),
    st.tuples(st.just("activation"), st.sampled_from(ACTIVATIONS)),
    st.tuples(st.just("norm"), st.sampled_from(["LayerNorm", "RMSNorm", "BatchNorm1d"])),
    st.tuples(st.just("noise"), st.sampled_from(["Dropout", "AlphaDropout", "GaussianNoise"])),
    st.tuples(st.just("residual"), st.sampled_from(ACTIVATIONS), st.booleans()),
)
worlds = st.fixed_dictionaries(
    {
        "layers": st.lists(layers, max_size=6),
        "inputs": sizes,
        "classes": st.integers(2, 12),
        "batch": st.integers(2, 40),
        "dtype": st.sampled_from(["float32", "float64"]),
        "loss": st.sampled_from(sorted(LOSSES)),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "clip": st.sampled_from([{}, {}, {"clip_norm": 0.5}, {"clip_value": 0.05}]),
        "decay": st.sampled_from([0.0, 0.01]),
        "penalty": st.sampled_from([None, None, regularizers.L1(0.01), regularizers.L2(0.1)]),
        "constraint": st.sampled_from([None, None, regularizers.MaxNorm(1.0)]),
        "micro_batches": st.sampled_from([1, 1, 3]),
        "ema": st.booleans(),
    }
)


def build(world):
    """The model of a drawn description."""
    width, modules = world["inputs"], []
    options = {"dtype": world["dtype"]}
    for kind, *what in world["layers"]:
        if kind == "linear":
            modules.append(nn.Linear(width, what[0], bias=what[1], **options))
            width = what[0]
        elif kind == "activation":
            modules.append(getattr(nn, what[0])())
        elif kind == "norm":
            modules.append(getattr(nn, what[0])(width, **options))
        elif kind == "noise":
            modules.append(getattr(nn, what[0])(0.3))
        else:
            block = [nn.Linear(width, width, bias=what[1], **options), getattr(nn, what[0])()]
            modules.append(nn.Residual(nn.Sequential(*block)))
    return nn.Sequential(*modules, nn.Linear(width, world["classes"], **options))


def batch(world, seed):
    rng = np.random.default_rng(seed)
    n = world["batch"]
    x = rng.standard_normal((n, world["inputs"])).astype(world["dtype"])
    if LOSSES[world["loss"]][1] == "labels":
        return Tensor(x), Tensor(rng.integers(0, world["classes"], n))
    return Tensor(x), Tensor(rng.standard_normal((n, world["classes"])).astype(world["dtype"]))


def train(world, compile):
    """All that some steps leave behind, as bytes by name."""
    fastnn.manual_seed(5)
    model = build(world)
    name, options = world["optimizer"]
    optimizer = getattr(optimizers, name)(
        model.parameters(), lr=0.02, weight_decay=world["decay"], **options, **world["clip"]
    )
    ema = optimizers.EMA(model.parameters(), 0.9) if world["ema"] else None
    penalties = [world["penalty"]] if world["penalty"] else []
    constraints = [world["constraint"]] if world["constraint"] else []

    def step(*batches):
        optimizer.zero_grad()
        found = []
        for x, y in batches:
            loss = LOSSES[world["loss"]][0](model(x), y)
            found.append(loss)
            penalty = regularizers.penalty(penalties, model)
            (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        regularizers.constrain(constraints, model)
        if ema is not None:
            ema.update()
        return found

    step = compile(step)
    seen = {}
    for i in range(4):
        if i == 3:
            optimizer.param_groups[0]["lr"] = 0.005
        batches = [batch(world, 10 * i + k) for k in range(world["micro_batches"])]
        for k, loss in enumerate(step(*batches)):
            seen[f"loss {i} {k}"] = loss.detach().numpy().tobytes()
    model.eval()
    seen["evaluated"] = compile(model)(batch(world, 99)[0]).detach().numpy().tobytes()
    seen |= {key: value.numpy().tobytes() for key, value in model.state_dict().items()}
    for i, arrays in optimizer.state_dict()["state"].items():
        seen |= {f"{name} {i}": array.tobytes() for name, array in arrays.items()}
    if ema is not None:
        seen |= {f"average {i}": a.tobytes() for i, a in enumerate(ema.state_dict()["average"])}
    seen["random"] = repr(fastnn.random.get_state()).encode()
    return seen


def differences(a, b):
    assert a.keys() == b.keys()
    return [key for key in a if a[key] != b[key]]


quick = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@quick
@given(worlds, st.sampled_from([1, 2, 4]))
def test_compiled_is_eager(world, threads):
    with using_threads(1):
        want = train(world, lambda f: f)
    with using_threads(threads):
        assert differences(train(world, fastnn.compile), want) == []


@quick
@given(worlds, st.sampled_from([*PASSES, "all"]))
def test_without_each_pass(world, name):
    without = tuple(PASSES) if name == "all" else (name,)
    want = train(world, fastnn.compile)
    got = train(world, lambda f: fastnn.compile(f, without=without))
    assert differences(got, want) == []


# --- random functions: views, writes into state and into new memory, results that share memory ---

UNARY = [
    fastnn.tanh, fastnn.relu, fastnn.abs, fastnn.sigmoid, lambda x: -x, lambda x: x * 0.5, lambda x: 2 - x,
    lambda x: x.clone(), lambda x: fastnn.softmax(x, -1), lambda x: fastnn.where(x > 0, x, -1.0),
    lambda x: x.T, lambda x: x[1:] if x.shape[0] > 1 else x, lambda x: x[:, ::2], lambda x: x[::-1],
    lambda x: x[:1], lambda x: x.reshape(-1, 1), lambda x: x.mean(axis=0, keepdims=True),
    lambda x: x.sum(axis=1, keepdims=True), lambda x: x.max(axis=-1, keepdims=True), lambda x: x @ x.T,
    lambda x: x * np.float32(np.arange(x.shape[1])), lambda x: fastnn.zeros_like(x) + x[0],
    lambda x: fastnn.concat([x, x * 2], 0)[: x.shape[0]], lambda x: fastnn.dropout(x, 0.5),
    lambda x: x.detach().requires_grad_(), lambda x: x.take(Tensor([0, -1, 0]), axis=1),
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, fastnn.maximum, lambda a, b: a + b * 0.1,
]  # fmt: skip


def overwrite(target, value):
    with fastnn.no_grad():
        target.copy_(value[:1, :1] + fastnn.zeros(target.shape))


def overwrite_part(target, value):
    with fastnn.no_grad():
        target[:, -1] = value[0, 0]


def accumulate(target, value):
    with fastnn.no_grad():
        target.copy_(target + value.mean())


def slope(x, y):
    """The gradient of y, if x had a part in it, else x."""
    total = (y * y).sum()
    if not (x.requires_grad and total.requires_grad):
        return x
    found = fastnn.grad([total], [x], allow_unused=True)[0]
    return x if found is None else found


number = st.integers(0, 99)
lines = st.lists(
    st.one_of(
        st.tuples(st.just("unary"), st.integers(0, len(UNARY) - 1), number),
        st.tuples(st.just("binary"), st.integers(0, len(BINARY) - 1), number, number),
        st.tuples(st.just("write"), st.integers(0, 2), number, number),
        st.tuples(st.just("new"), st.integers(0, 2), number),
        st.tuples(st.just("slope"), number, number),
    ),
    min_size=1,
    max_size=14,
)


def run_lines(program, state, x, results):
    """What the lines of a program compute from x, and do to the state."""
    pool = [x.requires_grad_(), *state]
    for kind, *what in program:
        if kind == "unary":
            made = UNARY[what[0]](pool[what[1] % len(pool)])
        elif kind == "binary":
            a, b = pool[what[1] % len(pool)], pool[what[2] % len(pool)]
            fits = all(n == m or 1 in (n, m) for n, m in zip(a.shape, b.shape, strict=True))
            made = BINARY[what[0]](a, b if fits else b[:1, :1])
        elif kind == "write":
            target = state[what[1] % len(state)]
            (overwrite, overwrite_part, accumulate)[what[0]](target, pool[what[2] % len(pool)])
            continue
        elif kind == "new":
            made = (
                fastnn.ones((3, 4)),
                Tensor(np.full((2, 3), 2, np.float32)),
                fastnn.zeros((4, 4)),
            )[what[0]]
            overwrite_part(made, pool[what[1] % len(pool)])
        else:
            made = slope(pool[what[0] % len(pool)], pool[what[1] % len(pool)])
        pool.append(made[: 4 * x.shape[1], : 4 * x.shape[1]])
    return [pool[i % len(pool)] for i in results]


def outcome(program, results, scale, compile):
    """What some calls give and leave in the state, or the error that the first of them raises."""
    fastnn.manual_seed(4)
    shape = (3 * scale, 4 * scale)
    state = [Tensor(np.full(shape, 0.5, np.float32)), Tensor(np.ones((1, shape[1]), np.float32))]
    function = compile(lambda x: run_lines(program, state, x * 1, results))
    seen = []
    for i in range(3):
        x = np.random.default_rng(i).standard_normal(shape).astype(np.float32)
        try:
            seen.append([y.detach().numpy().tobytes() for y in function(Tensor(x))])
        except RuntimeError as error:  # a value that a gradient needs was changed
            return str(error)
        seen.append([s.numpy().tobytes() for s in state])
    return seen


@settings(quick, max_examples=60)
@given(
    lines,
    st.lists(number, min_size=1, max_size=4),
    st.sampled_from([1, 1, 11]),
    st.sampled_from([None, *PASSES]),
    st.sampled_from([1, 2, 4]),
)
def test_random_functions(program, results, scale, without, threads):
    def compile(function):
        return fastnn.compile(function, without=(without,) if without else ())

    with using_threads(1):
        want = outcome(program, results, scale, lambda f: f)
    with using_threads(threads):
        assert outcome(program, results, scale, compile) == want
