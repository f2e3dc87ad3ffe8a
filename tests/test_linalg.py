"""Matrix products against numpy in float64: shapes, strides, dtypes, instruction sets, threads, gradients."""

import itertools

import numpy as np
import pytest

import fastnn
from fastnn import _core
from fastnn import ops as F
from fastnn._core import launch
from fastnn._core import ops as op

ISAS = [name for name, supported in _core.isa_compiled().items() if supported]


def tensor(array, requires_grad=False):
    return fastnn.Tensor(array, requires_grad=requires_grad)


def normal(rng, *shape):
    return tensor(rng.standard_normal(shape), requires_grad=True)


def laid_out(rng, shape, dtype, kind):
    """Random values of a shape, in one of the layouts that a view may have."""
    *stack, m, n = shape
    if kind == "rows":
        x = rng.standard_normal(shape)
    elif kind == "columns":
        x = rng.standard_normal((*stack, n, m)).astype(dtype).swapaxes(-1, -2)
    elif kind == "padded rows":
        x = rng.standard_normal((*stack, m, n + 3)).astype(dtype)[..., 1 : n + 1]
    elif kind == "padded columns":
        x = rng.standard_normal((*stack, n, m + 5)).astype(dtype)[..., 2 : m + 2].swapaxes(-1, -2)
    elif kind == "steps":
        x = rng.standard_normal((*stack, 2 * m, 3 * n)).astype(dtype)[..., ::2, ::3]
    elif kind == "backwards":
        x = rng.standard_normal(shape).astype(dtype)[..., ::-1, ::-1]
    else:  # "one row"
        x = np.broadcast_to(rng.standard_normal((*stack, 1, n)).astype(dtype), shape)
    return x.astype(dtype) if kind == "rows" else x


LAYOUTS = ["rows", "columns", "padded rows", "padded columns", "steps", "backwards", "one row"]
SIZES = [0, 1, 2, 3, 5, 7, 8, 12, 13, 16, 17, 31, 33, 48, 64, 97, 131, 193, 385]


def product(a, b, bias=None, into=None, activation=0):
    """C straight from the op; `into` is added to."""
    dtype = fastnn.float32 if a.dtype == np.float32 else fastnn.float64
    if into is None:
        c = fastnn.full((*a.shape[:-1], b.shape[-1]), np.nan, dtype)
    else:
        c = tensor(into.copy())
    arrays = tensor(a), tensor(b), None if bias is None else tensor(bias), c
    launch(op.matmul, arrays, (int(into is not None), activation, 0.0, 0.0))
    return c.numpy()


def bound(a, b, *more):
    """What rounding may do to each element of the product."""
    k = a.shape[-1]
    size = np.abs(a).astype(float) @ np.abs(b).astype(float) + sum(
        np.abs(x).astype(float) for x in more
    )
    return np.finfo(a.dtype).eps * (2 * np.sqrt(k + 1) + 2) * size


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(4))
def test_random_shapes_and_layouts(isa, dtype, seed):
    _core.isa_select(isa)
    rng = np.random.default_rng(seed)
    for _ in range(60):
        m, n, k = rng.choice(SIZES, 3)
        stack = [(), (), (3,), (2, 1, 4)][rng.integers(4)]
        if m * n * k > 200_000:
            stack = ()
        a = laid_out(rng, (*stack, m, k), dtype, rng.choice(LAYOUTS))
        b = laid_out(rng, (*stack, k, n), dtype, rng.choice(LAYOUTS))
        bias = (
            rng.standard_normal(2 * n).astype(dtype)[:: rng.integers(1, 3)][:n]
            if rng.integers(2)
            else None
        )
        into = rng.standard_normal((*stack, m, n)).astype(dtype) if rng.integers(2) else None
        extra = [x for x in (bias, into) if x is not None]
        expected = a.astype(float) @ b.astype(float) + sum(x.astype(float) for x in extra)
        got = product(a, b, bias, into)
        where = (isa, m, n, k, stack, a.strides, b.strides)
        assert (np.abs(got - expected) <= bound(a, b, *extra)).all(), where


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(300, 260, 700), (1, 900, 800), (700, 1, 300), (5, 400, 600), (400, 6, 500),
                                   (96, 96, 96), (530, 40, 3), (128, 512, 784)])  # fmt: skip
