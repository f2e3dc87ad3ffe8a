"""Layers against numpy, and against torch where it is installed."""

import math
import sys

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, initializers, nn, regularizers

RNG = np.random.default_rng(7)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def seeds():
    """Each test draws the same numbers, whichever others run."""
    RNG.bit_generator.state = START
    fastnn.manual_seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


ACTIVATIONS = [
    ("ReLU", {}), ("ReLU6", {}), ("LeakyReLU", {}), ("LeakyReLU", {"negative_slope": 0.3}),
    ("ELU", {}), ("ELU", {"alpha": 0.7}), ("SELU", {}), ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}), ("Mish", {}), ("Softplus", {}), ("Softplus", {"beta": 2.0, "threshold": 4.0}),
    ("Sigmoid", {}), ("Tanh", {}), ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ("Hardswish", {}), ("Hardsigmoid", {}), ("Softmax", {"dim": -1}), ("Softmax", {"dim": 1}),
    ("LogSoftmax", {"dim": 0}),
]  # fmt: skip


def values(*shape, dtype=np.float32):
    return RNG.normal(0, 3, shape).astype(dtype)


def compare(ours, theirs, x, rtol=1e-5, atol=1e-6):
    """Outputs, and gradients of input and parameters, of two models of one state."""
    torch = pytest.importorskip("torch")
    a = Tensor(x.copy(), requires_grad=x.dtype.kind == "f")
    b = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    y, expected = ours(a), theirs(b)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=rtol, atol=atol)
    if not y.requires_grad:
        return
    weights = RNG.normal(size=y.shape).astype(x.dtype if x.dtype.kind == "f" else np.float32)
    (y * Tensor(weights)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    if x.dtype.kind == "f":
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=10 * rtol, atol=10 * atol)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(
            p.grad.numpy(), q.grad.numpy(), rtol=10 * rtol, atol=10 * atol, err_msg=name
        )


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_torchs(name, options, dtype):
    torch = pytest.importorskip("torch")
    compare(
        getattr(nn, name)(**options), getattr(torch.nn, name)(**options), values(5, 7, dtype=dtype)
    )


def test_activations_by_name():
    assert repr(nn.activation("gelu")) == "GELU(approximate='none')"
    assert isinstance(nn.activation("swish"), nn.SiLU)
    with pytest.raises(ValueError, match="there is no activation 'abc'; there are relu"):
        nn.activation("abc")
    x = Tensor(values(3, 4))
    for name in ("relu", "tanh", "softmax"):
        assert nn.activation(name)(x).shape == (3, 4)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    layer = nn.Linear(5, 3, bias=bias)
    x = values(4, 5)
    expected = x @ layer.weight.numpy().T + (layer.bias.numpy() if bias else 0)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert layer(fastnn.ones((2, 6, 5))).shape == (2, 6, 3)
    assert layer(fastnn.ones((0, 5))).shape == (0, 3)


def test_linear_like_torch():
    torch = pytest.importorskip("torch")
    for dtype in (np.float32, np.float64):
        ours, theirs = nn.Linear(11, 7), torch.nn.Linear(11, 7)
        if dtype == np.float64:
            ours, theirs = ours.double(), theirs.double()
        ours.load_state_dict(theirs.state_dict())
        compare(ours, theirs, values(6, 11, dtype=dtype))


def test_linear_defaults():
    fastnn.manual_seed(3)
    layer = nn.Linear(400, 300)
    bound = 1 / math.sqrt(400)
    for p in (layer.weight, layer.bias):
        assert np.abs(p.numpy()).max() <= bound
        assert p.numpy().std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    before = layer.weight.numpy().copy()
    layer.reset_parameters()
    assert (layer.weight.numpy() != before).any()
    fastnn.manual_seed(3)
    np.testing.assert_array_equal(nn.Linear(400, 300).weight.numpy(), before)
    layer = nn.Linear(3, 2, weight_init=initializers.ones, bias_init=initializers.zeros)
    assert layer.weight.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert layer.bias.tolist() == [0, 0]
    assert nn.Linear(3, 2, dtype="float64").weight.dtype == "float64"


