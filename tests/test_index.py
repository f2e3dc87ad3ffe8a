"""Indexing against numpy, gathers and scatters, their gradients, and bad indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import fastnn
from fastnn import Tensor, gradcheck, no_grad, ops


def numbers(*shape, dtype="float64"):
    return (np.arange(np.prod(shape, dtype=int)).reshape(shape) * 0.37 - 1.5).astype(dtype)


SHAPES = npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


@st.composite
def keys(draw, shape, arrays=True):
    """A key of numpy's for a shape: basic, or with integer arrays and masks."""
    items = []
    axis = 0
    while axis < len(shape) and draw(st.integers(0, 9)):
        n = shape[axis]
        kind = draw(
            st.sampled_from(
                ["slice", "int", "new", "array", "mask", "mask2"]
                if arrays
                else ["slice", "int", "new"]
            )
        )
        if kind == "new":
            if sum(item is None for item in items) < 3:  # a tensor has at most 8 axes
                items.append(None)
            continue
        if kind == "int" and n:
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "array" and n:
            # lengths that broadcast together
            side = draw(st.sampled_from([(), (1,), (3,), (2, 1), (2, 3)]))
            items.append(draw(npst.arrays(np.int64, side, elements=st.integers(-n, n - 1))))
        elif kind == "mask":
            items.append(np.arange(n) < min(n, 3) if n >= 3 else np.arange(n) < 1)
        elif kind == "mask2" and axis + 1 < len(shape):
            mask = np.zeros(shape[axis : axis + 2], bool)
            mask.reshape(-1)[:3] = True
            items.append(mask)
            axis += 1
        else:
            items.append(draw(st.slices(n)))
        axis += 1
    # numpy lets a mask of length 0 stand for an axis of any length; we do not, so keep masks in
    # their place.
    if not any(isinstance(item, np.ndarray) and item.size == 0 for item in items) and draw(
        st.booleans()
    ):
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return tuple(items)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_getitem_equals_numpys(data):
    shape = data.draw(SHAPES)
    a = numbers(*shape)
    key = data.draw(keys(shape))
    try:
        want = a[key]
    except IndexError:
        with pytest.raises((IndexError, ValueError)):
            Tensor(a)[key]
        return
    got = Tensor(a)[key]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.numpy(), want)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_setitem_equals_numpys(data):
    shape = data.draw(SHAPES)
    a, b = numbers(*shape), Tensor(numbers(*shape))
    key = data.draw(keys(shape))
    try:
        value = np.cos(np.arange(a[key].size).reshape(a[key].shape))
        a[key] = value
    except IndexError:
        return
    b[key] = Tensor(value) if value.ndim else float(value)
    np.testing.assert_array_equal(b.numpy(), a)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_keys_are_recorded(data):
    """Reading, its gradient, and writing by the same key; index arrays as arguments and as constants."""
    shape = data.draw(SHAPES)
    key = data.draw(keys(shape))
    try:
        value = np.cos(np.arange(numbers(*shape)[key].size).reshape(numbers(*shape)[key].shape))
    except IndexError:
        return
    integers = [i for i in key if isinstance(i, np.ndarray) and i.dtype != np.bool_]

    def function(x, value, *indices):
        given = iter(indices)
        own = [next(given) if any(i is k for k in integers) else i for i in key]
        y = x[tuple(own)]
        written = x.detach() * 2
        written[tuple(own)] = value
        return y, fastnn.grad([(y * y).sum()], [x])[0], written

    compiled = fastnn.compile(function)
    for factor in (1, -2):
        arrays = (
            Tensor(numbers(*shape) * factor, requires_grad=True),
            Tensor(value * factor),
            *integers,
        )
        for got, want in zip(compiled(*arrays), function(*arrays), strict=True):
            np.testing.assert_array_equal(got.numpy(), want.detach().numpy())


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_gradient_of_getitem_counts_what_was_taken(data):
    shape = data.draw(SHAPES)
    key = data.draw(keys(shape))
    x = Tensor(numbers(*shape), requires_grad=True)
    try:
        weights = np.asarray(numbers(*x.numpy()[key].shape))
    except IndexError:
        return
    want = np.zeros(shape)
    np.add.at(want, key, weights)
    (dx,) = fastnn.grad(x[key], [x], Tensor(weights))
    np.testing.assert_allclose(dx.numpy(), want, rtol=1e-12)


def test_basic_indices_are_views():
    x = fastnn.zeros((4, 5))
    for key in (0, (slice(None), -1), (slice(None, None, -2), None), Ellipsis):
        assert x[key]._shares_memory_with(x)
    x[1:3, ::2][0, 1] = 5
    assert x.numpy()[1, 2] == 5


