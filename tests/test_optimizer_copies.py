"""Copies and pickles of optimizers, their groups and averages."""

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, Trainer, nn, optimizers, regularizers, schedules

X = np.random.default_rng(0).standard_normal((8, 5), dtype=np.float32)
KINDS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.1, "betas": (0.7, 0.9), "amsgrad": True, "clip_norm": 0.5},
    "NAdam": {"lr": 0.1},
    "RMSprop": {"lr": 0.1, "centered": True},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
    "LBFGS": {"max_iter": 3},
}
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


def steps(model, optimizer, count=3):
    def closure():
        optimizer.zero_grad()
        loss = (model(Tensor(X)) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)


def bits(model):
    return [p.numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("name", "options"), KINDS.items(), ids=KINDS)
def test_a_model_and_its_optimizer_go_on_as_copies(name, options, way):
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = getattr(optimizers, name)(model.parameters(), **options)
    steps(model, optimizer)
    twin, other = way((model, optimizer))
    kept = other.param_groups[0]["params"]
    assert all(a is b for a, b in zip(twin.parameters(), kept, strict=True))
    before = bits(model)
    steps(twin, other)
    assert bits(model) == before != bits(twin)
    steps(model, optimizer)
    assert bits(model) == bits(twin)


def test_groups_and_rates_of_a_copy_are_its_own():
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2))
    groups = [{"params": m.parameters(), "lr": lr} for m, lr in zip(model, (0.1, 0.2), strict=True)]
    schedule = schedules.StepSchedule(optimizers.SGD(groups), 2)
    schedule.step()
    other = copy.deepcopy(schedule)
    schedule.step()
    assert other.optimizer is not schedule.optimizer
    assert (schedule.get_last_lr(), other.get_last_lr()) == (
        [pytest.approx(0.01), pytest.approx(0.02)],
        [0.1, 0.2],
    )
    other.step()
    assert other.get_last_lr() == schedule.get_last_lr()


def test_a_shallow_copy_is_another_optimizer_of_the_same_parameters():
    model = nn.Linear(5, 2)
    optimizer = optimizers.Adam(model.parameters(), lr=0.1)
    steps(model, optimizer)
    other = copy.copy(optimizer)
    other.param_groups[0]["lr"] = 0.0
    assert optimizer.param_groups[0]["lr"] == 0.1
    before = bits(model)
    steps(model, other, 1)
    assert bits(model) == before
    steps(model, optimizer, 1)
    assert bits(model) != before


def test_a_copied_group_is_a_dict():
    optimizer = optimizers.SGD([Tensor([1.0], requires_grad=True)], lr=0.1)
    for group in (copy.copy(optimizer.param_groups[0]), *copy.deepcopy(optimizer.param_groups)):
        assert type(group) is dict
        group["lr"] = 3.0
    assert optimizer.param_groups[0].hyper.numpy()[0] == optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_average_goes_on_as_a_copy(way):
    model = nn.Linear(5, 2)
    ema = optimizers.EMA(model.parameters(), decay=0.5, warmup=True)
    optimizer = optimizers.SGD(model.parameters(), lr=0.1)
    steps(model, optimizer)
    ema.update()
    twin, other = way((model, ema))
    for net, average in ((model, ema), (twin, other)):
        for p in net.parameters():
            p.detach().fill_(3.0)
        average.update()
    averages = [a.tobytes() for a in ema.state_dict()["average"]]
    assert [a.tobytes() for a in other.state_dict()["average"]] == averages
    with ema.apply(), pytest.raises(RuntimeError, match="restore"):
        way(ema)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "penalty", [None, regularizers.L2(0.5), regularizers.ActivityL1(0.5)], ids=repr
)
def test_a_copied_trainer_trains_its_own_model(way, penalty):
    fastnn.manual_seed(0)
    y = X[:, :2].copy()
    penalties = [] if penalty is None else [copy.deepcopy(penalty)]
    trainer = Trainer(nn.Linear(5, 2), loss="mse", optimizer="adam", regularizers=penalties)
    trainer.fit(X, y, epochs=2, verbose=0)
    other = way(trainer)
    before = bits(trainer.model)
    history = other.fit(X, y, epochs=2, verbose=0)
    assert bits(trainer.model) == before != bits(other.model)
    assert trainer.fit(X, y, epochs=2, verbose=0).history == history.history
    assert bits(trainer.model) == bits(other.model)
