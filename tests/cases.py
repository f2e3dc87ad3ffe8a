"""The table of cases: each function of fastnn beside its float64 reference in numpy.

test_cases.py checks every row (values, gradients, odd sizes, layouts, ISAs, threads), test_torch.py
compares the rows that name a PyTorch twin, bench/kernels.py times them. To add a function, add its
row here; case.py says what is in a row.
"""

import numpy as np

import fastnn as F
import references as ref
from case import ODD, Arg, Case, booleans, integers, nonzero, real, simplex, spaced
from cases_conv import CONV
from cases_norm import NORM
from cases_pool import POOL
from cases_resize import RESIZE
from fastnn import losses


def pointwise(name, call, reference, low=-3.0, high=3.0, **more):
    """A row of a function of one array, element by element."""
    return Case(name, call, reference, (real("n", low, high),), **more)


def reduction(name, call, reference, **more):
    """Rows of a reduction: over everything, over rows, columns and a middle axis."""
    torch = more.pop("torch", None)

    def row(suffix, shape, axis, keep):
        return Case(
            f"{name}-{suffix}",
            lambda x: call(x, axis, keep),
            lambda x: reference(x, axis, keep),
            (spaced(shape),),
            torch=torch and axis is not None and (lambda t, x: torch(t, x, axis, keep)),
            **more,
        )

    return [
        row("all", "m n", None, False),
        row("rows", "m n", 1, False),
        row("columns", "m n", 0, True),
        row("middle", "l m n", -2, False),
    ]


