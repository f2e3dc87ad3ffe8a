"""The safetensors file format: named arrays, no code, nothing to unpickle.

A file is `N` (uint64, little-endian), `N` bytes of JSON and the arrays' bytes, one after another:
`{"__metadata__": {str: str}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}`.
Format: https://github.com/huggingface/safetensors#format. What is written here is byte for byte
what the `safetensors` package writes; what is read is checked before a single byte is allocated
for it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .atomic import atomic_write

if TYPE_CHECKING:
    from ..nn import Module
    from ..tensor import Tensor

__all__ = ["load", "load_metadata", "read_arrays", "save", "write_arrays"]

# The order in which the reference implementation writes: widest first, so that all stay aligned.
_WRITTEN = {
    "int64": "I64", "float64": "F64", "float32": "F32", "int32": "I32", "uint8": "U8",
    "bool": "BOOL",
}  # fmt: skip
# name in the file -> (bytes as stored, dtype given to the user); narrow types are widened exactly
_READ: dict[str, tuple[str, str]] = {
    "F64": ("<f8", "float64"), "F32": ("<f4", "float32"), "F16": ("<f2", "float32"),
    "BF16": ("<u2", "float32"), "I64": ("<i8", "int64"), "U32": ("<u4", "int64"),
    "I32": ("<i4", "int32"), "I16": ("<i2", "int32"), "U16": ("<u2", "int32"),
    "I8": ("i1", "int32"), "U8": ("u1", "uint8"), "BOOL": ("u1", "bool"),
}  # fmt: skip
_MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_MAX_NDIM = 8


def save(
    path: str | os.PathLike[str],
    model: Module | Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model's weights, or any dict of named tensors, to a safetensors file.

    The file appears at once and complete: a crash or a full disk while saving leaves the old one as
    it was.

    Parameters
    ----------
    path : str or path
        The file to create or replace.
    model : Module or mapping of str to Tensor or ndarray
        What has a `state_dict()`, or a dict of float32, float64, int64, int32, uint8 or bool
        arrays.
    metadata : mapping of str to str, optional
        Notes to keep in the file, see `load_metadata`.

    Raises
    ------
    TypeError
        A name, a value or a dtype that the file cannot hold.
    OSError
        The file could not be written.

    Examples
    --------
    >>> import fastnn, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> fastnn.save(path, {"w": fastnn.ones((2, 3))}, metadata={"task": "digits"})
    >>> fastnn.load(path)["w"].shape
    (2, 3)
    """
    state = model.state_dict() if hasattr(model, "state_dict") else model
    if not isinstance(state, Mapping):
        raise TypeError(f"save: wants a model or a dict of tensors, not {type(model).__name__}")
    write_arrays(path, {name: _as_array(name, value) for name, value in state.items()}, metadata)


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a safetensors file into a dict of tensors, ready for `model.load_state_dict`.

    float16 and bfloat16 become float32; int8, int16, uint16 become int32 and uint32 becomes int64
    (all without loss).

    Raises
    ------
    ValueError
        The file is truncated, damaged or not a safetensors file, or has a dtype that fastnn lacks.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import fastnn, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> fastnn.save(path, {"bias": fastnn.zeros(4)})
    >>> sorted(fastnn.load(path))
    ['bias']
    """
    from ..tensor import as_tensor

    return {name: as_tensor(array) for name, array in read_arrays(path)[0].items()}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read only the notes that were given to `save` as `metadata`; same errors as `load`.

    Examples
    --------
    >>> import fastnn, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> fastnn.save(path, {}, metadata={"epoch": "3"})
    >>> load_metadata(path)
    {'epoch': '3'}
    """
    with open(path, "rb") as file:
        return _read_header(file, os.fspath(path))[1]


