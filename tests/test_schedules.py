"""Schedules against PyTorch's, their states, and what they refuse."""

import math
import warnings

import pytest

from fastnn import Tensor, optimizers, schedules


def optimizer_of(lr=0.4, name="SGD", **options):
    params = [Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": lr / 4}]
    return getattr(optimizers, name)(groups, lr=lr, **options)


def rates(schedule, optimizer, steps=40, key="lr"):
    seen = []
    for _ in range(steps):
        seen.append([group[key] for group in optimizer.param_groups])
        schedule.step()
    return seen


EQUAL = [
    ("ConstantSchedule", "ConstantLR", {"factor": 0.3, "total_iters": 4}),
    ("LinearSchedule", "LinearLR", {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 7}),
    ("StepSchedule", "StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepSchedule", "MultiStepLR", {"milestones": [2, 9, 9, 20], "gamma": 0.5}),
    ("ExponentialSchedule", "ExponentialLR", {"gamma": 0.9}),
    ("PolynomialSchedule", "PolynomialLR", {"total_iters": 20, "power": 2.0}),
    ("CosineSchedule", "CosineAnnealingLR", {"T_max": 40, "eta_min": 0.01}),
    ("CosineRestartsSchedule", "CosineAnnealingWarmRestarts", {"T_0": 7, "eta_min": 0.01}),
    ("CosineRestartsSchedule", "CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2}),
    ("OneCycleSchedule", "OneCycleLR", {"max_lr": 1.0, "total_steps": 41}),
    ("OneCycleSchedule", "OneCycleLR", {"max_lr": 1.0, "total_steps": 41, "anneal_strategy":
    "linear", "three_phase": True}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "options"), EQUAL, ids=[e[0] + str(i) for i, e in enumerate(EQUAL)]
)
def test_rates_equal_torchs(ours, theirs, options):
    torch = pytest.importorskip("torch")
    mine = optimizer_of(momentum=0.9)
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    other = torch.optim.SGD(
        [{"params": params[:1]}, {"params": params[1:], "lr": 0.1}], lr=0.4, momentum=0.9
    )
    got = rates(getattr(schedules, ours)(mine, **options), mine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = rates(getattr(torch.optim.lr_scheduler, theirs)(other, **options), other)
    for step, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12), step


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_one_cycle_moves_the_momentum(name):
    torch = pytest.importorskip("torch")
    options = {"momentum": 0.9} if name == "SGD" else {}
    key = "momentum" if name == "SGD" else "betas"
    mine = getattr(optimizers, name)([Tensor([1.0], requires_grad=True)], lr=0.4, **options)
    other = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))], lr=0.4, **options)
    got = rates(schedules.OneCycleSchedule(mine, 1.0, 40), mine, 39, key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = rates(torch.optim.lr_scheduler.OneCycleLR(other, 1.0, 40), other, 39, key)
    for a, b in zip(got, want, strict=True):
        assert a[0] == pytest.approx(b[0])


@pytest.mark.parametrize("options", [
    {"patience": 2}, {"mode": "max", "patience": 1, "cooldown": 2, "min_lr": 0.01},
    {"threshold": 0.05, "threshold_mode": "abs", "patience": 0}, {"threshold": 0.1, "patience": 1,
    "factor": 0.5},
])  # fmt: skip
def test_plateau_equals_torchs(options):
    torch = pytest.importorskip("torch")
    mine = optimizer_of()
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    other = torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.1}], lr=0.4)
    a = schedules.PlateauSchedule(mine, **options)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    for step in range(40):
        metric = math.sin(step / 5) + 0.02 * (step % 3)
        a.step(metric)
        b.step(metric)
        assert a.get_last_lr() == pytest.approx([g["lr"] for g in other.param_groups]), step


