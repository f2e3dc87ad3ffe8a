"""The pointwise kernels against references in extended precision, per instruction set.

float32 is sampled evenly over all its bit patterns, float64 at random over its own, and both more densely
where the functions do something. The bound is 4 ulp; a subnormal result may be flushed to zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, _core
from fastnn._core import launch
from fastnn._core import ops as op

LD = np.longdouble
DTYPES = ["float32", "float64"]
extended = pytest.mark.skipif(
    np.finfo(LD).eps > 1e-18, reason="numpy's longdouble is no wider than float64 here"
)
MAP_OPS = [
    name for name, number in sorted(vars(op).items())
    if _core.op_info(number)[1] == "map" and name != "copy"
]  # fmt: skip


# --- references ---


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, LD(1)) / (1 + e)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _times(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """x * factor, where 0 wins over -inf: the limit of x sigmoid(x) and its like."""
    return np.where(np.isneginf(x), LD(-0.0), x * factor)


def _erf_parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """erf and erfc of x >= 0: a series of positive terms below 1.5, a continued fraction above."""
    root_pi = np.sqrt(LD("3.14159265358979323846264338327950288"))
    near = np.minimum(x, LD(1.5))
    term, total = near.copy(), near.copy()
    for n in range(1, 60):
        term = term * 2 * near * near / (2 * n + 1)
        total = total + term
    erf = 2 / root_pi * np.exp(-near * near) * total
    far = np.clip(x, LD(1.5), LD(110))
    tail = np.zeros_like(far)
    for n in range(300, 0, -1):
        tail = LD(n) / 2 / (far + tail)
    erfc = np.exp(-far * far) / (root_pi * (far + tail))
    erfc = np.where(np.isnan(x), x, np.where(x < 1.5, 1 - erf, erfc))
    return np.where(x < 1.5, erf, 1 - erfc), erfc


def _erf(x: np.ndarray) -> np.ndarray:
    return np.copysign(_erf_parts(np.abs(x))[0], x)


def _normal(x: np.ndarray) -> np.ndarray:
    """The normal distribution function."""
    erfc = _erf_parts(np.abs(x) / np.sqrt(LD(2)))[1]
    return np.where(x < 0, erfc / 2, 1 - erfc / 2)


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-x * x / 2) / np.sqrt(2 * LD("3.14159265358979323846264338327950288"))


def _tanh_argument(x: np.ndarray) -> np.ndarray:
    return (
        2 * np.sqrt(2 / LD("3.14159265358979323846264338327950288")) * (x + LD("0.044715") * x**3)
    )


def _mish(x: np.ndarray) -> np.ndarray:
    return _times(x, np.tanh(_softplus(x)))


REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "square": np.square,
    "tanh": np.tanh,
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
    "sigmoid": _sigmoid,
    "silu": lambda x: _times(x, _sigmoid(x)),
    "softplus": _softplus,
    "mish": _mish,
    "gelu": lambda x: _times(x, _normal(x)),
    "gelu_tanh": lambda x: _times(x, _sigmoid(_tanh_argument(x))),
    "elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "selu": lambda x: LD("1.0507009873554804934193349852946") * np.where(
        x < 0, LD("1.6732632423543772848170429916717") * np.expm1(x), x
    ),
    "hardswish": lambda x: np.where(x <= -3, LD(-0.0), x * np.clip(x + 3, 0, 6) / 6),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}  # fmt: skip
SCALARS = {"softplus": (1.0, np.inf), "elu": (1.0,)}
# x + 3 is rounded before it is multiplied: next to -3 the result has no more digits than that.
LOOSE = {"hardswish": (-3.5, -2.5), "hardsigmoid": (-3.5, -2.5)}
SUBNORMAL_ARGUMENTS = {"log", "sqrt", "rsqrt"}  # elsewhere a subnormal argument counts as 0


@functools.cache
def samples(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    if dtype == "float32":
        every = np.arange(0, 1 << 32, 28657, dtype=np.uint64).astype(np.uint32).view(np.float32)
    else:
        every = rng.integers(0, 1 << 64, 150_000, dtype=np.uint64).view(np.float64)
    widths = (0.01, 1, 2.5, 6, 16, 40, 110) + ((750,) if dtype == "float64" else ())
    near = [rng.uniform(-w, w, 12_000).astype(dtype) for w in widths]
    ends = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1 - 2**-24, 1 + 2**-23, -3, 3], dtype)
    return np.concatenate([every, *near, ends])


@functools.cache
def reference(name: str, dtype: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        return REFERENCES[name](samples(dtype).astype(LD))


def apply(name: str, *arrays: np.ndarray, scalars: tuple[float, ...] = ()) -> np.ndarray:
    out = _core.op_info(getattr(op, name))[2].split("->")[1]
    tensors = [Tensor(a) for a in arrays]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    y = fastnn.empty(shape, "bool" if out.endswith(":b") else tensors[-1].dtype)
    launch(getattr(op, name), (*tensors, y), scalars)
    return y.numpy()


def ulps(y: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """|y - expected| in units of the last place, inf where y is wrong in kind."""
    limits = np.finfo(y.dtype)
    with np.errstate(all="ignore"):
        magnitude = np.clip(np.abs(expected), limits.tiny, limits.max).astype(y.dtype)
        error = np.abs(y.astype(LD) - expected) / np.spacing(magnitude).astype(LD)
        error[(np.abs(expected) < limits.tiny) & (y == 0)] = 0
        over = np.abs(expected) > limits.max
        error[over] = np.where(np.abs(y[over]) >= limits.max, 0, np.inf)
        error[over & (np.sign(y) != np.sign(expected))] = np.inf
        error[np.isnan(expected) & np.isnan(y)] = 0
        error[np.isnan(error)] = np.inf
    return error.astype(np.float64)


@extended
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REFERENCES)
def test_within_four_ulp(name: str, dtype: str, isa: str) -> None:
    x = samples(dtype)
    error = ulps(apply(name, x, scalars=SCALARS.get(name, ())), reference(name, dtype))
    if name not in SUBNORMAL_ARGUMENTS:
        error[(np.abs(x) < np.finfo(dtype).tiny) & (x != 0)] = 0
    if name in LOOSE:
        low, high = LOOSE[name]
        error[(x > low) & (x < high)] = 0
    worst = int(error.argmax())
    assert error[worst] <= 4, f"{name}({x[worst]!r}) is off by {error[worst]:.3g} ulp"


@extended
@pytest.mark.parametrize("dtype", DTYPES)
def test_pow_within_four_ulp(dtype: str, isa: str) -> None:
    rng = np.random.default_rng(3)
    reach = np.log(np.finfo(dtype).max)
    a = np.concatenate(
        [np.exp(rng.uniform(-0.9, 0.9, 20_000) * reach), rng.uniform(0.4, 2.5, 20_000)]
    )
    a = a.astype(dtype)
    with np.errstate(all="ignore"):
        b = (rng.uniform(-1, 1, a.size) * reach / np.maximum(np.abs(np.log(a)), 1e-6)).astype(dtype)
        # longdouble carries 64 bits, of which a result near the limit loses up to 10
        expected = np.power(a.astype(LD), b.astype(LD))
    assert ulps(apply("pow", a, b), expected).max() <= 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_pow_special_values(dtype: str, isa: str) -> None:
    values = [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e30, 16777217.0]
    a, b = (m.ravel().copy() for m in np.meshgrid(*[np.array(values, dtype)] * 2))
    with np.errstate(all="ignore"):
        expected = np.power(a, b)
        np.testing.assert_allclose(apply("pow", a, b), expected, rtol=4 * np.finfo(dtype).eps)
    same_sign = np.signbit(apply("pow", a, b)) == np.signbit(expected)
    assert (same_sign | np.isnan(expected)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_and_roots_of_subnormals(dtype: str, isa: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = (tiny * np.array([1, 2, 3, 1000, 123456], dtype)).astype(dtype)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(apply("log", x), np.log(x.astype(LD)).astype(dtype), rtol=2 * eps)
    np.testing.assert_allclose(apply("sqrt", x), np.sqrt(x.astype(LD)).astype(dtype), rtol=eps)
    np.testing.assert_allclose(
        apply("rsqrt", x), (1 / np.sqrt(x.astype(LD))).astype(dtype), rtol=2 * eps
    )
    assert np.isnan(apply("log", -x)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_keep_their_sign(dtype: str, isa: str) -> None:
    zeros = np.array([0.0, -0.0], dtype)
    for name in [
        "expm1",
        "log1p",
        "tanh",
        "erf",
        "sin",
        "sqrt",
        "silu",
        "mish",
        "gelu",
        "gelu_tanh",
        "neg",
    ]:
        y = apply(name, zeros, scalars=SCALARS.get(name, ()))
        assert (y == 0).all(), name
        assert list(np.signbit(y)) == ([True, False] if name == "neg" else [False, True]), name


# --- gradient kernels ---


def _slope_silu(x: np.ndarray) -> np.ndarray:
    s = _sigmoid(x)
    return s * (1 + x * _sigmoid(-x))


def _slope_mish(x: np.ndarray) -> np.ndarray:
    t = np.tanh(_softplus(x))
    return t + x * (1 - t * t) * _sigmoid(x)


def _slope_gelu_tanh(x: np.ndarray) -> np.ndarray:
    s = _sigmoid(_tanh_argument(x))
    inner = (
        2
        * np.sqrt(2 / LD("3.14159265358979323846264338327950288"))
        * (1 + 3 * LD("0.044715") * x * x)
    )
    return s + x * inner * s * _sigmoid(-_tanh_argument(x))


SLOPES = {
    "silu_grad": (_slope_silu, ()),
    "mish_grad": (_slope_mish, ()),
    "gelu_grad": (lambda x: _normal(x) + x * _density(x), ()),
    "gelu_tanh_grad": (_slope_gelu_tanh, ()),
    "softplus_grad": (_sigmoid, (1.0, np.inf)),
    "elu_grad": (lambda x: np.where(x > 0, LD(1), np.exp(x)), (1.0,)),
}


@extended
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SLOPES)
def test_gradient_kernels(name: str, dtype: str, isa: str) -> None:
    formula, scalars = SLOPES[name]
    x = np.linspace(-60, 60, 40_001).astype(dtype)
    slope = apply(name, x, np.ones_like(x), scalars=scalars)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        slope, formula(x.astype(LD)).astype(dtype), rtol=4 * eps, atol=4 * eps
    )
    ends = apply(
        name, np.array([-np.inf, np.inf, np.nan], dtype), np.ones(3, dtype), scalars=scalars
    )
    np.testing.assert_array_equal(ends, np.array([0, 1, np.nan], dtype))


# --- an element's value does not depend on where it lies ---


def _operands(name: str, n: int, dtype: str) -> tuple[list[np.ndarray], tuple[float, ...]]:
    rng = np.random.default_rng(n)
    _, _, arrays, scalars = _core.op_info(getattr(op, name))
    inputs = []
    for word in arrays.split("->")[0].split():
        if word.endswith(":b"):
            inputs.append(rng.random(n) < 0.5)
        else:
            inputs.append(rng.uniform(0.1, 2, n).astype(dtype))
    values = {"low": 0.5, "high": 1.5, "threshold": 20.0}
    return inputs, tuple(values.get(word.split(":")[0], 0.7) for word in scalars.split())


FLOAT_OPS = [name for name in MAP_OPS if name not in ("floor_divide", "mod")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FLOAT_OPS)
def test_any_length_offset_and_stride(name: str, dtype: str, isa: str) -> None:
    inputs, scalars = _operands(name, 200, dtype)
    whole = apply(name, *inputs, scalars=scalars)
    for n in (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127):
        for start in (0, 1, 3):
            part = apply(name, *(a[start : start + n] for a in inputs), scalars=scalars)
            np.testing.assert_array_equal(part, whole[start : start + n])
    back = apply(name, *(a[::-3] for a in inputs), scalars=scalars)
    np.testing.assert_array_equal(back, whole[::-3])
    for k in range(len(inputs)):  # one value in place of an input
        spread = [a if i == k else np.broadcast_to(a[5], a.shape) for i, a in enumerate(inputs)]
        full = [np.ascontiguousarray(a) for a in spread]
        np.testing.assert_array_equal(
            apply(name, *spread, scalars=scalars), apply(name, *full, scalars=scalars)
        )


@pytest.mark.parametrize("name", ["add", "exp", "gelu_grad", "where", "less", "pow"])
def test_any_thread_count(name: str) -> None:
    inputs, scalars = _operands(name, 300_007, "float32")
    results = []
    for threads in (1, 2, 4):
        fastnn.set_num_threads(threads)
        results.append(apply(name, *inputs, scalars=scalars).tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", ["neg", "exp", "sigmoid"])
def test_in_place(name: str, isa: str) -> None:
    x = np.random.default_rng(0).normal(size=1003).astype("float32")
    expected = apply(name, x)
    t = Tensor(x.copy())
    launch(getattr(op, name), (t, t))
    np.testing.assert_array_equal(t.numpy(), expected)
