"""Module: attributes, traversal, modes, hooks, dtype, copies, flat memory."""

import copy
import doctest
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(8, 2, bias=False)
        self.scale = nn.Parameter([1.0, 2.0])
        self.register_buffer("steps", fastnn.zeros((), "int64"))

    def forward(self, x):
        return self.out(self.drop(fastnn.relu(self.hidden(x)))) * self.scale


def names(pairs):
    return [name for name, _ in pairs]


def test_traversal():
    net = Net()
    assert names(net.named_parameters()) == [
        "scale", "hidden.weight", "hidden.bias", "out.weight",
    ]  # fmt: skip
    assert names(net.named_parameters(recurse=False)) == ["scale"]
    assert names(net.named_parameters("net"))[1] == "net.hidden.weight"
    assert names(net.named_modules()) == ["", "hidden", "drop", "out"]
    assert names(net.named_children()) == ["hidden", "drop", "out"]
    assert names(net.named_buffers()) == ["steps"]
    assert len(list(net.parameters())) == 4
    assert list(net.children()) == [net.hidden, net.drop, net.out]
    assert next(net.modules()) is net
    assert [b.shape for b in net.buffers()] == [()]
    assert net.get_submodule("hidden") is net.hidden
    assert net.get_submodule("") is net
    assert net.get_parameter("hidden.bias") is net.hidden.bias
    with pytest.raises(ValueError, match=r"no module 'hiden'; it has \['hidden', 'drop', 'out'\]"):
        net.get_submodule("hiden")
    with pytest.raises(ValueError, match=r"no parameter 'hidden\.b'"):
        net.get_parameter("hidden.b")


def test_shared_parameters_and_modules_count_once():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert names(net.named_parameters()) == ["0.weight", "0.bias", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    layer = nn.Linear(2, 2)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(twice.parameters())) == 2
    assert len(twice) == 3
    assert names(twice.named_modules()) == ["", "0", "1"]
    copied = copy.deepcopy(twice)
    assert copied[0] is copied[2]
    assert copied[0] is not layer


def test_cycles_are_refused():
    outer, inner = nn.Module(), nn.Module()
    with pytest.raises(ValueError, match="cannot contain itself"):
        outer.me = outer
    outer.inner = inner
    with pytest.raises(ValueError, match=r"Module cannot contain itself: \.up\.inner would"):
        inner.up = outer
    row = nn.Sequential(nn.ReLU())
    with pytest.raises(ValueError, match="cannot contain itself"):
        row.append(nn.Sequential(row))
    assert len(row) == 1


def test_assignment_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)
            super().__init__()

    class Never(nn.Module):
        def __init__(self):
            self.width = 3

    with pytest.raises(AttributeError, match=r"Early\.layer .* before super\(\).__init__\(\)"):
        Early()
    with pytest.raises(AttributeError, match=r"Never\.__init__ did not call super"):
        Never()(1)


def test_attribute_errors():
    net = Net()
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'hiden'"):
        _ = net.hiden
    with pytest.raises(TypeError, match=r"Net\.scale is a Parameter and cannot become a plain"):
        net.scale = fastnn.zeros((2,))
    with pytest.raises(TypeError, match=r"Net\.steps is a buffer"):
        net.steps = 3
    with pytest.raises(ValueError, match="already has an attribute 'forward'"):
        net.add_module("forward", nn.ReLU())
    with pytest.raises(ValueError, match="without dots"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match="module 'a' must be"):
        net.add_module("a", 3)
    with pytest.raises(TypeError, match="buffer 'a' must be a Tensor"):
        net.register_buffer("a", np.zeros(3))
    with pytest.raises(TypeError, match="is a Parameter"):
        net.register_buffer("a", nn.Parameter([1.0]))
    with pytest.raises(TypeError, match="parameter 'a' must be"):
        net.register_parameter("a", fastnn.zeros(3))
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)
    net.scale = None
    assert "scale" not in names(net.named_parameters())
    del net.steps
    assert names(net.named_buffers()) == []
    net.steps = 3  # no buffer any more


def test_parameter():
    parameter = nn.Parameter(np.ones((2, 3), np.float32))
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert isinstance(parameter, fastnn.Tensor)
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert nn.Parameter([1.0], "float64").dtype == "float64"
    computed = fastnn.ones((2,), requires_grad=True) * 2.0
    assert nn.Parameter(computed).is_leaf
    with pytest.raises(TypeError, match="only real numbers can be trained, not int64"):
        nn.Parameter([1, 2])
    assert isinstance(copy.deepcopy(parameter), nn.Parameter)


def test_modes():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(TypeError, match="mode must be True or False"):
        net.train("yes")


def test_requires_grad_and_zero_grad():
    net = Net().eval()
    net.hidden.requires_grad_(False)
    (net(fastnn.ones((3, 4))).sum()).backward()
    assert net.hidden.weight.grad is None
    assert net.out.weight.grad.shape == (2, 8)
    net.zero_grad()
    assert net.out.weight.grad is None


def test_apply_goes_children_first():
    seen = []
    net = Net()
    assert net.apply(seen.append) is net
    assert seen == [net.hidden, net.drop, net.out, net]


