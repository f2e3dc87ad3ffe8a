"""What a recording depends on besides its calls.

A replay repeats calls on memory. What the function read in Python while it was recorded (a layer's dropout
probability, which tensors require gradients, whether a parameter had a gradient yet) is part of the
recording, and is compared before it is used again.
"""

from __future__ import annotations

import dis
import random
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from .. import _core

__all__ = ["Guard", "names_of", "random_states", "warn_of_constants"]

_PLAIN = (int, float, bool, str, bytes, type(None))
_INTERNAL = {
    "_buffer_names", "_changed_at", "_flat", "_forward_hooks", "_forward_pre_hooks", "_predictor",
}  # fmt: skip


def names_of(function: Any) -> list[tuple[Any, str | None, Any]]:
    """What the names of a function's closure and globals mean: (cell, None, value), (globals, name, value).

    Those of modules, functions and classes are left out, which nobody exchanges.
    """
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    found: list[tuple[Any, str | None, Any]] = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # nothing is in it yet
            found.append((cell, None, cell.cell_contents))
    known = function.__globals__
    loaded = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    found += [(known, name, known[name]) for name in sorted(loaded & known.keys())]
    fixed = (ModuleType, FunctionType, BuiltinFunctionType, type, _core.Caller)
    return [item for item in found if not isinstance(item[2], fixed)]


def random_states() -> tuple[Any, ...]:
    """Of Python's and numpy's global generators, if they are there: numpy makes its own at the first use."""
    numpys = sys.modules.get("numpy.random")
    state = () if numpys is None else numpys.get_state()
    return (random.getstate(), *(s.tobytes() if isinstance(s, np.ndarray) else s for s in state))


def warn_of_constants(states: tuple[Any, ...]) -> None:
    """Warn if numbers were drawn from the global generators since they had those states."""
    if random_states() != states:
        warnings.warn(
            f"{_core.user_line()}: random or numpy.random was drawn from while the function was recorded; "
            "its numbers are the same in each replay. Draw from fastnn.random, or pass them as arguments",
            stacklevel=2,
        )


@dataclass(frozen=True)
class _Met:
    """An object that a function used, as it was at its end."""

    thing: Any
    changed: set[str]  # the attributes that the function set: they are not what it depends on
    structure: Any
    options: dict[str, Any]
    kept: tuple[Any, ...]  # so that what is told apart by its id stays that


class Guard:
    """The modules, optimizers and attributes of tensors that a recorded function met.

    Parameters
    ----------
    used : dict
        Of each object that the function used: the object, and its attributes as it met them.
    attributes : _core.Attributes
        The tensors whose gradients it met, closed.
    read : set of int
        The ids of the owners of all memory that its calls read.
    """

    def __init__(
        self,
        used: dict[int, tuple[Any, dict[str, Any]]],
        attributes: _core.Attributes,
        read: set[int],
    ) -> None:
        self.attributes = attributes
        self._met: list[_Met] = []
        for thing, before in used.values():
            now = vars(thing)
            changed = {k for k, v in now.items() if k not in before or before[k] is not v}
            for name in changed:
                if isinstance(now[name], _core.Array):
                    _check_not_state(thing, name, before.get(name), read)
                    attributes.store(now, name, now[name])
            kept = tuple(now.values())
            self._met.append(
                _Met(thing, changed, _structure(thing, changed), _options(thing, changed), kept)
            )

    def things(self) -> list[Any]:
        """The modules, optimizers and others that the function used."""
        return [met.thing for met in self._met]

    def difference(self) -> str:
        """What is other than when it was recorded, "" for nothing.

        Raises
        ------
        RecordingError
            If a module has other layers, parameters or hooks since.
        """
        for met in self._met:
            if _structure(met.thing, met.changed) != met.structure:
                raise _core.RecordingError(
                    f"{_where(met.thing)}: a {type(met.thing).__name__} has other layers, parameters or "
                    "hooks than when it was recorded; call reset() on the compiled function to record it "
                    "anew"
                )
            now = _options(met.thing, met.changed)
            if now != met.options:
                names = [k for k in {**now, **met.options} if now.get(k) != met.options.get(k)]
                return f"{type(met.thing).__name__}.{names[0]}"
        return "" if self.attributes.same_flags() else "requires_grad of a tensor"


def _where(thing: Any) -> str:
    """The line that gave a module another layer or tensor, or that called us."""
    return vars(thing).get("_changed_at") or _core.user_line()


def _check_not_state(thing: Any, name: str, before: Any, read: set[int]) -> None:
    """A tensor that the function kept is right after each replay; one that it also went on from is not."""
    if isinstance(before, _core.Array) and id(_core.memory_of(before)[0]) in read:
        raise _core.RecordingError(
            f"{_where(thing)}: {type(thing).__name__}.{name} was used and then became another tensor while "
            "the function was recorded; a replay would go on from the old one each time. Write into it: "
            f".{name}.copy_(...)"
        )


def _structure(thing: Any, without: set[str]) -> tuple[Any, ...]:
    """Identities of a module's own layers, tensors and hooks."""
    if not hasattr(thing, "forward"):
        return ()
    own = [
        (name, id(value))
        for name, value in vars(thing).items()
        if (isinstance(value, _core.Array) or hasattr(value, "forward")) and name not in without
    ]
    hooks = [
        tuple(vars(thing).get(hooks, ())) for hooks in ("_forward_pre_hooks", "_forward_hooks")
    ]
    return (own, hooks)


def _options(thing: Any, without: set[str]) -> dict[str, Any]:
    """What else a replay depends on, by name: numbers and strings by value, other objects by identity."""
    own: Callable[[], dict[str, Any]] | None = getattr(thing, "_recorded_options", None)
    if own is not None:
        return own()
    structured = hasattr(thing, "forward")
    return {
        name: _comparable(value)
        for name, value in vars(thing).items()
        if name not in _INTERNAL
        and name not in without
        and not (structured and (isinstance(value, _core.Array) or hasattr(value, "forward")))
    }


def _comparable(value: Any) -> Any:
    if type(value) in _PLAIN:
        return (type(value), repr(value))  # NaN is itself, and 0.0 is not -0.0
    if type(value) in (tuple, list):
        return (type(value), *map(_comparable, value))
    return id(value)
