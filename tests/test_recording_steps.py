"""Training steps that can be recorded: each optimizer and regularizer, averages, several models, compiled against
eager, bit for bit, on other values than those that they were recorded with.
"""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, losses, nn, ops, optimizers, regularizers
from steps import check_same, data, train_step

OPTIMIZERS = {
    "SGD": [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"momentum": 0.9, "dampening": 0.5}],
    "Adam": [{}, {"amsgrad": True}], "AdamW": [{"clip_norm": 0.1}, {"maximize": True}], "NAdam": [{}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.9}], "Adagrad": [{"initial_accumulator_value": 0.1}],
    "Lion": [{"clip_value": 0.01, "weight_decay": 0.1}],
}  # fmt: skip


def test_no_optimizer_is_missing():
    others = {"EMA", "Optimizer", "LBFGS", "ParamGroup"}
    assert {n for n in optimizers.__all__ if n[0].isupper()} - others == set(OPTIMIZERS)


def network(dtype="float32"):
    fastnn.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 8, dtype=dtype), nn.BatchNorm1d(8, dtype=dtype), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(8, 3, dtype=dtype), nn.LayerNorm(3, dtype=dtype),
    )  # fmt: skip


def train(make_step, model, compiled, steps=6, seed=0):
    """The losses and the final state of some steps on fresh data."""
    step = make_step(model)
    if compiled:
        step = fastnn.compile(step)
    fastnn.manual_seed(3)
    history = []
    for i in range(steps):
        x = data(7, 5, seed=seed + i, dtype=model[0].weight.dtype.name)
        history.append(step(Tensor(x), Tensor(np.random.default_rng(i).integers(0, 3, 7))))
    return history, model.state_dict(), Tensor(np.array(fastnn.random.get_state()))


def check_training(make_step, make_model=network, **more):
    runs = [train(make_step, make_model(), compiled, **more) for compiled in (False, True)]
    check_same(runs[1], runs[0])


@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, each in OPTIMIZERS.items() for o in each]
)
def test_each_optimizer(name, options):
    def make(model):
        first, *rest = model.parameters()
        optimizer = getattr(optimizers, name)(
            [{"params": [first], "lr": 0.01}, {"params": rest}], lr=0.02, **options
        )

        return train_step(model, optimizer)

    check_training(make)


@pytest.mark.parametrize(
    "clip",
    [
        lambda ps: optimizers.clip_grad_norm_(ps, 0.1),
        lambda ps: optimizers.clip_grad_norm_(ps, 0.1, 3.0),
        lambda ps: optimizers.clip_grad_norm_(ps, 0.1, float("inf")),
        lambda ps: optimizers.clip_grad_value_(ps, 0.01),
    ],
)
def test_clipping_by_hand(clip):
    def make(model):
        optimizer = optimizers.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad(set_to_none=False)
            loss = losses.cross_entropy(model(x), y)
            loss.backward()
            norm = clip(model.parameters())
            optimizer.step()
            return loss, norm

        return step

    check_training(make)


REGULARIZERS = [
    regularizers.L1(0.1), regularizers.L2(0.1), regularizers.ElasticNet(0.1, 0.2),
    regularizers.Orthogonal(0.1, on="0.weight"), regularizers.MaxNorm(0.5), regularizers.UnitNorm(),
]  # fmt: skip


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
def test_each_regularizer(regularizer):
    def make(model):
        optimizer = optimizers.Adam(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            loss = losses.cross_entropy(model(x), y)
            penalty = regularizers.penalty([regularizer], model)
            (loss if penalty is None else loss + penalty).backward()
            optimizer.step()
            regularizers.constrain([regularizer], model)
            return loss

        return step

    check_training(make)


def test_ema_within_the_step():
    averages = []

    def make(model):
        optimizer = optimizers.Adam(model.parameters(), lr=0.1)
        ema = optimizers.EMA(model.parameters(), 0.9, warmup=True)
        averages.append(ema)

        def step(x, y):
            optimizer.zero_grad()
            loss = losses.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            ema.update()
            return loss

        return step

    check_training(make)
    check_same(*[[Tensor(a) for a in ema.state_dict()["average"]] for ema in averages])


def test_gradient_penalty_and_two_optimizers():
    """A GAN's step: the critic on real and made samples with a penalty on its gradient, then the generator."""

    def make(model):
        critic, maker = model, nn.Linear(4, 5)
        of_critic = optimizers.RMSprop(critic.parameters(), lr=0.01)
        of_maker = optimizers.Adam(maker.parameters(), lr=0.01)

        def step(x, y):
            made = maker(fastnn.random.normal((7, 4)))
            of_critic.zero_grad()
            mixed = (x + (made.detach() - x) * fastnn.random.uniform((7, 1))).requires_grad_()
            (slope,) = fastnn.grad([critic(mixed).sum()], [mixed], create_graph=True)
            penalty = ((ops.sum(slope * slope, 1) ** 0.5 - 1) ** 2).mean()
            loss = critic(made.detach()).mean() - critic(x).mean() + penalty
            loss.backward()
            of_critic.step()
            for p in critic.parameters():
                p.requires_grad = False
            of_maker.zero_grad()
            other = -critic(maker(fastnn.random.normal((7, 4)))).mean()
            other.backward()
            of_maker.step()
            for p in critic.parameters():
                p.requires_grad = True
            return {"critic": loss, "maker": other}

        return step

    check_training(make)


def test_two_compiled_functions_share_a_model():
    states = []
    for compile in (lambda f: f, fastnn.compile):
        model = network()
        optimizer = optimizers.SGD(model.parameters(), lr=0.1)

        @compile
        def gradients(x, y, model=model):
            loss = losses.cross_entropy(model(x), y)
            loss.backward()
            return loss

        @compile
        def update(optimizer=optimizer):
            optimizer.step()
            optimizer.zero_grad()

        fastnn.manual_seed(3)
        for i in range(9):
            gradients(Tensor(data(7, 5, seed=i)), Tensor(np.arange(7) % 3))
            if i % 3 == 2:  # the gradients of three batches are added up
                update()
        states.append(model.state_dict())
    check_same(states[1], states[0])


def test_gradients_accumulate_as_in_eager_mode():
    for outside in (True, False):
        weights = []
        for compile in (lambda f: f, fastnn.compile):
            w = Tensor(np.ones(3, np.float32), requires_grad=True)

            @compile
            def add(x, w=w):
                (w * x).sum().backward()

            for i in range(6):
                add(Tensor(np.full(3, i + 1, np.float32)))
                if i == 3:
                    w.grad = None if outside else Tensor(np.zeros(3, np.float32))
            weights.append(w.grad)
        check_same(weights[1], weights[0])
