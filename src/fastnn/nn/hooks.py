"""Forward hooks: how they are run, and the handle that takes one away again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from .._core import note_change

if TYPE_CHECKING:
    from .module import Module

_numbers = itertools.count()


class HookHandle:
    """A registered hook: `remove()` it, or use it as a context manager, which removes it."""

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        if not callable(hook):
            raise TypeError(f"a hook must be callable, not {type(hook).__name__}")
        self._hooks = hooks
        self._number = next(_numbers)
        hooks[self._number] = hook
        note_change()

    def remove(self) -> None:
        """Take the hook away; doing so twice is no error."""
        if self._hooks.pop(self._number, None) is not None:
            note_change()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Forward between its hooks; what a hook returns, unless None, goes on from there."""
    for hook in tuple(module._forward_pre_hooks.values()):
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    output = module.forward(*args, **kwargs)
    for hook in tuple(module._forward_hooks.values()):
        changed = hook(module, args, output)
        if changed is not None:
            output = changed
    return output
