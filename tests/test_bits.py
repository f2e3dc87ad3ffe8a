"""Same bits at 1, 2 and 4 threads, and from run to run: random numbers, and whole training runs."""

import numpy as np
import pytest

import fastnn
from fastnn import losses, nn, optimizers

COUNTS = (1, 2, 4)


def same(make, threads):
    """make() gives the same bytes at every thread count, each time from the same seed."""
    seen = []
    for count in (*COUNTS, 1):
        with threads(count):
            fastnn.manual_seed(3)
            seen.append(make())
    assert all(s == seen[0] for s in seen[1:])


RANDOM = {
    "uniform": lambda: fastnn.random.uniform((100_003,)),
    "normal": lambda: fastnn.random.normal((100_003,)),
    "dropout": lambda: fastnn.dropout(fastnn.ones((1001, 101)), 0.3),
    "layer-dropout": lambda: nn.Dropout(0.5)(fastnn.ones((1001, 101))),
    "layer-alpha-dropout": lambda: nn.AlphaDropout(0.5)(fastnn.ones((1001, 101))),
    "layer-noise": lambda: nn.GaussianNoise(0.5)(fastnn.ones((1001, 101))),
    "linear": lambda: nn.Linear(301, 203).weight.detach(),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers(name, threads):
    same(lambda: RANDOM[name]().numpy().tobytes(), threads)


def digits(n=256):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 64)).astype("float32")
    return fastnn.tensor(x), fastnn.tensor((x[:, :10] * 3).argmax(1))


def mlp():
    return nn.Sequential(
        nn.Linear(64, 129),
        nn.BatchNorm1d(129),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(129, 65),
        nn.LayerNorm(65),
        nn.ReLU(),
        nn.Linear(65, 10),
    )


OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "clip_norm": 1.0},
    "Adam": {"lr": 1e-2},
    "AdamW": {"lr": 1e-2, "clip_norm": 0.5},
    "NAdam": {"lr": 1e-2},
    "RMSprop": {"lr": 1e-2, "centered": True},
    "Adagrad": {"lr": 1e-2},
    "Lion": {"lr": 1e-3},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training(name, threads):
    x, y = digits()

    def train():
        model = mlp()
        optimizer = getattr(optimizers, name)(model.parameters(), **OPTIMIZERS[name])
        for _ in range(4):
            optimizer.zero_grad()
            loss = losses.cross_entropy(model(x), y, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
        state = b"".join(v.numpy().tobytes() for v in model.state_dict().values())
        return loss.item(), state

    same(train, threads)


def test_training_learns_on_every_isa(isa):
    x, y = digits()
    model = nn.Sequential(nn.Linear(64, 33), nn.Tanh(), nn.Linear(33, 10))
    optimizer = optimizers.Adam(model.parameters(), lr=1e-2)
    first = last = 0.0
    for step in range(60):
        optimizer.zero_grad()
        loss = losses.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < first / 3
