"""What every metric does, and the mean of any function over batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from .._core import defer, recording, refuse


def _kept(value: Any) -> Any:
    """A copy of a tensor, which later calls of the function do not change; all else as it is."""
    return value.detach().clone() if hasattr(value, "detach") else value


def _read_outside(result: Callable[..., Any]) -> Callable[..., Any]:
    """A metric's result, which is a number in Python: a replay could not give another one."""

    @wraps(result)
    def checked(self: Metric, *args: Any, **kwargs: Any) -> Any:
        refuse(
            f"the result of the metric {self.name!r} was asked for; update() it here and ask outside"
        )
        return result(self, *args, **kwargs)

    return checked


class Metric:
    """What every metric does; subclasses fill `_add` and `result` and keep their sums in `_sums`.

    Calling a metric on one pair of arrays gives its value there, whatever it has seen before.
    """

    name = "metric"

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "result" in vars(cls):
            cls.result = _read_outside(cls.result)  # type: ignore[method-assign]

    def update(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Take in a batch: `n` predictions, `n` targets and, optionally, `n` weights.

        Within a compiled function this is done after each of its calls.
        """
        if recording():
            batch = [_kept(part) for part in (prediction, target, sample_weight)]
            defer(lambda: self.update(*batch), ())
            return
        prediction, target = as_array(prediction), as_array(target)
        if prediction.ndim == 0 or target.ndim == 0 or len(prediction) != len(target):
            raise ValueError(
                f"{self.name}: {len(np.atleast_1d(prediction))} predictions for "
                f"{len(np.atleast_1d(target))} "
                f"targets (prediction: {prediction.shape}, target: {target.shape})"
            )
        weight = None if sample_weight is None else as_array(sample_weight).astype(np.float64)
        if weight is not None and weight.shape != (len(target),):
            raise ValueError(
                f"{self.name}: sample_weight has shape {weight.shape}, wanted ({len(target)},)"
            )
        if len(target):
            self._add(prediction, target, weight)

    def result(self) -> Any:
        """The value over all that was seen since `reset`; NaN where nothing defines it."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all that was seen."""
        self._sums = {}

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for a checkpoint in the middle of an epoch."""
        return {key: np.array(value) for key, value in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._sums = {key: np.array(as_array(value)) for key, value in state.items()}

    def __call__(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
        kept, self._sums = self._sums, {}
        try:
            self.update(prediction, target, sample_weight)
            return self.result()
        finally:
            self._sums = kept

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _add(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        raise NotImplementedError

    def _accumulate(self, **amounts: Any) -> None:
        for key, amount in amounts.items():
            self._sums[key] = self._sums.get(key, 0.0) + amount

    def _ratio(self, above: str, below: str) -> float:
        total = float(self._sums.get(below, 0.0))
        return float(self._sums[above]) / total if total else math.nan


class Mean(Metric):
    """The mean of `function(prediction, target)` over batches, weighted by their sizes.

    Examples
    --------
    >>> import numpy as np
    >>> bias = Mean(lambda prediction, target: np.mean(prediction - target), name="bias")
    >>> bias(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
    0.5
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__()
        self.function = function
        self.name = str(name or getattr(function, "__name__", type(function).__name__))

    def _add(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        value = float(as_array(self.function(prediction, target)))
        self._accumulate(total=value * len(target), count=len(target))

    def result(self) -> float:
        return self._ratio("total", "count")


def as_array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
    return value.numpy() if hasattr(value, "numpy") else np.asarray(value)
