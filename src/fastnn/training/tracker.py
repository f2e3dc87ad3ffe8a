"""The running loss and metrics of an epoch, gathered so that a step pays next to nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..metrics import Metric
from ..tensor import Tensor

__all__ = ["WAIT_BATCHES", "WAIT_ELEMENTS", "Piece", "Tracker", "metrics_output"]

# Outputs wait until there are this many, then the metrics see them as one batch.
WAIT_BATCHES, WAIT_ELEMENTS = 64, 1 << 18


class Piece(NamedTuple):
    """Batches that are done, one after another.

    Attributes
    ----------
    losses : list of float
        Of each batch, the mean over its rows.
    rows : int
        In each batch.
    output, y, weight
        Of all of them, joined; an output that belongs to a recording changes with its next steps.
    """

    losses: list[float]
    rows: int
    output: Any
    y: Any
    weight: Any


class Tracker:
    """Mean loss over rows, and metrics."""

    def __init__(self, metrics: list[Metric]) -> None:
        self.metrics = metrics
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self.total, self.rows = 0.0, 0
        self._waiting: list[tuple[Tensor, Tensor, Any, int]] = []
        self.waiting = self._elements = 0  # batches, and elements of their outputs
        for metric in self.metrics:
            metric.reset()

    def add(self, piece: Piece) -> None:
        """Batches: the mean losses of their rows, and what the metrics look at."""
        for loss in piece.losses:
            self.total += loss * piece.rows
        self.rows += piece.rows * len(piece.losses)
        if self.metrics:
            output = metrics_output(piece.output)
            # Detached: without that the graph would wait too.
            self._waiting.append((output.detach(), piece.y, piece.weight, len(piece.losses)))
            self.waiting += len(piece.losses)
            self._elements += output.size
            if self._elements >= WAIT_ELEMENTS or self.waiting >= WAIT_BATCHES:
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
        waiting, self._waiting, self.waiting, self._elements = self._waiting, [], 0, 0
        outputs, targets, weights, _ = zip(*waiting, strict=True)
        output = _joined(outputs)
        if output is None:  # sequences of different lengths, for one, do not join
            for *parts, count in waiting:
                for batch in zip(*[_parted(part, count) for part in parts], strict=True):
                    for metric in self.metrics:
                        metric.update(*batch)
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


def metrics_output(output: Any) -> Tensor:
    """What the model gave, if metrics can look at it."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"metrics look at one tensor, but the model gives a {type(output).__name__}"
        )
    return output


def _joined(parts: tuple[Tensor, ...]) -> np.ndarray | None:
    arrays = [part.detach().numpy() for part in parts]
    if len({a.shape[1:] for a in arrays}) > 1:
        return None
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _parted(part: Tensor | None, count: int) -> list[Any]:
    """What was joined of some batches, apart again."""
    return [None] * count if part is None else np.split(part.detach().numpy(), count)
