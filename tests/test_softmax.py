"""softmax and log_softmax: values against float64 numpy, gradients, layouts, ISAs and threads."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import Tensor

SHAPES = [
    (1,),
    (7,),
    (3000,),
    (5, 1),
    (4, 10),
    (3, 17),
    (2, 5000),
    (4, 3, 5),
    (2, 70, 200),
    (1, 2, 3, 4),
]


def reference(x, axis):
    """The logarithm of softmax in float64."""
    x = x.astype("f8")
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape, dtype, isa):
    rng = np.random.default_rng(0)
    tol = 1e-5 if dtype == "float32" else 1e-13
    x = (rng.standard_normal(shape) * 5).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    for axis in range(len(shape)):
        log_p = reference(x, axis)
        p, d = np.exp(log_p), dy.astype("f8")
        for layout in (x, np.asfortranarray(x), x[..., ::-1].copy()[..., ::-1]):
            a = Tensor(layout, requires_grad=True)
            y = fn.softmax(a, axis)
            np.testing.assert_allclose(y.numpy(), p, rtol=tol, atol=tol)
            y.backward(Tensor(dy))
            want = p * (d - (p * d).sum(axis=axis, keepdims=True))
            np.testing.assert_allclose(a.grad.numpy(), want, rtol=tol, atol=tol)
            a = Tensor(layout, requires_grad=True)
            y = fn.log_softmax(a, axis)
            np.testing.assert_allclose(y.numpy(), log_p, rtol=tol, atol=tol)
            y.backward(Tensor(np.asfortranarray(dy)))
            want = d - p * d.sum(axis=axis, keepdims=True)
            np.testing.assert_allclose(a.grad.numpy(), want, rtol=tol, atol=tol * 10)


@pytest.mark.parametrize("function", [fn.softmax, fn.log_softmax])
@pytest.mark.parametrize("shape", [(500, 129), (3, 40_000), (3, 50, 700)], ids=str)
def test_same_bits_at_any_thread_count(function, shape, isa):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    for axis in range(len(shape)):
        results = set()
        for count in (1, 2, 4):
            fn.set_num_threads(count)
            a = Tensor(x, requires_grad=True)
            y = function(a, axis)
            y.backward(Tensor(dy))
            results.add(y.numpy().tobytes() + a.grad.numpy().tobytes())
        assert len(results) == 1


def test_large_numbers_and_special_values(isa):
    for function, last in ((fn.softmax, np.exp), (fn.log_softmax, lambda x: x)):
        for row in ([1e4, 0, -1e4], [3e38, 3e38, 0], [0, -np.inf, 0]):
            x = np.array([row], np.float32)
            np.testing.assert_allclose(
                function(Tensor(x)).numpy(), last(reference(x, 1)), rtol=1e-6
            )
        for row in ([np.nan, 0, 1], [np.inf, 0, 1], [-np.inf] * 3):
            assert np.isnan(function(Tensor(row)).numpy()).any()


@pytest.mark.parametrize("function", [fn.softmax, fn.log_softmax])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradients_of_every_order(function, axis):
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    fn.gradcheck(lambda x: function(x, axis), [x])

    def first(x):
        with fn.enable_grad():
            x = x if x.requires_grad else Tensor(x, requires_grad=True)
            y = function(x * x, axis)
            return fn.grad((y * y).sum(), x, create_graph=True)

    fn.gradcheck(first, [x])


def test_empty_and_bad_input():
    assert fn.softmax(fn.zeros((0, 3))).shape == (0, 3)
    assert fn.softmax(fn.zeros((3, 0))).shape == (3, 0)
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        fn.softmax(fn.zeros((2, 3)), 2)
    with pytest.raises(ValueError, match="out of range"):
        fn.softmax(Tensor(1.0))
    with pytest.raises(TypeError, match="astype"):
        fn.softmax(Tensor([1, 2]))
    with pytest.raises(TypeError, match="integer"):
        fn.softmax(fn.zeros((2, 3)), (0, 1))