def test_keys_of_other_kinds():
    x = Tensor(numbers(4, 3))
    assert x[Tensor(2)].shape == (3,)
    assert x[Tensor([0, 1], "int32")].shape == (2, 3)
    assert x[np.uint8([3])].shape == (1, 3)
    assert x[[0, 3]].shape == (2, 3)
    assert x[[]].shape == (0, 3)
    assert x[range(2)].shape == (2, 3)
    assert x[x > 0].ndim == 1 if hasattr(ops, "greater") else True
    for bad in (1.0, "a", Tensor([0.5]), {}):
        with pytest.raises(TypeError):
            x[bad]
    for bad in (True, (0, 0, 0), (Ellipsis, Ellipsis), np.zeros(3, bool), np.zeros((4, 4), bool)):
        with pytest.raises(IndexError):
            x[bad]


def test_errors_say_where():
    x = Tensor(numbers(4, 3))
    with pytest.raises(IndexError, match="index 4 is out of range for axis 0 with length 4"):
        x[4]
    with pytest.raises(
        IndexError, match="getitem: index 9 at position 2 is out of range for axis 1 with length 3"
    ):
        x[:, [0, 1, 9]]
    with pytest.raises(IndexError, match="index -5 at position 1 is out of range for axis 0"):
        x[[0, -5], [0, 7]]
    with pytest.raises(IndexError, match="take: index 3 at position 0 .* axis 1"):
        ops.take(x, [3], axis=1)
    with pytest.raises(IndexError, match="embedding: index 7 at position 1"):
        ops.embedding(x, [[0, 7]])
    with pytest.raises(IndexError, match=r"take_along_axis: index 3 at position \(0, 1, 0\)"):
        ops.take_along_axis(x, [[0, 3]] * 4, axis=1)
    with pytest.raises(IndexError, match="one_hot: index 5"):
        ops.one_hot([1, 5], 3)
    with pytest.raises(IndexError, match="index_add: index 4"):
        ops.index_add(x, 0, [4], Tensor(numbers(1, 3)))
    before = x.numpy().copy()
    with pytest.raises(IndexError):
        x[[0, 9]] = 1.0
    np.testing.assert_array_equal(x.numpy(), before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take_of_any_dtype_and_strides(dtype, axis):
    a = numbers(3, 4, 5).astype(dtype)
    index = np.array([[0, -1], [2, 0]])
    for view in (a, np.asfortranarray(a), a[::-1], np.repeat(a, 2, 2)[..., ::2]):
        np.testing.assert_array_equal(
            ops.take(Tensor(view), index, axis).numpy(), np.take(view, index, axis)
        )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_take_along_axis(dtype):
    a = numbers(3, 4, 5).astype(dtype)
    rng = np.random.default_rng(0)
    for axis in range(3):
        shape = [3, 4, 5]
        shape[axis] = 6
        index = rng.integers(-a.shape[axis], a.shape[axis], shape)
        np.testing.assert_array_equal(
            ops.take_along_axis(Tensor(a), index, axis).numpy(), np.take_along_axis(a, index, axis)
        )
    np.testing.assert_array_equal(
        ops.gather(Tensor(a), 1, [[[3, 2]]]).numpy(), [[[a[0, 3, 0], a[0, 2, 1]]]]
    )


def test_one_hot():
    for dtype in ("float32", "float64", "int64", "int32", "uint8", "bool"):
        y = ops.one_hot([[0, 2], [2, 1]], 3, dtype)
        np.testing.assert_array_equal(y.numpy(), np.eye(3, dtype=dtype)[[[0, 2], [2, 1]]])


def test_masked_fill_and_nonzero():
    a = numbers(3, 4)
    mask = a > 0
    np.testing.assert_array_equal(ops.masked_fill(Tensor(a), mask, 7).numpy(), np.where(mask, 7, a))
    np.testing.assert_array_equal(
        ops.masked_fill(Tensor(a), mask[0], 7).numpy(), np.where(mask[0], 7, a)
    )
    for got, want in zip(ops.nonzero(Tensor(mask)), np.nonzero(mask), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)
    x = Tensor(a.copy())
    x[Tensor(mask)] = -1
    np.testing.assert_array_equal(x.numpy(), np.where(mask, -1, a))
    with pytest.raises(TypeError, match="expected bool"):
        ops.masked_fill(x, [0, 1, 1, 0], 1)


def test_setitem_is_refused_where_gradients_would_be_wrong():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="requires a gradient"):
        x[0] = 1
    with no_grad():
        x[0] = 5
    assert x.tolist() == [5, 2]
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        Tensor(frozen)[0] = 1


def test_setitem_from_itself():
    x = Tensor(np.arange(6.0))
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
    x[[0, 1]] = x[[1, 2]]
    assert x.tolist()[:2] == [0, 1]


