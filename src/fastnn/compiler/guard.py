"""What a recording depends on besides its calls.

A replay repeats calls on memory. What the function read in Python while it was recorded (a layer's dropout
probability, which tensors require gradients, whether a parameter had a gradient yet) is part of the
recording, and is compared before it is used again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core

__all__ = ["Guard"]

_PLAIN = (int, float, bool, str, bytes, type(None))
_INTERNAL = {"_buffer_names", "_changed_at", "_flat", "_forward_hooks", "_forward_pre_hooks"}


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
        self._objects: list[tuple[Any, Any, dict[str, Any]]] = []
        self._kept = []  # so that what is told apart by its id stays that
        self._stored: set[tuple[int, str]] = set()  # objects and attributes that became tensors
        for thing, before in used.values():
            changed = {k for k, v in vars(thing).items() if k not in before or before[k] is not v}
            for name in changed:
                self._store(thing, name, before.get(name), read)
            if hasattr(thing, "forward"):
                vars(thing)["_changed_at"] = ""  # from now on it notes where
            self._kept.append(dict(vars(thing)))
            options = {k: v for k, v in _options(thing).items() if k not in changed}
            self._objects.append((thing, _structure(thing, self._names(thing)), options))

    def _names(self, thing: Any) -> set[str]:
        return {name for owner, name in self._stored if owner == id(thing)}

    def _store(self, thing: Any, name: str, before: Any, read: set[int]) -> None:
        """An attribute became another object while the function ran: a tensor that was kept, or state."""
        value = vars(thing)[name]
        if not isinstance(value, _core.Array):
            return
        if isinstance(before, _core.Array) and id(_core.memory_of(before)[0]) in read:
            raise _core.RecordingError(
                f"{_core.user_line()}: {type(thing).__name__}.{name} was read and then became another tensor "
                f"while the function was recorded; a replay would read the old one each time. Write into "
                f"it: .{name}.copy_(...)"
            )
        self._stored.add((id(thing), name))
        self.attributes.store(vars(thing), name, value)

    def difference(self) -> str:
        """What is other than when it was recorded, "" for nothing.

        Raises
        ------
        RecordingError
            If a module has other layers, parameters or hooks since.
        """
        for thing, structure, options in self._objects:
            if _structure(thing, self._names(thing)) != structure:
                where = vars(thing).get("_changed_at") or _core.user_line()
                raise _core.RecordingError(
                    f"{where}: a {type(thing).__name__} has other layers, parameters or hooks than when "
                    "it was recorded; call reset() on the compiled function to record it anew"
                )
            now = _options(thing)
            for name, value in options.items():
                if now.get(name, _ABSENT) != value:
                    return f"{type(thing).__name__}.{name}"
        return "" if self.attributes.same_flags() else "requires_grad of a tensor"


_ABSENT = object()


def _structure(thing: Any, without: set[str]) -> tuple[Any, ...]:
    """Identities of a module's own layers, tensors and hooks."""
    if not hasattr(thing, "forward"):
        return ()
    found: list[Any] = [
        (name, id(value))
        for name, value in vars(thing).items()
        if (isinstance(value, _core.Array) or hasattr(value, "forward")) and name not in without
    ]
    for hooks in ("_forward_pre_hooks", "_forward_hooks"):
        found.append(tuple(vars(thing).get(hooks, ())))
    return tuple(found)


def _options(thing: Any) -> dict[str, Any]:
    """What else a replay depends on, by name: numbers and strings by value, other objects by identity."""
    own: Callable[[], dict[str, Any]] | None = getattr(thing, "_recorded_options", None)
    if own is not None:
        return own()
    return {
        name: _comparable(value)
        for name, value in vars(thing).items()
        if name not in _INTERNAL
        and not isinstance(value, _core.Array)
        and not hasattr(value, "forward")
    }


def _comparable(value: Any) -> Any:
    if type(value) in _PLAIN:
        return (type(value), repr(value))  # NaN is itself, and 0.0 is not -0.0
    if type(value) in (tuple, list):
        return (type(value), *map(_comparable, value))
    return id(value)
