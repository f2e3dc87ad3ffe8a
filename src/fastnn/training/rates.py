"""Schedules that step with every batch, a stretch of steps in advance.

What they set lies in the optimizer's hyperparameters. Before a stretch they are stepped in Python and what
they would set before each step goes into a table, of which the recorded step reads its row.
"""

from __future__ import annotations

from typing import Any

from .._core import launch
from .._core import ops as op
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..tensor import Tensor, zeros

__all__ = ["Rates", "known_ahead"]

# Steps in advance at most, and in the first stretch.
_ROWS, _FIRST = 1024, 16
# The stretches of the hyperparameters that options lie in; what a step counts and derives lies between and
# behind them (csrc/kernels/optimizer.h).
_OPTIONS = ((0, 4), (5, 10))


def known_ahead(schedule: Any, optimizer: Any) -> bool:
    """Whether all that a schedule does is to set options of this optimizer, as those of this package do."""
    return (
        isinstance(schedule, Schedule)
        and isinstance(optimizer, Optimizer)
        and schedule.optimizer is optimizer
        and type(schedule).step is Schedule.step
        and type(schedule)._advance is Schedule._advance
        and type(schedule)._apply.__module__.startswith(Schedule.__module__.rpartition(".")[0])
    )


class Rates:
    """The table.

    Parameters
    ----------
    optimizer : Optimizer
    schedules : list of Schedule
        In the order in which they step; each is stepped after every batch but the last of a stretch, after
        which the callback does so.
    """

    def __init__(self, optimizer: Optimizer, schedules: list[Schedule]) -> None:
        self.schedules = schedules
        self.most = _FIRST
        self._hypers = [group.hyper for group in optimizer.param_groups]
        self._tables = [zeros((_ROWS, h.size), "float64") for h in self._hypers]
        self._saved: list[dict[str, Any]] = []

    def read(self, slot: Tensor) -> None:
        """The calls of a recorded step that take its options from the table."""
        for hyper, table in zip(self._hypers, self._tables, strict=True):
            for begin, end in _OPTIONS:
                there = hyper[begin:end].reshape(1, 1, -1)
                launch(op.gather, (table[:, begin:end].unsqueeze(0), slot, there), (0,))

    def room(self, slot: int) -> int:
        """How many steps may be known in advance."""
        return min(self.most, _ROWS - slot)

    def fill(self, slot: int, steps: int) -> None:
        """Step the schedules, and note what they set for steps that write to slots from this one on."""
        self._saved = [schedule.state_dict() for schedule in self.schedules]
        pairs = [(t.numpy(), h.numpy()) for t, h in zip(self._tables, self._hypers, strict=True)]
        for row in range(slot, slot + steps):
            if row > slot:
                self._step()
            for table, hyper in pairs:
                table[row] = hyper

    def settle(self, steps: int, done: int) -> None:
        """Of the steps that were filled in, so many were done: have the schedules be there."""
        if done == steps:
            self.most = min(2 * steps, _ROWS) if steps == self.most else self.most
            return
        self.most = max(1, done)  # for next time: there was no time for more
        for schedule, state in zip(self.schedules, self._saved, strict=True):
            schedule.load_state_dict(state)
        for _ in range(done - 1):
            self._step()

    def _step(self) -> None:
        for schedule in self.schedules:
            schedule.step()