UNARY = [
    pointwise("neg", lambda x: -x, lambda x: -x, torch=lambda t, x: -x),
    pointwise("abs", lambda x: F.abs(x), np.abs, torch=lambda t, x: x.abs()),
    pointwise("exp", lambda x: F.exp(x), np.exp, torch=lambda t, x: x.exp()),
    pointwise("log", lambda x: F.log(x), np.log, 0.1, 9, torch=lambda t, x: x.log()),
    pointwise("sqrt", lambda x: F.sqrt(x), np.sqrt, 0.1, 9, torch=lambda t, x: x.sqrt()),
    pointwise(
        "rsqrt",
        lambda x: F.rsqrt(x),
        lambda x: 1 / np.sqrt(x),
        0.1,
        9,
        torch=lambda t, x: x.rsqrt(),
    ),
    pointwise("square", lambda x: F.square(x), np.square, torch=lambda t, x: x.square()),
    pointwise(
        "clip",
        lambda x: F.clip(x, -1, 2),
        lambda x: np.clip(x, -1, 2),
        torch=lambda t, x: x.clip(-1, 2),
    ),
    pointwise("power-3", lambda x: x**3, lambda x: x**3, torch=lambda t, x: x**3),
    pointwise(
        "relu", lambda x: F.relu(x), lambda x: np.maximum(x, 0), torch=lambda t, x: t.relu(x)
    ),
    pointwise(
        "leaky_relu",
        lambda x: F.leaky_relu(x, 0.1),
        lambda x: np.where(x > 0, x, 0.1 * x),
        torch=lambda t, x: t.nn.functional.leaky_relu(x, 0.1),
    ),
    pointwise(
        "elu",
        lambda x: F.elu(x, 0.7),
        lambda x: ref.elu(x, 0.7),
        torch=lambda t, x: t.nn.functional.elu(x, 0.7),
    ),
    pointwise("selu", lambda x: F.selu(x), ref.selu, torch=lambda t, x: t.selu(x)),
    pointwise("gelu", lambda x: F.gelu(x), ref.gelu, torch=lambda t, x: t.nn.functional.gelu(x)),
    pointwise(
        "gelu-tanh",
        lambda x: F.gelu(x, approximate="tanh"),
        ref.gelu_tanh,
        torch=lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    ),
    pointwise("silu", lambda x: F.silu(x), ref.silu, torch=lambda t, x: t.nn.functional.silu(x)),
    pointwise("mish", lambda x: F.mish(x), ref.mish, torch=lambda t, x: t.nn.functional.mish(x)),
    pointwise(
        "softplus",
        lambda x: F.softplus(x),
        ref.softplus,
        torch=lambda t, x: t.nn.functional.softplus(x),
    ),
    pointwise("sigmoid", lambda x: F.sigmoid(x), ref.sigmoid, torch=lambda t, x: x.sigmoid()),
    pointwise("tanh", lambda x: F.tanh(x), np.tanh, torch=lambda t, x: x.tanh()),
    pointwise(
        "hardtanh",
        lambda x: F.hardtanh(x),
        lambda x: np.clip(x, -1, 1),
        torch=lambda t, x: t.nn.functional.hardtanh(x),
    ),
    pointwise(
        "hardswish",
        lambda x: F.hardswish(x),
        ref.hardswish,
        -5,
        5,
        torch=lambda t, x: t.nn.functional.hardswish(x),
    ),
    pointwise("expm1", lambda x: F.expm1(x), np.expm1, torch=lambda t, x: x.expm1()),
    pointwise("log1p", lambda x: F.log1p(x), np.log1p, -0.8, 9, torch=lambda t, x: x.log1p()),
    pointwise("erf", lambda x: F.erf(x), ref.erf, torch=lambda t, x: x.erf()),
    pointwise("sin", lambda x: F.sin(x), np.sin, torch=lambda t, x: x.sin()),
    pointwise("cos", lambda x: F.cos(x), np.cos, torch=lambda t, x: x.cos()),
    pointwise("sign", lambda x: F.sign(x), np.sign, torch=lambda t, x: x.sign(), second=False),
    pointwise("floor", lambda x: F.floor(x), np.floor, torch=lambda t, x: x.floor(), second=False),
    pointwise("ceil", lambda x: F.ceil(x), np.ceil, torch=lambda t, x: x.ceil(), second=False),
    pointwise("round", lambda x: F.round(x), np.round, torch=lambda t, x: x.round(), second=False),
    pointwise(
        "reciprocal",
        lambda x: F.reciprocal(x),
        lambda x: 1 / x,
        0.1,
        9,
        torch=lambda t, x: x.reciprocal(),
    ),
    pointwise(
        "relu6",
        lambda x: F.relu6(x),
        lambda x: np.clip(x, 0, 6),
        -4,
        9,
        torch=lambda t, x: t.nn.functional.relu6(x),
    ),
    pointwise(
        "hardsigmoid",
        lambda x: F.hardsigmoid(x),
        lambda x: np.clip(x + 3, 0, 6) / 6,
        -5,
        5,  # no twin: PyTorch's gradient has 1/6 in single precision, also in float64
    ),
]

M_N = (real("m n"), real("m n"))
ROW = (real("m n"), real("n"))
COLUMN = (real("m 1"), real("m n"))