def write_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write numpy arrays as a safetensors file, atomically. Errors as in `save`."""
    header: dict[str, Any] = {}
    if metadata:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"save: metadata maps str to str, got {key!r}: {value!r}")
        header["__metadata__"] = dict(metadata)
    rank = {name: place for place, name in enumerate(_WRITTEN)}
    for name, array in arrays.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise TypeError(f"save: {name!r} cannot be the name of a tensor")
        if array.dtype.name not in rank:
            raise TypeError(
                f"save: {name!r} is {array.dtype}; the file can hold {', '.join(_WRITTEN)}"
            )
    # Code points sort as UTF-8 bytes do, which is the reference implementation's order.
    order = sorted(arrays, key=lambda name: (rank[arrays[name].dtype.name], name))
    offset = 0
    for name in order:
        array, start, offset = arrays[name], offset, offset + arrays[name].nbytes
        header[name] = {
            "dtype": _WRITTEN[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, offset],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"))
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TypeError(f"save: a name is not valid Unicode: {error}") from None
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > _MAX_HEADER:
        raise ValueError(f"save: names and metadata take {len(encoded)} bytes, over {_MAX_HEADER}")
    with atomic_write(path) as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for name in order:
            array = arrays[name]
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            file.write(little.reshape(-1).view(np.uint8).data)


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file: (arrays by name, metadata). Errors as in `load`."""
    shown = os.fspath(path)
    with open(path, "rb") as file:
        entries, metadata, data_start = _read_header(file, shown)
        arrays = {}
        for name, (kind, shape, start, end) in entries.items():
            stored, wanted = _READ[kind]
            array = np.empty(shape, dtype=stored)
            file.seek(data_start + start)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != end - start:
                raise ValueError(f"{shown}: the file became shorter while it was read, at {name!r}")
            arrays[name] = _widen(array, kind, wanted, f"{shown}: {name!r}")
    return arrays, metadata


def _as_array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "numpy"):
        value = value.numpy()
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(
            f"save: {name!r} is a {type(value).__name__}, not a tensor or a numpy array"
        )
    return np.asarray(value)


def _widen(array: np.ndarray, kind: str, wanted: str, where: str) -> np.ndarray:
    """The stored array as the dtype that fastnn works with."""
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    if kind == "BOOL" and array.size and array.max() > 1:
        raise ValueError(f"{where} is BOOL but holds a byte that is neither 0 nor 1")
    return array.view(bool) if kind == "BOOL" else array.astype(wanted, copy=False)


_Entry = tuple[str, tuple[int, ...], int, int]  # dtype name, shape, first byte, byte after the last


def _read_header(file: BinaryIO, shown: str) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """Check the header against the file's true size: (entries, metadata, where the data starts)."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    if len(prefix) < 8:
        raise ValueError(
            f"{shown}: not a safetensors file: {size} bytes, shorter than its first field"
        )
    length = int.from_bytes(prefix, "little")
    if length > _MAX_HEADER or length > size - 8:
        raise ValueError(
            f"{shown}: not a safetensors file, or truncated: it claims a header of {length} bytes, "
            f"and has {size - 8} (at most {_MAX_HEADER} are taken)"
        )
    header = _parse(file.read(length), shown)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{shown}: bad header: __metadata__ does not map text to text")
    entries = {name: _check_entry(name, entry, shown) for name, entry in header.items()}
    entries = dict(sorted(entries.items(), key=lambda item: item[1][2:]))
    position = 0
    for name, (_, _, start, end) in entries.items():
        if start != position:
            what = "overlaps the tensor before it" if start < position else "leaves a gap before it"
            raise ValueError(
                f"{shown}: bad header: {name!r} begins at byte {start}, which {what} "
                f"(expected {position})"
            )
        position = end
    if position != size - 8 - length:
        raise ValueError(
            f"{shown}: truncated or damaged: the header describes {position} bytes of tensors, "
            f"the file has {size - 8 - length}"
        )
    return entries, metadata, 8 + length


def _parse(text: bytes, shown: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("the same name twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    if text[:1] != b"{":
        raise ValueError(f"{shown}: not a safetensors file: its header does not begin with '{{'")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise ValueError(f"{shown}: bad header: nested too deeply") from None
    except ValueError as error:  # also malformed JSON and bytes that are not UTF-8
        raise ValueError(f"{shown}: bad header: {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{shown}: bad header: not a JSON object")
    return header


def _check_entry(name: str, entry: Any, shown: str) -> _Entry:
    where = f"{shown}: bad header: {name!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where} needs exactly dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _READ:
        raise ValueError(f"{where} has dtype {kind!s:.40}; known are {', '.join(_READ)}")
    if not _whole_numbers(shape) or len(shape) > _MAX_NDIM:
        raise ValueError(
            f"{where} has shape {shape!s:.80}; wanted at most {_MAX_NDIM} whole numbers "
            "from 0 to 2^63-1"
        )
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{where} has data_offsets {offsets!s:.80}; wanted [first, end]")
    claimed = math.prod(shape) * np.dtype(_READ[kind][0]).itemsize
    if claimed != offsets[1] - offsets[0]:
        raise ValueError(
            f"{where} takes {claimed} bytes by its shape {shape} and dtype {kind}, "
            f"{offsets[1] - offsets[0]} by its data_offsets"
        )
    # numpy refuses a zero-sized array whose other sides multiply beyond its index type.
    if math.prod(n for n in shape if n) * 8 >= 2**63:
        raise ValueError(f"{where} has shape {shape}, too large to address")
    return kind, tuple(shape), offsets[0], offsets[1]


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)
