"""Where in a model an error arose: a note under it, `in 2.body.0 (Linear) of Sequential`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module


def note_place(error: Exception, module: Module) -> None:
    """Say in the exception's note that it came out of `module`; called from the inside outwards."""
    trail: list[Module] = error.__dict__.setdefault("_modules", [])
    before = _note(trail)
    trail.append(module)
    notes = [note for note in getattr(error, "__notes__", []) if note != before]
    error.__notes__ = [*notes, _note(trail)]


def _note(trail: list[Module]) -> str:
    """The note on a way from the module that failed, the first, out to the last."""
    if not trail:
        return ""
    names = []
    for inner, outer in pairwise(trail):
        # One that is not inside the module that called it goes by its class.
        found = (name for name, child in outer.named_modules() if child is inner)
        names.append(next(found, type(inner).__name__))
    first, last = type(trail[0]).__name__, type(trail[-1]).__name__
    return f"in {'.'.join(reversed(names))} ({first}) of {last}" if names else f"in {first}"