BINARY = [
    Case("add", lambda a, b: a + b, np.add, M_N, torch=lambda t, a, b: a + b),
    Case("add-row", lambda a, b: a + b, np.add, ROW, torch=lambda t, a, b: a + b),
    Case("add-column", lambda a, b: a + b, np.add, COLUMN, torch=lambda t, a, b: a + b),
    Case("add-scalar", lambda a: 2 + a, lambda a: 2 + a, (real("m n"),), torch=lambda t, a: 2 + a),
    Case("sub", lambda a, b: a - b, np.subtract, M_N, torch=lambda t, a, b: a - b),
    Case("sub-scalar", lambda a: 2 - a, lambda a: 2 - a, (real("m n"),), torch=lambda t, a: 2 - a),
    Case("mul", lambda a, b: a * b, np.multiply, M_N, torch=lambda t, a, b: a * b),
    Case("mul-row", lambda a, b: a * b, np.multiply, ROW, torch=lambda t, a, b: a * b),
    Case(
        "mul-outer",
        lambda a, b: a * b,
        np.multiply,
        (real("m 1"), real("n")),
        torch=lambda t, a, b: a * b,
    ),
    Case(
        "div",
        lambda a, b: a / b,
        np.divide,
        (real("m n"), nonzero("m n")),
        torch=lambda t, a, b: a / b,
    ),
    Case(
        "div-column",
        lambda a, b: a / b,
        np.divide,
        (nonzero("m 1"), nonzero("m n")),
        torch=lambda t, a, b: a / b,
    ),
    Case(
        "div-scalar", lambda a: 2 / a, lambda a: 2 / a, (nonzero("m n"),), torch=lambda t, a: 2 / a
    ),
    Case(
        "power",
        lambda a, b: a**b,
        np.power,
        (real("m n", 0.2, 3), real("n", -2, 2)),
        torch=lambda t, a, b: a**b,
    ),
    Case(
        "maximum",
        lambda a, b: F.maximum(a, b),
        np.maximum,
        M_N,
        torch=lambda t, a, b: t.maximum(a, b),
    ),
    Case(
        "minimum",
        lambda a, b: F.minimum(a, b),
        np.minimum,
        ROW,
        torch=lambda t, a, b: t.minimum(a, b),
    ),
    Case(
        "where",
        lambda c, a, b: F.where(c, a, b),
        np.where,
        (booleans("m n"), real("m n"), real("n")),
        torch=lambda t, c, a, b: t.where(c, a, b),
    ),
    Case(
        "add-int64",
        lambda a, b: a + b,
        np.add,
        (integers("n", 99), integers("n", 9, -9)),
        gradient=False,
    ),
    Case(
        "mul-int32",
        lambda a, b: a * b,
        np.multiply,
        (integers("n", 99, dtype="int32"),) * 2,
        gradient=False,
    ),
    Case(
        "sub-row-int64",
        lambda a, b: a - b,
        np.subtract,
        (integers("m n", 99), integers("n", 9)),
        gradient=False,
    ),
    Case(
        "floor_divide-int64",
        lambda a, b: a // b,
        np.floor_divide,
        (integers("m n", 99, -99), integers("n", 9, 1)),
        gradient=False,
    ),
    Case(
        "mod-int32",
        lambda a, b: a % b,
        np.mod,
        (integers("n", 99, -99, "int32"), integers("n", 9, 1, "int32")),
        gradient=False,
    ),
    Case(
        "masked_fill",
        lambda x, c: F.masked_fill(x, c, -1.0),
        lambda x, c: np.where(c, -1.0, x),
        (real("m n"), booleans("n")),
        torch=lambda t, x, c: x.masked_fill(c, -1.0),
    ),
    Case(
        "broadcast_to",
        lambda x: F.broadcast_to(x, (3, *x.shape)) * 1,
        lambda x: np.broadcast_to(x, (3, *x.shape)),
        (real("m n"),),
    ),
    Case(
        "logical_xor",
        lambda a, b: a ^ b,
        np.logical_xor,
        (booleans("m n"), booleans("n")),
        gradient=False,
    ),
    Case("isfinite", lambda x: F.isfinite(x), np.isfinite, (real("n"),), gradient=False),
    Case("less", lambda a, b: a < b, np.less, ROW, gradient=False),
    Case(
        "less_equal",
        lambda a, b: a <= b,
        np.less_equal,
        (integers("m n", 4), integers("n", 4)),
        gradient=False,
    ),
    Case("greater", lambda a, b: a > b, np.greater, COLUMN, gradient=False),
    Case("greater_equal", lambda a: a >= 1, lambda a: a >= 1, (integers("n", 3),), gradient=False),
    Case(
        "equal",
        lambda a, b: a == b,
        np.equal,
        (integers("m n", 3), integers("n", 3)),
        gradient=False,
    ),
    Case("not_equal", lambda a: a != 1, lambda a: a != 1, (integers("n", 3),), gradient=False),
]

