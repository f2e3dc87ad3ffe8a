"""Numbers and sizes as a person writes and reads them, and checks of those that are given."""

from __future__ import annotations

import math
import operator
import re
from typing import Any

__all__ = ["duration", "parse_size", "quantity", "size", "whole"]

_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def quantity(number: float) -> str:
    """A number in thousands, millions, ...: `1.57 M`; ends in a blank where it has no letter.

    Examples
    --------
    >>> quantity(1_572_864)
    '1.57 M'
    """
    for letter in ("", "k", "M", "G", "T"):
        if number < 999.5 or letter == "T":
            return f"{number:.3g} {letter}"
        number /= 1000
    raise AssertionError


def size(count: float) -> str:
    """Bytes, in binary units: `2.6 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def parse_size(name: str, value: Any) -> int:
    """A count of bytes from a number or a text such as ``"512 MB"`` (10^6) or ``"0.5 GiB"`` (2^30).

    Parameters
    ----------
    name : str
        What it is for, in errors.

    Examples
    --------
    >>> parse_size("limit", "1.5 MB"), parse_size("limit", 4096)
    (1500000, 4096)
    """
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", value)
        if found is None or found[2].lower() not in _UNITS:
            raise ValueError(f'{name}: {value!r} is no size; write bytes, or "512 MB", "2 GiB"')
        return int(float(found[1]) * _UNITS[found[2].lower()])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f'{name} must be bytes or a text such as "512 MB", not {value!r}')
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of bytes from 0 on, got {value}")
    return int(value)


def whole(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`, or an error that names it.

    Examples
    --------
    >>> whole("epochs", 3, 1)
    3
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be a whole number") from None
    if number < least:
        raise ValueError(f"{name} is {number}; it must be at least {least}")
    return number


def duration(name: str, value: Any) -> float:
    """`value` as seconds, or an error that names it.

    Examples
    --------
    >>> duration("seconds", 2)
    2.0
    """
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; it must be a number of seconds")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}; it must be a finite number of seconds from 0 on")
    return float(value)
