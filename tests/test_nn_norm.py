"""LayerNorm, RMSNorm and BatchNorm1d against numpy and torch."""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn
from test_nn_layers import compare, seeds, values  # noqa: F401


@pytest.mark.parametrize("shape", [(7,), (4, 5)])
@pytest.mark.parametrize(
    "options", [{}, {"elementwise_affine": False}, {"eps": 0.1, "bias": False}]
)
def test_layer_norm(shape, options):
    layer = nn.LayerNorm(shape, **options)
    x = values(3, *shape)
    axes = tuple(range(1, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + layer.eps)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm"])
@pytest.mark.parametrize("shape", [(7,), (4, 5)])
def test_norms_like_torch(kind, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, kind)(shape), getattr(torch.nn, kind)(shape)
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    ours.load_state_dict(theirs.state_dict())
    compare(ours, theirs, values(6, *shape), atol=1e-5)
    compare(ours.double(), theirs.double(), values(2, 3, *shape, dtype=np.float64))
    ours.reset_parameters()
    assert (ours.weight.numpy() == 1).all()


@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5)])
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"momentum": 0.3}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_norm_like_torch(shape, options, dtype):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm1d(3, **options), torch.nn.BatchNorm1d(3, **options)
    ours.load_state_dict(theirs.state_dict())
    if dtype == np.float64:
        ours, theirs = ours.double(), theirs.double()
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    for mode in (True, True, True, False):
        ours.train(mode), theirs.train(mode)
        ours.zero_grad(), theirs.zero_grad()
        compare(ours, theirs, values(*shape, dtype=dtype) + 2, rtol, rtol)
    for name, value in ours.named_buffers():
        np.testing.assert_allclose(
            value.numpy(), theirs.state_dict()[name].numpy(), rtol=1e-5, atol=1e-6
        )
    ours.reset_parameters()
    assert ours.num_batches_tracked.item() == 0
    assert ours.running_var.tolist() == [1, 1, 1]


def test_batch_norm_without_running_statistics():
    layer = nn.BatchNorm1d(3, track_running_stats=False).eval()
    y = layer(Tensor(values(50, 3) + 5)).numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_batch_norm_of_one_value():
    with pytest.raises(ValueError, match="batch_norm"):
        nn.BatchNorm1d(3)(fastnn.ones((1, 3)))
    assert nn.BatchNorm1d(3).eval()(fastnn.ones((1, 3))).shape == (1, 3)


def test_norm_errors():
    with pytest.raises(ValueError, match=r"x must be \(N, 3\) or \(N, 3, L\), not \(5, 4\)"):
        nn.BatchNorm1d(3)(fastnn.ones((5, 4)))
    with pytest.raises(ValueError, match="layer_norm"):
        nn.LayerNorm(3)(fastnn.ones((5, 4)))


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (3, 4, 0)])
def test_an_empty_batch_changes_nothing(shape):
    for mode in (True, False):
        layer = nn.BatchNorm1d(4).train(mode)
        layer(fastnn.zeros(shape)).sum().backward()
        assert layer.running_mean.tolist() == [0] * 4
        assert layer.running_var.tolist() == [1] * 4
        assert layer.weight.grad.tolist() == [0] * 4
        assert layer.bias.grad.tolist() == [0] * 4
