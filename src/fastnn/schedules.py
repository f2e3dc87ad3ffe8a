"""Schedules: what the learning rate is at each step or epoch.

A schedule is made for an optimizer and its ``step()`` is called after the optimizer's, once a step or once an
epoch. Except for `PlateauSchedule` the rate is a function of the count alone, ``schedule.lr(count)``, with
PyTorch's formulas. Anything with ``param_groups`` (a list of dicts with ``"lr"``) is an optimizer here.

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

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

__all__ = [
    "ChainedSchedule", "ConstantSchedule", "CosineRestartsSchedule", "CosineSchedule", "ExponentialSchedule",
    "LambdaSchedule", "LinearSchedule", "MultiStepSchedule", "OneCycleSchedule", "PlateauSchedule",
    "PolynomialSchedule", "Schedule", "SequentialSchedule", "StepSchedule", "WarmupSchedule",
]  # fmt: skip


class _HasGroups(Protocol):
    @property
    def param_groups(self) -> Sequence[Any]: ...


class Schedule:
    """Base of the schedules.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' present rates are what the formulas start from.

    Attributes
    ----------
    count : int
        How often `step` was called.
    base_lrs : list of float
        The rate that each group had at first.
    """

    def __init__(self, optimizer: _HasGroups) -> None:
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"{type(self).__name__}: {type(optimizer).__name__} has no param_groups; pass an optimizer")
        self.optimizer = optimizer
        self.base_lrs = [float(group.setdefault("initial_lr", group["lr"])) for group in optimizer.param_groups]
        self.count = 0
        self._apply()

    def factor(self, count: float) -> float:
        """What the first rate is multiplied by after that many steps."""
        raise NotImplementedError("a schedule defines factor(count) or lr(count, base)")

    def lr(self, count: float, base: float | None = None) -> float:
        """The rate after that many steps, for a group that began with ``base`` (the first group's)."""
        return (self.base_lrs[0] if base is None else base) * self.factor(count)

    def step(self, metric: float | None = None) -> None:
        """Count, and give every group its new rate. ``metric`` matters to `PlateauSchedule` only."""
        self.count += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _apply(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.lr(self.count, base)

    def state_dict(self) -> dict[str, Any]:
        """The count and the first rates, as plain numbers."""
        return {"count": self.count, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, and set the rates accordingly.

        Raises
        ------
        ValueError
            If it was made for an optimizer with another number of groups.
        """
        bases = [float(v) for v in state_dict["base_lrs"]]
        if len(bases) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: the saved state has {len(bases)} groups, "
                f"the optimizer {len(self.optimizer.param_groups)}"
            )
        self.base_lrs, self.count = bases, int(state_dict["count"])
        self._apply()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(count={self.count}, lr={self.get_last_lr()})"


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")


class ConstantSchedule(Schedule):
    """The first rate times ``factor`` for ``total_iters`` steps, then the first rate itself.

    With the default ``factor`` of 1 the rate never changes.
    """

    def __init__(self, optimizer: _HasGroups, factor: float = 1.0, total_iters: int = 5) -> None:
        self._factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return self._factor if count < self.total_iters else 1.0


class LambdaSchedule(Schedule):
    """The first rate times ``function(count)``."""

    def __init__(self, optimizer: _HasGroups, function: Callable[[float], float]) -> None:
        self.function = function
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.function(count))


class StepSchedule(Schedule):
    """The rate times ``gamma`` every ``step_size`` steps."""

    def __init__(self, optimizer: _HasGroups, step_size: int, gamma: float = 0.1) -> None:
        _positive("StepSchedule: step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.gamma ** (count // self.step_size))


class MultiStepSchedule(Schedule):
    """The rate times ``gamma`` at each of the ``milestones``."""

    def __init__(self, optimizer: _HasGroups, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.gamma ** bisect_right(self.milestones, count))


class ExponentialSchedule(Schedule):
    """The rate times ``gamma`` at every step."""

    def __init__(self, optimizer: _HasGroups, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float(self.gamma**count)


class PolynomialSchedule(Schedule):
    """Down to 0 in ``total_iters`` steps: the first rate times ``(1 - count / total_iters) ** power``."""

    def __init__(self, optimizer: _HasGroups, total_iters: int = 5, power: float = 1.0) -> None:
        _positive("PolynomialSchedule: total_iters", total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        return float((1 - min(count, self.total_iters) / self.total_iters) ** self.power)


class LinearSchedule(Schedule):
    """The first rate times a factor that goes in a line from ``start_factor`` to ``end_factor``."""

    def __init__(
        self,
        optimizer: _HasGroups,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        _positive("LinearSchedule: total_iters", total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, count: float) -> float:
        done = min(count, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class WarmupSchedule(LinearSchedule):
    """Up to the first rate in ``total_iters`` steps: at count c it is ``(c + 1) / (total_iters + 1)`` of it.

    Usually the first part of a `SequentialSchedule`.
    """

    def __init__(self, optimizer: _HasGroups, total_iters: int) -> None:
        super().__init__(optimizer, 1 / (total_iters + 1), 1.0, total_iters)


class CosineSchedule(Schedule):
    """Half a cosine from the first rate to ``eta_min`` in ``T_max`` steps.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(self, optimizer: _HasGroups, T_max: int, eta_min: float = 0.0) -> None:
        _positive("CosineSchedule: T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr(self, count: float, base: float | None = None) -> float:
        start = self.base_lrs[0] if base is None else base
        return self.eta_min + (start - self.eta_min) * (1 + math.cos(math.pi * count / self.T_max)) / 2


class CosineRestartsSchedule(Schedule):
    """Half cosines one after another: the first ``T_0`` steps long, each ``T_mult`` times the one before."""

    def __init__(self, optimizer: _HasGroups, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        _positive("CosineRestartsSchedule: T_0", T_0)
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


class OneCycleSchedule(Schedule):
    """Up to ``max_lr`` and down again to almost nothing, once; the momentum goes the other way.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float
    total_steps : int
        The length of the cycle; afterwards the rate stays.
    pct_start : float, default 0.3
        The share of steps that go up.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool, default True
        Also move ``momentum``, or the first of ``betas``, where the optimizer has one.
    base_momentum, max_momentum : float, default 0.85 and 0.95
    div_factor : float, default 25
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float, default 1e4
        The last is the first divided by this.
    three_phase : bool, default False
        Come down to the first rate as long as it went up, and only then to the last.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2019.
    """

    def __init__(
        self,
        optimizer: _HasGroups,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        _positive("OneCycleSchedule: max_lr", max_lr)
        _positive("OneCycleSchedule: total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleSchedule: pct_start must lie between 0 and 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleSchedule: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}")
        self.max_lr, self.total_steps, self._cosine = max_lr, total_steps, anneal_strategy == "cos"
        self.cycle_momentum = cycle_momentum
        first = max_lr / div_factor
        last = first / final_div_factor
        top, bottom = max_momentum, base_momentum
        up = pct_start * total_steps - 1
        end = total_steps - 1
        # (until, rate at the start and the end, momentum at the start and the end)
        self._phases = [(up, first, max_lr, top, bottom), (end, max_lr, last, bottom, top)]
        if three_phase:
            self._phases[1:] = [(2 * up, max_lr, first, bottom, top), (end, first, last, top, top)]
        super().__init__(optimizer)

    def _at(self, count: float) -> tuple[float, float]:
        """The rate and the momentum."""
        count = min(count, self.total_steps - 1)
        begin = 0.0
        for i, (until, *values) in enumerate(self._phases):
            if count <= until or i == len(self._phases) - 1:
                break
            begin = until
        done = (count - begin) / (until - begin) if until != begin else 1.0
        if self._cosine:
            done = (1 - math.cos(math.pi * done)) / 2
        a, b, c, d = values
        return a + (b - a) * done, c + (d - c) * done

    def lr(self, count: float, base: float | None = None) -> float:
        return self._at(count)[0]

    def _apply(self) -> None:
        super()._apply()
        if not self.cycle_momentum:
            return
        momentum = self._at(self.count)[1]
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif group.get("momentum"):
                group["momentum"] = momentum


class PlateauSchedule(Schedule):
    """The rate times ``factor`` when a metric has not improved for more than ``patience`` steps.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether less or more of the metric is better.
    factor : float, default 0.1
    patience : int, default 10
    threshold : float, default 1e-4
        What counts as better: by this share of the best (``threshold_mode="rel"``), or by this much
        (``"abs"``).
    cooldown : int, default 0
        Steps after a change in which nothing is counted.
    min_lr : float, default 0
    eps : float, default 1e-8
        Smaller changes are not made.

    Examples
    --------
    >>> from fastnn import Tensor, optimizers
    >>> optimizer = optimizers.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = PlateauSchedule(optimizer, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: _HasGroups,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"PlateauSchedule: factor must lie between 0 and 1, got {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"PlateauSchedule: mode is 'min' or 'max' and threshold_mode 'rel' or 'abs', got {mode!r}, "
                f"{threshold_mode!r}"
            )
        self.mode, self.patience, self.threshold, self.threshold_mode = mode, patience, threshold, threshold_mode
        self._factor, self.cooldown, self.min_lr, self.eps = factor, cooldown, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = self.cooling = 0
        super().__init__(optimizer)

    def _apply(self) -> None:
        """The rate depends on more than the count: `step` sets it."""

    def _better(self, metric: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        if math.isinf(self.best):
            return sign * metric < sign * self.best
        if self.threshold_mode == "rel":
            # As torch has it: of the best, whatever its sign.
            return sign * metric < sign * self.best * (1 - sign * self.threshold)
        return sign * metric < sign * self.best - self.threshold

    def step(self, metric: float | None = None) -> None:
        """Look at the metric, and lower the rate when it is time."""
        if metric is None:
            raise TypeError("PlateauSchedule.step needs the metric, for example the validation loss")
        self.count += 1
        if self._better(float(metric)):
            self.best, self.bad_steps = float(metric), 0
        else:
            self.bad_steps += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            for group in self.optimizer.param_groups:
                new = max(float(group["lr"]) * self._factor, self.min_lr)
                if float(group["lr"]) - new > self.eps:
                    group["lr"] = new
            self.cooling, self.bad_steps = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """The counts, the best metric and the present rates."""
        return {
            **super().state_dict(), "best": self.best, "bad_steps": self.bad_steps, "cooling": self.cooling,
            "lrs": self.get_last_lr(),
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self.best, self.bad_steps = float(state_dict["best"]), int(state_dict["bad_steps"])
        self.cooling = int(state_dict["cooling"])
        for group, value in zip(self.optimizer.param_groups, state_dict["lrs"], strict=True):
            group["lr"] = float(value)


# --- schedules made of schedules ---


class _Combined(Schedule):
    def __init__(self, optimizer: _HasGroups, schedules: Sequence[Schedule]) -> None:
        name = type(self).__name__
        if not schedules:
            raise ValueError(f"{name}: no schedules were given")
        for s in schedules:
            if isinstance(s, PlateauSchedule):
                raise TypeError(f"{name}: PlateauSchedule needs a metric and cannot be part of another schedule")
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
        super().__init__(schedules[0].optimizer if schedules else None, schedules)  # type: ignore[arg-type]

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
    >>> warm, cool = WarmupSchedule(optimizer, 1), ExponentialSchedule(optimizer, 0.5)
    >>> schedule = SequentialSchedule(optimizer, [warm, cool], [1])
    >>> [schedule.lr(count) for count in range(4)]
    [0.5, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: _HasGroups, schedules: Sequence[Schedule], milestones: Sequence[int]
    ) -> None:
        if len(milestones) != len(schedules) - 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"SequentialSchedule: {len(schedules)} schedules take {len(schedules) - 1} milestones in "
                f"rising order, got {list(milestones)}"
            )
        self.milestones = list(milestones)
        super().__init__(optimizer, schedules)

    def lr(self, count: float, base: float | None = None) -> float:
        i = bisect_right(self.milestones, count)
        return self.schedules[i].lr(count - (self.milestones[i - 1] if i else 0), base)
