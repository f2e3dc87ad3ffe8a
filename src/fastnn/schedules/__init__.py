"""Schedules: what the learning rate is at each step or epoch.

A schedule is made for an optimizer and its ``step()`` is called after the optimizer's, once a step
or once an epoch. Except for `PlateauSchedule` the rate is a function of the count alone,
``schedule.lr(count)``, with PyTorch's formulas. Anything with ``param_groups`` (a list of dicts
with ``"lr"``) is an optimizer here.

>>> from fastnn import Tensor, optimizers, schedules
>>> optimizer = optimizers.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
>>> schedule = schedules.StepSchedule(optimizer, step_size=2, gamma=0.5)
>>> rates = []
>>> for epoch in range(5):
...     rates.append(schedule.get_last_lr()[0])
...     schedule.step()
>>> rates
[1.0, 1.0, 0.5, 0.5, 0.25]
"""

from .base import Schedule
from .combined import ChainedSchedule, SequentialSchedule
from .formulas import (
    ConstantSchedule,
    CosineRestartsSchedule,
    CosineSchedule,
    ExponentialSchedule,
    LambdaSchedule,
    LinearSchedule,
    MultiStepSchedule,
    PolynomialSchedule,
    StepSchedule,
    WarmupSchedule,
)
from .one_cycle import OneCycleSchedule
from .plateau import PlateauSchedule

__all__ = [
    "ChainedSchedule", "ConstantSchedule", "CosineRestartsSchedule", "CosineSchedule",
    "ExponentialSchedule",
    "LambdaSchedule", "LinearSchedule", "MultiStepSchedule", "OneCycleSchedule", "PlateauSchedule",
    "PolynomialSchedule", "Schedule", "SequentialSchedule", "StepSchedule", "WarmupSchedule",
]  # fmt: skip