@pytest.mark.parametrize("layouts", list(itertools.product(["rows", "columns"], repeat=2)))
def test_same_bits_for_any_number_of_threads(isa, shape, layouts):
    _core.isa_select(isa)
    m, n, k = shape
    rng = np.random.default_rng(1)
    for dtype in (np.float32, np.float64):
        a = laid_out(rng, (m, k), dtype, layouts[0])
        b = laid_out(rng, (k, n), dtype, layouts[1])
        bias = rng.standard_normal(n).astype(dtype)
        results = []
        for threads in (1, 2, 4):
            _core.set_num_threads(threads)
            results.append(product(a, b, bias))
        expected = a.astype(float) @ b.astype(float) + bias
        assert (np.abs(results[0] - expected) <= bound(a, b, bias)).all()
        assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


# Just past what is read in place, and past the slabs of rows, of columns, of both and of a stack.
LARGE = [(1500, 70, 400), (40, 2900, 400), (700, 650, 800), (1, 2000, 800), (3, 130, 470, 1700)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", LARGE)
def test_packed_blocks_and_slabs(isa, shape):
    _core.isa_select(isa)
    *stack, m, n, k = shape
    rng = np.random.default_rng(m)
    for dtype, kinds in [(np.float32, ("rows", "rows")), (np.float32, ("columns", "padded columns")),
                         (np.float64, ("padded rows", "columns"))]:  # fmt: skip
        a = laid_out(rng, (*stack, m, k), dtype, kinds[0])
        b = laid_out(rng, (*stack, k, n), dtype, kinds[1])
        bias = rng.standard_normal(n).astype(dtype)
        _core.set_num_threads(1)
        alone = product(a, b, bias, activation=op.relu)
        assert np.allclose(alone, np.maximum(a @ b + bias, 0), atol=2e-5 * k)
        for threads in (2, 4):
            _core.set_num_threads(threads)
            assert np.array_equal(alone, product(a, b, bias, activation=op.relu))


def test_blocks_of_rows_and_columns_do_not_change_bits():
    """Part of a product has the bits of the whole, as sums are cut by k alone."""
    rng = np.random.default_rng(6)
    for dtype in (np.float32, np.float64):
        a, b = (
            rng.standard_normal((700, 900)).astype(dtype),
            rng.standard_normal((900, 700)).astype(dtype),
        )
        whole = product(a, b)
        for rows, cols in [
            (slice(3, 5), slice(None)),
            (slice(0, 40), slice(1, 90)),
            (slice(7, 300), slice(33, 40)),
        ]:
            assert np.array_equal(whole[rows, cols], product(a[rows], b[:, cols]))


# Batches that fill vectors of some instruction set, or just do not, times weights that lie as rows of k.
WEIGHTS = [(40, 300, 400), (48, 401, 1037), (64, 515, 513), (96, 1300, 259), (65, 515, 513), (160, 900, 800)]  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m, n, k", WEIGHTS)
def test_weights_as_rows(isa, dtype, m, n, k):
    """Whichever operand is turned over, the bits are those of weights that need no turning."""
    _core.isa_select(isa)
    rng = np.random.default_rng(m + n)
    w, into = rng.standard_normal((n, k)).astype(dtype), rng.standard_normal((m, n)).astype(dtype)
    upright = np.ascontiguousarray(w.T)
    bias, every_other = np.split(rng.standard_normal(3 * n).astype(dtype), [n])
    wide = rng.standard_normal((n, k + 7)).astype(dtype)[:, 3:-4]
    for kind in LAYOUTS:
        a = laid_out(rng, (m, k), dtype, kind)
        expected = product(a, upright, bias, activation=op.gelu)
        for threads in (1, 2, 4):
            _core.set_num_threads(threads)
            got = product(a, w.T, bias, activation=op.gelu)
            assert np.array_equal(got, expected), (kind, threads)
        assert np.array_equal(product(a, w.T), product(a, upright))
        more = bias, into
        assert np.array_equal(product(a, w.T, *more), product(a, upright, *more))
        strided = every_other[::2]
        assert np.array_equal(product(a, w.T, strided), product(a, upright, strided))
        assert np.array_equal(product(a, wide.T), product(a, np.ascontiguousarray(wide.T)))
    reference = a.astype(float) @ upright.astype(float)
    assert (np.abs(product(a, w.T) - reference) <= bound(a, upright)).all()


def test_weights_as_rows_with_scalars_into_a_view():
    """The activation's scalars, and C whose rows lie apart: what lies between them stays."""
    rng = np.random.default_rng(8)
    a, w = (tensor(rng.standard_normal(s).astype(np.float32)) for s in ((64, 700), (500, 700)))
    whole = [fastnn.full((64, 520), 7.0) for _ in range(2)]
    for weights, c in zip((w.T, tensor(np.ascontiguousarray(w.numpy().T))), whole, strict=True):
        launch(op.matmul, (a, weights, None, c[:, 9:509]), (0, op.elu, 0.3, 0.0))
    assert np.array_equal(whole[0].numpy(), whole[1].numpy())
    assert (whole[0].numpy()[:, :9] == 7).all() and (whole[0].numpy()[:, 509:] == 7).all()


def test_replayed_products_start_anew():
    """A recorded product of many blocks, run again and again: what its threads count is reset."""
    rng = np.random.default_rng(7)
    a, b = (tensor(rng.standard_normal((800, 800)).astype(np.float32)) for _ in range(2))
    _core.set_num_threads(2)
    twice = fastnn.compile(lambda x, y: x @ y @ y)
    expected = (a @ b @ b).numpy()
    for _ in range(6):
        assert np.array_equal(twice(a, b).numpy(), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize("layout", ["rows", "columns", "steps"])
def test_packed_once(isa, dtype, layout):
    """A packed right matrix gives the bits of the matrix itself, with any number of threads."""
    _core.isa_select(isa)
    rng = np.random.default_rng(4)
    packs = 0
    for m, n, k in [(3, 70, 40), (20, 33, 20), (1, 40, 800), (40, 130, 385), (64, 300, 900), (200, 60, 30),
                    (130, 520, 400), (60, 700, 600)]:  # fmt: skip
        a = tensor(laid_out(rng, (m, k), dtype.numpy, "rows"))
        b = tensor(laid_out(rng, (k, n), dtype.numpy, layout))
        bias = tensor(rng.standard_normal(n).astype(dtype.numpy))
        plain, other = fastnn.zeros((m, n), dtype), fastnn.zeros((m, n), dtype)
        scalars = (0, op.relu, 0.0, 0.0)
        shape = _core.packed_shape(op.matmul, (a, b, bias, plain), scalars)
        packs += len(shape)
        if not shape:
            continue
        packed = fastnn.zeros(shape, dtype)
        launch(op.gemm_pack, (b, packed))
        launch(op.matmul, (a, b, bias, plain), scalars)
        for threads in (1, 2, 4):
            _core.set_num_threads(threads)
            other = fastnn.zeros((m, n), dtype)
            launch(op.matmul, (a, packed, bias, other), scalars)
            assert np.array_equal(plain.numpy(), other.numpy()), (m, n, k, threads)
    assert packs >= (1 if layout == "rows" else 3)


def test_packed_of_another_shape_is_refused():
    a, b, c = (fastnn.zeros(shape) for shape in [(64, 300), (300, 200), (64, 200)])
    with pytest.raises(ValueError, match="elements where"):
        launch(op.gemm_pack, (b, fastnn.zeros((7,))))
    with pytest.raises(ValueError, match="packed b is not of the shape"):
        launch(op.matmul, (a, fastnn.zeros((300 * 200 - 1,)), None, c), (0, 0, 0.0, 0.0))
    with pytest.raises(ValueError, match="unit stride"):
        turned = F.transpose(fastnn.zeros((200, 64)))
        launch(op.matmul, (a, fastnn.zeros((60000,)), None, turned), (0, 0, 0.0, 0.0))


@pytest.mark.parametrize("isa", ISAS)
def test_stacks_with_threads(isa):
    _core.isa_select(isa)
    rng = np.random.default_rng(2)
    for shape in [(64, 40, 48, 32), (3, 150, 140, 300)]:
        s, m, n, k = shape
        a = rng.standard_normal((s, m, k)).astype(np.float32)
        b = rng.standard_normal((s, n, k)).astype(np.float32).swapaxes(-1, -2)
        results = []
        for threads in (1, 3):
            _core.set_num_threads(threads)
            results.append(product(a, b))
        assert (np.abs(results[0] - a.astype(float) @ b.astype(float)) <= bound(a, b)).all()
        assert np.array_equal(*results)


def test_empty_sums_and_empty_results():
    bias = np.arange(5, dtype=np.float32)
    assert np.array_equal(
        product(np.zeros((3, 0), np.float32), np.zeros((0, 5), np.float32), bias), [bias] * 3
    )
    assert F.matmul(tensor(np.zeros((0, 4))), tensor(np.zeros((4, 3)))).shape == (0, 3)
    assert F.linear(tensor(np.zeros((2, 0, 4))), tensor(np.zeros((3, 4)))).shape == (2, 0, 3)


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 3, 40), (20, 20, 20), (50, 70, 300)])
def test_nan_and_infinity_spread_as_they_should(shape):
    m, n, k = shape
    a, b = np.ones((m, k), np.float32), np.zeros((k, n), np.float32)
    a[0, k // 2] = np.nan
    a[-1, 0] = np.inf  # times zero
    with np.errstate(invalid="ignore"):
        assert np.array_equal(np.isnan(product(a, b)), np.isnan(a @ b))
        assert np.array_equal(np.isnan(product(a, b.T.copy().T)), np.isnan(a @ b))


def test_activation_follows_the_bias():
    rng = np.random.default_rng(3)
    for m, n, k in [(1, 30, 50), (70, 130, 300), (6, 5, 4)]:
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        bias = rng.standard_normal(n)
        got = product(a, b, bias, activation=op.relu)
        assert np.allclose(got, np.maximum(a @ b + bias, 0), atol=1e-12)


MATMULS = [
    ((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)), ((1, 3, 4), (6, 4, 5)), ((6, 1, 3, 4), (2, 4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (4,)), ((4,), (2, 4, 5)), ((0, 4), (4, 3)), ((3, 0), (0, 4)), ((1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("a_shape, b_shape", MATMULS)
def test_matmul_is_numpys(a_shape, b_shape):
    rng = np.random.default_rng(4)
    a, b = normal(rng, *a_shape), normal(rng, *b_shape)
    y, expected = F.matmul(a, b), np.matmul(a.numpy(), b.numpy())
    assert y.shape == expected.shape
    assert np.allclose(y.numpy(), expected, atol=1e-12)
    assert fastnn.gradcheck(F.matmul, (a, b))


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0,), (2, 1, 3)])
def test_linear(lead):
    rng = np.random.default_rng(5)
    x, weight, bias = normal(rng, *lead, 4), normal(rng, 5, 4), normal(rng, 5)
    expected = x.numpy() @ weight.numpy().T + bias.numpy()
    assert np.allclose(F.linear(x, weight, bias).numpy(), expected, atol=1e-12)
    assert fastnn.gradcheck(F.linear, (x, weight, bias))
    assert fastnn.gradcheck(F.linear, (x, weight))


def test_linear_of_a_view():
    rng = np.random.default_rng(6)
    array = rng.standard_normal((4, 3, 6))
    for view in (
        array.transpose(1, 0, 2),
        array[:, ::2],
        array[..., ::-1],
        array.transpose(2, 1, 0),
    ):
        weight = rng.standard_normal((2, view.shape[-1]))
        assert np.allclose(
            F.linear(tensor(view), tensor(weight)).numpy(), view @ weight.T, atol=1e-12
        )


SPECS = [
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk->ki", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bij,bkj->ibk", (2, 3, 4), (2, 5, 4)), ("ijk,jk->i", (2, 3, 4), (3, 4)), ("ij,kl->ijkl", (2, 3), (4, 5)),
    ("ijk->ki", (2, 3, 4)), ("ij", (2, 3)), ("ij->", (2, 3)), ("ij,ij->", (2, 3), (2, 3)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (3, 4, 5)), ("abcd,efcd->abef", (2, 3, 4, 5), (2, 3, 4, 5)),
    ("ij,kj", (2, 3), (4, 3)), ("ijk,l->il", (2, 3, 4), (5,)), ("i,ij->", (2,), (2, 3)),
    ("ij,jk->j", (2, 3), (3, 4)), ("...a->a...", (2, 3, 4)), ("ikj,lk->ijl", (2, 3, 4), (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("spec, shapes", [(spec, shapes) for spec, *shapes in SPECS])
def test_einsum_is_numpys(spec, shapes):
    rng = np.random.default_rng(7)
    operands = [normal(rng, *shape) for shape in shapes]
    y, expected = F.einsum(spec, *operands), np.einsum(spec, *[x.numpy() for x in operands])
    assert y.shape == expected.shape
    assert np.allclose(y.numpy(), expected, atol=1e-12)
    assert fastnn.gradcheck(lambda *xs: F.einsum(spec, *xs), operands)


def test_outer_and_dot():
    rng = np.random.default_rng(8)
    a, b = normal(rng, 4), normal(rng, 6)
    assert np.allclose(F.outer(a, b).numpy(), np.outer(a.numpy(), b.numpy()))
    assert fastnn.gradcheck(F.outer, (a, b))
    c = normal(rng, 4)
    assert np.isclose(F.dot(a, c).item(), a.numpy() @ c.numpy())
    assert fastnn.gradcheck(F.dot, (a, c))


@pytest.mark.parametrize("lead", [(3,), (2, 3)])
def test_second_derivatives(lead):
    """The gradient of a function of the gradient, against differences of the gradient."""
    rng = np.random.default_rng(9)
    x, weight, bias = normal(rng, *lead, 4), normal(rng, 5, 4), normal(rng, 5)

    def slopes(x, weight, bias):
        y = F.linear(x, weight, bias)
        energy = F.einsum("...i,...i->", y, y)  # quadratic in each
        return fastnn.grad(energy, [x, weight, bias], create_graph=True)

    for i in range(3):
        assert fastnn.gradcheck(lambda *inputs, i=i: slopes(*inputs)[i], (x, weight, bias))
    for shapes in (((2, 3, 4), (2, 4, 5)), ((3, 4), (4,))):
        a, b = (normal(rng, *shape) for shape in shapes)

        def slope(a, b):
            y = F.matmul(a, b)
            return fastnn.grad(F.einsum("...i,...i->", y, y), [a, b], create_graph=True)

        assert fastnn.gradcheck(lambda a, b: slope(a, b)[0], (a, b))
        assert fastnn.gradcheck(lambda a, b: slope(a, b)[1], (a, b))


ERRORS = [
    (lambda: F.matmul(fastnn.ones((2, 3)), fastnn.ones((4, 5))), ValueError, r"a's last axis has 3 .* expects 4"),
    (lambda: F.matmul(fastnn.ones((2, 3, 3)), fastnn.ones((4, 3, 3))), ValueError, "stacks of 2 and 4"),
    (lambda: F.matmul(fastnn.ones(()), fastnn.ones((4,))), ValueError, r"multiply with \*"),
    (lambda: F.matmul(fastnn.ones((2, 2)), fastnn.ones((2, 2), "float64")), TypeError, r'astype\("float32"\)'),
    (lambda: F.matmul(fastnn.ones((2, 2)), fastnn.ones((2, 2), "int64")), TypeError, "float32 or float64"),
    (lambda: F.linear(fastnn.ones((2, 3)), fastnn.ones((5, 4))), ValueError,
     r"linear: x has 3 features but weight expects 4 \(x: \(2, 3\), weight: \(5, 4\)\)"),
    (lambda: F.linear(fastnn.ones((2, 3)), fastnn.ones((5, 3)), fastnn.ones((4,))), ValueError, "bias must be"),
    (lambda: F.linear(fastnn.ones((2, 3)), fastnn.ones((5,))), ValueError, "two axes"),
    (lambda: F.outer(fastnn.ones((2, 3)), fastnn.ones((5,))), ValueError, "one axis"),
    (lambda: F.einsum("ij,jk->ik", fastnn.ones((2, 3)), fastnn.ones((4, 5))), ValueError, "'j' .* 3 .* 4|'j' .* 4 .* 3"),
    (lambda: F.einsum("ij->ik", fastnn.ones((2, 3))), ValueError, "'k' in the result"),
    (lambda: F.einsum("ii->i", fastnn.ones((3, 3))), ValueError, "twice"),
    (lambda: F.einsum("ij,jk", fastnn.ones((3, 3))), ValueError, "2 operands but 1"),
    (lambda: F.einsum("ijk->i", fastnn.ones((3, 3))), ValueError, "does not fit"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_the_op_itself_checks_its_arrays():
    f = fastnn.ones
    plain = (0, 0, 0.0, 0.0)
    bad = [
        ((f((2, 3)), f((4, 5)), None, f((2, 5))), plain, ValueError),
        ((f((2, 3)), f((3, 5)), None, f((2, 6))), plain, ValueError),
        ((f((2, 3)), f((3, 5)), f((6,)), f((2, 5))), plain, ValueError),
        ((f((2, 3)), f((3, 5)), None, f((2, 5), "float64")), plain, TypeError),
        ((f((1, 2, 3)), f((2, 3, 5)), None, f((2, 2, 5))), plain, ValueError),
        ((f((3,)), f((3, 5)), None, f((5,))), plain, ValueError),
        ((f((2, 3)), f((3, 5)), None, f((2, 5))), (0, 10_000, 0.0, 0.0), ValueError),
        ((f((2, 3)), f((3, 5)), None, f((2, 5))), (0, op.matmul, 0.0, 0.0), ValueError),
    ]
    for arrays, scalars, kind in bad:
        with pytest.raises(kind, match="matmul"):
            launch(op.matmul, arrays, scalars)
