"""What may be changed between the calls of a compiled function: it takes effect, or the function is recorded
anew, or an error says what to do; never is a replay silently another step than the eager one.
"""

import numpy as np
import pytest

import fastnn
from fastnn import RecordingError, Tensor, losses, metrics, nn, optimizers, regularizers, schedules
from steps import data


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.4)
        self.last = nn.Linear(8, 3)
        self.slope = 0.1

    def forward(self, x):
        return self.last(self.drop(fastnn.leaky_relu(self.norm(self.first(x)), self.slope)))


class World:
    """A model and all that trains it."""

    def __init__(self, compile):
        fastnn.manual_seed(0)
        self.model = Net()
        self.optimizer = optimizers.SGD(
            [{"params": self.model.first.parameters()}, {"params": self.model.last.parameters(), "lr": 0.2}],
            lr=0.1, momentum=0.5,
        )  # fmt: skip
        self.ema = optimizers.EMA(self.model.parameters(), 0.9)
        self.penalty = regularizers.L2(0.1, on="first.weight")
        self.step = compile(self.run)

    def run(self, x, y):
        self.model.zero_grad()
        loss = losses.cross_entropy(self.model(x), y) + self.penalty.penalty(self.model)
        loss.backward()
        self.optimizer.step()
        self.ema.update()
        return loss

    def state(self):
        return {
            **self.model.state_dict(), "random": np.array(fastnn.random.get_state()),
            **{f"average {i}": a for i, a in enumerate(self.ema.state_dict()["average"])},
            **{f"grad {n}": p.grad for n, p in self.model.named_parameters() if p.grad is not None},
        }  # fmt: skip


def set_group(**options):
    def change(world):
        for group in world.optimizer.param_groups:
            group.update(**options)

    return change


def new_group(world):
    world.optimizer.add_param_group({"params": world.model.norm.parameters(), "lr": 0.5})


def freeze(world):
    world.model.first.requires_grad_(False)
    world.penalty.on = "last.weight"


def load_model(world):
    state = {k: v * 0.5 if v.dtype.is_float else v for k, v in world.model.state_dict().items()}
    world.model.load_state_dict(state)


def load_optimizer(world):
    state = world.optimizer.state_dict()
    for arrays in state["state"].values():
        for array in arrays.values():
            array *= 0.5
    world.optimizer.load_state_dict(state)


def fresh_optimizer_state(world):
    other = optimizers.SGD(
        [{"params": world.model.first.parameters()}, {"params": world.model.last.parameters()}],
        lr=0.3, momentum=0.2,
    )  # fmt: skip
    world.optimizer.load_state_dict(other.state_dict())


def load_ema(world):
    state = world.ema.state_dict()
    state["decay"], state["average"] = 0.5, [a * 2 for a in state["average"]]
    world.ema.load_state_dict(state)


def write_parameters(world):
    with fastnn.no_grad():
        world.model.last.weight[0] = 1.0
        world.model.first.bias.numpy()[...] = 0.25


def hook(world):
    world.model.first.register_forward_hook(lambda module, args, output: output * 2)


# Whether the step is recorded anew: what lies in a buffer is simply read by the next replay.
CHANGES = {
    "lr": (set_group(lr=0.01), False),
    "weight decay": (set_group(weight_decay=0.1), False),
    "momentum": (set_group(momentum=0.9), False),
    "momentum off": (set_group(momentum=0.0), True),
    "nesterov": (set_group(nesterov=True), False),
    "clip_value": (set_group(clip_value=0.01), False),
    "maximize": (set_group(maximize=True), False),
    "clip_norm": (lambda w: setattr(w.optimizer, "clip_norm", 0.01), True),
    "schedule": (lambda w: schedules.ExponentialSchedule(w.optimizer, 0.5).step(), False),
    "seed": (lambda w: fastnn.manual_seed(77), False),
    "random state": (lambda w: fastnn.random.set_state((3, 5)), False),
    "dropout": (lambda w: setattr(w.model.drop, "p", 0.1), True),
    "dropout off": (lambda w: setattr(w.model.drop, "p", 0.0), True),
    "batch norm's momentum": (lambda w: setattr(w.model.norm, "momentum", 0.5), True),
    "batch norm's eps": (lambda w: setattr(w.model.norm, "eps", 0.1), True),
    "a number of the user's": (lambda w: setattr(w.model, "slope", 0.5), True),
    "regularizer": (lambda w: setattr(w.penalty, "factor", 0.5), True),
    "eval": (lambda w: w.model.eval(), True),
    "eval of a layer": (lambda w: w.model.drop.eval(), True),
    "freezing": (freeze, True),
    "another group": (new_group, True),
    "the model's state": (load_model, False),
    "the optimizer's state": (load_optimizer, True),
    "an optimizer's fresh state": (fresh_optimizer_state, True),
    "the EMA's state": (load_ema, False),
    "parameters": (write_parameters, False),
    "gradients": (lambda w: w.model.zero_grad(), False),
}


