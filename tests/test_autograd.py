"""Reverse-mode differentiation: the graph, its ends, its errors, and that it lets go of memory."""

import gc
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, _core
from fastnn.flat import flatten


def leaf(values, dtype="float64"):
    return fastnn.tensor(values, dtype=dtype, requires_grad=True)


# --- backward ---


def test_chain_rule():
    x = leaf([1.0, 2.0, 3.0])
    ((x * x).sum() * 0.5).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 2, 3])


def test_gradients_accumulate():
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [5, 7])
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3, 3])


def test_a_tensor_used_many_times():
    x = leaf(2.0)
    y = x * x + x * x * x + x
    y.backward()
    assert x.grad.item() == 2 * 2 + 3 * 4 + 1


def test_a_diamond_is_walked_once():
    x = leaf([1.0])
    y = x
    for _ in range(60):  # 2^60 paths
        y = y + y
    y.backward(fastnn.ones((1,), dtype="float64"))
    assert x.grad.item() == 2.0**60


def test_a_deep_graph_does_not_exhaust_the_stack():
    x = leaf([1.0])
    y = x
    for _ in range(20_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1
    del y  # and neither does freeing it


def test_a_deep_graph_is_freed_without_recursion():
    x = leaf([1.0])
    y = x
    for _ in range(200_000):
        y = y * 1.0
    del y
    gc.collect()


def test_backward_of_many_values_needs_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises((ValueError, RuntimeError), match="grad|scalar|one"):
        (x * 2).backward()
    (x * 2).backward(fastnn.tensor([1.0, 10.0], dtype="float64"))
    np.testing.assert_allclose(x.grad.numpy(), [2, 20])


def test_a_gradient_of_the_wrong_shape_or_dtype():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="shape|3"):
        (x * 2).backward(fastnn.ones((3,), dtype="float64"))
    with pytest.raises((TypeError, ValueError), match="float32"):
        (x * 2).backward(fastnn.ones((2,), dtype="float32"))


def test_backward_where_nothing_wants_a_gradient():
    with pytest.raises((ValueError, RuntimeError), match="grad"):
        fastnn.ones((2,)).sum().backward()


def test_backward_twice_says_how_to_keep_the_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    np.testing.assert_allclose(x.grad.numpy(), [6, 12])


def test_only_real_tensors_can_want_gradients():
    with pytest.raises((TypeError, ValueError), match="float|real"):
        fastnn.tensor([1, 2], dtype="int64", requires_grad=True)
    x = fastnn.ones((2,), dtype="int32")
    with pytest.raises((TypeError, ValueError), match="float|real"):
        x.requires_grad = True


def test_comparisons_carry_no_gradient():
    x = leaf([1.0, 2.0])
    assert not (x > 1).requires_grad
    assert not fastnn.argmax(x).requires_grad


# --- parts of the graph ---


def test_no_grad():
    x = leaf([1.0])
    with fastnn.no_grad():
        assert not fastnn.is_grad_enabled()
        assert not (x * 2).requires_grad
        with fastnn.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), fastnn.no_grad():
        raise KeyError
    assert fastnn.is_grad_enabled()


def test_no_grad_as_a_decorator():
    @fastnn.no_grad()
    def f(x):
        return x * 2

    assert not f(leaf([1.0])).requires_grad
    assert fastnn.is_grad_enabled()


def test_detach_shares_memory_and_cuts_the_graph():
    x = leaf([1.0, 2.0])
    y = x.detach()
    assert not y.requires_grad and np.shares_memory(x.numpy(), y.numpy())
    (x * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 2])


def test_grad_returns_and_leaves_grad_alone():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    dx, dy = fastnn.grad((x * y).sum(), [x, y])
    np.testing.assert_allclose(dx.numpy(), [3, 4])
    np.testing.assert_allclose(dy.numpy(), [1, 2])
    assert x.grad is None and y.grad is None


def test_grad_of_a_middle_tensor():
    x = leaf([1.0, 2.0])
    h = x * 3
    (dh,) = fastnn.grad((h * h).sum(), [h])
    np.testing.assert_allclose(dh.numpy(), [6, 12])


def test_grad_of_an_input_off_the_path():
    x, z = leaf([1.0]), leaf([1.0])
    with pytest.raises((RuntimeError, ValueError), match="z|path|used|depend|unused|reach"):
        fastnn.grad((x * 2).sum(), [z])


def test_double_backward():
    x = leaf([1.0, 2.0, 3.0])
    (dx,) = fastnn.grad((x * x * x).sum(), [x], create_graph=True)
    (ddx,) = fastnn.grad(dx.sum(), [x], create_graph=True)
    (dddx,) = fastnn.grad(ddx.sum(), [x])
    np.testing.assert_allclose(dx.numpy(), [3, 12, 27])
    np.testing.assert_allclose(ddx.numpy(), [6, 12, 18])
    np.testing.assert_allclose(dddx.numpy(), [6, 6, 6])


