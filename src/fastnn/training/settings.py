"""What a recorded step has built in: where any of it changes, the step is recorded anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import _core
from ..tensor import Tensor

__all__ = ["Settings", "foreign_hook", "model_settings", "training_settings"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


class Settings:
    """Values and objects, in order. Two are equal if the values are and the objects are the same ones.

    The objects are held, so that none of them can be replaced by another at the same address.
    """

    def __init__(self) -> None:
        self._values: list[Any] = [_core.move_count()]
        self._objects: list[Any] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def add(self, value: Any) -> None:
        """A plain value, a nest of them, or an object."""
        if isinstance(value, _PLAIN):
            self._values.append((type(value), value))
        elif isinstance(value, dict):
            self._values.append(len(value))
            for key, item in value.items():
                self.add(key)
                self.add(item)
        elif isinstance(value, (tuple, list)):
            self._values.append(len(value))
            for item in value:
                self.add(item)
        else:
            self._values.append(id(value))
            self._objects.append(value)
            if isinstance(value, Tensor):
                self._values.append(value.requires_grad)

    def add_plain(self, thing: Any) -> None:
        """The object, and those of its attributes that are plain values."""
        self.add(thing)
        for name, value in getattr(thing, "__dict__", {}).items():
            if isinstance(value, (*_PLAIN, tuple)):
                self.add(name)
                self.add(value)


def model_settings(model: Any, loss: Any) -> Settings:
    """Of the forward pass and the loss."""
    found = Settings()
    for module in model.modules() if hasattr(model, "modules") else ():
        found.add(module)
        found.add(vars(module))
    found.add_plain(loss)
    return found


def training_settings(
    model: Any, loss: Any, regularizers: Iterable[Any], optimizer: Any
) -> Settings:
    """Of the whole step. What an optimizer reads from memory at each step (its rate, say) is none of it."""
    found = model_settings(model, loss)
    for regularizer in regularizers:
        found.add_plain(regularizer)
    found.add_plain(optimizer)
    for group in optimizer.param_groups:
        live = getattr(group, "fields", ())
        found.add({name: value for name, value in group.items() if name not in live})
        found.add(getattr(group, "states", None))
        for name in getattr(optimizer, "_states", ()):  # momentum=0 needs no memory, for one
            found.add(optimizer._uses(name, group))
    return found


def foreign_hook(model: Any) -> str | None:
    """The name of a layer with a hook that is not this package's, which wants to run at every step."""
    package = __name__.partition(".")[0] + "."
    for name, module in model.named_modules() if hasattr(model, "named_modules") else ():
        for hooks in ("_forward_hooks", "_forward_pre_hooks"):
            for hook in getattr(module, hooks, {}).values():
                if not str(getattr(hook, "__module__", "")).startswith(package):
                    return name or type(module).__name__
    return None