def run(compile, change):
    world = World(compile)
    losses_, steps = [], []
    fastnn.manual_seed(1)
    for i in range(8):
        if i == 4:
            change(world)
        x, y = data(7, 5, seed=i), np.random.default_rng(i).integers(0, 3, 7)
        losses_.append(world.step(Tensor(x), Tensor(y)).item())
        steps.append(getattr(world.step, "latest", None))
    return losses_, world.state(), len({id(s) for s in steps})


@pytest.mark.parametrize("name", CHANGES)
def test_changes_take_effect(name):
    change, anew = CHANGES[name]
    want_losses, want, _ = run(lambda f: f, change)
    _, unchanged, _ = run(lambda f: f, lambda world: None)
    got_losses, got, recordings = run(fastnn.compile, change)
    assert got_losses == want_losses
    if name != "gradients":
        assert any(np.any(np.asarray(want[k]) != np.asarray(v)) for k, v in unchanged.items()), (
            "no test"
        )
    assert want.keys() == got.keys()
    for key, value in want.items():
        np.testing.assert_array_equal(np.asarray(got[key]), np.asarray(value), err_msg=key)
    assert recordings == 1 + anew


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("make", [
    lambda o: schedules.CosineRestartsSchedule(o, 3), lambda o: schedules.OneCycleSchedule(o, 0.2, 9),
    lambda o: schedules.ExponentialSchedule(o, 0.8),
])  # fmt: skip
def test_a_schedule_within_the_step(make, first):
    """It is stepped in Python, before the calls that read the rate or after them."""
    results = []
    for compile in (lambda f: f, fastnn.compile):
        world = World(lambda f: f)
        schedule = make(world.optimizer)

        @compile
        def step(x, y, world=world, schedule=schedule):
            if first:
                schedule.step()
            loss = world.run(x, y)
            if not first:
                schedule.step()
            return loss

        fastnn.manual_seed(1)
        run = []
        for i in range(8):
            x, y = Tensor(data(7, 5, seed=i)), Tensor(np.random.default_rng(i).integers(0, 3, 7))
            run += [step(x, y).item(), schedule.count, *schedule.get_last_lr()]
        if compile is fastnn.compile:
            assert step.latest.run_many(3) == 3
        else:
            for _ in range(3):
                step(x, y)
        run += [schedule.count, *schedule.get_last_lr(), world.model.last.weight.numpy().tobytes()]
        results.append(run)
    assert results[0] == results[1]


def test_metrics_within_the_step():
    results = []
    for compile in (lambda f: f, fastnn.compile):
        world = World(lambda f: f)
        accuracy, error = metrics.Accuracy(), metrics.MSE()

        @compile
        def step(x, y, world=world, accuracy=accuracy, error=error):
            loss = world.run(x, y)
            out = world.model(x)
            accuracy.update(out, y)
            error.update(out[:, 0], x[:, 0], fastnn.abs(x[:, 1]))
            return loss

        fastnn.manual_seed(1)
        run = []
        for i in range(6):
            step(Tensor(data(7, 5, seed=i)), Tensor(np.random.default_rng(i).integers(0, 3, 7)))
            run.append((accuracy.result(), error.result()))
        results.append(run)
    assert results[0] == results[1] and len(set(results[0])) == 6


def test_an_object_whose_method_is_compiled():
    class Work:
        def __init__(self):
            self.factor, self.calls, self.weight = 2, 0, Tensor(np.float32([1.0]))
            self.last = None

        @fastnn.compile
        def step(self, x):
            self.calls += 1
            self.last = x * self.factor
            return self.last + self.weight

    work = Work()
    for i, change in enumerate(
        [{}, {}, {"factor": 3}, {}, {"weight": Tensor(np.float32([5.0]))}, {"factor": 2}]
    ):
        vars(work).update(change)
        x = np.float32([i])
        assert work.step(x).item() == i * work.factor + work.weight.item()
        assert work.last.item() == i * work.factor
    assert work.calls == 4  # recordings: another factor or weight is another one

    class Recurrent(Work):
        @fastnn.compile
        def step(self, x):
            self.weight = self.weight * x
            return self.weight

    with pytest.raises(RecordingError, match=r"Recurrent\.weight was used and then became another"):
        Recurrent().step(np.float32([1]))


FACTOR = 2