def test_sequential_and_chained_equal_torchs():
    torch = pytest.importorskip("torch")
    kinds = torch.optim.lr_scheduler
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]

    def torchs():
        return torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.1}], lr=0.4)

    mine, other = optimizer_of(), torchs()
    ours = schedules.SequentialSchedule(
        mine, [schedules.LinearSchedule(mine, 0.1, 1.0, 5), schedules.CosineSchedule(mine, 20),
        schedules.ConstantSchedule(mine, 0.1, 9)], [5, 25],
    )  # fmt: skip
    got = rates(ours, mine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = kinds.SequentialLR(
            other, [kinds.LinearLR(other, 0.1, 1.0, 5), kinds.CosineAnnealingLR(other, 20),
            kinds.ConstantLR(other, 0.1, 9)], [5, 25],
        )  # fmt: skip
        want = rates(theirs, other)
        mine2, other2 = optimizer_of(), torchs()
        got += rates(
            schedules.ChainedSchedule(
                [
                    schedules.ConstantSchedule(mine2, 0.5, 4),
                    schedules.ExponentialSchedule(mine2, 0.9),
                ]
            ),
            mine2,
        )
        want += rates(
            kinds.ChainedScheduler(
                [kinds.ConstantLR(other2, 0.5, 4), kinds.ExponentialLR(other2, 0.9)]
            ),
            other2,
        )
    for step, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a == pytest.approx(b), step


def test_warm_up():
    optimizer = optimizer_of(1.0)
    schedule = schedules.WarmupSchedule(optimizer, 4)
    assert [r[0] for r in rates(schedule, optimizer, 6)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )
    optimizer = optimizer_of(1.0)
    schedule = schedules.LambdaSchedule(optimizer, lambda count: 1 / (1 + count))
    assert [r[0] for r in rates(schedule, optimizer, 3)] == pytest.approx([1, 1 / 2, 1 / 3])


MADE = {
    "constant": lambda o: schedules.ConstantSchedule(o),
    "cosine": lambda o: schedules.CosineSchedule(o, 20),
    "one-cycle": lambda o: schedules.OneCycleSchedule(o, 1.0, 30),
    "sequential": lambda o: schedules.SequentialSchedule(
        o, [schedules.WarmupSchedule(o, 3), schedules.ExponentialSchedule(o, 0.9)], [3]
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_resumed_schedule_goes_on(name):
    one, two = optimizer_of(momentum=0.9), optimizer_of(momentum=0.9)
    first = MADE[name](one)
    rates(first, one, 5)
    second = MADE[name](two)
    second.load_state_dict(first.state_dict())
    assert rates(first, one, 9) == rates(second, two, 9)
    assert all(isinstance(r, float) for r in first.get_last_lr())
    with pytest.raises(ValueError, match="groups"):
        second.load_state_dict({"count": 1, "base_lrs": [1.0]})


def test_a_resumed_plateau_goes_on():
    one, two = optimizer_of(), optimizer_of()
    first, second = (
        schedules.PlateauSchedule(one, patience=2),
        schedules.PlateauSchedule(two, patience=2),
    )
    for _ in range(6):
        first.step(1.0)
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        first.step(1.0)
        second.step(1.0)
        assert first.get_last_lr() == second.get_last_lr()


def test_a_rate_takes_effect_at_the_next_step():
    p = Tensor([1.0], requires_grad=True)
    optimizer = optimizers.SGD([p], lr=1.0)
    schedule = schedules.ExponentialSchedule(optimizer, 0.5)
    for _ in range(3):
        p.grad = Tensor([1.0])
        optimizer.step()
        schedule.step()
    assert p.item() == 1.0 - (1 + 0.5 + 0.25)


def test_bad_arguments():
    optimizer = optimizer_of()
    with pytest.raises(TypeError, match="no param_groups"):
        schedules.CosineSchedule([1], 3)
    with pytest.raises(ValueError, match="T_max must be positive"):
        schedules.CosineSchedule(optimizer, 0)
    with pytest.raises(ValueError, match="step_size"):
        schedules.StepSchedule(optimizer, 0)
    with pytest.raises(ValueError, match="milestones"):
        schedules.SequentialSchedule(optimizer, [schedules.ConstantSchedule(optimizer)], [3])
    with pytest.raises(ValueError, match="different optimizers"):
        schedules.ChainedSchedule(
            [schedules.ConstantSchedule(optimizer), schedules.ConstantSchedule(optimizer_of())]
        )
    with pytest.raises(TypeError, match="metric"):
        schedules.PlateauSchedule(optimizer).step()
    with pytest.raises(TypeError, match="PlateauSchedule"):
        schedules.ChainedSchedule([schedules.PlateauSchedule(optimizer)])
    with pytest.raises(ValueError, match="no schedules"):
        schedules.ChainedSchedule([])
    with pytest.raises(ValueError, match="factor"):
        schedules.PlateauSchedule(optimizer, factor=1.5)