REDUCE = [
    *reduction(
        "sum",
        lambda x, a, k: F.sum(x, axis=a, keepdims=k),
        lambda x, a, k: np.sum(x, axis=a, keepdims=k),
        torch=lambda t, x, a, k: x.sum(a, k),
    ),
    *reduction(
        "mean",
        lambda x, a, k: F.mean(x, axis=a, keepdims=k),
        lambda x, a, k: np.mean(x, axis=a, keepdims=k),
        torch=lambda t, x, a, k: x.mean(a, k),
    ),
    *reduction(
        "max",
        lambda x, a, k: F.max(x, axis=a, keepdims=k),
        lambda x, a, k: np.max(x, axis=a, keepdims=k),
        torch=lambda t, x, a, k: x.amax(a, k),
    ),
    *reduction(
        "min",
        lambda x, a, k: F.min(x, axis=a, keepdims=k),
        lambda x, a, k: np.min(x, axis=a, keepdims=k),
        torch=lambda t, x, a, k: x.amin(a, k),
    ),
    *reduction(
        "argmax",
        lambda x, a, k: F.argmax(x, axis=a, keepdims=k),
        lambda x, a, k: np.argmax(x, axis=a, keepdims=k),
        gradient=False,
    ),
    *reduction(
        "var",
        lambda x, a, k: F.var(x, axis=a, keepdims=k),
        lambda x, a, k: np.var(x, axis=a, keepdims=k),
        torch=lambda t, x, a, k: x.var(a, correction=0, keepdim=k),
    ),
    *reduction(
        "logsumexp",
        lambda x, a, k: F.logsumexp(x, axis=a, keepdims=k),
        ref.logsumexp,
        torch=lambda t, x, a, k: x.logsumexp(a, k),
    ),
    Case(
        "sum-two-axes", lambda x: F.sum(x, axis=(0, 2)), lambda x: x.sum((0, 2)), (real("l m n"),)
    ),
    Case(
        "sum-outer-axes",
        lambda x: F.mean(x, axis=(1, 2)),
        lambda x: x.mean((1, 2)),
        (real("l m n"),),
    ),
    Case(
        "sum-int64",
        lambda x: F.sum(x, axis=0),
        lambda x: x.sum(0),
        (integers("m n", 9),),
        gradient=False,
    ),
]

SOFTMAX = [
    Case(
        "softmax",
        lambda x: F.softmax(x, axis=-1),
        ref.softmax,
        (real("m n"),),
        torch=lambda t, x: x.softmax(-1),
    ),
    Case(
        "softmax-columns",
        lambda x: F.softmax(x, axis=0),
        lambda x: ref.softmax(x, 0),
        (real("m n"),),
        torch=lambda t, x: x.softmax(0),
    ),
    Case(
        "log_softmax",
        lambda x: F.log_softmax(x, axis=-1),
        ref.log_softmax,
        (real("m n", -9, 9),),
        torch=lambda t, x: x.log_softmax(-1),
    ),
    Case(
        "log_softmax-middle",
        lambda x: F.log_softmax(x, axis=1),
        lambda x: ref.log_softmax(x, 1),
        (real("l m n"),),
    ),
]

