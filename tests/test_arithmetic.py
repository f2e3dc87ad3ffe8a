"""Arithmetic, comparisons, broadcasting and conversions against numpy, and two orders of gradients."""

from __future__ import annotations

import operator

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import fastnn
from fastnn import Tensor, ops

FLOATS = ["float32", "float64"]
INTEGERS = ["int64", "int32", "uint8"]
DTYPES = [*FLOATS, *INTEGERS]


def values(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in FLOATS:
        return rng.normal(size=shape).astype(dtype)
    low = 1 if dtype == "uint8" else -9
    x = rng.integers(low, 10, shape).astype(dtype)
    return np.where(x == 0, 3, x).astype(dtype)


# --- values ---

BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "minimum": np.minimum, "maximum": np.maximum,
    "floor_divide": np.floor_divide, "mod": np.mod,
}  # fmt: skip
COMPARISONS = {
    "equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary_as_numpy(name: str, dtype: str) -> None:
    a, b = values(dtype, (5, 37), 1), values(dtype, (5, 37), 2)
    ours = getattr(ops, name)(Tensor(a), Tensor(b))
    assert ours.dtype == dtype
    expected = BINARY[name](a, b)
    if name == "mod" and dtype in FLOATS:
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(ours.numpy(), expected)


@pytest.mark.parametrize("dtype", [*DTYPES, "bool"])
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparison_as_numpy(name: str, dtype: str) -> None:
    a, b = values(dtype, (71,), 1), values(dtype, (71,), 2)
    b[::3] = a[::3]
    if dtype in FLOATS:
        a[4] = b[5] = a[6] = b[6] = np.nan
    ours = getattr(ops, name)(Tensor(a), Tensor(b))
    assert ours.dtype == "bool"
    np.testing.assert_array_equal(ours.numpy(), COMPARISONS[name](a, b))


@pytest.mark.parametrize("dtype", DTYPES)
def test_unary_as_numpy(dtype: str) -> None:
    x = values(dtype, (53,))
    t = Tensor(x)
    for ours, numpys in (
        (ops.neg, np.negative),
        (ops.abs, np.abs),
        (ops.sign, np.sign),
        (ops.square, np.square),
    ):
        np.testing.assert_array_equal(ours(t).numpy(), numpys(x))
    if dtype in FLOATS:
        for ours, numpys in ((ops.floor, np.floor), (ops.ceil, np.ceil), (ops.round, np.round)):
            halves = np.concatenate([x * 3, [0.5, 1.5, -0.5, -2.5, 1e30, -0.0, np.inf]]).astype(
                dtype
            )
            np.testing.assert_array_equal(ours(Tensor(halves)).numpy(), numpys(halves))


def test_integers_wrap_around() -> None:
    x = np.array([2**63 - 1, -(2**63)])
    np.testing.assert_array_equal((Tensor(x) + 1).numpy(), [-(2**63), -(2**63) + 1])
    np.testing.assert_array_equal((-Tensor(x)).numpy(), [-(2**63) + 1, -(2**63)])
    np.testing.assert_array_equal((Tensor(x) // -1).numpy(), [-(2**63) + 1, -(2**63)])
    np.testing.assert_array_equal((Tensor(x) % -1).numpy(), [0, 0])
    small = Tensor(np.array([250], "uint8"))
    assert (small + 10).item() == 4
    assert (Tensor(np.array([2], "uint8")) - 3).item() == 255


def test_integer_division_by_zero_writes_nothing() -> None:
    a, b = Tensor(np.arange(50_000)), Tensor(np.where(np.arange(50_000) == 49_999, 0, 3))
    for function in (operator.floordiv, operator.mod):
        with pytest.raises(ValueError, match="division by zero"):
            function(a, b)
    assert (Tensor(np.zeros((0, 3), "int64")) // 0).shape == (0, 3)


def test_nan_wins() -> None:
    nan = float("nan")
    a, b = Tensor([nan, 1.0, nan, 2.0]), Tensor([1.0, nan, nan, 3.0])
    np.testing.assert_array_equal(ops.maximum(a, b).numpy(), [nan, nan, nan, 3])
    np.testing.assert_array_equal(ops.minimum(a, b).numpy(), [nan, nan, nan, 2])
    np.testing.assert_array_equal(ops.clip(a, 0, 1).numpy(), [nan, 1, nan, 1])


def test_finite_or_not() -> None:
    x = np.array([0, -0.0, 1, np.inf, -np.inf, np.nan] * 7, "float32")
    for name in ("isnan", "isinf", "isfinite"):
        np.testing.assert_array_equal(getattr(ops, name)(Tensor(x)).numpy(), getattr(np, name)(x))
        assert getattr(ops, name)(Tensor([1, 2])).numpy().all() == (name == "isfinite")


def test_logic() -> None:
    a, b = values("bool", (67,), 1), values("bool", (67,), 2)
    np.testing.assert_array_equal((Tensor(a) & Tensor(b)).numpy(), a & b)
    np.testing.assert_array_equal((Tensor(a) | Tensor(b)).numpy(), a | b)
    np.testing.assert_array_equal((Tensor(a) ^ Tensor(b)).numpy(), a ^ b)
    np.testing.assert_array_equal((~Tensor(a)).numpy(), ~a)
    with pytest.raises(TypeError, match="expected bool, got int64"):
        ops.logical_and(Tensor([1]), Tensor([2]))


@pytest.mark.parametrize("dtype", [*DTYPES, "bool"])
def test_where(dtype: str) -> None:
    c, a, b = values("bool", (4, 1, 33)), values(dtype, (3, 1), 1), values(dtype, (33,), 2)
    np.testing.assert_array_equal(
        ops.where(Tensor(c), Tensor(a), Tensor(b)).numpy(), np.where(c, a, b)
    )
    assert ops.where(Tensor([True]), 1, 0).dtype == "int64"
    assert ops.where(Tensor([True]), 1.0, 0).dtype == "float32"
    assert ops.where(Tensor([True]), True, False).dtype == "bool"
    with pytest.raises(TypeError, match="expected bool"):
        ops.where(Tensor([1.0]), 1.0, 2.0)


def test_powers() -> None:
    x = values("float64", (40,))
    with np.errstate(all="ignore"):
        for p in (0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.7):
            np.testing.assert_allclose((Tensor(x) ** p).numpy(), x**p, rtol=1e-14)
    np.testing.assert_allclose((2.0 ** Tensor(x)).numpy(), 2.0**x, rtol=1e-14)
    n = Tensor([2, -3, 0])
    for p in range(6):
        np.testing.assert_array_equal((n**p).numpy(), np.array([2, -3, 0]) ** p)
    with pytest.raises(TypeError, match="not whole"):
        n**-1


# --- broadcasting ---


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_broadcasting_as_numpy(data: st.DataObject) -> None:
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=5, max_side=5, min_side=0)
    )
    a, b = (values("float32", s, i) for i, s in enumerate(shapes.input_shapes))
    np.testing.assert_array_equal((Tensor(a) - Tensor(b)).numpy(), a - b)
    assert ops.broadcast_shapes(a.shape, b.shape) == shapes.result_shape
    spread = ops.broadcast_to(Tensor(a), shapes.result_shape)
    np.testing.assert_array_equal(spread.numpy(), np.broadcast_to(a, shapes.result_shape))
    back = ops.sum_to(Tensor(np.ones(shapes.result_shape, "float32")), a.shape)
    assert back.shape == a.shape
    if a.size:
        assert (back.numpy() == np.prod(shapes.result_shape) / a.size).all()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_strides(data: st.DataObject) -> None:
    """Reversed, skipping and permuted axes of inputs and output, in copies, conversions and kernels."""
    base = values("float32", data.draw(hnp.array_shapes(max_dims=4, max_side=40)))

    def view(x: np.ndarray) -> np.ndarray:
        for axis in range(x.ndim):
            step = data.draw(st.sampled_from([1, 1, -1, 2]))
            x = x[(slice(None),) * axis + (slice(None, None, step),)]
        return x.transpose(data.draw(st.permutations(range(x.ndim))))

    x = view(base)
    np.testing.assert_array_equal(Tensor(x).clone().numpy(), x)
    np.testing.assert_array_equal(Tensor(x).astype("float64").numpy(), x.astype("float64"))
    np.testing.assert_array_equal((Tensor(x) + Tensor(np.ascontiguousarray(x))).numpy(), x + x)
    target = np.zeros((2 * x.shape[0], *x.shape[1:][::-1]), "float32")[::2].transpose(
        0, *range(x.ndim - 1, 0, -1)
    )
    fastnn._core.launch(fastnn._core.ops.neg, (Tensor(x), Tensor(target)))
    np.testing.assert_array_equal(target, -x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 5), (32, 32), (33, 65), (100, 7), (7, 100), (130, 130)]
)
def test_transposed_copies(shape: tuple[int, int], dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 200, (2, *shape)).astype(dtype)
    np.testing.assert_array_equal(Tensor(x.swapaxes(1, 2)).clone().numpy(), x.swapaxes(1, 2))
    np.testing.assert_array_equal(Tensor(x.T).clone().numpy(), x.T)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(
        ValueError, match=r"add: shapes \(2, 3\) and \(4,\) do not broadcast: axis -1 is 3"
    ):
        Tensor(np.zeros((2, 3))) + Tensor(np.zeros(4))
    with pytest.raises(ValueError, match="broadcast_to"):
        ops.broadcast_to(Tensor([1.0, 2.0]), (3,))
    with pytest.raises(ValueError, match="sum_to"):
        ops.sum_to(Tensor([1.0, 2.0]), (3,))


