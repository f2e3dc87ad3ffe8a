"""Shapes by hypothesis: whatever numpy accepts, fastnn gives the same; whatever numpy refuses,
it refuses.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastnn

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
quick = settings(max_examples=150, deadline=None)


def numbers(shape, start=1.0):
    """Distinct positive numbers of a shape."""
    return np.asarray((np.arange(int(np.prod(shape)), dtype="float64").reshape(shape) + start) / 8)


def both(numpy_function, fastnn_function):
    """Run both; None when both refuse, else their results as arrays."""
    try:
        want = numpy_function()
    except (ValueError, IndexError) as refused:
        with pytest.raises((ValueError, IndexError)):
            fastnn_function()
        assert str(refused)
        return None
    return np.asarray(want), fastnn_function().numpy()


def same(pair):
    if pair is not None:
        want, got = pair
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-14)


@quick
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=5))
def test_what_broadcasts_in_numpy_broadcasts(shapes):
    a, b = (numbers(s, i + 1) for i, s in enumerate(shapes.input_shapes))
    x, y = fastnn.Tensor(a), fastnn.Tensor(b)
    for f in (np.add, np.subtract, np.multiply, np.divide, np.less):
        name = {"divide": "div", "subtract": "sub", "multiply": "mul"}.get(f.__name__, f.__name__)
        operator = {
            "add": x.__add__,
            "sub": x.__sub__,
            "mul": x.__mul__,
            "div": x.__truediv__,
            "less": x.__lt__,
        }[name]
        same((f(a, b), operator(y).numpy()))


@quick
@given(shapes, shapes)
def test_any_two_shapes(one, other):
    a, b = numbers(one), numbers(other)
    same(both(lambda: a + b, lambda: fastnn.Tensor(a) + fastnn.Tensor(b)))
    same(
        both(
            lambda: np.where(a > b, a, b),
            lambda: fastnn.where(
                fastnn.Tensor(a) > fastnn.Tensor(b), fastnn.Tensor(a), fastnn.Tensor(b)
            ),
        )
    )


@quick
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4))
def test_gradients_have_the_shape_of_their_inputs(shapes):
    a, b = (numbers(s, i + 1) for i, s in enumerate(shapes.input_shapes))
    x, y = fastnn.Tensor(a, requires_grad=True), fastnn.Tensor(b, requires_grad=True)
    (x * y).sum().backward()
    ones = np.ones(shapes.result_shape)
    for leaf, other in ((x, b), (y, a)):
        assert leaf.grad.shape == leaf.shape
        whole = ones * other
        lead = whole.ndim - leaf.ndim
        axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(leaf.shape) if n == 1)
        np.testing.assert_allclose(
            leaf.grad.numpy(), whole.sum(axes, keepdims=True).reshape(leaf.shape), rtol=1e-12
        )


@quick
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_side=5, min_side=0))
def test_matmul_of_what_numpy_takes(shapes):
    a, b = (numbers(s) for s in shapes.input_shapes)
    same((a @ b, (fastnn.Tensor(a) @ fastnn.Tensor(b)).numpy()))


@quick
@given(shapes, shapes)
def test_matmul_of_any_two_shapes(one, other):
    a, b = numbers(one), numbers(other)
    same(both(lambda: a @ b, lambda: fastnn.Tensor(a) @ fastnn.Tensor(b)))


@quick
@given(st.data())
def test_reductions_over_any_axes(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=5, min_side=1, max_side=4))
    axes = data.draw(st.one_of(st.none(), hnp.valid_tuple_axes(len(shape))))
    keep = data.draw(st.booleans())
    a = numbers(shape)
    for name in ("sum", "mean", "max", "min", "var"):
        got = getattr(fastnn, name)(fastnn.Tensor(a), axis=axes, keepdims=keep).numpy()
        want = np.asarray(getattr(np, name)(a, axis=axes, keepdims=keep))
        assert got.shape == want.shape, (name, shape, axes, keep)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@quick
@given(st.data())
def test_basic_indexing(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    a = numbers(shape)
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=7))
    got = fastnn.Tensor(a)[index]
    want = a[index]
    assert got.shape == np.shape(want)
    np.testing.assert_array_equal(got.numpy(), want)


@quick
@given(st.data())
def test_gradient_of_basic_indexing(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = fastnn.Tensor(numbers(shape), requires_grad=True)
    (x[index] * 3).sum().backward()
    want = np.zeros(shape)
    want[index] = 3
    np.testing.assert_array_equal(x.grad.numpy(), want)


@quick
@given(st.data())
def test_reshape_and_permute(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    a = numbers(shape)
    axes = tuple(data.draw(st.permutations(range(a.ndim))))
    got = fastnn.Tensor(a).permute(axes)
    np.testing.assert_array_equal(got.numpy(), a.transpose(axes))
    same(both(lambda: a.transpose(axes).reshape(-1), lambda: got.reshape((-1,))))


@quick
@given(st.data())
def test_concat_and_stack(data):
    shape = list(data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    pieces = []
    for i, n in enumerate(lengths):
        shape[axis] = n
        pieces.append(numbers(shape, 1 + i))
    ours = [fastnn.Tensor(p) for p in pieces]
    same((np.concatenate(pieces, axis), fastnn.concat(ours, axis=axis).numpy()))
    same((np.stack(pieces[:1] * 3, axis), fastnn.stack(ours[:1] * 3, axis=axis).numpy()))