GEMM = {"m": 384, "n": 384, "k": 384}
LINALG = [
    Case(
        "matmul",
        lambda a, b: a @ b,
        np.matmul,
        (real("m k"), real("k n")),
        torch=lambda t, a, b: a @ b,
        tolerance=64,
        large=GEMM,
        flops="2*m*n*k",
    ),
    Case(
        "matmul-left-transposed",
        lambda a, b: a.T @ b,
        lambda a, b: a.T @ b,
        (real("k m"), real("k n")),
        torch=lambda t, a, b: a.T @ b,
        tolerance=64,
        large=GEMM,
        flops="2*m*n*k",
    ),
    Case(
        "matmul-right-transposed",
        lambda a, b: a @ b.T,
        lambda a, b: a @ b.T,
        (real("m k"), real("n k")),
        torch=lambda t, a, b: a @ b.T,
        tolerance=64,
        large=GEMM,
        flops="2*m*n*k",
    ),
    Case(
        "matmul-batched",
        lambda a, b: a @ b,
        np.matmul,
        (real("l m k"), real("l k n")),
        torch=lambda t, a, b: a @ b,
        tolerance=64,
        large={"l": 9, "m": 65, "n": 67, "k": 63},
        flops="2*l*m*n*k",
    ),
    Case(
        "matmul-batch-broadcast",
        lambda a, b: a @ b,
        np.matmul,
        (real("l m k"), real("k n")),
        torch=lambda t, a, b: a @ b,
        tolerance=64,
        large={"l": 9, "m": 65, "n": 67, "k": 63},
        flops="2*l*m*n*k",
    ),
    Case(
        "matmul-matrix-vector",
        lambda a, b: a @ b,
        np.matmul,
        (real("m k"), real("k")),
        tolerance=64,
        flops="2*m*k",
    ),
    Case(
        "matmul-vector-matrix",
        lambda a, b: a @ b,
        np.matmul,
        (real("k"), real("k n")),
        tolerance=64,
        flops="2*k*n",
    ),
    Case(
        "matmul-vectors",
        lambda a, b: a @ b,
        np.matmul,
        (real("k"), real("k")),
        tolerance=64,
        flops="2*k",
    ),
    Case(
        "linear",
        lambda x, w, b: F.linear(x, w, b),
        lambda x, w, b: x @ w.T + b,
        (real("m k"), real("n k"), real("n")),
        torch=lambda t, x, w, b: t.nn.functional.linear(x, w, b),
        tolerance=64,
        large={"m": 128, "n": 512, "k": 784},
        flops="2*m*n*k",
    ),
    Case(
        "einsum",
        lambda a, b: F.einsum("lmk,nk->lnm", a, b),
        lambda a, b: np.einsum("lmk,nk->lnm", a, b),
        (real("l m k"), real("n k")),
        torch=lambda t, a, b: t.einsum("lmk,nk->lnm", a, b),
        tolerance=64,
        large={"l": 9, "m": 65, "n": 67, "k": 63},
        flops="2*l*m*n*k",
    ),
    Case(
        "einsum-batched",
        lambda a, b: F.einsum("bij,bjk->bik", a, b),
        lambda a, b: np.einsum("bij,bjk->bik", a, b),
        (real("b i j"), real("b j k")),
        torch=lambda t, a, b: t.einsum("bij,bjk->bik", a, b),
        tolerance=64,
        large={"b": 9, "i": 65, "j": 67, "k": 63},
        flops="2*b*i*j*k",
    ),
]

AT_LEAST_3 = {"n": tuple(s for s in ODD if s >= 3)}
MOVE = [
    Case("reshape", lambda x: F.reshape(x, (-1,)), lambda x: x.reshape(x.size), (real("m n"),)),
    Case("transpose", lambda x: x.T * 1, lambda x: x.T, (real("m n"),), torch=lambda t, x: x.T),
    Case(
        "permute",
        lambda x: F.permute(x, (2, 0, 1)) * 1,
        lambda x: x.transpose(2, 0, 1),
        (real("l m n"),),
    ),
    Case(
        "flatten",
        lambda x: F.flatten(x, 1),
        lambda x: x.reshape(len(x), 3 * x.shape[2]),
        (real("l 3 n"),),
    ),
    Case(
        "concat",
        lambda a, b: F.concat([a, b, a], axis=1),
        lambda a, b: np.concatenate([a, b, a], 1),
        (real("m n"), real("m 3")),
        torch=lambda t, a, b: t.cat([a, b, a], 1),
    ),
    Case(
        "concat-rows",
        lambda a, b: F.concat([a, b]),
        lambda a, b: np.concatenate([a, b]),
        (real("m n"), real("2 n")),
    ),
    Case("stack", lambda a, b: F.stack([a, b], axis=1), lambda a, b: np.stack([a, b], 1), M_N),
    Case(
        "split", lambda x: tuple(F.split(x, 3, axis=1)), lambda x: np.split(x, 3, 1), (real("m 9"),)
    ),
    Case(
        "slice",
        lambda x: x[1:, ::2] * 1,
        lambda x: x[1:, ::2],
        (real("m n"),),
        torch=lambda t, x: x[1:, ::2],
    ),
    Case("slice-reversed", lambda x: x[::-1] * 1, lambda x: x[::-1], (real("m n"),)),
    Case(
        "slice-new-axis", lambda x: x[None, ..., 0] * 1, lambda x: x[None, ..., 0], (real("m 3 2"),)
    ),
    Case(
        "gather-rows",
        lambda x, i: x[i],
        lambda x, i: x[i],
        (real("n m"), integers("k", "n")),
        torch=lambda t, x, i: x[i],
        sizes={"n": (1, 2, 5, 97)},
    ),
    Case("index-boolean", lambda x, c: x[c], lambda x, c: x[c], (real("m n"), booleans("m"))),
    Case(
        "index-boolean-full", lambda x, c: x[c], lambda x, c: x[c], (real("m n"), booleans("m n"))
    ),
    Case(
        "cast",
        lambda x: x.astype("int32"),
        lambda x: x.astype("int32"),
        (real("n", -99, 99),),
        gradient=False,
    ),
]

