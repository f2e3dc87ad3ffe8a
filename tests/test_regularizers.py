"""Penalties and constraints: values, gradients, what `on` matches, errors."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn, regularizers
from fastnn.flat import flatten
from fastnn.regularizers import (
    L1,
    L2,
    ActivityL1,
    ActivityL2,
    ElasticNet,
    MaxNorm,
    Orthogonal,
    UnitNorm,
)  # fmt: skip


def model():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def weights(net):
    return [p.numpy().astype(float) for name, p in net.named_parameters() if "weight" in name]


def test_penalties():
    net = model()
    w = weights(net)
    l1, l2 = sum(np.abs(v).sum() for v in w), sum((v * v).sum() for v in w)
    on = "*.weight"
    assert L1(0.1, on).penalty(net).item() == pytest.approx(0.1 * l1, rel=1e-5)
    assert L2(0.1, on).penalty(net).item() == pytest.approx(0.1 * l2, rel=1e-5)
    both = ElasticNet(0.1, 0.2, on=on).penalty(net)
    assert both.item() == pytest.approx(0.1 * l1 + 0.2 * l2, rel=1e-5)
    assert both.shape == ()
    gram = [v @ v.T if len(v) <= v.shape[1] else v.T @ v for v in w]
    expected = 0.3 * sum(((g - np.eye(len(g))) ** 2).sum() for g in gram)
    assert Orthogonal(0.3).penalty(net).item() == pytest.approx(expected, rel=1e-4)
    total = regularizers.penalty([L1(0.1, on), MaxNorm(), L2(0.1, on)], net)
    assert total.item() == pytest.approx(0.1 * (l1 + l2), rel=1e-5)
    assert regularizers.penalty([MaxNorm()], net) is None
    assert regularizers.penalty([], net) is None


@pytest.mark.parametrize("kind", [L1, L2, Orthogonal])
def test_gradients(kind):
    for shape in ((2, 3), (3, 2)):
        w = np.random.default_rng(0).normal(size=shape)
        tensor = fastnn.Tensor(w, requires_grad=True)
        assert fastnn.gradcheck(kind(0.7)._of, [tensor])
    layer = nn.Linear(3, 2)
    L2(0.5, on="weight").penalty(layer).backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), layer.weight.numpy(), rtol=1e-6)
    assert layer.bias.grad is None


def test_what_on_matches():
    net = model()

    def found(on):
        return [name for name, _ in L2(1.0, on=on).parameters(net)]

    assert found("*") == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert found("*.weight") == ["0.weight", "2.weight"]
    assert found("2.*") == ["2.weight", "2.bias"]
    assert found(["0.bias", "*.weight"]) == ["0.weight", "0.bias", "2.weight"]
    assert found(net[2]) == ["2.weight", "2.bias"]
    assert found(net[0].bias) == ["0.bias"]
    assert [name for name, _ in L2(1.0, on="*.weight").parameters(net[0])] == ["weight"]
    assert L2(1.0).penalty(net[0].bias).item() == pytest.approx(
        (net[0].bias.numpy() ** 2).sum(), rel=1e-5
    )


def test_a_pattern_that_matches_nothing_lists_the_names():
    net = model()
    for method in ("attach", "penalty"):
        with pytest.raises(
            ValueError,
            match=r"L2: no parameter matches on='\*.wieght'; the names are: 0.weight, 0.bias, 2",
        ):
            getattr(L2(1.0, on="*.wieght"), method)(net)
    with pytest.raises(ValueError, match="a parameter of shape"):
        L2(1.0, on=nn.Parameter([1.0])).penalty(net)
    with pytest.raises(ValueError, match=r"MaxNorm is for parameters of two or more axes.*bias"):
        MaxNorm(on="*.bias").constrain(net)
    with pytest.raises(ValueError, match=r"no module matches on='7'; the names are: 0, 1, 2"):
        ActivityL1(1.0, on="7").attach(net)


def test_bad_arguments():
    for value in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="L1: factor must be a finite number of 0 or more"):
            L1(value)
    with pytest.raises(TypeError, match="L1: factor must be a number, not 'a'"):
        L1("a")
    with pytest.raises(TypeError, match="on= takes a name pattern"):
        L1(1.0, on=3)
    with pytest.raises(TypeError, match="is for a Module or a Parameter, not a int"):
        L1(1.0).penalty(3)
    with pytest.raises(TypeError, match="not a Tensor"):
        ActivityL1(1.0, on=nn.Parameter([1.0])).attach(model())


def test_frozen_parameters_are_left_out():
    net = model()
    net[0].requires_grad_(False)
    assert L2(1.0).penalty(net).item() == pytest.approx(
        sum((p.numpy() ** 2).sum() for p in net[2].parameters()), rel=1e-5
    )
    assert L2(1.0).penalty(net.requires_grad_(False)) is None


def test_shared_parameters_are_penalised_once():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    expected = (net[0].weight.numpy() ** 2).sum()
    assert L2(1.0).penalty(net).item() == pytest.approx(expected, rel=1e-5)


def test_max_norm():
    layer = nn.Linear(4, 3)
    layer.load_state_dict(
        {"weight": [[3, 4, 0, 0], [0.3, 0.4, 0, 0], [0, 0, 0, 0]], "bias": [9] * 3}
    )
    MaxNorm(2.0).constrain(layer)
    np.testing.assert_allclose(layer.weight.numpy()[0], [1.2, 1.6, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(
        layer.weight.numpy()[1:], np.array([[0.3, 0.4, 0, 0], [0] * 4], np.float32)
    )
    assert layer.bias.tolist() == [9, 9, 9]
    assert layer.weight.requires_grad
    MaxNorm(0.1, axis=0).constrain(layer)
    assert np.linalg.norm(layer.weight.numpy(), axis=0).max() <= 0.1 * (1 + 1e-6)


def test_unit_norm():
    layer = nn.Linear(4, 3)
    layer.load_state_dict(
        {"weight": [[3, 4, 0, 0], [0.3, 0.4, 0, 0], [0, 0, 0, 0]], "bias": [9] * 3}
    )
    (flat,) = layer.flat()
    regularizers.constrain([UnitNorm(), L1(1.0)], layer)
    expected = [[0.6, 0.8, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(layer.weight.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(flat.data.numpy()[:12].reshape(3, 4), expected, rtol=1e-6)


def test_activity():
    net = model()
    x = fastnn.Tensor(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    one, two = ActivityL1(0.1, on="1").attach(net), ActivityL2(0.2).attach(net)
    assert one.attach(net) is one
    assert len(net[1]._forward_hooks) == 1
    y = net(x)
    hidden = net[1](net[0](x)).numpy()
    net(x)  # only the last pass counts
    assert one.penalty(net).item() == pytest.approx(0.1 * np.abs(hidden).sum() / 5, rel=1e-5)
    penalty = two.penalty(net)
    assert penalty.item() == pytest.approx(0.2 * (y.numpy() ** 2).sum() / 5, rel=1e-5)
    penalty.backward()
    assert net[0].weight.grad.shape == (6, 4)
    assert one.penalty(net) is None  # used up
    net.eval()(x)
    assert one.penalty(net) is None
    with fastnn.no_grad():
        net.train()(x)
    assert one.penalty(net) is None
    assert not copy.deepcopy(net)[1]._forward_hooks
    one.detach()
    assert not net[1]._forward_hooks
    with pytest.raises(RuntimeError, match=r"ActivityL1: attach\(model\) it before"):
        one.penalty(net)
    ActivityL1(0.1, on=net[0]).attach(net).detach()


def test_repr():
    assert repr(L2(0.5, on="*.weight")) == "L2(factor=0.5, on='*.weight')"
    assert repr(L1(0.5, on=nn.ReLU())) == "L1(factor=0.5, on=<a ReLU>)"
    assert repr(MaxNorm(2.0)) == "MaxNorm(axis=None, limit=2.0, on='*')"


@pytest.mark.parametrize("kind", [L1(0.1), L2(0.1), ElasticNet(0.2, 0.3)])
@pytest.mark.parametrize("first", ["loss", "penalty"])
def test_in_flat_memory_it_is_one_vector(kind, first):
    grads = []
    for flat in (False, True):
        fastnn.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 7))
        model[1].bias.requires_grad = False
        kept = flatten(model.parameters()) if flat else None
        x = fastnn.Tensor(np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32))
        for _ in range(2):  # the second adds to the first
            for part in (first, {"loss": "penalty", "penalty": "loss"}[first]):
                (model(x).square().sum() if part == "loss" else kind.penalty(model)).backward()
        total = model(x).sum() + kind.penalty(model) * 2
        total.backward()
        (again,) = fastnn.grad(kind.penalty(model), [model[0].weight])
        assert model[1].bias.grad is None
        grads.append([p.grad.numpy() for p in model.parameters() if p.requires_grad])
        grads[-1] += [again.numpy(), total.numpy()]
        assert not flat or kept[0].grad.numpy().any()
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_penalty_in_flat_memory_can_be_differentiated_twice():
    w = fastnn.Tensor(np.float64([1.0, -2.0, 3.0]), requires_grad=True)
    kept = flatten([w])
    penalty = ElasticNet(0.5, 0.25).penalty(w)
    (first,) = fastnn.grad(penalty, [w], create_graph=True)
    (second,) = fastnn.grad(first.square().sum(), [w])
    # g = 0.5 sign(w) + 0.5 w, and the gradient of sum g^2 is 2 g 0.5
    np.testing.assert_allclose(second.numpy(), 0.5 * np.sign(w.numpy()) + 0.5 * w.numpy())
    assert kept[0].data.size == 16
