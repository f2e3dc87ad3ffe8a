"""The one-cycle schedule, of rate and momentum."""

from __future__ import annotations

import math

from .base import HasGroups, Schedule, positive

__all__ = ["OneCycleSchedule"]


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
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2019.
    """

    def __init__(
        self,
        optimizer: HasGroups,
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
        positive("OneCycleSchedule: max_lr", max_lr)
        positive("OneCycleSchedule: total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(
                f"OneCycleSchedule: pct_start must lie between 0 and 1, got {pct_start}"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleSchedule: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}"
            )
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
        for phase in self._phases:
            until = phase[0]
            if count <= until or phase is self._phases[-1]:
                break
            begin = until
        done = (count - begin) / (until - begin) if until != begin else 1.0
        if self._cosine:
            done = (1 - math.cos(math.pi * done)) / 2
        _, a, b, c, d = phase
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
