"""Rates that are the first times a factor, or a curve from it: steps, lines, powers, cosines."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from .base import HasGroups, Schedule, positive

__all__ = [
    "ConstantSchedule",
    "CosineRestartsSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "LambdaSchedule",
    "LinearSchedule",
    "MultiStepSchedule",
    "PolynomialSchedule",
    "StepSchedule",
    "WarmupSchedule",
]


class ConstantSchedule(Schedule):
    """The first rate times ``factor`` for ``total_iters`` steps, then the first rate itself.

    With the default ``factor`` of 1 the rate never changes.
    """

    def __init__(self, optimizer: HasGroups, factor: float = 1.0, total_iters: int = 5) -> None:
        self._factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return self._factor if count < self.total_iters else 1.0


class LambdaSchedule(Schedule):
    """The first rate times ``function(count)``."""

    def __init__(self, optimizer: HasGroups, function: Callable[[float], float]) -> None:
        self.function = function
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.function(count))


class StepSchedule(Schedule):
    """The rate times ``gamma`` every ``step_size`` steps."""

    def __init__(self, optimizer: HasGroups, step_size: int, gamma: float = 0.1) -> None:
        positive("StepSchedule: step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.gamma ** (count // self.step_size))


class MultiStepSchedule(Schedule):
    """The rate times ``gamma`` at each of the ``milestones``."""

    def __init__(self, optimizer: HasGroups, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.gamma ** bisect_right(self.milestones, count))


class ExponentialSchedule(Schedule):
    """The rate times ``gamma`` at every step."""

    def __init__(self, optimizer: HasGroups, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.gamma**count)


class PolynomialSchedule(Schedule):
    """Down to 0 in ``total_iters`` steps: the first rate times ``(1 - count / total_iters) **
    power``.
    """

    def __init__(self, optimizer: HasGroups, total_iters: int = 5, power: float = 1.0) -> None:
        positive("PolynomialSchedule: total_iters", total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float((1 - min(count, self.total_iters) / self.total_iters) ** self.power)


class LinearSchedule(Schedule):
    """The first rate times a factor that goes in a line from ``start_factor`` to ``end_factor``."""

    def __init__(
        self,
        optimizer: HasGroups,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        positive("LinearSchedule: total_iters", total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        done = min(count, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class WarmupSchedule(LinearSchedule):
    """Up to the first rate in ``total_iters`` steps: at count c it is ``(c + 1) / (total_iters +
    1)`` of it.

    Usually the first part of a `SequentialSchedule`.
    """

    def __init__(self, optimizer: HasGroups, total_iters: int) -> None:
        super().__init__(optimizer, 1 / (total_iters + 1), 1.0, total_iters)


class CosineSchedule(Schedule):
    """Half a cosine from the first rate to ``eta_min`` in ``T_max`` steps.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(self, optimizer: HasGroups, T_max: int, eta_min: float = 0.0) -> None:
        positive("CosineSchedule: T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr(self, count: float, base: float | None = None) -> float:
        start = self.base_lrs[0] if base is None else base
        return (
            self.eta_min + (start - self.eta_min) * (1 + math.cos(math.pi * count / self.T_max)) / 2
        )


class CosineRestartsSchedule(Schedule):
    """Half cosines one after another: the first ``T_0`` steps long, each ``T_mult`` times the one
    before.
    """

    def __init__(
        self, optimizer: HasGroups, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        positive("CosineRestartsSchedule: T_0", T_0)
        if T_mult < 1:
            raise ValueError(f"CosineRestartsSchedule: T_mult must be at least 1, got {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def lr(self, count: float, base: float | None = None) -> float:
        start = self.base_lrs[0] if base is None else base
        length, at = float(self.T_0), float(count)
        if self.T_mult == 1:
            at %= length
        while at >= length:
            at -= length
            length *= self.T_mult
        return self.eta_min + (start - self.eta_min) * (1 + math.cos(math.pi * at / length)) / 2