def test_layer_errors():
    with pytest.raises(ValueError, match=r"linear: x has 4 features but weight expects 3"):
        nn.Linear(3, 2)(fastnn.ones((5, 4)))
    with pytest.raises(TypeError, match="float64"):
        nn.Linear(3, 2)(fastnn.ones((5, 3), "float64"))
    with pytest.raises(ValueError, match="Linear: in_features must be 0 or more, not -3"):
        nn.Linear(-3, 2)
    with pytest.raises(TypeError, match=r"Linear: out_features must be a whole number, not 2\.5"):
        nn.Linear(3, 2.5)
    with pytest.raises(ValueError, match=r"Dropout: p must be between 0 and 1, not 1\.5"):
        nn.Dropout(1.5)
    with pytest.raises(TypeError, match="Dropout: p must be a number, not 'a'"):
        nn.Dropout("a")
    for make in (nn.Softmax, nn.LogSoftmax, nn.Flatten):
        with pytest.raises(TypeError, match=r"dim must be a whole number, not 'a'"):
            make("a")
    with pytest.raises(TypeError, match=r"weight_init must be a function such as"):
        nn.Linear(3, 2, weight_init=3)
    with pytest.raises(TypeError, match=r"padding_idx must be a whole number"):
        nn.Embedding(3, 2, padding_idx="a")
    with pytest.raises(ValueError, match="LayerNorm: normalized_shape must have at least one"):
        nn.LayerNorm(())
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh'"):
        nn.GELU("erf")
    with pytest.raises(ValueError, match="max_val"):
        nn.Hardtanh(1.0, -1.0)
    with pytest.raises((ValueError, IndexError), match="10"):
        nn.Embedding(10, 2)(Tensor([10]))
    with pytest.raises(TypeError, match="embedding"):
        nn.Embedding(10, 2)(Tensor([1.0]))
    with pytest.raises(ValueError, match="padding_idx 10 is not one of 10 rows"):
        nn.Embedding(10, 2, padding_idx=10)


