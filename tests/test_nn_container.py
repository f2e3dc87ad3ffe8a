"""Sequential, ModuleList, ModuleDict, Residual, Lambda, Identity, and the mlp builder."""

from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import models, nn


def kinds(modules):
    return [type(module).__name__ for module in modules]


def test_sequential():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = fastnn.ones((3, 4))
    np.testing.assert_array_equal(net(x).numpy(), net[2](net[1](net[0](x))).numpy())
    assert len(net) == 3
    assert net[-1] is net[2]
    assert kinds(net[:2]) == ["Linear", "ReLU"]
    assert net[1:][1] is net[2]
    assert list(net[1:].state_dict()) == ["1.weight", "1.bias"]
    assert net.append(nn.Tanh()) is net
    net.insert(1, nn.Dropout())
    assert kinds(net) == ["Linear", "Dropout", "ReLU", "Linear", "Tanh"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    del net[1]
    assert kinds(net.extend([nn.ReLU()])) == ["Linear", "ReLU", "Linear", "Tanh", "ReLU"]
    assert kinds([net.pop()]) == ["ReLU"]
    net[3] = nn.Sigmoid()
    assert kinds(net) == ["Linear", "ReLU", "Linear", "Sigmoid"]
    del net[:2]
    assert kinds(net) == ["Linear", "Sigmoid"]
    assert nn.Sequential()(x) is x
    with pytest.raises(IndexError, match="has 2 modules; there is no number 2"):
        net[2]
    with pytest.raises(TypeError, match=r"number 1 is of type function .* nn\.Lambda"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match="number 2 is of type int"):
        net.append(3)
    with pytest.raises(TypeError, match="module '0' must be"):
        net[0] = 3
    assert len(net) == 2


def test_sequential_with_names():
    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU()))
    assert list(net.state_dict()) == ["first.weight", "first.bias"]
    assert net.first is net[0]
    assert [name for name, _ in net[:1].named_children()] == ["first"]
    net.append(nn.Linear(3, 1))
    assert [name for name, _ in net.named_children()] == ["first", "act", "2"]
    del net[1]
    assert [name for name, _ in net.named_children()] == ["first", "1"]
    assert net(fastnn.ones((5, 2))).shape == (5, 1)


def test_one_module_twice():
    layer = nn.Linear(2, 2)
    x = fastnn.ones((1, 2))
    y = nn.Sequential(layer, layer)(x)
    np.testing.assert_array_equal(y.numpy(), layer(layer(x)).numpy())


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(layers) == 3
    assert len(list(layers.parameters())) == 6
    assert layers[-1] is layers[2]
    assert isinstance(layers[:2], nn.ModuleList)
    assert layers[1] in list(layers)
    with pytest.raises(NotImplementedError):
        layers(1)


def test_module_dict():
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.ReLU()})
    assert list(heads) == ["a", "b"] == heads.keys()
    assert "a" in heads
    assert "training" not in heads
    assert heads["a"].out_features == 1
    heads["c"] = nn.Tanh()
    assert kinds(heads.values()) == ["Linear", "ReLU", "Tanh"]
    assert [k for k, _ in heads.items()] == ["a", "b", "c"]
    del heads["b"]
    assert isinstance(heads.pop("c"), nn.Tanh)
    assert len(heads) == 1
    assert list(heads.state_dict()) == ["a.weight", "a.bias"]
    for key in ("keys", "training", "a.b", ""):
        with pytest.raises(ValueError, match=r"already has an attribute|without dots"):
            heads[key] = nn.ReLU()
    with pytest.raises(KeyError, match="no module 'x'; it has"):
        heads["x"]
    with pytest.raises(KeyError):
        del heads["x"]


def test_residual():
    x = fastnn.Tensor(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    body = nn.Linear(4, 4)
    np.testing.assert_array_equal(nn.Residual(body)(x).numpy(), (x + body(x)).numpy())
    block = nn.Residual(nn.Linear(4, 3), nn.ReLU(), shortcut=nn.Linear(4, 3))
    assert block(x).shape == (5, 3)
    assert list(block.state_dict()) == [
        "body.0.weight", "body.0.bias", "shortcut.weight", "shortcut.bias",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"makes \(5, 3\) of \(5, 4\).*give a shortcut="):
        nn.Residual(nn.Linear(4, 3))(x)
    with pytest.raises(ValueError, match="Residual needs a module"):
        nn.Residual()


def test_lambda_and_identity():
    x = fastnn.ones((2,))
    assert nn.Identity(3, anything=4)(x) is x
    assert nn.Lambda(lambda x: x * 3.0)(x).tolist() == [3, 3]
    assert repr(nn.Lambda(fastnn.relu)) == "Lambda(relu)"
    with pytest.raises(TypeError, match="Lambda takes a function"):
        nn.Lambda(3)


def test_mlp():
    net = models.mlp(8, 16, 16, 3)
    assert kinds(net) == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert net(fastnn.ones((2, 8))).shape == (2, 3)
    net = models.mlp(
        [64, 16, 3], activation=nn.Tanh, dropout=0.1, norm="batch", flatten=True,
        output_activation="softmax", bias=False,
    )  # fmt: skip
    assert kinds(net) == [
        "Flatten", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear", "Softmax",
    ]  # fmt: skip
    np.testing.assert_allclose(net(fastnn.ones((2, 8, 8))).numpy().sum(1), 1, rtol=1e-6)
    assert kinds(models.mlp(2, 2, 2, activation="selu", dropout=0.1))[2] == "AlphaDropout"
    assert models.mlp(2, 2, dtype="float64")[0].weight.dtype == "float64"
    with pytest.raises(ValueError, match="features of the input and of the output"):
        models.mlp(3)
    with pytest.raises(ValueError, match="there is no norm 'group'"):
        models.mlp(3, 4, norm="group")
    with pytest.raises(ValueError, match="there is no activation 'rellu'"):
        models.mlp(3, 4, 5, activation="rellu")
    with pytest.raises(TypeError, match="an activation is a name or a class of layers, not 3"):
        models.mlp(3, 4, 5, activation=3)
    with pytest.raises(ValueError, match="out_features must be 0 or more"):
        models.mlp(3, -4)
