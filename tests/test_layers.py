"""The names that recorded calls have of the layers they are part of."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optimizers
from fastnn.compiler.passes import PASSES
from steps import train_step

X = np.ones((3, 4), np.float32)


def layers(step, *args, without=tuple(PASSES)):
    """(layer, op) of each recorded call."""
    compiled = fastnn.compile(step, without=without)
    compiled(*args)
    return [(call.layer, call.name) for call in compiled.latest.program.calls]


def test_a_training_step_names_every_call():
    model = nn.Sequential(
        nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Dropout(0.2)), nn.Linear(8, 2)
    )
    optimizer = optimizers.Adam(model.parameters(), clip_norm=1.0)

    step = train_step(model, optimizer)

    found = layers(step, X, np.zeros(3, np.int64))
    assert all(layer for layer, _ in found)
    names = list(dict.fromkeys(layer for layer, _ in found))
    forward = ["0 Linear", "1.0 ReLU", "1.1 Dropout", "2 Linear", "loss"]
    backward = [f"{name} backward" for name in reversed(forward)]
    assert names == [*forward, *backward, "clip", "optimizer"]
    assert ("optimizer", "adam") in found and ("clip", "clip_scale") in found


def test_modules_outside_the_model_and_parts_with_names():
    class Outer(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.hidden = [hidden]  # a list is not looked into

        def forward(self, x):
            with fastnn.scope("double"):
                x = x * 2
            return self.hidden[0](self.inner(x)) + 1

    found = layers(Outer(nn.ReLU()), X)
    names = list(dict.fromkeys(layer for layer, _ in found))
    assert names == ["double", "inner Linear", "ReLU", "Outer"]


def test_two_models_are_told_apart():
    first, second = nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 1))
    third = nn.ReLU()
    found = layers(lambda x: second(third(first(x))) * 2, X)
    names = list(dict.fromkeys(layer for layer, _ in found))
    assert names == ["Sequential1.0 Linear", "ReLU", "Sequential2.0 Linear", ""]


def test_scopes_end_with_their_blocks_and_errors():
    model = nn.Linear(3, 1)

    def step(x):
        with pytest.raises(ValueError, match="features"):
            model(x)  # expects 3
        y = x * 2
        with fastnn.scope("named"):
            z = y + 1
        return z * y

    assert layers(step, X) == [("", "mul"), ("named", "add"), ("", "mul")]


def test_scopes_do_nothing_outside_a_recording():
    @fastnn.scope("named")
    def double(x):
        """What it does."""
        return x * 2

    assert double.__doc__ == "What it does."
    with fastnn.scope("outer"):
        assert double(fastnn.ones(1)).item() == 2
    with pytest.raises(TypeError, match="string"):
        fastnn.scope(3)


def test_gradients_of_gradients_are_backward_once():
    def step(x):
        x.requires_grad = True
        with fastnn.scope("cube"):
            y = (x * x * x).sum()
        first = fastnn.grad(y, x, create_graph=True)
        return fastnn.grad(first.sum(), x)

    found = {layer for layer, _ in layers(step, X)}
    assert found <= {"cube", "cube backward", "", "backward"} and "cube backward" in found


def test_passes_keep_the_names():
    model = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 8), nn.Tanh(),
        nn.Linear(8, 2),
    )  # fmt: skip
    optimizer = optimizers.AdamW(model.parameters(), clip_norm=1.0)

    step = train_step(model, optimizer)

    found = layers(step, X, np.zeros(3, np.int64), without=())
    assert all(layer for layer, _ in found)
    assert {"0 Linear", "1 BatchNorm1d", "loss", "optimizer"} <= {layer for layer, _ in found}
