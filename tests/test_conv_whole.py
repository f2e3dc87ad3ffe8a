"""Convolutions whose kernel is as large as the image, which are products of matrices."""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn, ops

SIZES = [(5, 6, 8, (4, 3)), (64, 20, 33, (5, 5)), (600, 3, 1, (3, 3)), (1, 130, 70, (1, 7))]


@pytest.fixture(params=SIZES, ids=str)
def network(request):
    """(forward, gradients, x, y, what they make in float64): a convolution and a transposed one."""
    n, c, o, kernel = request.param
    rng = np.random.default_rng(n)
    conv, turned = nn.Conv2d(c, o, kernel), nn.ConvTranspose2d(o, c, kernel, bias=False)
    x, y = rng.standard_normal((n, *kernel, c)).astype("f4"), rng.standard_normal((n, o, 1, 1))
    x, y = Tensor(x.transpose(0, 3, 1, 2)), Tensor(y.astype("f4"))

    def forward(x, y):
        return ops.relu(conv(x)), turned(y)

    def gradients(x, y):
        conv.weight.grad = turned.weight.grad = None
        ((conv(x) * y).sum() + (turned(y) * x).sum()).backward()
        return conv.weight.grad, turned.weight.grad

    images, rows, w, b, t = (
        a.numpy().astype("f8") for a in (x, y[:, :, 0, 0], conv.weight, conv.bias, turned.weight)
    )
    outputs = np.maximum(np.einsum("nchw,ochw->no", images, w) + b, 0)[:, :, None, None]
    weights = np.einsum("nchw,no->ochw", images, rows)
    return (
        forward,
        gradients,
        x,
        y,
        [outputs, np.einsum("no,ochw->nchw", rows, t), weights, weights],
    )


def test_values_are_the_same_bits_compiled_and_by_any_number_of_threads(network):
    forward, gradients, x, y, want = network
    compiled, seen = fastnn.compile(forward), []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        for function in (forward, compiled, compiled):
            with fastnn.no_grad():
                made = [t.numpy().copy() for t in function(x, y)]
            seen.append(made + [g.numpy().copy() for g in gradients(x, y)])
    for first, *others, exact in zip(*seen, want, strict=True):
        np.testing.assert_allclose(first, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())
        for other in others:
            np.testing.assert_array_equal(other, first)


def test_steps_are_the_same_bits_compiled(network):
    _, gradients, x, y, _ = network
    eager = [g.numpy().copy() for g in gradients(x, y)]
    step = fastnn.compile(gradients)
    for _ in range(2):
        for made, want in zip(step(x, y), eager, strict=True):
            np.testing.assert_array_equal(made.numpy(), want)


def test_images_that_do_not_lie_evenly_give_the_same_values(network):
    forward, _, x, y, want = network
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), "f4")
    wide[..., 1::2] = x.numpy()
    with fastnn.no_grad():
        made = forward(Tensor(wide)[..., 1::2], y)[0].numpy()
    np.testing.assert_allclose(made, want[0], rtol=1e-4, atol=1e-5 * np.abs(want[0]).max())
