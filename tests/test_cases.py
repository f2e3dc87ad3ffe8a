"""Every row of cases.py: values and gradients against the reference, on each ISA, at odd sizes,
in every memory layout, and bit for bit the same at 1, 2 and 4 threads.
"""

import warnings
from functools import cache

import numpy as np
import pytest

import fastnn
from cases import CASES, Case
from conftest import ISAS, using_isa

every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
differentiable = pytest.mark.parametrize(
    "case", [c for c in CASES if c.gradient], ids=lambda c: c.name
)
REALS = ("float32", "float64")


def as_tuple(y):
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)


def wide(array):
    """The same in float64 where it is real."""
    return array.astype("float64") if array.dtype.kind == "f" else array


def expected(case, arrays):
    """What the reference gives, or the error it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return tuple(np.asarray(y) for y in as_tuple(case.reference(*map(wide, arrays))))
        except (ValueError, IndexError, ZeroDivisionError) as error:
            return error


def check_close(case, real, got, want, where, slack=1.0):
    """got and want agree in shape, and in value within the case's tolerance."""
    assert got.shape == want.shape, f"{where}: shape {got.shape} instead of {want.shape}"
    if want.dtype.kind != "f" or got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=where)
        return
    assert got.dtype == real, f"{where}: {got.dtype} instead of {real}"
    finite = np.abs(want[np.isfinite(want)])
    scale = max(1.0, finite.max(initial=0.0))
    atol = slack * case.tolerance * np.finfo(real).eps * scale
    np.testing.assert_allclose(got.astype("float64"), want, rtol=0, atol=atol, err_msg=where)


def tensors(arrays, grad=False):
    return [fastnn.Tensor(a, requires_grad=grad and a.dtype.kind == "f") for a in arrays]


def cotangents(outputs, real):
    """A fixed arbitrary gradient for each output."""
    rng = np.random.default_rng(7)
    return [rng.uniform(-1, 1, y.shape).astype(real) for y in outputs]


def run(case, inputs):
    """The outputs of the case as tensors."""
    return as_tuple(case.call(*inputs))


def gradients(case, inputs, real):
    """Outputs and the gradients of those inputs that want one, as numpy arrays."""
    outputs = run(case, inputs)
    wanted = [x for x in inputs if x.requires_grad]
    dys = [fastnn.Tensor(dy) for dy in cotangents(outputs, real)]
    got = fastnn.grad(list(outputs), wanted, dys)
    return [y.numpy() for y in outputs], [g.numpy() for g in got]


@every_case
@pytest.mark.parametrize("real", REALS)
def test_values(case, real, isa):
    for dims in case.all_dims():
        arrays = case.make(dims, real)
        want = expected(case, arrays)
        where = f"{case.name} {dims} {real} {isa}"
        if isinstance(want, Exception):
            with pytest.raises((ValueError, IndexError)):
                run(case, tensors(arrays))
            continue
        for got, y in zip(run(case, tensors(arrays)), want, strict=True):
            check_close(case, real, got.numpy(), y, where)


@cache
def numeric_gradients(name, dims):
    """Central differences of the float64 reference, element by element."""
    case = next(c for c in CASES if c.name == name)
    arrays = case.make(dict(dims))
    base = expected(case, arrays)
    if isinstance(base, Exception):
        return base
    dys = cotangents(base, "float64")

    def value():
        return sum((y * dy).sum() for y, dy in zip(expected(case, arrays), dys, strict=True))

    result = []
    for array in arrays:
        if array.dtype.kind != "f":
            continue
        slope = np.zeros(array.shape)
        for i in np.ndindex(array.shape):
            old, h = array[i], 1e-5
            array[i] = old + h
            up = value()
            array[i] = old - h
            slope[i] = (up - value()) / (2 * h)
            array[i] = old
        result.append(slope)
    return result


@differentiable
@pytest.mark.parametrize("real", REALS)
def test_gradients(case, real, isa):
    for dims in case.small_dims():
        want = numeric_gradients(case.name, tuple(dims.items()))
        where = f"{case.name} {dims} {real} {isa}"
        arrays = [a.astype(real) if a.dtype.kind == "f" else a for a in case.make(dims)]
        if isinstance(want, Exception):
            continue
        _, got = gradients(case, tensors(arrays, grad=True), real)
        tolerance = max(10, case.tolerance) * (1e-8 if real == "float64" else 1e-5)
        for g, w in zip(got, want, strict=True):
            assert g.shape == w.shape, where
            scale = max(1.0, np.abs(w).max(initial=0.0))
            np.testing.assert_allclose(g, w, rtol=0, atol=tolerance * scale, err_msg=where)


@differentiable
def test_gradients_at_odd_sizes(case, isa):
    """float32 against float64, at sizes where differences element by element take too long."""
    for dims in case.all_dims():
        arrays = case.make(dims, "float32")
        if isinstance(expected(case, arrays), Exception):
            continue
        doubles = [wide(a) for a in arrays]
        _, want = gradients(case, tensors(doubles, grad=True), "float64")
        _, got = gradients(case, tensors(arrays, grad=True), "float32")
        for g, w in zip(got, want, strict=True):
            check_close(case, "float32", g, w, f"gradient of {case.name} {dims} {isa}", slack=16)


