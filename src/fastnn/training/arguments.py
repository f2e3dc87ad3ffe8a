"""From what a user gives a Trainer to optimizers, metrics and lists; all checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import metrics, optimizers

__all__ = ["flag", "list_of", "metrics_of", "optimizer_of"]


def optimizer_of(optimizer: Any, model: Any) -> Any:
    """An optimizer of the model's parameters, from its name, its class or what makes it."""
    if isinstance(optimizer, str):
        known = {name.lower(): name for name in optimizers.__all__}
        found = getattr(optimizers, known.get(optimizer.lower(), ""), None)
        if not isinstance(found, type) or not issubclass(found, optimizers.Optimizer):
            raise ValueError(f"Trainer: no optimizer is named {optimizer!r}; see fastnn.optimizers")
        optimizer = found
    if hasattr(optimizer, "step") and not isinstance(optimizer, type):
        return optimizer
    if not callable(optimizer):
        raise TypeError(
            f"Trainer: optimizer is {optimizer!r}; it must be a name, an optimizer or a class"
        )
    return optimizer(model.parameters())


def metrics_of(wanted: list[Any], loss: Any) -> list[metrics.Metric]:
    """Metrics from their names; what the scores mean is known from the loss."""
    name = getattr(loss, "__name__", "")
    logits = "logits" in name or name in ("cross_entropy", "hinge", "squared_hinge", "focal")
    # These losses take each element by itself where targets have the outputs' shape.
    each = None if name in ("bce", "bce_with_logits", "hinge", "squared_hinge", "focal") else False
    made = [metrics.get(metric, from_logits=logits, multilabel=each) for metric in wanted]
    names = [metric.name for metric in made]
    for metric in names:
        if names.count(metric) > 1 or metric == "loss":
            raise ValueError(f"Trainer: two metrics are named {metric!r}; give one another name=")
    return made


def list_of(name: str, values: Any) -> list[Any]:
    """Several of something as a list."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"Trainer: {name} must be a list, got {values!r}")
    return list(values)


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"Trainer: {name} must be True or False, got {value!r}")
    return bool(value)
