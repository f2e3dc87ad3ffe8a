"""Lowering the rate when a metric stops getting better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .base import HasGroups, Schedule

__all__ = ["PlateauSchedule"]


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
        optimizer: HasGroups,
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
                f"PlateauSchedule: mode is 'min' or 'max' and threshold_mode 'rel' or 'abs', "
                f"got {mode!r}, "
                f"{threshold_mode!r}"
            )
        self.mode, self.patience, self.threshold, self.threshold_mode = (
            mode,
            patience,
            threshold,
            threshold_mode,
        )
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
            raise TypeError(
                "PlateauSchedule.step needs the metric, for example the validation loss"
            )
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
            **super().state_dict(), "best": self.best, "bad_steps": self.bad_steps, "cooling":
            self.cooling,
            "lrs": self.get_last_lr(),
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self.best, self.bad_steps = float(state_dict["best"]), int(state_dict["bad_steps"])
        self.cooling = int(state_dict["cooling"])
        for group, value in zip(self.optimizer.param_groups, state_dict["lrs"], strict=True):
            group["lr"] = float(value)
