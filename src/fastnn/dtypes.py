"""Element types: the six that a tensor may have, and what may be asked for in their place."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["DType", "as_dtype", "bool_", "float32", "float64", "int32", "int64", "uint8"]


class DType:
    """An element type. Compares equal to its name and to numpy's type: ``float32 == "float32"``."""

    __slots__ = ("code", "is_float", "itemsize", "name", "numpy")

    def __init__(self, code: int, name: str, is_float: bool) -> None:
        self.code = code  # its number in csrc/fastnn.h
        self.name = name
        self.is_float = is_float
        self.numpy = np.dtype(name)
        self.itemsize = self.numpy.itemsize

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other is None or isinstance(other, DType):
            return False
        if isinstance(other, str):
            return other == self.name
        try:
            return self.numpy == np.dtype(other)  # type: ignore[call-overload]
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (as_dtype, (self.name,))


float32 = DType(0, "float32", True)
float64 = DType(1, "float64", True)
int64 = DType(2, "int64", False)
int32 = DType(3, "int32", False)
uint8 = DType(4, "uint8", False)
bool_ = DType(5, "bool", False)

BY_CODE = (float32, float64, int64, int32, uint8, bool_)
_BY_NAME: dict[Any, DType] = {d.name: d for d in BY_CODE}
_BY_NAME |= {"bool_": bool_, float: float64, int: int64, bool: bool_}


def as_dtype(dtype: Any) -> DType:
    """The `DType` meant by a DType, a name, a numpy dtype or a Python type.

    Raises
    ------
    TypeError
        For a type that tensors do not have.

    Examples
    --------
    >>> as_dtype("float64").itemsize
    8
    """
    if isinstance(dtype, DType):
        return dtype
    try:
        found = _BY_NAME.get(dtype)
    except TypeError:  # unhashable
        found = None
    if found is None:
        try:
            found = _BY_NAME.get(np.dtype(dtype).name)
        except TypeError:
            pass
    if found is None:
        names = ", ".join(d.name for d in BY_CODE)
        raise TypeError(f"dtype {dtype!r} is not one that tensors have; choose from {names}")
    return found