def test_names_that_come_to_mean_something_else():
    global FACTOR
    weight, more, count, total = Tensor(np.float32([1.0])), 5, 0, None

    @fastnn.compile
    def function(x):
        nonlocal count
        count += 1
        return x * FACTOR + weight + more if total is None else total

    def check(recordings):
        for x in (1, 3):
            assert function(np.float32([x])).item() == x * FACTOR + weight.item() + more
        assert count == recordings

    check(1)
    FACTOR = 3
    check(2)
    weight = Tensor(np.float32([7.0]))
    check(3)
    more += 1
    check(4)
    FACTOR, more = 3.0, 6
    check(5)
    FACTOR = 3
    check(5)  # as before: the recording is still there
    FACTOR = 2
    total = Tensor(np.float32([11.0]))
    assert function(np.float32([1])).item() == 11


def test_a_global_that_the_function_makes():
    def function(x):
        global made
        made = x * 2
        return made + 1

    compiled = fastnn.compile(function)
    for i in range(3):
        assert compiled(np.float32([i])).item() == 2 * i + 1
    assert sum(map(len, compiled._recordings.values())) == 1
    del globals()["made"]


def test_run_many_refuses_what_would_not_repeat():
    w = Tensor([1.0], requires_grad=True)
    step = fastnn.compile(lambda: (w * w).sum().backward())
    step()
    with pytest.raises(RecordingError, match="zero_grad"):
        step.latest.run_many(2)
    step()
    assert step.latest.run_many(2) == 2  # that which adds to a gradient may go on
    assert w.grad.item() == 8


def test_going_back_and_forth_records_twice():
    world = World(fastnn.compile)
    x, y = Tensor(data(7, 5)), Tensor(np.arange(7) % 3)
    seen = set()
    for i in range(12):
        world.model.train(i % 2 == 0)
        world.step(x, y)
        seen.add(id(world.step.latest))
    assert len(seen) == 2


def test_many_values_of_a_number_give_a_warning_that_names_it():
    world = World(fastnn.compile)
    x, y = Tensor(data(7, 5)), Tensor(np.arange(7) % 3)
    with pytest.warns(UserWarning, match=r"run was recorded 9 times .* Net\.slope"):
        for i in range(9):
            world.model.slope = i / 10
            world.step(x, y)


def test_a_counter_in_python_does_not_record_anew():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * 2

    model = Counting()
    compiled = fastnn.compile(model)
    for _ in range(5):
        compiled(data(3))
        first = compiled.latest
        model(Tensor(data(3)))
        compiled(data(3))
        assert compiled.latest is first
    assert model.calls == 6  # once recorded, and five times eagerly


def test_a_hook_after_recording_is_an_error_that_says_what_to_do():
    world = World(fastnn.compile)
    x, y = Tensor(data(7, 5)), Tensor(np.arange(7) % 3)
    world.step(x, y)
    hook(world)
    with pytest.raises(RecordingError, match=r"Linear has other .*hooks.*reset\(\)"):
        world.step(x, y)
    world.step.reset()
    world.step(x, y)


def test_another_layer_is_an_error_that_names_the_line_of_the_change():
    world = World(fastnn.compile)
    x, y = Tensor(data(7, 5)), Tensor(np.arange(7) % 3)
    world.step(x, y)
    world.model.first = nn.Linear(5, 8)  # this line
    line = (
        test_another_layer_is_an_error_that_names_the_line_of_the_change.__code__.co_firstlineno + 4
    )
    with pytest.raises(
        RecordingError, match=rf"test_recording_live.py:{line} in .*Net has other layers"
    ):
        world.step(x, y)


def test_conversion_records_anew():
    model = nn.Linear(3, 3)
    compiled = fastnn.compile(lambda x: model(x.astype(model.weight.dtype)))
    x = Tensor(data(2, 3))
    assert compiled(x).dtype == "float32"
    model.double()
    np.testing.assert_array_equal(compiled(x).numpy(), model(x.astype("float64")).detach().numpy())


def test_kept_tensors_have_the_values_of_the_latest_call():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.hidden = None

        def forward(self, x):
            self.hidden = self.layer(x)
            return fastnn.relu(self.hidden)

    model = Keeping()
    compiled = fastnn.compile(model)
    for n, seed in ((2, 0), (4, 1), (2, 2), (4, 3), (2, 4)):
        x = Tensor(data(n, 3, seed=seed))
        compiled(x)
        np.testing.assert_array_equal(
            model.hidden.detach().numpy(), model.layer(x).detach().numpy()
        )


def test_state_that_the_first_call_makes_is_made_once():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.total = None

        def forward(self, x):
            if self.total is None:
                self.total = fastnn.zeros_like(x)
            self.total.copy_(self.total + x)
            return self.total * 1

    eager, compiled = Mean(), fastnn.compile(Mean())
    for i in range(4):
        x = Tensor(data(3, seed=i))
        np.testing.assert_array_equal(compiled(x).numpy(), eager(x).numpy())
