"""The running loss and metrics of an epoch, gathered so that a step pays next to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..metrics import Metric
from ..tensor import Tensor

__all__ = ["Tracker"]

# Outputs wait until there are this many, then the metrics see them as one batch.
_BATCHES, _ELEMENTS = 64, 1 << 18


class Tracker:
    """Mean loss over rows, and metrics."""

    def __init__(self, metrics: list[Metric]) -> None:
        self.metrics = metrics
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self.total, self.rows = 0.0, 0
        self._waiting: list[tuple[Tensor, Tensor, Any]] = []
        self._elements = 0
        for metric in self.metrics:
            metric.reset()

    def add(self, loss: float, rows: int, output: Any, y: Any, weight: Any) -> None:
        """A batch: the mean loss of its rows, and what the metrics look at."""
        self.total += loss * rows
        self.rows += rows
        if self.metrics:
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"metrics look at one tensor, but the model gives a {type(output).__name__}"
                )
            self._waiting.append(
                (output.detach(), y, weight)
            )  # without it the graph would wait too
            self._elements += output.size
            if self._elements >= _ELEMENTS or len(self._waiting) >= _BATCHES:
                self._flush()

    @property
    def loss(self) -> float:
        """The mean so far."""
        return self.total / self.rows if self.rows else float("nan")

    def result(self) -> dict[str, Any]:
        """Loss and metrics of what was seen."""
        self._flush()
        logs: dict[str, Any] = {"loss": self.loss}
        for metric in self.metrics:
            value = metric.result()
            logs[metric.name] = float(value) if np.ndim(value) == 0 else np.asarray(value).tolist()
        return logs

    def _flush(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._elements = self._waiting, [], 0
        outputs, targets, weights = zip(*waiting, strict=True)
        output = _joined(outputs)
        if output is None:  # sequences of different lengths, for one, do not join
            for part in waiting:
                for metric in self.metrics:
                    metric.update(*part)
            return
        weight = None if weights[0] is None else _joined(weights)
        target = _joined(targets)
        for metric in self.metrics:
            metric.update(output, target, weight)

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands, for a checkpoint in the middle of it."""
        self._flush()
        return {
            "total": self.total,
            "rows": self.rows,
            "metrics": [metric.state_dict() for metric in self.metrics],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        if len(state["metrics"]) != len(self.metrics):
            raise ValueError("the checkpoint is of a run with other metrics")
        self.reset()
        self.total, self.rows = state["total"], state["rows"]
        for metric, values in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state_dict(values)


def _joined(parts: tuple[Tensor, ...]) -> np.ndarray | None:
    arrays = [part.detach().numpy() for part in parts]
    if len({a.shape[1:] for a in arrays}) > 1:
        return None
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
