"""Numbers and columns for people to read."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["format_table", "microseconds", "percent"]

WIDEST = 64  # characters of a column of text


def microseconds(seconds: float) -> str:
    """Three digits of them.

    Examples
    --------
    >>> microseconds(1.234e-6), microseconds(12.34e-6), microseconds(0.1234)
    ('1.23', '12.3', '123,400')
    """
    us = 1e6 * seconds
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def percent(share: float) -> str:
    """Of a hundred; below one with a digit behind the point.

    Examples
    --------
    >>> percent(0.421), percent(0.0042), percent(0.0)
    ('42 %', '0.4 %', '0 %')
    """
    number = 100 * share
    return f"{number:.1f} %" if 0 < number < 0.95 else f"{number:.0f} %"


def _numeric(text: str) -> bool:
    """Whether it is a number, perhaps with a unit."""
    return re.fullmatch(r"[\d,.]+( ([%kMGT]|[KMG]?i?B)?)?", text) is not None


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns as wide as what is in them; numbers to the right, text to the left."""
    shown = [[_shortened(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    right = [any(_numeric(row[i]) for row in shown) for i in range(len(widths))]
    lines = []
    for row in shown:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _shortened(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."
