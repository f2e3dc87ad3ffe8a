"""Reductions: values against float64 numpy over all sets of axes, layouts, ISAs and threads."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn as fn
from fastnn import Tensor, _core

ISAS = [name for name, usable in _core.isa_compiled().items() if usable]
FLOAT = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",
    "std",
    "logsumexp",
    "argmax",
    "argmin",
    "any",
    "all",
)
WHOLE = ("sum", "mean", "prod", "max", "min", "argmax", "argmin", "any", "all")
SHAPES = [
    (),
    (1,),
    (3,),
    (7,),
    (8,),
    (17,),
    (3, 5),
    (131, 5),
    (5, 131),
    (2, 3, 4),
    (7, 1, 33),
    (2, 3, 4, 5),
]
LARGE = [(2049,), (5000,), (3, 2500), (2500, 3), (300, 515), (5, 130, 6), (3, 700, 65)]


@pytest.fixture(params=ISAS)
def isa(request):
    before = _core.isa_name()
    _core.isa_select(request.param)
    yield request.param
    _core.isa_select(before)


@pytest.fixture(autouse=True)
def threads():
    before = fn.get_num_threads()
    yield
    fn.set_num_threads(before)


def reference(name, x, axes):
    """The same in float64 (int64), with keepdims."""
    x = np.asarray(x)
    real = x.dtype.kind == "f"
    wide = (
        x.astype("f8" if real else "i8")
        if x.dtype != bool or name in ("sum", "prod", "mean")
        else x
    )
    if name == "logsumexp":
        return np.logaddexp.reduce(wide, axis=axes, keepdims=True) if axes else wide
    if name.startswith("arg"):
        kept = [d for d in range(x.ndim) if d not in axes]
        flat = wide.transpose(kept + sorted(axes)).reshape([x.shape[d] for d in kept] + [-1])
        shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
        return getattr(np, name)(flat, axis=-1).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(np, name)(wide, axis=axes, keepdims=True)


def logsumexp_reference(x, axes):
    m = x.max(axis=axes, keepdims=True)
    return m + np.log(np.exp(x - m).sum(axis=axes, keepdims=True))


def layouts(x):
    """The same values in other memory: column-major, every other element, backwards."""
    yield x
    if x.ndim:
        yield np.asfortranarray(x)
        wide = np.zeros([2 * n + 1 for n in x.shape], x.dtype)
        view = wide[tuple(slice(0, 2 * n, 2) for n in x.shape)]
        view[...] = x
        yield view
        yield np.flip(np.flip(x).copy())


def axis_sets(ndim):
    return itertools.chain.from_iterable(
        itertools.combinations(range(ndim), r) for r in range(ndim + 1)
    )


def values(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return np.asarray(rng.standard_normal(shape) * 2, dtype)
    if dtype in ("int64", "int32"):
        return np.asarray(rng.integers(-3, 4, shape), dtype)
    return np.asarray(rng.integers(0, 2 if dtype == "bool" else 5, shape), dtype)


def check(name, x, axes):
    got = getattr(fn, name)(Tensor(x), axis=axes, keepdims=True)
    if name == "logsumexp":
        want = logsumexp_reference(x.astype("f8"), axes)
    else:
        want = reference(name, x, axes)
    assert got.shape == want.shape
    if got.dtype.is_float:
        n = max(1, x.size // max(1, want.size))
        tol = 2e-6 if got.dtype == "float32" else 1e-14
        tol *= 20 if name == "prod" else 1
        scale = np.sqrt(n) if name == "sum" else 1
        np.testing.assert_allclose(got.numpy(), want, rtol=tol, atol=tol * scale)
    else:
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_floats(shape, dtype, isa):
    x = values(shape, dtype)
    for name in FLOAT:
        for layout in layouts(x):
            for axes in axis_sets(x.ndim):
                if name == "prod" and np.prod([x.shape[a] for a in axes]) > 60:
                    continue  # its error and range are those of a long product
                check(name, layout, axes)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 131), (2, 3, 4), (2100,)], ids=str)
def test_integers(shape, dtype):
    x = values(shape, dtype)
    for name in WHOLE:
        for layout in layouts(x):
            for axes in axis_sets(x.ndim):
                check(name, layout, axes)


@pytest.mark.parametrize("name", FLOAT)
@pytest.mark.parametrize(
    "shape", [(100_003,), (1000, 517), (70, 33, 129), (20_003, 3), (3, 4001, 16)], ids=str
)
def test_same_bits_at_any_thread_count(name, shape, isa):
    x = values(shape, "float32")
    for axes in axis_sets(len(shape)):
        results = []
        for count in (1, 2, 4):
            fn.set_num_threads(count)
            results.append(getattr(fn, name)(Tensor(x), axis=axes).numpy().tobytes())
        assert results[0] == results[1] == results[2]


def test_dtypes_of_results():
    for dtype in ("int64", "int32", "uint8", "bool"):
        x = Tensor([0, 1, 1], dtype)
        assert x.sum().dtype == "int64"
        assert x.prod().dtype == "int64"
        assert x.max().dtype == dtype
        assert x.argmax().dtype == "int64"
        assert x.mean().dtype == "float32"
        assert x.any().dtype == "bool"
    assert Tensor([True, True, False]).sum().item() == 2
    big = Tensor([2**62, 1, 1])
    assert big.sum().item() == 2**62 + 2


def test_unaligned():
    raw = np.zeros(4100, np.uint8)
    for shift in (0, 4, 8, 12):
        x = raw[shift : shift + 4000].view(np.float32)
        x[:] = values((1000,), "float32")
        np.testing.assert_allclose(fn.sum(Tensor(x)).item(), x.astype("f8").sum(), rtol=1e-5)


@pytest.mark.parametrize("name", FLOAT)
def test_nan_and_infinity(name, isa):
    rng = np.random.default_rng(1)
    for shape, axis in (((5, 40), 1), ((40, 5), 0), ((2, 3000), 1), ((300, 7), 0)):
        for bad in (np.nan, np.inf, -np.inf):
            x = rng.standard_normal(shape).astype(np.float32)
            x[tuple(rng.integers(n) for n in shape)] = bad
            got = getattr(fn, name)(Tensor(x), axis=axis, keepdims=True).numpy()
            with np.errstate(all="ignore"):
                want = reference(name, x, (axis,))
            if name == "prod" and shape != (5, 40):
                continue
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_accuracy_of_long_sums():
    """A million numbers far from 0: naive float32 summation is off by a thousandth here."""
    x = (np.random.default_rng(0).random(1_000_000) + 100).astype(np.float32)
    exact = x.astype("f8").sum()
    assert abs(fn.sum(Tensor(x)).item() - exact) / exact < 2e-7
    column = x.reshape(-1, 2)
    np.testing.assert_allclose(
        fn.sum(Tensor(column), axis=0).numpy(), column.astype("f8").sum(0), rtol=2e-7
    )
    y = (x - 100) * 1e-2 + 1e4  # a spread a millionth of the mean
    y = y.astype(np.float32)
    np.testing.assert_allclose(fn.var(Tensor(y)).item(), y.astype("f8").var(), rtol=1e-4)
    np.testing.assert_allclose(
        fn.var(Tensor(y.reshape(-1, 4)), axis=0).numpy(),
        y.reshape(-1, 4).astype("f8").var(0),
        rtol=1e-4,
    )


def test_empty():
    x = fn.zeros((0, 3))
    assert fn.sum(x).item() == 0
    assert fn.prod(x).item() == 1
    assert fn.sum(x, axis=0).tolist() == [0, 0, 0]
    assert fn.sum(x, axis=1).shape == (0,)
    assert np.isnan(fn.mean(x).item())
    assert np.isnan(fn.var(x).item())
    assert fn.logsumexp(x).item() == -np.inf
    assert fn.any(x).item() is False
    assert fn.all(x).item() is True
    assert fn.max(x, axis=1).shape == (0,)
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(ValueError, match="no elements"):
            getattr(fn, name)(x)


def test_axes_are_checked():
    x = fn.zeros((2, 3))
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        fn.sum(x, axis=2)
    with pytest.raises(ValueError, match="twice"):
        fn.sum(x, axis=(0, -2))
    with pytest.raises(TypeError, match="integer"):
        fn.sum(x, axis=1.5)
    with pytest.raises(TypeError, match="astype"):
        fn.var(Tensor([1, 2]))


def test_var_takes_ddof():
    x = values((4, 9), "float64")
    for ddof in (0, 1, 8):
        np.testing.assert_allclose(
            fn.var(Tensor(x), axis=1, ddof=ddof).numpy(), x.var(1, ddof=ddof)
        )
        np.testing.assert_allclose(
            fn.std(Tensor(x), axis=0, ddof=min(ddof, 3)).numpy(), x.std(0, ddof=min(ddof, 3))
        )
    assert np.isnan(fn.var(Tensor([1.0]), ddof=1).item())


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_cumsum(axis, dtype):
    x = values((5, 70, 3), dtype)
    for layout in layouts(x):
        want = np.cumsum(x.astype("f8" if np.dtype(dtype).kind == "f" else "i8"), axis=axis)
        np.testing.assert_allclose(
            fn.cumsum(Tensor(layout), axis).numpy(), want, rtol=1e-5, atol=1e-5
        )


# --- gradients ---

SMOOTH = ("sum", "mean", "prod", "max", "min", "var", "std", "logsumexp")


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_gradients(name, axis, keepdims):
    x = Tensor(values((3, 4, 2), "float64"), requires_grad=True)
    if axis == () and name in ("var", "std"):
        return
    fn.gradcheck(lambda x: getattr(fn, name)(x, axis=axis, keepdims=keepdims), [x])


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std", "logsumexp"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_gradients_of_gradients(name, keepdims):
    x = Tensor(values((3, 4), "float64"), requires_grad=True)

    def first(x):
        with fn.enable_grad():
            x = x if x.requires_grad else Tensor(x, requires_grad=True)
            y = getattr(fn, name)(x * x, axis=1, keepdims=keepdims)
            return fn.grad((y * y).sum(), x, create_graph=True)

    fn.gradcheck(first, [x])


def test_gradient_of_cumsum():
    x = Tensor(values((3, 4), "float64"), requires_grad=True)
    fn.gradcheck(lambda x: fn.cumsum(x, 0), [x])
    fn.gradcheck(lambda x: fn.cumsum(x * x, 1), [x])


def test_gradients_at_the_edges():
    x = Tensor([[2.0, 2.0, 1.0]], requires_grad=True)
    fn.max(x).backward()
    assert x.grad.tolist() == [[0.5, 0.5, 0.0]]
    x = Tensor([0.0, 3.0, 4.0], requires_grad=True)
    fn.prod(x).backward()
    assert x.grad.tolist() == [12, 0, 0]
    x = Tensor([0.0, 3.0, 0.0], requires_grad=True)
    fn.prod(x).backward()
    assert x.grad.tolist() == [0, 0, 0]
    x = Tensor([2.0, 2.0], requires_grad=True)
    fn.std(x).backward()
    assert x.grad.tolist() == [0, 0]
    x = Tensor([-np.inf, -np.inf], requires_grad=True)
    fn.logsumexp(x).backward()
    assert x.grad.tolist() == [0, 0]
    x = fn.zeros((0, 3), requires_grad=True)
    fn.sum(x).backward()
    assert x.grad.shape == (0, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=5),
    st.integers(0, 2**16),
    st.sampled_from(["sum", "mean", "any", "var", "argmax"]),
    st.booleans(),
    st.data(),
)
def test_any_shape_and_axes(shape, seed, name, keepdims, data):
    x = values(tuple(shape), "float64", seed)
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1)))) if shape else ()
    if name == "argmax" and x.size == 0:
        return
    x = x.transpose(data.draw(st.permutations(range(len(shape)))))
    want = reference(name, x, axes)
    got = getattr(fn, name)(Tensor(x), axis=axes, keepdims=keepdims)
    if not keepdims:
        want = want.reshape([n for i, n in enumerate(want.shape) if i not in axes])
    assert got.shape == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)
