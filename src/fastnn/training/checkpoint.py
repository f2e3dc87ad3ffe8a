"""Checkpoints: all that a run needs to go on as if it had never stopped, in one safetensors file.

A tree of dicts, lists, numbers, text and tensors is written as the tensors, under names that spell
their way through the tree, and the rest as JSON in the file's metadata. There is no code in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import random
from ..io.safetensors import read_arrays, write_arrays
from ..tensor import Tensor, as_tensor

__all__ = ["load_checkpoint", "read_tree", "save_checkpoint", "write_tree"]

_FORMAT = "fastnn checkpoint 1"


def save_checkpoint(path: str | os.PathLike[str], **parts: Any) -> None:
    """Write the state of everything named, and of the random numbers, to one file, atomically.

    Parameters
    ----------
    path : str or path
        The file to create or replace.
    **parts
        Models, optimizers, schedules and whatever else has a `state_dict()`; or plain values:
        numbers, text, tensors, and dicts and lists of them.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
    >>> model = nn.Linear(2, 1)
    >>> save_checkpoint(path, model=model, epoch=3)
    >>> load_checkpoint(path, model=model)
    {'epoch': 3}
    """
    tree = {name: p.state_dict() if hasattr(p, "state_dict") else p for name, p in parts.items()}
    write_tree(path, {"random": random.get_state(), "parts": tree})


def load_checkpoint(path: str | os.PathLike[str], **parts: Any) -> dict[str, Any]:
    """Read a file of `save_checkpoint` and put back the state of all that is named in it.

    The random numbers go on from where they were, too.

    Parameters
    ----------
    path : str or path
        The file.
    **parts
        What has a `load_state_dict()`, by the names that it was saved under.

    Returns
    -------
    dict
        The parts that were saved and not named here.

    Raises
    ------
    ValueError
        The file is damaged or no checkpoint, or lacks a part.
    """
    tree = read_tree(path)
    if not isinstance(tree, dict) or set(tree) != {"random", "parts"}:
        raise ValueError(
            f"{os.fspath(path)}: a checkpoint of another kind; was it saved by a Trainer?"
        )
    found = tree["parts"]
    missing = [name for name in parts if name not in found]
    if missing:
        raise ValueError(
            f"{os.fspath(path)}: has no {', '.join(missing)}; "
            f"it has {', '.join(found) or 'nothing'}"
        )
    for name, part in parts.items():
        part.load_state_dict(found.pop(name))
    random.set_state(tree["random"])
    return dict(found)


def write_tree(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a tree of plain values and tensors; TypeError names what cannot be written."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_pack(tree, (), arrays))
    write_arrays(path, arrays, {"format": _FORMAT, "tree": text})


def read_tree(path: str | os.PathLike[str]) -> Any:
    """Read what `write_tree` wrote; ValueError if the file is damaged or something else."""
    arrays, metadata = read_arrays(path)
    if metadata.get("format") != _FORMAT or "tree" not in metadata:
        raise ValueError(
            f"{os.fspath(path)}: not a checkpoint of fastnn (a model file has only weights)"
        )
    try:
        return _unpack(json.loads(metadata["tree"]), arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: damaged checkpoint: {error!r}") from None


def _pack(value: Any, way: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    """The JSON of a value, whose tensors go to `arrays`.

    What JSON has no word for is a dict with the one key "$tensor", "$array", "$tuple" or "$dict".
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray | np.generic):
        name = ".".join(way) or "value"
        while name in arrays:  # a key with a dot in it may spell another's way
            name += "'"
        arrays[name] = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        return {"$tensor" if isinstance(value, Tensor) else "$array": name}
    if isinstance(value, list | tuple):
        items = [_pack(item, (*way, str(i)), arrays) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        packed = [(key, _pack(item, (*way, str(key)), arrays)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(packed)
        if all(isinstance(key, str | int) for key in value):
            return {"$dict": packed}
    raise TypeError(f"a checkpoint cannot hold {'.'.join(way)}: a {type(value).__name__}")


def _unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return as_tensor(arrays[value["$tensor"]])
    if "$array" in value:
        return arrays[value["$array"]]
    if "$tuple" in value:
        return tuple(_unpack(item, arrays) for item in value["$tuple"])
    if "$dict" in value:
        return {key: _unpack(item, arrays) for key, item in value["$dict"]}
    return {key: _unpack(item, arrays) for key, item in value.items()}
