"""What a chain of transforms comes to for images of one kind: the numbers that the C library reads.

See csrc/ops/augment.h: a row a transform, its ranges and probabilities, and which draws of an image it
looks at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...tensor import Tensor

__all__ = ["Plan", "chance", "number", "pair", "span"]

_NUMBERS = 16
_KINDS = {
    name: i
    for i, name in enumerate(
        ("crop", "flip", "turn", "scale", "tint", "noise", "erase", "mixup", "cutmix")
    )
}
_DRAWS = {"crop": 2, "flip": 1, "turn": 6, "tint": 3, "erase": 5, "mixup": 4, "cutmix": 4}
_OUTSIDE = {"constant": 0, "reflect": 1, "edge": 2}
_GROUP = 32  # random numbers of a key go by so many


class Plan:
    """Rows of numbers in the making, for images of one shape.

    Parameters
    ----------
    channels, height, width : int
        Of the images; height and width follow the transforms.
    whole : bool
        Whether the images come as uint8.

    Attributes
    ----------
    draws : int
        Random numbers that an image needs, uniform in [0, 1).
    noise : int
        Normal random numbers an image, for which a key is wanted.
    classes : int or None
        What mixed labels are spread over.
    """

    def __init__(self, channels: int, height: int, width: int, whole: bool) -> None:
        self.channels, self.height, self.width, self.whole = channels, height, width, whole
        self.draws = self.noise = 0
        self.classes: int | None = None
        self.smoothing = 0.0
        self._rows: list[list[float]] = []
        self._values: list[float] = []
        self._mixes = 0
        self._around: tuple[float, float] | None = (
            None  # what lies outside, of the present resampling
        )

    # --- rows ---

    def row(self, kind: str, *numbers: float, draws: bool = True) -> list[float]:
        """Append what a transform does."""
        if self._mixes and kind not in ("mixup", "cutmix"):
            raise ValueError("augment: MixUp and CutMix mix finished images; put them at the end")
        if len(self._rows) == 32:
            raise ValueError("augment: at most 32 transforms can be composed")
        row = [float(_KINDS[kind]), float(self.draws), *map(float, numbers)]
        row += [0.0] * (_NUMBERS - len(row))
        self.draws += _DRAWS.get(kind, 0) if draws else 0
        self._mixes += kind in ("mixup", "cutmix")
        if kind not in ("crop", "flip", "turn"):
            self._around = None
        self._rows.append(row)
        return row

    def moves(
        self, kind: str, *numbers: float, outside: str | None, fill: Any = 0, draws: bool = True
    ) -> None:
        """Append a row that moves pixels. Rows one after another are one resampling, unless what they see
        outside of the picture differs; `outside` is None for those that do not see it.
        """
        begins = not self._rows or self._rows[-1][0] > _KINDS["turn"]
        row = self.row(kind, *numbers, draws=draws)
        if begins:
            self._around = None
        around = None
        if outside is not None:
            flat = self._colour("fill", fill)
            here = -1.0 if not any(flat) else float(self._find(flat))
            around = (float(_OUTSIDE[outside]), here if outside == "constant" else -1.0)
        if around is not None and self._around is not None and around != self._around:
            row[15] = 1.0
            self._around = None
        self._around = around or self._around
        row[13:15] = self._around or (0.0, -1.0)

    def values(self, values: Sequence[float]) -> int:
        """Keep numbers beside the rows; where they are."""
        self._values += map(float, values)
        return len(self._values) - len(values)

    def per_channel(self, what: str, given: Any) -> list[float]:
        """One number for all channels, or one for each."""
        values = [float(v) for v in np.atleast_1d(np.asarray(given, np.float64))]
        if len(values) == 1:
            values *= self.channels
        if len(values) != self.channels:
            raise ValueError(
                f"{what} has {len(values)} numbers, but the images have {self.channels} "
                f"channel{'s' * (self.channels != 1)}: give one number, or one for each channel"
            )
        return values

    def draw_noise(self) -> None:
        """Ask for a normal number for each element of an image."""
        self.noise += self.height * -(-self.width * self.channels // _GROUP) * _GROUP

    def _colour(self, what: str, given: Any) -> list[float]:
        values = self.per_channel(what, given)
        if self.whole and not self._floats() and not all(0 <= v <= 255 for v in values):
            raise ValueError(f"{what} is {given!r}; uint8 images have values from 0 to 255")
        return values

    def _floats(self) -> bool:
        """Whether the images are real numbers by now."""
        return any(row[0] > _KINDS["turn"] or row[15] for row in self._rows)

    def _find(self, values: list[float]) -> int:
        for at in range(len(self._values) - len(values) + 1):
            if self._values[at : at + len(values)] == values:
                return at
        return self.values(values)

    # --- tensors ---

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, values, and those of the rows that mix."""
        rows = Tensor(np.array(self._rows, np.float64).reshape(-1, _NUMBERS))
        values = Tensor(np.array(self._values or [0.0], np.float64))
        return rows, values, rows[len(self._rows) - self._mixes :]

    @property
    def mixes(self) -> bool:
        """Whether images are mixed."""
        return self._mixes > 0


# --- checks of what transforms are given ---


def number(what: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number within bounds."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number, got {value!r}") from None
    if not (math.isfinite(found) and low <= found <= high):
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{what} must be {'finite' if low == -math.inf else bounds}, got {value}")
    return found


def chance(what: str, value: Any) -> float:
    """A probability."""
    return number(f"{what}: the probability p", value, 0, 1)


def span(
    what: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> tuple[float, float]:
    """A (least, most) pair."""
    try:
        least, most = value
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a pair (least, most), got {value!r}") from None
    pair_ = number(what, least, low, high), number(what, most, low, high)
    if pair_[0] > pair_[1]:
        raise ValueError(f"{what}: the least, {least}, is above the most, {most}")
    return pair_


def pair(what: str, value: Any, least: int) -> tuple[int, int]:
    """A whole number for height and width, or one for each."""
    sides = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(sides) != 2 or not all(isinstance(s, int | np.integer) and s >= least for s in sides):
        raise ValueError(
            f"{what} must be a whole number of at least {least}, or a pair (height, width) of them; "
            f"got {value!r}"
        )
    return int(sides[0]), int(sides[1])
