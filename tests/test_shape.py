"""Views, joining, splitting, padding: against numpy, with gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Tensor, gradcheck, ops


def numbers(*shape, dtype="float64"):
    return (np.arange(np.prod(shape, dtype=int)).reshape(shape) * 0.37 - 1.5).astype(dtype)


def differentiable(*shape):
    return Tensor(numbers(*shape), requires_grad=True)


def layouts(array):
    """The same values with other strides."""
    yield Tensor(array)
    yield Tensor(np.asfortranarray(array))
    yield Tensor(np.repeat(array, 2, axis=-1)[..., ::2])
    yield Tensor(array[::-1].copy()[::-1])
    padded = np.zeros([n + 3 for n in array.shape], array.dtype)
    inner = padded[tuple(slice(1, n + 1) for n in array.shape)]
    inner[...] = array
    yield Tensor(inner)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_reshape_of_any_view_equals_numpys(data):
    factors = data.draw(st.lists(st.sampled_from([1, 1, 2, 2, 3]), min_size=0, max_size=5))
    base = numbers(*[n * 2 for n in factors])
    order = data.draw(st.permutations(range(len(factors))))
    steps = data.draw(
        st.lists(st.sampled_from([1, 2, -1, -2]), min_size=len(factors), max_size=len(factors))
    )
    view = base[tuple(slice(None, None, s) for s in steps)].transpose(order)
    total = view.size
    shape = []
    while total > 1:
        n = data.draw(st.sampled_from([d for d in range(2, total + 1) if total % d == 0]))
        shape.append(n)
        total //= n
    for at in data.draw(st.lists(st.integers(0, len(shape)), max_size=2)):
        shape.insert(min(at, len(shape)), 1)
    y = ops.reshape(Tensor(view), tuple(shape))
    assert y.shape == tuple(shape)
    np.testing.assert_array_equal(y.numpy(), view.reshape(shape))


def test_reshape_is_a_view_where_strides_allow():
    x = fastnn.zeros((4, 6))
    assert x.reshape(2, 2, 3, -1)._shares_memory_with(x)
    half = x[:, :3]
    assert half.reshape(2, 2, 3)._shares_memory_with(x)
    assert not half.reshape(12)._shares_memory_with(x)
    assert x.T.reshape(3, 2, 4)._shares_memory_with(x)


@pytest.mark.parametrize("shape", [(5,), (-1, 5), (-1, -1), (2, -3), (0, -1)])
def test_reshape_that_does_not_fit(shape):
    with pytest.raises(ValueError, match=r"reshape: cannot reshape \(2, 3\)"):
        ops.reshape(fastnn.zeros((2, 3)), shape)


def test_zero_sized():
    x = fastnn.zeros((3, 0, 2))
    assert x.reshape(0, 6).shape == (0, 6)
    assert x.reshape(-1, 3, 2).shape == (0, 3, 2)
    assert x.permute(2, 0, 1).shape == (2, 3, 0)
    assert ops.concat([x, x], 1).shape == (3, 0, 2)
    assert ops.concat([x, fastnn.ones((3, 1, 2))], 1).shape == (3, 1, 2)
    assert ops.pad(x, 1).shape == (5, 2, 4)
    assert ops.flip(x).shape == (3, 0, 2)
    assert ops.tile(x, 2).shape == (3, 0, 4)


def test_orders_of_axes():
    a = numbers(2, 3, 4)
    for x in layouts(a):
        np.testing.assert_array_equal(x.permute(2, 0, 1).numpy(), a.transpose(2, 0, 1))
        np.testing.assert_array_equal(x.transpose().numpy(), a.T)
        np.testing.assert_array_equal(x.T.numpy(), a.T)
        np.testing.assert_array_equal(x.transpose(0, -1).numpy(), a.swapaxes(0, 2))
        np.testing.assert_array_equal(x.transpose((1, 0, 2)).numpy(), a.transpose(1, 0, 2))
        np.testing.assert_array_equal(x.flatten(1).numpy(), a.reshape(2, 12))
        np.testing.assert_array_equal(x.expand_dims((0, -1)).numpy(), a[None, ..., None])
        np.testing.assert_array_equal(x.unsqueeze(1).squeeze().numpy(), a)
        np.testing.assert_array_equal(x.flip(1).numpy(), np.flip(a, 1))


def test_errors_name_the_axis():
    x = fastnn.zeros((2, 3))
    with pytest.raises(
        ValueError, match="permute: axis 2 is out of range for a tensor with 2 axes"
    ):
        x.permute(0, 2)
    with pytest.raises(ValueError, match="permute: an axis comes twice"):
        x.permute(0, 0)
    with pytest.raises(ValueError, match="squeeze: axis 1 of .* has length 3"):
        x.squeeze(1)
    with pytest.raises(
        ValueError, match=r"broadcast_to: .*\(2, 3\) does not broadcast to \(3, 2\)"
    ):
        x.broadcast_to((3, 2))
    with pytest.raises(TypeError, match="concat: tensor 1 is float64"):
        ops.concat([x, fastnn.zeros((2, 3), "float64")])
    with pytest.raises(ValueError, match="concat: tensor 1 has shape"):
        ops.concat([x, fastnn.zeros((3, 2))])
    with pytest.raises(ValueError, match="no tensors"):
        ops.stack([])
    with pytest.raises(ValueError, match="do not add up"):
        x.split([1, 1], axis=1)
    with pytest.raises(ValueError, match="does not divide"):
        x.split(2, axis=1)
    with pytest.raises(ValueError, match="too short for 'reflect'"):
        ops.pad(x, 3, mode="reflect")
    with pytest.raises(ValueError, match="negative"):
        ops.pad(x, -1)
    with pytest.raises(ValueError, match="mode 'mirror'"):
        ops.pad(x, 1, mode="mirror")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_joining_any_dtype(dtype):
    a, b = numbers(2, 3, 4).astype(dtype), numbers(2, 1, 4).astype(dtype)
    for x, y in zip(layouts(a), layouts(b), strict=True):
        np.testing.assert_array_equal(
            ops.concat([x, y, x], axis=1).numpy(), np.concatenate([a, b, a], 1)
        )
        np.testing.assert_array_equal(ops.stack([x, x], axis=-1).numpy(), np.stack([a, a], -1))
        np.testing.assert_array_equal(ops.tile(x, (2, 1, 3)).numpy(), np.tile(a, (2, 1, 3)))
        np.testing.assert_array_equal(ops.repeat(x, 3, axis=1).numpy(), np.repeat(a, 3, 1))
        np.testing.assert_array_equal(
            ops.repeat(x, [0, 2, 1], axis=1).numpy(), np.repeat(a, [0, 2, 1], 1)
        )
        widths = ((1, 2), (0, 1), (3, 0))
        np.testing.assert_array_equal(
            ops.pad(x, widths, value=1).numpy(), np.pad(a, widths, constant_values=1)
        )


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
@pytest.mark.parametrize("widths", [1, (2, 1), ((0, 2), (4, 3))])
def test_pad_modes(mode, widths):
    a = numbers(3, 5)
    for x in layouts(a):
        np.testing.assert_array_equal(ops.pad(x, widths, mode).numpy(), np.pad(a, widths, mode))


def test_split_and_chunk():
    a = numbers(2, 7)
    x = Tensor(a)
    for got, want in zip(x.split([3, 0, 4], axis=1), np.split(a, [3, 3], 1), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)
        assert got._shares_memory_with(x) or got.size == 0
    assert [y.shape for y in x.chunk(3, axis=1)] == [(2, 3), (2, 3), (2, 1)]
    assert [y.shape for y in x.chunk(9, axis=1)] == [(2, 1)] * 7


GRADIENTS = {
    "reshape": lambda x: ops.reshape(x, 4, 6),
    "reshape-copy": lambda x: ops.reshape(ops.permute(x, 2, 1, 0), 6, 4),
    "flatten": lambda x: ops.flatten(x),
    "permute": lambda x: ops.permute(x, 2, 0, 1),
    "transpose": lambda x: x.T,
    "broadcast": lambda x: ops.broadcast_to(ops.reshape(x, 2, 1, 3, 4), (5, 2, 2, 3, 4)),
    "tile": lambda x: ops.tile(x, (1, 2, 3)),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "flip": lambda x: ops.flip(x, (0, 2)),
    "concat": lambda x: ops.concat([x, ops.permute(x, 0, 1, 2), x], axis=2),
    "stack": lambda x: ops.stack([x, x], axis=1),
    "split": lambda x: ops.concat(ops.split(x, 2, axis=2)[::-1], axis=0),
    "split-part": lambda x: ops.split(x, [1, 2], axis=1)[1],
    "chunk": lambda x: ops.chunk(x, 2, axis=1)[0],
    "pad": lambda x: ops.pad(x, ((1, 0), (2, 1), (0, 3))),
    "pad-edge": lambda x: ops.pad(x, 1, "edge"),
    "pad-reflect": lambda x: ops.pad(x, ((0, 0), (1, 2), (3, 0)), "reflect"),
    "pad-wrap": lambda x: ops.pad(x, 1, "wrap"),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    assert gradcheck(GRADIENTS[name], [differentiable(2, 3, 4)])


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_gradients(name):
    x = differentiable(2, 3, 4)
    y = GRADIENTS[name](x)
    weights = Tensor(numbers(*y.shape), requires_grad=True)
    (dx,) = fastnn.grad(y, [x], weights, create_graph=True)
    # dx is linear in the weights: its gradient, given v, is the function of v.
    v = Tensor(np.cos(numbers(2, 3, 4)))
    (back,) = fastnn.grad(dx, [weights], v)
    np.testing.assert_allclose(back.numpy(), GRADIENTS[name](v).numpy(), rtol=1e-12)
