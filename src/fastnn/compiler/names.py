"""Names for the memory that a program touches: of parameters, gradients, optimizer state, arguments."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..dtypes import BY_CODE
from .layers import prefixes_of
from .program import Buffer, Program, View, addresses

__all__ = ["Names"]

# What only an op tells of its arrays, by their places.
_BY_OP = {
    "random_reserve": {0: "random_state"},
    "ema": {0: "EMA.average", 2: "EMA.options"},
}
_PREFIX = {
    "temporary": "t",
    "input": "input",
    "constant": "constant",
    "prologue": "once",
    "kept": "kept",
    "yours": "yours",
}


class _Range(NamedTuple):
    """Addresses that have a name."""

    low: int
    high: int
    name: str


class Names:
    """What the views of a program are called.

    Parameters
    ----------
    program : Program
    results : sequence of Array
        What the recorded function returned.
    things : iterable
        Modules and optimizers that it used.
    """

    def __init__(
        self, program: Program, results: Sequence[_core.Array] = (), things: Iterable[Any] = ()
    ) -> None:
        found: dict[tuple[int, int], _Range] = {}
        for name, array in [*_results(results), *_known(list(things))]:
            low = array._pointer
            if array.nbytes:
                found.setdefault((low, low + array.nbytes), _Range(low, low + array.nbytes, name))
        self._ranges = sorted(found.values())
        self._numbers: dict[int, str] = {}
        counts: dict[str, int] = {}
        for buffer in program.buffers():
            prefix = _PREFIX[buffer.kind]
            self._numbers[id(buffer)] = f"{prefix}{counts.get(prefix, 0)}"
            counts[prefix] = counts.get(prefix, 0) + 1
        for call in program.calls:
            for place, name in _BY_OP.get(call.name, {}).items():
                view = call.views[place]
                if view is not None and view.array is not None:
                    self._numbers[id(view.buffer)] = name

    def buffer(self, buffer: Buffer) -> str:
        """A number and what it is for: t0, input1, ..."""
        return self._numbers[id(buffer)]

    def view(self, view: View) -> str:
        """Name and shape of a view: ``0.weight.T[9x5]``; a constant of one number is that number."""
        number = _number(view) if view.buffer.kind == "constant" else None
        if number is not None and view.elements == 1:
            return number
        name = number or self._fixed(view) or self._numbers[id(view.buffer)]
        shape = "x".join(map(str, view.shape)) or "1"
        dtype = BY_CODE[view.code].name
        return f"{name}{_layout(view)}[{shape}{'' if dtype == 'float32' else ' ' + dtype}]"

    def _fixed(self, view: View) -> str | None:
        """By the named memory that a view with an address covers."""
        if view.array is None:
            return None
        low, high = addresses(view)
        first = max(bisect_right(self._ranges, low, key=lambda r: r.low) - 1, 0)
        inside = [r for r in self._ranges[first:] if r.low < high and low < r.high]
        if not inside:
            return None
        if len(inside) > 1:
            return f"{inside[0].name}..{inside[-1].name}"
        return inside[0].name if low == inside[0].low else f"{inside[0].name}[...]"


def _number(view: View) -> str | None:
    if view.array is None or (view.elements != 1 and any(view.strides)) or not view.elements:
        return None
    one = _core.view(_core.Array, view.array, (1,), (1,))
    value = np.asarray(memoryview(one))[0].item()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _layout(view: View) -> str:
    """How a view goes through its memory, where that is not straight on."""
    if view.contiguous:
        return ""
    if 0 in [s for n, s in zip(view.shape, view.strides, strict=True) if n > 1]:
        return " repeated"
    turned = View(view.buffer, 0, view.shape[::-1], view.strides[::-1], view.code)
    if turned.contiguous:
        return ".T"
    order = sorted(range(len(view.shape)), key=lambda axis: -view.strides[axis])
    lies = [tuple(values[axis] for axis in order) for values in (view.shape, view.strides)]
    dense = View(view.buffer, 0, lies[0], lies[1], view.code).contiguous
    return " permuted" if dense else " strided"


def _results(results: Sequence[_core.Array]) -> list[tuple[str, _core.Array]]:
    one = len(results) == 1
    return [("result" if one else f"result{i}", array) for i, array in enumerate(results)]


def _known(things: list[Any]) -> list[tuple[str, _core.Array]]:
    """Parameters, buffers and gradients of the outermost modules, and what optimizers keep."""
    found: list[tuple[str, _core.Array]] = []
    modules = [thing for thing in things if hasattr(thing, "named_parameters")]
    inner = {id(m) for module in modules for m in module.modules() if m is not module}
    outer = {id(module): module for module in modules if id(module) not in inner}
    for key, prefix in prefixes_of(outer).items():
        for name, tensor in [*outer[key].named_parameters(), *outer[key].named_buffers()]:
            path = f"{prefix}.{name}" if prefix else name
            found.append((path, tensor))
            gradient = tensor._grad_view if tensor._grad_view is not None else tensor.grad
            if gradient is not None:
                found.append((f"{path}.grad", gradient))
    for thing in things:
        if hasattr(thing, "param_groups"):
            found += _states(thing)
    return found


def _states(optimizer: Any) -> list[tuple[str, _core.Array]]:
    cls, found = type(optimizer).__name__, []
    groups = optimizer.param_groups
    for name in ("squares", "norm", "scale"):
        array = getattr(optimizer, f"_{name}", None)
        if array is not None:
            found.append((f"{cls}.{name}", array))
    for g, group in enumerate(groups):
        path = cls if len(groups) == 1 else f"{cls}[{g}]"
        found.append((f"{path}.options", group.hyper))
        for k, arrays in enumerate(group.states):
            part = "" if len(group.states) == 1 else f"[{k}]"
            found += [(f"{path}.{name}{part}", array) for name, array in arrays.items()]
    return found
