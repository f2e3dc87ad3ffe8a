"""Schedules made of schedules: all at once, or one after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from .base import HasGroups, Schedule
from .plateau import PlateauSchedule

__all__ = ["ChainedSchedule", "SequentialSchedule"]


class _Combined(Schedule):
    def __init__(self, optimizer: HasGroups, schedules: Sequence[Schedule]) -> None:
        name = type(self).__name__
        if not schedules:
            raise ValueError(f"{name}: no schedules were given")
        for s in schedules:
            if isinstance(s, PlateauSchedule):
                raise TypeError(
                    f"{name}: PlateauSchedule needs a metric and cannot be part of another schedule"
                )
            if s.optimizer is not optimizer:
                raise ValueError(f"{name}: the schedules are for different optimizers")
        self.schedules = list(schedules)
        super().__init__(optimizer)


class ChainedSchedule(_Combined):
    """All schedules at once: the first rate times the factors of all.

    Parameters
    ----------
    schedules : sequence of Schedule
        For one optimizer; do not step them yourself any more.
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        optimizer: Any = schedules[0].optimizer if schedules else None
        super().__init__(optimizer, schedules)

    def lr(self, count: float, base: float | None = None) -> float:
        start = rate = self.base_lrs[0] if base is None else base
        for s in self.schedules:
            rate *= s.lr(count, start) / start if start else 0.0
        return rate


class SequentialSchedule(_Combined):
    """One schedule after another, each counting from 0.

    Parameters
    ----------
    optimizer : Optimizer
    schedules : sequence of Schedule
        For that optimizer; do not step them yourself any more.
    milestones : sequence of int
        When each but the first begins.

    Examples
    --------
    >>> from fastnn import Tensor, optimizers
    >>> optimizer = optimizers.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> from fastnn.schedules import ExponentialSchedule, WarmupSchedule
    >>> warm, cool = WarmupSchedule(optimizer, 1), ExponentialSchedule(optimizer, 0.5)
    >>> schedule = SequentialSchedule(optimizer, [warm, cool], [1])
    >>> [schedule.lr(count) for count in range(4)]
    [0.5, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: HasGroups, schedules: Sequence[Schedule], milestones: Sequence[int]
    ) -> None:
        if len(milestones) != len(schedules) - 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"SequentialSchedule: {len(schedules)} schedules take {len(schedules) - 1} "
                "milestones in "
                f"rising order, got {list(milestones)}"
            )
        self.milestones = list(milestones)
        super().__init__(optimizer, schedules)

    def lr(self, count: float, base: float | None = None) -> float:
        i = bisect_right(self.milestones, count)
        return self.schedules[i].lr(count - (self.milestones[i - 1] if i else 0), base)