def test_a_gradient_penalty_trains():
    w = leaf([[0.5, -0.3], [0.2, 0.8]])
    x = leaf([[1.0, 2.0]])
    y = fastnn.tanh(x @ w).sum()
    (dx,) = fastnn.grad(y, [x], create_graph=True)
    (dx * dx).sum().backward()
    h, a, b = 1e-6, w.numpy().copy(), x.numpy()

    def penalty(w):
        slope = (1 - np.tanh(b @ w) ** 2) @ w.T
        return (slope**2).sum()

    for i in np.ndindex(2, 2):
        d = np.zeros((2, 2))
        d[i] = h
        assert abs((penalty(a + d) - penalty(a - d)) / (2 * h) - w.grad.numpy()[i]) < 1e-7


def test_views_pass_gradients():
    x = leaf(np.arange(6.0).reshape(2, 3))
    (x.T[1:].reshape((-1,))[::2] * fastnn.tensor([1.0, 10.0], dtype="float64")).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 1, 10], [0, 0, 0]])


# --- writing in place ---


def test_writing_what_backward_needs_is_an_error():
    x = leaf([1.0, 2.0])
    h = x * 1.0
    y = (h * h).sum()
    with fastnn.no_grad():
        h[0] = 5.0
    with pytest.raises(RuntimeError, match="modif|chang|written|in place|overwrit"):
        y.backward()


def test_writing_into_a_leaf_that_wants_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError):
        x[0] = 3.0
    with fastnn.no_grad():
        x[0] = 3.0
    assert x[0].item() == 3


def test_writing_after_backward_is_fine():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        x.grad = None
        (x * x).sum().backward()
        with fastnn.no_grad():
            x[...] = x.detach() - 0.1 * x.grad
    np.testing.assert_allclose(x.numpy(), np.array([1, 2]) * 0.8**3)


# --- custom functions ---


class Cube(fastnn.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * 3 * x * x


def test_a_custom_function():
    x = leaf([1.0, 2.0])
    y = Cube.apply(x)
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), [1, 8])
    np.testing.assert_allclose(x.grad.numpy(), [3, 12])
    assert fastnn.gradcheck(Cube.apply, [leaf([0.5, -1.5])])


class WrongShape(fastnn.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, dy):
        return fastnn.ones((7,), dtype="float64")


class WrongCount(WrongShape):
    @staticmethod
    def backward(ctx, dy):
        return dy, dy, dy


class WrongValue(WrongShape):
    @staticmethod
    def backward(ctx, dy):
        return dy * 5


def test_custom_functions_that_are_wrong():
    for wrong in (WrongShape, WrongCount):
        x = leaf([1.0, 2.0])
        with pytest.raises((ValueError, RuntimeError, TypeError)):
            wrong.apply(x).sum().backward()
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        assert fastnn.gradcheck(WrongValue.apply, [leaf([1.0, 2.0])])


def test_gradcheck_asks_for_float64():
    with pytest.raises((TypeError, ValueError), match="float64"):
        fastnn.gradcheck(lambda x: x * x, [leaf([1.0], dtype="float32")])


# --- memory ---


def test_no_cycles_are_left_behind():
    """Graphs are freed by reference counts alone, the moment they go out of use."""
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones((50, 50)))
        h = fastnn.tanh(x @ x)
        y = fastnn.softmax(h * x + h, axis=-1).sum()
        watched = [weakref.ref(h), weakref.ref(y)]
        y.backward()
        del h, y
        assert [w() for w in watched] == [None, None]
        z = fastnn.exp(x)  # a graph that never ran backward
        watched = weakref.ref(z)
        del z
        assert watched() is None
    finally:
        gc.enable()


def test_no_leak_over_a_thousand_steps():
    x = fastnn.tensor(np.random.default_rng(0).normal(size=(16, 8)), dtype="float32")
    w = fastnn.tensor(np.zeros((8, 4)), dtype="float32", requires_grad=True)

    def step():
        w.grad = None
        y = fastnn.relu(x @ w + 1.0)
        loss = fastnn.log_softmax(y, axis=-1).mean() + (y * y).mean()
        loss.backward()
        with fastnn.no_grad():
            w[...] = w.detach() - 0.01 * w.grad

    for _ in range(10):
        step()
    gc.collect()
    gc.disable()
    try:
        before, objects = _core.memory_in_use(), len(gc.get_objects())
        for _ in range(1000):
            step()
        assert _core.memory_in_use() <= before
        assert len(gc.get_objects()) - objects < 50
    finally:
        gc.enable()


def test_gradients_in_flat_memory_are_those_outside_it():
    rng = np.random.default_rng(0)
    index = np.array([0, 2, 2, 1])

    def run(flat):
        rng = np.random.default_rng(1)
        w, v = (Tensor(rng.standard_normal(s), requires_grad=True) for s in [(3, 3), (3, 4)])
        b = Tensor(rng.standard_normal(3), requires_grad=True)
        keep = flatten([w, v, b]) if flat else None
        for _ in range(2):  # the second adds to the first
            h = fastnn.linear(fastnn.linear(x, w, b), w, b)  # shared weights
            y = (w @ w) @ v + fastnn.embedding(w, index).sum(0) @ v
            (h.tanh().sum() + y.sum() + (w @ (w @ v)).square().sum()).backward()
        assert not flat or keep[0].grad.numpy().any()
        return [t.grad.numpy() for t in (w, v, b)]

    x = Tensor(rng.standard_normal((5, 3)))
    for a, b in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
