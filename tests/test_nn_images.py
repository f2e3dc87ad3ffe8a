"""Layers for images beside the convolutions: dropout of channels, squeeze-excite, Unflatten."""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn


def images(*shape, seed=0):
    n, c, h, w = shape
    return (
        np.random.default_rng(seed)
        .normal(size=(n, h, w, c))
        .astype("float32")
        .transpose(0, 3, 1, 2)
    )


@pytest.mark.parametrize(
    "layer, shape", [(nn.Dropout1d, (50, 40, 7)), (nn.Dropout2d, (50, 40, 5, 6))]
)
def test_whole_channels_are_dropped(layer, shape):
    x = Tensor(np.ones(shape, "float32"), requires_grad=True)
    y = layer(0.3)(x)
    kept = y.numpy().reshape(2000, -1)
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (kept == kept[:, :1]).all(), "a channel is dropped as a whole"
    assert abs((kept[:, 0] == 0).mean() - 0.3) < 0.04
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    assert layer(0.3).eval()(x) is x
    assert (layer(1.0)(x).numpy() == 0).all()


def test_channel_dropout_of_channels_last_and_of_one_image():
    x = Tensor(images(4, 16, 5, 6))
    y = nn.Dropout2d(0.5)(x)
    assert y.strides == x.strides
    one = nn.Dropout2d(0.5)(Tensor(images(1, 64, 5, 6)[0])).numpy()
    dropped = (one == 0).all((1, 2))
    assert 10 < dropped.sum() < 54 and (one[~dropped] != 0).all()


def test_channel_dropout_has_the_same_bits_at_any_thread_count(threads):
    seen = []
    for count in (1, 2, 4):
        with threads(count):
            fastnn.manual_seed(1)
            seen.append(nn.Dropout2d(0.5)(Tensor(images(8, 33, 21, 19))).numpy().tobytes())
    assert seen[1:] == seen[:1] * 2


def test_channel_dropout_in_a_recording_draws_anew():
    layer = nn.Dropout2d(0.5)
    x = Tensor(images(4, 16, 5, 6))
    fastnn.manual_seed(3)
    eager = [layer(x).numpy().copy() for _ in range(3)]
    fastnn.manual_seed(3)
    compiled = fastnn.compile(layer)
    replayed = [compiled(x).numpy().copy() for _ in range(3)]
    for one, other in zip(eager, replayed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (eager[0] != eager[1]).any()


@pytest.mark.parametrize("layer", [nn.Dropout1d(), nn.Dropout2d()])
def test_channel_dropout_wants_channels(layer):
    with pytest.raises(ValueError, match=r"Dropout.d: x must be \(N, C"):
        layer(Tensor(np.zeros(3, "float32")))
    with pytest.raises(ValueError, match="p must be between 0 and 1"):
        type(layer)(1.5)


def test_squeeze_excite():
    layer = nn.SqueezeExcite(12, 3)
    x = images(4, 12, 6, 7)
    w1, b1 = layer.fc1.weight.numpy()[:, :, 0, 0], layer.fc1.bias.numpy()
    w2, b2 = layer.fc2.weight.numpy()[:, :, 0, 0], layer.fc2.bias.numpy()
    hidden = np.maximum(x.mean((2, 3)) @ w1.T + b1, 0)
    scale = 1 / (1 + np.exp(-(hidden @ w2.T + b2)))
    y = layer(Tensor(x))
    np.testing.assert_allclose(y.numpy(), x * scale[:, :, None, None], rtol=1e-4, atol=1e-5)
    assert y.strides == Tensor(x).strides
    assert set(layer.state_dict()) == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
    with pytest.raises(ValueError, match="squeeze_channels must be 1 or more"):
        nn.SqueezeExcite(12, 0)


def test_squeeze_excite_like_torch():
    torch = pytest.importorskip("torch")

    class Twin(torch.nn.Module):
        """torchvision.ops.SqueezeExcitation with its names."""

        def __init__(self):
            super().__init__()
            self.avgpool = torch.nn.AdaptiveAvgPool2d(1)
            self.fc1 = torch.nn.Conv2d(8, 4, 1)
            self.fc2 = torch.nn.Conv2d(4, 8, 1)

        def forward(self, x):
            hidden = torch.nn.functional.silu(self.fc1(self.avgpool(x)))
            return x * torch.nn.functional.hardsigmoid(self.fc2(hidden))

    theirs = Twin()
    ours = nn.SqueezeExcite(8, 4, nn.SiLU, nn.Hardsigmoid)
    ours.load_state_dict(theirs.state_dict())
    x = images(3, 8, 5, 6)
    mine = Tensor(x, requires_grad=True)
    other = torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(other)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
    (y * y).sum().backward()
    (z * z).sum().backward()
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-4)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-3)


def test_unflatten():
    x = Tensor(np.arange(24, dtype="float32").reshape(2, 12))
    np.testing.assert_array_equal(nn.Unflatten(1, (3, -1))(x).numpy(), x.numpy().reshape(2, 3, 4))
    assert nn.Unflatten(-1, (2, 2, 3))(x).shape == (2, 2, 2, 3)
    assert nn.Flatten()(nn.Unflatten(1, (3, 4))(x)).shape == x.shape
    with pytest.raises(ValueError, match="does not part"):
        nn.Unflatten(1, (5, -1))(x)
    with pytest.raises(ValueError, match="no axis 3"):
        nn.Unflatten(3, (5, -1))(x)
    with pytest.raises(ValueError, match="one length may be -1"):
        nn.Unflatten(1, (-1, -1))