def weighted(tensors_, weights):
    """One number from several tensors."""
    return sum(((y * w).sum() for y, w in zip(tensors_, weights, strict=True)), start=0.0)


@differentiable
def test_gradcheck(case):
    dims = case.all_dims(odd=(2,))[0]
    inputs = tensors(case.make(dims), grad=True)
    dys = [fastnn.Tensor(dy) for dy in cotangents(run(case, inputs), "float64")]
    assert fastnn.gradcheck(lambda *xs: weighted(run(case, xs), dys), inputs)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.gradient and c.second], ids=lambda c: c.name
)
def test_gradients_of_gradients(case):
    """The gradient is a function of the inputs and of what comes back; so is its gradient."""
    dims = case.all_dims(odd=(2,))[0]
    inputs = tensors(case.make(dims), grad=True)
    wanted = [i for i, x in enumerate(inputs) if x.requires_grad]
    dys = [fastnn.Tensor(dy, requires_grad=True) for dy in cotangents(run(case, inputs), "float64")]
    n = len(inputs)

    def slope(*xs):
        with (
            fastnn.enable_grad()
        ):  # gradcheck takes its differences within no_grad, of plain tensors
            xs = [
                x if x.requires_grad or not x.dtype.is_float else x.detach().requires_grad_()
                for x in xs
            ]
            ys = list(run(case, xs[:n]))
            found = fastnn.grad(ys, [xs[i] for i in wanted], list(xs[n:]), create_graph=True)
        return weighted(found, [fastnn.Tensor(w) for w in cotangents(found, "float64")])

    assert fastnn.gradcheck(slope, inputs + dys)


def reversed_memory(a):
    """The same elements, laid out backwards along every axis."""
    flip = (slice(None, None, -1),) * a.ndim
    return fastnn.Tensor(np.ascontiguousarray(a[flip]))[flip]


def every_other(a):
    """The same elements, each axis taken by twos from a larger array."""
    big = np.full([2 * n + 1 for n in a.shape], 77, a.dtype)
    pick = tuple(slice(1, None, 2) for _ in a.shape)
    big[pick] = a
    return fastnn.Tensor(big)[pick]


def column_major(a):
    """The same elements with the first axis fastest."""
    return fastnn.Tensor(np.ascontiguousarray(a.T)).permute(tuple(range(a.ndim))[::-1])


def off_by_one(a):
    """The same elements, contiguous, starting one element past a vector's boundary."""
    flat = np.zeros(a.size + 1, a.dtype)
    flat[1:] = a.ravel()
    return fastnn.Tensor(flat)[1:].reshape(a.shape)


@every_case
@pytest.mark.parametrize("layout", [reversed_memory, every_other, column_major, off_by_one])
def test_layouts(case, layout):
    for dims in case.all_dims(odd=(1, 8, 33)):
        for real in REALS:
            arrays = case.make(dims, real)
            want = expected(case, arrays)
            if isinstance(want, Exception):
                continue
            where = f"{case.name} {dims} {real} {layout.__name__}"
            for got, y in zip(run(case, [layout(a) for a in arrays]), want, strict=True):
                check_close(case, real, got.numpy(), y, where)
            if case.gradient:
                leaves = [layout(a) for a in arrays]
                for leaf, a in zip(leaves, arrays, strict=True):
                    leaf.requires_grad = a.dtype.kind == "f"
                _, plain = gradients(case, tensors(arrays, grad=True), real)
                _, odd = gradients(case, leaves, real)
                for g, w in zip(odd, plain, strict=True):
                    check_close(case, real, g, w, f"gradient of {where}", slack=4)


@every_case
@pytest.mark.parametrize("real", REALS)
def test_same_bits_at_any_thread_count(case, real, threads):
    arrays = case.make(case.large_dims(), real)
    seen = []
    for count in (1, 2, 4):
        with threads(count):
            inputs = tensors(arrays, grad=case.gradient)
            if case.gradient:
                outputs, slopes = gradients(case, inputs, real)
            else:
                outputs, slopes = [y.numpy() for y in run(case, inputs)], []
            seen.append([a.tobytes() for a in outputs + slopes])
    assert seen[0] == seen[1], f"{case.name}: 2 threads differ from 1"
    assert seen[0] == seen[2], f"{case.name}: 4 threads differ from 1"


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.name in ("matmul", "softmax", "sum-rows", "gelu")],
    ids=lambda c: c.name,
)
def test_same_bits_whatever_the_isa_did_before(case):
    """Switching the ISA back and forth leaves nothing behind."""
    arrays = case.make(case.large_dims(), "float32")
    first = run(case, tensors(arrays))[0].numpy().tobytes()
    for name in ISAS:
        with using_isa(name):
            run(case, tensors(arrays))
    assert run(case, tensors(arrays))[0].numpy().tobytes() == first


def test_the_table_is_complete():
    """Each row can be called by name, and has letters that the drivers can size."""
    for case in CASES:
        assert isinstance(case, Case)
        assert case.letters(), case.name
