"""The options of some parameters, and where in flat memory those lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._core import note_change, refuse
from ..flat import Run
from ..tensor import Tensor, zeros

__all__ = ["ParamGroup"]

# Places in the array of hyperparameters; see csrc/kernels/optimizer.h.
LR, DECAY, LIMIT, SIGN, STEP, H0, H1, H2, H3, H4 = range(10)
MU_PRODUCT = 13
HYPERPARAMETERS = 16


class ParamGroup(dict[str, Any]):
    """The options of some parameters; setting one takes effect at the next step.

    A dict as PyTorch has it: ``group["lr"] = 0.1``. ``group["params"]`` is the list of tensors.
    """

    __slots__ = ("fields", "hyper", "runs", "states")

    def __init__(
        self, options: dict[str, Any], fields: Mapping[str, int | tuple[int, ...]]
    ) -> None:
        self.hyper = zeros(HYPERPARAMETERS, "float64")
        self.fields = {
            "lr": LR,
            "weight_decay": DECAY,
            "clip_value": LIMIT,
            "maximize": SIGN,
            **fields,
        }
        self.runs: list[Run] = []
        self.states: list[dict[str, Tensor]] = []
        values = self.hyper.numpy()
        values[LIMIT], values[SIGN], values[MU_PRODUCT] = math.inf, 1, 1
        super().__init__()
        for name, value in options.items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        _check(name, value)
        refuse(
            f"the optimizer's option {name!r} was set while a function was recorded; a replay would not set "
            "it again. Set it (or step the schedule) outside, between calls: the next call uses it",
            self.hyper,
        )
        before = self.get(name)
        super().__setitem__(name, value)
        place = self.fields.get(name)
        if place is None or bool(before) != bool(value):  # which state a step uses depends on it
            note_change()
        if place is None:
            return
        values = self.hyper.numpy()
        if name == "maximize":
            values[place] = -1 if value else 1
        elif name == "clip_value":
            values[place] = math.inf if value is None else value
        elif isinstance(place, tuple):
            values[list(place)] = [float(v) for v in value]
        else:
            values[place] = float(value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several options."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The option, set to ``default`` first if there is none of that name."""
        if name not in self:
            self[name] = default
        return self[name]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a dict: what it is set to is nothing to the optimizer."""
        return (dict, (dict(self),))

    def baked(self) -> list[str]:
        """The options that a recorded step does not read anew from its buffers."""
        return [name for name in self if name not in ("params", "initial_lr", "name", *self.fields)]

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return int(self.hyper.numpy()[STEP])


_AT_LEAST_0 = {
    "lr", "weight_decay", "momentum", "eps", "lr_decay", "initial_accumulator_value",
    "momentum_decay",
    "alpha", "clip_value",
}  # fmt: skip


def _check(name: str, value: Any) -> None:
    """Values that no optimizer can take."""
    if name in _AT_LEAST_0 and value is not None:
        if not isinstance(value, (int, float, np.integer, np.floating)) and not _is_scalar(value):
            raise TypeError(f"optimizer: {name} must be a number, got {value!r}")
        if not float(value) >= 0:
            raise ValueError(f"optimizer: {name} must not be negative, got {value}")
    if name == "betas" and (len(value) != 2 or not all(0 <= b < 1 for b in value)):
        raise ValueError(f"optimizer: betas must be two numbers in [0, 1), got {value}")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.size == 1
