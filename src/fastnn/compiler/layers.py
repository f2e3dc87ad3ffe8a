"""From the scopes that calls were recorded in to the names of layers that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..scope import BACKWARD

__all__ = ["layer_names", "prefixes_of"]

Scope = tuple[Any, ...]  # from the outermost inwards: modules and names


def layer_names(scopes: Sequence[Scope]) -> list[str]:
    """A name for each scope.

    A module goes by its attribute name in the outermost module that was called and its class ("encoder.2
    Linear"), the outermost by its class, any other scope by its own name, and gradients by the name of what
    they are the gradients of and " backward". Where several models were called, their names come first.
    """
    models = _models(scopes)
    paths = {key: {id(m): path for path, m in _modules(model)} for key, model in models.items()}
    prefixes = prefixes_of(models)
    known: dict[tuple[Any, ...], str] = {}
    names = []
    for scope in scopes:
        key = tuple([part if isinstance(part, str) else id(part) for part in scope])
        if key not in known:
            known[key] = _name(scope, paths, prefixes)
        names.append(known[key])
    return names


def _models(scopes: Sequence[Scope]) -> dict[int, Any]:
    """The outermost modules, by their ids."""
    found: dict[int, Any] = {}
    for scope in scopes:
        for part in scope:
            if not isinstance(part, str):
                found.setdefault(id(part), part)
                break
    return found


def _modules(model: Any) -> list[tuple[str, Any]]:
    return list(model.named_modules()) if hasattr(model, "named_modules") else [("", model)]


def prefixes_of(models: dict[int, Any]) -> dict[int, str]:
    """What the names of a model's layers begin with: nothing where it is the only one, else its class, and
    its number where several are of one class.
    """
    if len(models) < 2:
        return dict.fromkeys(models, "")
    classes = [type(model).__name__ for model in models.values()]
    counts: dict[str, int] = {}
    prefixes = {}
    for key, name in zip(models, classes, strict=True):
        counts[name] = counts.get(name, 0) + 1
        prefixes[key] = f"{name}{counts[name]}" if classes.count(name) > 1 else name
    return prefixes


def _name(scope: Scope, paths: dict[int, dict[int, str]], prefixes: dict[int, str]) -> str:
    gradient = f" {BACKWARD}" if BACKWARD in scope else ""
    parts = [part for part in scope if part != BACKWARD]
    if not parts:
        return gradient.strip()
    inner = parts[-1]
    if isinstance(inner, str):
        return inner + gradient
    model = next(part for part in parts if not isinstance(part, str))
    inside, prefix, cls = paths[id(model)], prefixes[id(model)], type(inner).__name__
    if inner is model:
        return (prefix or cls) + gradient
    # One that is not inside the model that called it goes by its class.
    path = ".".join(filter(None, (prefix, inside.get(id(inner), ""))))
    return (f"{path} {cls}" if path else cls) + gradient