GRADIENTS = {
    "slice": lambda x: x[1:, ::-2, None],
    "rows": lambda x: x[[2, 0, 2]],
    "pairs": lambda x: x[[2, 0, 2], :, [0, 1, 1]],
    "mask": lambda x: x[Tensor(np.arange(3) != 1)],
    "take": lambda x: ops.take(x, [[0, 1], [3, 3]], axis=1),
    "along": lambda x: ops.take_along_axis(x, np.arange(30).reshape(3, 5, 2) % 4, axis=1),
    "gather": lambda x: ops.gather(x, 1, np.arange(8).reshape(2, 4, 1) % 4),
    "masked_fill": lambda x: ops.masked_fill(x, np.arange(2) == 1, 3.0),
    "scatter_add-x": lambda x: ops.scatter_add(x, 1, np.ones((2, 5, 2), int), Tensor(numbers(2, 5,
    2))),
    "index_add-x": lambda x: ops.index_add(x, 1, [3, 3], Tensor(numbers(3, 2, 2))),
    "scatter_add-source": lambda x: ops.scatter_add(
        Tensor(numbers(3, 5, 2)), 1, np.arange(24).reshape(3, 4, 2) % 5, x
    ),
    "index_add-source": lambda x: ops.index_add(Tensor(numbers(3, 2, 2)), 1, [1, 0, 1, 1], x),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    assert gradcheck(GRADIENTS[name], [Tensor(numbers(3, 4, 2), requires_grad=True)])


@pytest.mark.parametrize(
    "name", [n for n in GRADIENTS if n not in ("masked_fill",) and "add" not in n]
)
def test_gradients_of_gradients(name):
    x = Tensor(numbers(3, 4, 2), requires_grad=True)
    y = GRADIENTS[name](x)
    weights = Tensor(numbers(*y.shape), requires_grad=True)
    (dx,) = fastnn.grad(y, [x], weights, create_graph=True)
    v = Tensor(np.cos(numbers(3, 4, 2)))
    (back,) = fastnn.grad(dx, [weights], v)
    np.testing.assert_allclose(back.numpy(), GRADIENTS[name](v).numpy(), rtol=1e-12)


def test_embedding():
    table = Tensor(numbers(5, 3), requires_grad=True)
    index = np.array([[0, 4], [4, 3], [2, 2]])
    assert gradcheck(lambda w: ops.embedding(w, index), [table])
    y = ops.embedding(table, index, padding_idx=2)
    dy = numbers(3, 2, 3)
    (dw,) = fastnn.grad(y, [table], Tensor(dy))
    want = np.zeros((5, 3))
    np.add.at(want, index, dy)
    want[2] = 0
    np.testing.assert_allclose(dw.numpy(), want)
    with pytest.raises(IndexError, match="index -1 at position .* is negative"):
        ops.embedding(table, [1, -1])
    with pytest.raises(ValueError, match="padding_idx 5"):
        ops.embedding(table, index, padding_idx=5)
    strided = Tensor(np.repeat(numbers(5, 3), 2, 1)[:, ::2])
    np.testing.assert_array_equal(ops.embedding(strided, index).numpy(), numbers(5, 3)[index])


def test_embedding_writes_its_gradient_into_flat_memory():
    from fastnn.flat import flatten

    table = Tensor(numbers(5, 3, dtype="float32"), requires_grad=True)
    (flat,) = flatten([table])
    flat.grad.fill_(9)
    y = ops.embedding(table, [1, 1])
    y.backward(fastnn.ones((2, 3)))
    assert table.grad is table._grad_view
    np.testing.assert_array_equal(
        table.grad.numpy(), np.array([0, 2, 0, 0, 0])[:, None] * np.ones(3)
    )
    ops.embedding(table, [0]).backward(fastnn.ones((1, 3)))
    np.testing.assert_array_equal(table.grad.numpy()[:2], [[1] * 3, [2] * 3])


@pytest.mark.parametrize("shape", [(1, 3000, 1), (1, 50, 700), (1, 3000, 7), (5, 40, 33)])
def test_scatter_add_has_the_same_bits_at_any_thread_count(shape):
    rng = np.random.default_rng(0)
    outer, n, inner = shape
    index = Tensor(rng.integers(-n, n, 5000))
    source = Tensor(rng.normal(size=(outer, 5000, inner)).astype("float32"))
    x = fastnn.zeros(shape)
    along = ops.broadcast_to(ops.reshape(index, 1, 5000, 1), source.shape)
    results = []
    for threads in (1, 2, 3, 4):
        fastnn.set_num_threads(threads)
        results.append(ops.index_add(x, 1, index, source).numpy())
        results.append(ops.scatter_add(x, 1, along, source).numpy())
    for r in results:
        assert r.tobytes() == results[0].tobytes()
    want = np.zeros(shape)
    np.add.at(want, (slice(None), index.numpy()), source.numpy())
    np.testing.assert_allclose(results[0], want, atol=1e-4)
