"""state_dict and load_state_dict."""

import numpy as np
import pytest

import fastnn
from fastnn import nn


def model():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))


def test_round_trip():
    a, b = model(), model()
    state = a.state_dict()
    assert list(state) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
        "1.num_batches_tracked", "3.weight", "3.bias",
    ]  # fmt: skip
    assert b.load_state_dict(state) == ([], [])
    for name, value in b.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name].numpy())
    x = fastnn.ones((3, 4))
    np.testing.assert_array_equal(a.eval()(x).numpy(), b.eval()(x).numpy())


def test_a_state_is_a_copy_unless_asked():
    net = model()
    kept, shared = net.state_dict(), net.state_dict(copy=False)
    net[0].weight.detach().fill_(3)
    assert (kept["0.weight"].numpy() != 3).any()
    assert (shared["0.weight"].numpy() == 3).all()
    assert not kept["0.weight"].requires_grad
    assert next(iter(net.state_dict("net."))) == "net.0.weight"


def test_loads_what_numpy_reads():
    layer = nn.Linear(3, 2)
    weight = np.arange(6.0).reshape(3, 2).T
    layer.load_state_dict({"weight": weight.astype(">f8"), "bias": [1, 2]})
    np.testing.assert_array_equal(layer.weight.numpy(), weight)
    np.testing.assert_array_equal(layer.bias.numpy(), [1, 2])
    assert layer.weight.dtype == "float32"


def test_loading_keeps_flat_memory():
    layer = nn.Linear(3, 2)
    (flat,) = layer.flat()
    layer.load_state_dict({"weight": np.full((2, 3), 7.0), "bias": [8, 9]})
    start = flat.offset(layer.bias)
    np.testing.assert_array_equal(flat.data.numpy()[start : start + 2], [8, 9])


def test_errors_list_everything_and_change_nothing():
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    before = net.state_dict()
    state = {
        "0.weight": np.zeros((4, 5)),
        "0.bias": np.zeros(5),
        "1.weight": np.zeros((2, 5), complex),
        "2.weight": np.zeros((3, 3)),
    }
    with pytest.raises(ValueError, match="state") as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert "missing: 1.bias (2,)" in text
    assert "unexpected: 2.weight (3, 3)" in text
    assert "0.weight: the state has (4, 5), the model (5, 4)" in text
    assert "1.weight: the state has complex128, the model float32" in text
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())
    with pytest.raises(ValueError, match=r"0\.weight: the state has"):
        net.load_state_dict(state, strict=False)
    with pytest.raises(TypeError, match="takes a dictionary of arrays, not list"):
        net.load_state_dict([1])


def test_not_strict():
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    result = net.load_state_dict({"0.bias": np.arange(5.0), "x": [1.0]}, strict=False)
    assert result.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert result.unexpected_keys == ["x"]
    np.testing.assert_array_equal(net[0].bias.numpy(), np.arange(5))


def test_buffers_that_are_not_persistent_are_not_saved():
    net = nn.Module()
    net.register_buffer("a", fastnn.ones((2,)), persistent=False)
    net.register_buffer("b", None)
    net.register_buffer("c", fastnn.ones((2,)))
    assert list(net.state_dict()) == ["c"]


def test_a_shared_parameter_has_both_names():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    state = net.state_dict()
    plain = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    plain.load_state_dict(state)
    np.testing.assert_array_equal(plain[1].weight.numpy(), net[0].weight.numpy())


def test_exchange_with_torch():
    torch = pytest.importorskip("torch")

    def build(nn):
        return nn.Sequential(
            nn.Embedding(7, 6), nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.LayerNorm(8),
            nn.RMSNorm(8), nn.GELU(), nn.Linear(8, 3, bias=False),
        )  # fmt: skip

    ours, theirs = build(nn), build(torch.nn)
    state = theirs.state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        k: v.shape for k, v in ours.state_dict().items()
    }
    assert list(state) == list(ours.state_dict())
    ours.load_state_dict(state)
    ours.load_state_dict(dict(theirs.named_parameters()), strict=False)
    back = {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(back)
    ours, theirs = ours.double(), theirs.double()  # for exact comparisons of what they do
    indices = np.random.default_rng(0).integers(0, 7, (5, 2))
    for mode in (True, False):
        ours.train(mode), theirs.train(mode)
        y = ours(fastnn.Tensor(indices))
        expected = theirs(torch.from_numpy(indices))
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    y.sum().backward()
    expected.sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(
            p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name
        )
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-9, err_msg=name)


def test_state_after_a_prediction_has_the_same_names():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    names = list(model.state_dict())
    model.predict(np.zeros((2, 3), "float32"))
    assert list(model.state_dict()) == names
    model.load_state_dict(model.state_dict())
