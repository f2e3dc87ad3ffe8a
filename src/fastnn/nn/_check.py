"""Checks of layer arguments, with errors that name the layer and the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any


def whole(layer: str, name: str, value: Any) -> int:
    """`value` as an int."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{layer}: {name} must be a whole number, not {value!r}") from None


def positive(layer: str, name: str, value: Any, zero: bool = False) -> int:
    """`value` as an int above zero (or, with `zero`, not below)."""
    number = whole(layer, name, value)
    if number < (0 if zero else 1):
        raise ValueError(
            f"{layer}: {name} must be {'0 or more' if zero else '1 or more'}, not {number}"
        )
    return number


def real(
    layer: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> float:
    """`value` as a finite float in [low, high]."""
    try:
        number = float(value)
        if isinstance(value, str):
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"{layer}: {name} must be a number, not {value!r}") from None
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{layer}: {name} must be between {low:g} and {high:g}, not {number:g}")
    return number


def initializer(layer: str, name: str, value: Any) -> Any:
    """`value`, which is None or a function that fills a tensor."""
    if value is not None and not callable(value):
        raise TypeError(
            f"{layer}: {name} must be a function such as initializers.he_normal, not {value!r}"
        )
    return value


def shape_of(layer: str, name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """A shape given as a number or a sequence of numbers."""
    items = (value,) if not isinstance(value, Sequence) else value
    if not items:
        raise ValueError(f"{layer}: {name} must have at least one axis")
    return tuple(positive(layer, name, item) for item in items)