def test_hooks():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    seen = []
    handle = net[0].register_forward_hook(lambda module, args, y: seen.append((module, y.shape)))
    net(fastnn.ones((4, 2)))
    assert seen == [(net[0], (4, 3))]
    handle.remove()
    handle.remove()
    net(fastnn.ones((4, 2)))
    assert len(seen) == 1
    with net[1].register_forward_hook(lambda module, args, y: y + 5.0):
        assert net(fastnn.ones((4, 2))).numpy().min() >= 5
    with net.register_forward_pre_hook(lambda module, args: args[0] * 0.0):
        expected = np.maximum(net[0].bias.numpy(), 0)
        np.testing.assert_array_equal(net(fastnn.ones((1, 2))).numpy()[0], expected)
    with pytest.raises(TypeError, match="a hook must be callable"):
        net.register_forward_hook(3)


def test_an_error_says_where_it_arose():
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(3, 2)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = nn.Sequential(nn.ReLU(), nn.Residual(nn.Identity(), Stack()))
    for model, note in (
        (nn.Linear(3, 2), "in Linear"),
        (net, "in 1.body.1.layers.1 (Linear) of Sequential"),
        (nn.Lambda(lambda x: net(x)), "in Sequential.1.body.1.layers.1 (Linear) of Lambda"),
    ):
        with pytest.raises(ValueError, match="linear: x has 2 features") as caught:
            model(fastnn.ones((1, 2)))
        assert caught.value.__notes__ == [note]


def test_first_layer_that_is_not_finite_can_be_found_with_hooks():
    net = nn.Sequential(nn.Linear(2, 2), nn.Lambda(lambda x: x / 0.0), nn.Linear(2, 2))
    bad = []
    named = {id(module): name for name, module in net.named_modules()}

    def watch(module, args, y):
        if not np.isfinite(y.numpy()).all():
            bad.append(named[id(module)])

    for module in net.modules():
        module.register_forward_hook(watch)
    net(fastnn.ones((1, 2)))
    assert bad[0] == "1"


def test_to_float64_keeps_the_objects():
    net = Net().eval()
    before = list(net.parameters())
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    y = net(fastnn.Tensor(x.astype(np.float32))).numpy()
    assert net.to("float64") is net
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert {p.dtype.name for p in net.parameters()} == {"float64"}
    assert net.steps.dtype == "int64"
    out = net(fastnn.Tensor(x))
    np.testing.assert_allclose(out.numpy(), y, rtol=1e-5, atol=1e-6)
    out.sum().backward()
    assert net.out.weight.grad.dtype == "float64"
    assert net.float().scale.dtype == "float32"
    assert net.double().scale.dtype == "float64"
    assert net.scale.grad.dtype == "float64"
    with pytest.raises(TypeError, match="float32 or float64, not int64"):
        net.to("int64")


def test_flat_views():
    net = Net()
    values = {name: p.numpy().copy() for name, p in net.named_parameters()}
    (flat,) = net.flat()
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.numpy(), values[name])
    flat.data.numpy()[flat.offset(net.hidden.bias)] = 42.0
    assert net.hidden.bias.numpy()[0] == 42
    net.eval()(fastnn.ones((3, 4))).sum().backward()
    start = flat.offset(net.out.weight)
    np.testing.assert_array_equal(
        flat.grad.numpy()[start : start + 16], net.out.weight.grad.numpy().ravel()
    )
    (again,) = net.flat()
    assert again is flat
    twin = copy.deepcopy(net)
    flat.data.numpy()[:] = 0
    assert net.hidden.bias.numpy()[0] == 0
    assert twin.hidden.bias.numpy()[0] == 42
    assert twin.flat()[0] is not flat
    net.to("float64")
    assert net.flat()[0].data.dtype == "float64"


def test_deepcopy():
    net = Net()
    net.register_forward_hook(lambda module, args, y: None)
    twin = copy.deepcopy(net)
    for (name, a), (other, b) in zip(net.named_parameters(), twin.named_parameters(), strict=True):
        assert name == other
        assert a is not b
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not twin._forward_hooks
    twin.scale.detach().fill_(9)
    assert net.scale.numpy()[0] == 1
    x = fastnn.ones((2, 4))
    assert net.eval()(x).shape == twin.eval()(x).shape


def test_pickle_and_shallow_copy():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    net.flat()
    net.register_forward_hook(lambda module, args, y: None)
    twin = pickle.loads(pickle.dumps(net))
    for (name, a), (other, b) in zip(
        net.state_dict().items(), twin.state_dict().items(), strict=True
    ):
        assert name == other
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert isinstance(twin[0].weight, nn.Parameter)
    assert twin[0].weight.requires_grad
    shallow = copy.copy(net)
    assert shallow[0] is net[0]
    assert not shallow._forward_hooks
    assert net._forward_hooks


def test_repr_is_like_pytorchs():
    assert repr(Net()) == (
        "Net(\n"
        "  (hidden): Linear(in_features=4, out_features=8, bias=True)\n"
        "  (drop): Dropout(p=0.5)\n"
        "  (out): Linear(in_features=8, out_features=2, bias=False)\n"
        ")"
    )
    nested = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    assert repr(nested) == (
        "Sequential(\n  (0): Sequential(\n    (0): ReLU()\n  )\n  (1): Tanh()\n)"
    )


def test_the_page_about_layers():
    page = Path(__file__).parent.parent / "docs" / "layers.md"
    flags = doctest.NORMALIZE_WHITESPACE
    assert doctest.testfile(str(page), module_relative=False, optionflags=flags).failed == 0