# --- dtypes ---


@pytest.mark.parametrize("source", [*DTYPES, "bool"])
@pytest.mark.parametrize("target", [*DTYPES, "bool"])
def test_conversions_as_numpy(source: str, target: str) -> None:
    x = (
        np.abs(values(source, (7, 13)) * (1 if source == "bool" else 3))
        if source != "bool"
        else values(source, (7, 13))
    )
    x = x.astype(source)
    for view in (
        x,
        x.T,
        x[::2, ::-3],
        np.broadcast_to(x[0], (4, 13)),
        np.broadcast_to(x[:, :1], (7, 5)),
    ):
        np.testing.assert_array_equal(Tensor(view).astype(target).numpy(), view.astype(target))


def test_conversions_out_of_range() -> None:
    x = Tensor([np.nan, np.inf, -np.inf, 1e30, -1e30, -1.9, 300.7])
    assert x.astype("uint8").tolist() == [0, 255, 0, 255, 0, 0, 255]
    assert x.astype("int32").tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), -1, 300]
    assert x.astype("int64").tolist() == [0, 2**63 - 1, -(2**63), 2**63 - 1, -(2**63), -1, 300]
    assert x.astype("bool").tolist() == [True] * 7
    assert Tensor([300, -1]).astype("uint8").tolist() == [44, 255]


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        (
            lambda: Tensor([1.0]) + Tensor(np.ones(1)),
            r'float32 and float64 do not mix.*astype\("float64"\)',
        ),
        (lambda: Tensor([1.0]) * Tensor([1]), r'float32 and int64 do not mix.*astype\("float32"\)'),
        (lambda: Tensor([1]) * 0.5, "int64 and the float 0.5"),
        (lambda: Tensor([1]) / 2, "no true division"),
        (lambda: Tensor([True]) + Tensor([True]), "bool tensors have no arithmetic"),
        (lambda: Tensor([True]) * 2, "a bool tensor and the number 2"),
        (lambda: ops.exp(Tensor([1])), "exp: expected float32 or float64, got int64"),
    ],
)
def test_dtypes_that_do_not_mix(expression: object, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        expression()  # type: ignore[operator]


def test_numbers_take_the_tensors_dtype() -> None:
    for dtype in DTYPES:
        x = Tensor(np.array([1, 2], dtype))
        assert (x + 1).dtype == dtype
        assert (1 - x).dtype == dtype
        assert (x * np.int64(2)).dtype == dtype
    with pytest.raises(OverflowError, match="300 is out of range for uint8"):
        Tensor(np.array([1], "uint8")) + 300
    one = Tensor([1.0])
    assert np.signbit((one * -0.0).numpy())[0]
    assert not np.signbit((one * 0.0).numpy())[0]
    assert np.isnan((one * float("nan")).item())


# --- gradients ---


def reals(shape: tuple[int, ...], low: float = -2, high: float = 2, seed: int = 0) -> Tensor:
    x = np.random.default_rng(seed).uniform(low, high, shape)
    return Tensor(x, requires_grad=True)


def second(function: object, *inputs: Tensor) -> object:
    """The gradient of function as a function, for gradcheck."""

    def gradient(*xs: Tensor) -> Tensor:
        with fastnn.enable_grad():
            xs = tuple(x if x.requires_grad else Tensor(x.numpy(), requires_grad=True) for x in xs)
            y = function(*xs)  # type: ignore[operator]
            grads = fastnn.grad(y, xs, fastnn.ones_like(y), create_graph=True)
            total = grads[0] * xs[0]
            for g, x in zip(grads[1:], xs[1:], strict=True):
                total = total + g * x
            return total

    return gradient


UNARY = [
    "neg",
    "abs",
    "square",
    "exp",
    "expm1",
    "erf",
    "sin",
    "cos",
    "sign",
    "floor",
    "ceil",
    "round",
]
POSITIVE = ["sqrt", "rsqrt", "reciprocal", "log", "log1p"]


@pytest.mark.parametrize("name", UNARY + POSITIVE)
def test_unary_gradients(name: str) -> None:
    x = reals((3, 4), 0.2 if name in POSITIVE else -1.9)
    fastnn.gradcheck(getattr(ops, name), [x])
    fastnn.gradcheck(second(getattr(ops, name)), [x])


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "minimum", "maximum", "pow", "mod"])
@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 2))]
)
def test_binary_gradients(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = reals(shapes[0], 1.1, 2, seed=1), reals(shapes[1], 0.3, 0.9, seed=2)
    fastnn.gradcheck(getattr(ops, name), [a, b])
    fastnn.gradcheck(second(getattr(ops, name)), [a, b])


def test_choice_gradients() -> None:
    c = Tensor(values("bool", (3, 4)))
    a, b = reals((3, 4)), reals((4,), seed=1)
    fastnn.gradcheck(lambda a, b: ops.where(c, a, b), [a, b])
    fastnn.gradcheck(lambda a: ops.masked_fill(a, c, 0.5) * a, [a])
    fastnn.gradcheck(lambda a: ops.clip(a, -0.7, 0.8), [a])
    fastnn.gradcheck(second(lambda a: ops.clip(a * a, 0.1, 0.8)), [a])
    fastnn.gradcheck(lambda a: ops.broadcast_to(a, (2, 3, 4)) * 2.0, [a])
    fastnn.gradcheck(lambda a: ops.sum_to(a * a, (3, 1)), [a])


def test_gradients_at_the_edge() -> None:
    x = Tensor([0.0, 1.0, 2.0], requires_grad=True)
    ops.maximum(x, Tensor([0.0, 0.5, 3.0])).backward(fastnn.ones_like(x))
    assert x.grad.tolist() == [0.5, 1.0, 0.0]  # a tie is shared
    x = Tensor([-1.0, 0.0, 1.0], requires_grad=True)
    ops.clip(x, -1, 0.5).backward(fastnn.ones_like(x))
    assert x.grad.tolist() == [1.0, 1.0, 0.0]  # the limits belong to the inside
    x = Tensor([0.0, 0.0], requires_grad=True)
    (x ** Tensor([0.0, 2.0])).backward(fastnn.ones_like(x))
    assert x.grad.tolist() == [0.0, 0.0]
    e = Tensor([2.0], requires_grad=True)
    (Tensor([0.0]) ** e).backward(fastnn.ones_like(e))
    assert e.grad.tolist() == [0.0]


def test_clip_limits() -> None:
    with pytest.raises(ValueError, match="low must not be above high"):
        ops.clip(Tensor([1.0]), 2, 1)
    with pytest.raises(ValueError, match="clip"):
        ops.clip(Tensor([1.0]), float("nan"), 1)
    assert ops.clip(Tensor([1, 5, 9]), 2, 6).tolist() == [2, 5, 6]
    assert ops.clip(Tensor([1.0, 5.0]), high=Tensor([0.0, 9.0])).tolist() == [0.0, 5.0]