FULL = tuple(s for s in ODD if s > 0)  # the mean over nothing is nothing to compare
ROWS = {"m": FULL, "n": FULL}
CLASSES = {"m": FULL, "c": (2, 3, 7, 10, 17, 65)}
SIGNS = Arg("m n", lambda rng, s, dims: rng.choice([-1, 1], s), "int64")
M_N_UNIT = (real("m n"), real("m n", 0, 1))


def loss(name, call, reference, args, torch=None, sizes=None, **more):
    """A row of a loss; the functional module of torch is its twin's first argument."""
    twin = torch and (lambda t, *xs: torch(t.nn.functional, *xs))
    more.setdefault("tolerance", 64)
    return Case(name, call, reference, args, torch=twin, sizes=sizes or ROWS, **more)


LOSSES = [
    loss(
        "mse", lambda x, t: losses.mse(x, t), lambda x, t: ((x - t) ** 2).mean(), M_N,
        lambda f, x, t: f.mse_loss(x, t),
    ),
    loss(
        "mse-weighted", lambda x, t, w: losses.mse(x, t, sample_weight=w),
        lambda x, t, w: ((x - t) ** 2 * w[:, None]).mean(), (*M_N, real("m", 0, 1)), gradient=False,
    ),
    loss(
        "mae", lambda x, t: losses.mae(x, t, reduction="sum"), lambda x, t: np.abs(x - t).sum(), M_N,
        lambda f, x, t: f.l1_loss(x, t, reduction="sum"),
    ),
    loss(
        "huber", lambda x, t: losses.huber(x, t, delta=0.7, reduction="none"),
        lambda x, t: ref.huber(x, t, 0.7), M_N,
        lambda f, x, t: f.huber_loss(x, t, delta=0.7, reduction="none"),
    ),
    loss(
        "bce", lambda x, t: losses.bce(x, t),
        lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)).mean(),
        (real("m n", 0.05, 0.95), real("m n", 0, 1)),
        lambda f, x, t: f.binary_cross_entropy(x, t),
    ),
    loss(
        "bce_with_logits", lambda x, t: losses.bce_with_logits(x, t),
        lambda x, t: ref.bce_with_logits(x, t).mean(), M_N_UNIT,
        lambda f, x, t: f.binary_cross_entropy_with_logits(x, t),
    ),
    loss(
        "bce_with_logits-pos_weight", lambda x, t, p: losses.bce_with_logits(x, t, pos_weight=p),
        lambda x, t, p: ref.bce_with_logits(x, t, p).mean(),
        (*M_N_UNIT, Arg("n", lambda rng, s, dims: rng.uniform(0.5, 2, s))), gradient=False,
        torch=lambda f, x, t, p: f.binary_cross_entropy_with_logits(x, t, pos_weight=p),
    ),
    loss(
        "cross_entropy", lambda x, t: losses.cross_entropy(x, t), ref.cross_entropy,
        (real("m c", -9, 9), integers("m", "c")), lambda f, x, t: f.cross_entropy(x, t), CLASSES,
    ),
    loss(
        "cross_entropy-smoothed",
        lambda x, t: losses.cross_entropy(x, t, label_smoothing=0.1),
        lambda x, t: ref.cross_entropy(x, t, smoothing=0.1), (real("m c"), integers("m", "c")),
        lambda f, x, t: f.cross_entropy(x, t, label_smoothing=0.1), CLASSES,
    ),
    loss(
        "cross_entropy-ignoring",
        lambda x, t: losses.cross_entropy(x, t, ignore_index=1, reduction="sum"),
        lambda x, t: -(ref.log_softmax(x) * ref.one_hot(t, x.shape[-1]) * (t != 1)[:, None]).sum(),
        (real("m c"), integers("m", "c")),
        lambda f, x, t: f.cross_entropy(x, t, ignore_index=1, reduction="sum"), CLASSES,
    ),
    loss(
        "cross_entropy-probabilities", lambda x, p: losses.cross_entropy(x, p),
        lambda x, p: -(ref.log_softmax(x) * p).sum(-1).mean(), (real("m c"), simplex("m c")),
        lambda f, x, p: f.cross_entropy(x, p), CLASSES,
    ),
    loss(
        "nll", lambda x, t: losses.nll(x, t),
        lambda x, t: -(x * ref.one_hot(t, x.shape[-1])).sum(-1).mean(),
        (real("m c", -9, 0), integers("m", "c")), lambda f, x, t: f.nll_loss(x, t), CLASSES,
    ),
    loss(
        "kl_divergence", lambda x, p: losses.kl_divergence(x, p),
        lambda x, p: (p * (np.log(p) - x)).mean(), (real("m c", -4, 0), simplex("m c")),
        lambda f, x, p: f.kl_div(x, p, reduction="none").mean(), CLASSES,
    ),
    loss(
        "poisson_nll", lambda x, t: losses.poisson_nll(x, t),
        lambda x, t: (np.exp(x) - t * x).mean(),
        (real("m n"), real("m n", 0, 5)), lambda f, x, t: f.poisson_nll_loss(x, t),
    ),
    loss(
        "gaussian_nll", lambda x, t, v: losses.gaussian_nll(x, t, v),
        lambda x, t, v: (np.log(v) + (x - t) ** 2 / v).mean() / 2, (*M_N, real("m n", 0.5, 2)),
        lambda f, x, t, v: f.gaussian_nll_loss(x, t, v),
    ),
    loss(
        "hinge", lambda x, t: losses.hinge(x, t), lambda x, t: np.maximum(0, 1 - t * x).mean(),
        (real("m n"), SIGNS),
    ),
    loss(
        "squared_hinge", lambda x, t: losses.squared_hinge(x, t),
        lambda x, t: (np.maximum(0, 1 - t * x) ** 2).mean(), (real("m n"), SIGNS),
    ),
    loss(
        "triplet_margin", lambda a, p, n: losses.triplet_margin(a, p, n),
        lambda a, p, n: np.maximum(0, 1 + ref.distance(a, p) - ref.distance(a, n)).mean(),
        (real("m n"), real("m n"), real("m n")),
        lambda f, a, p, n: f.triplet_margin_loss(a, p, n),
    ),
    loss(
        "focal", lambda x, t: losses.focal(x, t), lambda x, t: ref.focal(x, t).mean(),
        (real("m n"), integers("m n", 2)),
    ),
]  # fmt: skip

CASES = UNARY + BINARY + REDUCE + SOFTMAX + NORM + LINALG + MOVE + LOSSES + CONV + POOL + RESIZE

assert len({c.name for c in CASES}) == len(CASES), "two cases have one name"
