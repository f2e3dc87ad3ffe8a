"""Reading a module's state as a dictionary, and loading one, in PyTorch's names and order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autograd import no_grad
from ..tensor import Tensor
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


class LoadResult(NamedTuple):
    """What `load_state_dict(strict=False)` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def named_tensors(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Parameters and saved buffers in PyTorch's order: own ones first, then child by child.

    A shared one comes under each of its names, so that a state also loads into a model that shares
    nothing.
    """
    for name, value in tuple(module.__dict__.items()):
        if isinstance(value, Parameter):
            yield prefix + name, value
    for name, persistent in module._buffer_names.items():
        value = module.__dict__.get(name)
        if persistent and value is not None:
            yield prefix + name, value
    for name, value in tuple(module.__dict__.items()):
        # A Module; importing it here would be a circle. Not what passes on to one, as `predict` keeps.
        if "_buffer_names" in getattr(value, "__dict__", ()):
            yield from named_tensors(value, f"{prefix}{name}.")


def read_state(module: Module, prefix: str, copy: bool) -> dict[str, Tensor]:
    """The state by name, copied or sharing memory."""
    state = {}
    for name, value in named_tensors(module, prefix):
        state[name] = value.detach().clone() if copy else value.detach()
    return state


def load_state(module: Module, state: Mapping[str, Any], strict: bool) -> LoadResult:
    """Check all of `state` against the module, then copy it in."""
    cls = type(module).__name__
    if not isinstance(state, Mapping):
        raise TypeError(
            f"{cls}.load_state_dict takes a dictionary of arrays, not {type(state).__name__}"
        )
    targets = dict(named_tensors(module))
    missing = [name for name in targets if name not in state]
    unexpected = [name for name in state if name not in targets]
    wrong, arrays = [], {}
    for name, target in targets.items():
        if name in state:
            array = _as_array(state[name])
            if array.shape != target.shape:
                wrong.append(f"{name}: the state has {array.shape}, the model {target.shape}")
            elif not np.can_cast(array.dtype, target.dtype.name, "same_kind"):
                wrong.append(f"{name}: the state has {array.dtype}, the model {target.dtype.name}")
            arrays[name] = array
    problems = []
    if strict:
        problems += [f"missing: {name} {targets[name].shape}" for name in missing]
        problems += [
            f"unexpected: {name} {np.shape(_as_array(state[name]))}" for name in unexpected
        ]
    problems += [f"does not fit: {line}" for line in wrong]
    if problems:
        hint = "" if wrong else "\n(strict=False passes over missing and unexpected names)"
        raise ValueError(
            f"{cls}.load_state_dict: the state is another model's\n  "
            + "\n  ".join(problems)
            + hint
        )
    with no_grad():
        for name, array in arrays.items():
            targets[name].copy_(Tensor(array, targets[name].dtype))
    return LoadResult(missing, unexpected)


def _as_array(value: Any) -> np.ndarray:
    """Any array as numpy's; what carries a gradient graph (ours, PyTorch's) without it."""
    detach = getattr(value, "detach", None)
    return np.asarray(detach() if callable(detach) else value)
