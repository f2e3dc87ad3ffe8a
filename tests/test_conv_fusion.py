"""What programs make part of convolutions: activations and residuals, to the same bits, and batch
normalisation in evaluation, within a stated error."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import Tensor, nn
from steps import names

EPS = np.finfo("f4").eps


def images(*shape, seed=0, dtype="f4"):
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return Tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))


def draw(module, seed=3):
    """Parameters and running statistics of a module that say something."""
    rng = np.random.default_rng(seed)
    with fn.no_grad():
        for name, value in module.state_dict().items():
            if value.dtype.is_float:
                new = rng.uniform(0.5, 1.5, value.shape) if "var" in name else rng.normal(
                    0, 0.5, value.shape
                )  # fmt: skip
                value.copy_(Tensor(new.astype(value.dtype.numpy)))
    return module


def both(function, *arguments, without=("epilogue",)):
    """Results and program with all passes, and results without some."""
    made = [fn.compile(function), fn.compile(function, without=without)]
    with fn.no_grad():
        results = [f(*arguments).numpy().copy() for f in made for _ in range(2)][1::2]
    return results, made[0].latest.program


CONVS = {
    "3x3": nn.Conv2d(6, 8, 3, padding=1),
    "plain": nn.Conv2d(6, 8, 3, padding=1, bias=False),
    "product": nn.Conv2d(6, 8, 1),
    "strided": nn.Conv2d(6, 8, 3, stride=2, padding=1),
    "groups": nn.Conv2d(6, 8, 3, padding=1, groups=2),
    "depthwise": nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "dilated": nn.Conv2d(6, 8, 3, padding=2, dilation=2),
    "many": nn.Conv2d(6, 80, 3, padding=1),
}


@pytest.mark.parametrize("size", [(2, 6, 9, 11), (1, 6, 40, 33)], ids=str)
@pytest.mark.parametrize("kind", CONVS)
def test_activations_and_residuals_end_convolutions(kind, size, isa):
    conv = draw(CONVS[kind])
    x = images(*size)
    with fn.no_grad():
        y = conv(x)
    other, row = images(*y.shape, seed=1), Tensor(np.linspace(-1, 1, y.shape[1]).astype("f4"))
    forms = {
        "relu": lambda x: fn.relu(conv(x)),
        "relu6": lambda x: fn.relu6(conv(x)),
        "residual": lambda x: fn.relu(other + conv(x)),
        "scaled": lambda x: fn.relu(conv(x) * row.reshape((-1, 1, 1)) + other),
        "gate": lambda x: conv(x) * other,
    }
    for form, function in forms.items():
        (got, want), program = both(function, x)
        np.testing.assert_array_equal(got, want, err_msg=form)
        assert names(program) == ["conv_chain"], form


def test_what_does_not_lie_evenly_stays_apart():
    """A factor for each image and channel, as squeeze and excitation has it."""
    conv, scale = draw(CONVS["3x3"]), Tensor(np.ones((2, 8, 1, 1), "f4") * 2)
    (got, want), program = both(lambda x: fn.relu(conv(x) * scale), images(2, 6, 9, 11))
    np.testing.assert_array_equal(got, want)
    assert "conv" in names(program)


@pytest.mark.parametrize("kind", [*CONVS, "transposed"])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_in_evaluation_is_folded(kind, affine):
    layer = nn.ConvTranspose2d(6, 8, 3, stride=2) if kind == "transposed" else CONVS[kind]
    channels = layer.weight.shape[1 if kind == "transposed" else 0]
    net = draw(nn.Sequential(layer, nn.BatchNorm2d(channels, affine=affine), nn.ReLU())).eval()
    x = images(3, 6, 8, 9)
    (got, want), program = both(net, x, without=("fold",))
    assert "batch_norm_eval" not in names(program)
    with fn.no_grad():
        magnitudes = fn.abs(layer(fn.abs(x))).numpy().max() + np.abs(want).max()
    np.testing.assert_allclose(got, want, atol=64 * EPS * float(magnitudes))
    with fn.deterministic_precision():
        (got, want), program = both(net, x, without=("fold",))
    np.testing.assert_array_equal(got, want)
    assert "batch_norm_eval" in names(program)


def test_folded_weights_follow_what_they_are_made_of():
    net = draw(nn.Sequential(CONVS["3x3"], nn.BatchNorm2d(8))).eval()
    x = images(2, 6, 5, 5)
    compiled = fn.compile(net)
    with fn.no_grad():
        for tensor in net.state_dict().values():
            compiled(x)
            if tensor.dtype.is_float:
                tensor.copy_(tensor * 1.5)
            np.testing.assert_allclose(
                compiled(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-4
            )  # fmt: skip


def test_what_is_in_training_or_read_elsewhere_is_not_folded():
    net = draw(nn.Sequential(CONVS["3x3"], nn.BatchNorm2d(8))).eval()
    x = images(2, 6, 5, 5)

    def seen(x):
        y = net[0](x)
        return net[1](y) + y

    def trained(x):
        y = net(x)
        with fn.no_grad():
            net[1].weight.copy_(net[1].weight * 0.5)
        return y

    for function in (seen, trained):
        start = net[1].weight.numpy().copy()
        compiled = fn.compile(function)
        with fn.no_grad():
            got = compiled(x).numpy().copy()
            net[1].weight.copy_(Tensor(start))
            np.testing.assert_array_equal(got, function(x).numpy())
            net[1].weight.copy_(Tensor(start))
        assert "batch_norm_eval" in names(compiled.latest.program)


def test_the_listing_spells_it():
    net = draw(nn.Sequential(CONVS["plain"], nn.BatchNorm2d(8), nn.ReLU())).eval()
    compiled = fn.compile(net)
    with fn.no_grad():
        compiled(images(2, 6, 5, 5))
    assert "relu(conv(" in compiled.show()


def test_gradients_of_gradients_through_leaky_relu():
    """The slope of a leaky ReLU begins with a comparison, of a convolution's result here."""
    net = nn.Sequential(nn.Conv2d(6, 8, 3), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))
    weights = [net[0].weight, net[2].weight]

    def penalty(x):
        (g,) = fn.grad(net(x).sum(), [x], create_graph=True)
        return fn.grad(g.square().sum(), weights)

    x = images(2, 6, 9, 9)
    x.requires_grad = True
    for got, want in zip(fn.compile(penalty)(x), penalty(x), strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())
