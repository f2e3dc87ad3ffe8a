"""Arguments and results of compiled functions: nests of tuples, lists and dicts with tensors in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._core import memory_order
from ..tensor import Tensor, as_tensor, empty_like

__all__ = ["buffer_like", "detached", "key_of", "leaf", "mapped", "objects_in"]


def key_of(value: Any, tensors: list[Tensor]) -> Any:
    """What a recording depends on; the tensors within are added to the list."""
    if isinstance(value, (Tensor, np.ndarray)):
        tensor = as_tensor(value)
        tensors.append(tensor)
        return (tensor.shape, tensor.code, tensor._requires_grad, memory_order(tensor))
    if isinstance(value, (tuple, list)):
        return (type(value), *(key_of(v, tensors) for v in value))
    if isinstance(value, dict):
        return (dict, *((k, key_of(v, tensors)) for k, v in value.items()))
    if isinstance(value, float):
        return (float, value.hex())  # NaN is itself, and 0.0 is not -0.0
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"compile: an argument of type {type(value).__name__} is neither a tensor nor hashable, so that "
            "another value of it could not be told; pass its tensors, or use it from outside the function"
        ) from None
    return (type(value), value)


def objects_in(value: Any) -> Iterator[Any]:
    """The objects with attributes among arguments, as the instance whose method is called."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from objects_in(item)
    elif isinstance(value, dict):
        yield from objects_in(list(value.values()))
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        yield value


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """A nest of tuples, lists and dicts with each tensor and array in it replaced."""
    if isinstance(value, (Tensor, np.ndarray)):
        return function(value)
    if isinstance(value, (tuple, list)):
        items = [mapped(v, function) for v in value]
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    if isinstance(value, dict):
        return {k: mapped(v, function) for k, v in value.items()}
    return value


def buffer_like(value: Tensor) -> Tensor:
    """Where arguments like this one are copied to."""
    made = empty_like(value)
    made._requires_grad = value._requires_grad
    return made


def leaf(value: Tensor) -> Tensor:
    """A view that is cut off from the graph, and requires a gradient as the tensor does."""
    made = value.detach()
    made._requires_grad = value._requires_grad
    return made


def detached(value: Any) -> Any:
    """Without the history, which would keep every intermediate of the recording alive.

    A tensor of our own, so that memory which only the results hold can be told from what the function kept.
    """
    return value.detach() if isinstance(value, Tensor) else value
