"""Numbers and sizes as a person writes and reads them."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parse_size", "quantity", "size"]

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
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return int(value)