def test_flatten():
    x = Tensor(values(2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0)(x).shape == (120,)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten(-2)(x).shape == (2, 3, 20)
    np.testing.assert_array_equal(nn.Flatten()(x).numpy(), x.numpy().reshape(2, 60))
    assert nn.Flatten()(fastnn.ones((0, 3, 4))).shape == (0, 12)
    with pytest.raises(ValueError, match=r"Flatten: x has no axes 1 to -1 to join \(x: \(3,\)\)"):
        nn.Flatten()(fastnn.ones((3,)))


def test_layers_take_numpy_arrays():
    x = values(3, 4)
    layers = [
        nn.Linear(4, 4), nn.ReLU(), nn.Hardsigmoid(), nn.Softmax(), nn.Flatten(), nn.Dropout(),
        nn.AlphaDropout(), nn.GaussianNoise(), nn.Residual(nn.Linear(4, 4)),
    ]  # fmt: skip
    for layer in layers:
        for mode in (True, False):
            y = layer.train(mode)(x)
            assert isinstance(y, Tensor)
            assert y.shape == x.shape


def test_dropout():
    fastnn.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = Tensor(np.ones((100, 100), np.float32), requires_grad=True)
    y = layer(x)
    kept = y.numpy() != 0
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(y.numpy()[kept], 1 / 0.75, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    assert layer.eval()(x) is x
    assert nn.Dropout(0)(x) is x
    assert not nn.Dropout(1.0)(x).numpy().any()
    fastnn.manual_seed(0)
    np.testing.assert_array_equal(layer.train()(x).numpy(), y.numpy())


def test_dropout_from_a_generator_of_its_own():
    x = fastnn.ones((50,))
    a = nn.Dropout(generator=fastnn.Generator(5))(x).numpy()
    fastnn.manual_seed(1)
    b = nn.Dropout(generator=fastnn.Generator(5))(x).numpy()
    np.testing.assert_array_equal(a, b)


def test_alpha_dropout_keeps_mean_and_variance():
    fastnn.manual_seed(0)
    x = Tensor(RNG.normal(size=(300, 300)).astype(np.float32), requires_grad=True)
    layer = nn.AlphaDropout(0.3)
    y = layer(x)
    assert y.numpy().mean() == pytest.approx(0, abs=0.03)
    assert y.numpy().std() == pytest.approx(1, abs=0.03)
    limit, p = -1.7580993408473766, 0.3
    a = (1 - p + p * (1 - p) * limit**2) ** -0.5
    dropped = np.isclose(y.numpy(), a * limit - a * p * limit, atol=1e-5)
    assert dropped.mean() == pytest.approx(p, abs=0.01)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[~dropped], a, rtol=1e-5)
    assert layer.eval()(x) is x


def test_gaussian_noise():
    fastnn.manual_seed(0)
    layer = nn.GaussianNoise(0.5)
    x = fastnn.zeros((200, 200))
    y = layer(x).numpy()
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(0.5, abs=0.02)
    assert layer(fastnn.zeros((3,), "float64")).dtype == "float64"
    assert layer.eval()(x) is x


def test_embedding():
    layer = nn.Embedding(6, 4, padding_idx=-1)
    assert layer.padding_idx == 5
    assert not layer.weight.numpy()[5].any()
    indices = np.array([[0, 5, 3], [3, 3, 1]])
    y = layer(Tensor(indices))
    np.testing.assert_array_equal(y.numpy(), layer.weight.numpy()[indices])
    y.sum().backward()
    counts = np.array([1, 1, 0, 3, 0, 0.0])  # none for the padding
    np.testing.assert_array_equal(layer.weight.grad.numpy(), counts[:, None] * np.ones(4))
    table = values(3, 2)
    fixed = nn.Embedding.from_pretrained(table)
    assert not fixed.weight.requires_grad
    np.testing.assert_array_equal(fixed(Tensor([2, 0])).numpy(), table[[2, 0]])
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(ValueError, match="table of real numbers, not int64 of shape"):
        nn.Embedding.from_pretrained([1, 2])


def test_a_network_learns_with_a_plain_loop():
    fastnn.manual_seed(0)
    x = RNG.uniform(-1, 1, (256, 2)).astype(np.float32)
    target = (x[:, :1] * x[:, 1:]).astype(np.float32)
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Residual(nn.Linear(32, 32), nn.Tanh()),
                        nn.Linear(32, 1))  # fmt: skip
    first = None
    for _ in range(200):
        error = net(Tensor(x)) - Tensor(target)
        loss = (error * error).mean()
        first = first or loss.item()
        net.zero_grad()
        loss.backward()
        with fastnn.no_grad():
            for p in net.parameters():
                p.copy_(p - p.grad * 0.2)
    assert loss.item() < first / 5


def test_a_model_has_the_same_bits_at_any_thread_count(threads):
    x = RNG.normal(size=(64, 6, 50)).astype(np.float32)
    target = RNG.normal(size=(64, 3)).astype(np.float32)
    rules = [regularizers.L2(1e-3, on="*.weight"), regularizers.MaxNorm(0.5, on="*.weight")]

    def train():
        fastnn.manual_seed(1)
        net = nn.Sequential(
            nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(300, 200), nn.LayerNorm(200), nn.GELU(),
            nn.Dropout(0.3), nn.Residual(nn.Linear(200, 200), nn.SELU(), nn.AlphaDropout(0.1)),
            nn.RMSNorm(200), nn.GaussianNoise(0.1), nn.Linear(200, 3),
        )  # fmt: skip
        initializers.orthogonal(net[6].body[0].weight)
        for _ in range(4):
            error = net(x) - Tensor(target)
            net.zero_grad()
            ((error * error).mean() + regularizers.penalty(rules, net)).backward()
            with fastnn.no_grad():
                for p in net.parameters():
                    p.copy_(p - p.grad * 0.05)
            regularizers.constrain(rules, net)
        return net.state_dict()

    with threads(1):
        expected = train()
    for count in (2, 4):
        with threads(count):
            for name, value in train().items():
                np.testing.assert_array_equal(value.numpy(), expected[name].numpy(), err_msg=name)
