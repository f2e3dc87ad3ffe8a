"""What all schedules share: the count, the first rates, and setting the rate of every group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .._core import defer

__all__ = ["HasGroups", "Schedule", "positive"]


class HasGroups(Protocol):
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

    def __init__(self, optimizer: HasGroups) -> None:
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(
                f"{type(self).__name__}: {type(optimizer).__name__} has no param_groups; pass "
                "an optimizer"
            )
        self.optimizer = optimizer
        self.base_lrs = [
            float(group.setdefault("initial_lr", group["lr"])) for group in optimizer.param_groups
        ]
        self.count = 0
        self._apply()

    def factor(self, count: float) -> float:
        """What the first rate is multiplied by after that many steps."""
        raise NotImplementedError("a schedule defines factor(count) or lr(count, base)")

    def lr(self, count: float, base: float | None = None) -> float:
        """The rate after that many steps, for a group that began with ``base`` (the first
        group's).
        """
        return (self.base_lrs[0] if base is None else base) * self.factor(count)

    def step(self, metric: float | None = None) -> None:
        """Count, and give every group its new rate. ``metric`` matters to `PlateauSchedule`
        only.
        """
        if defer(
            self._advance, [g.hyper for g in self.optimizer.param_groups if hasattr(g, "hyper")]
        ):
            return  # each replay does so
        self._advance()

    def _advance(self) -> None:
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


def positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
