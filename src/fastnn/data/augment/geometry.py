"""Transforms that move pixels: crops, flips, rotations, affine maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .compose import Transform
from .plan import Plan, chance, number, pair, span

__all__ = [
    "CenterCrop", "RandomAffine", "RandomCrop", "RandomHorizontalFlip", "RandomRotation",
    "RandomVerticalFlip",
]  # fmt: skip

_MODES = ("constant", "reflect", "edge")


def _check_mode(what: str, mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(
            f"{what}: padding_mode is {mode!r}, not one of {', '.join(map(repr, _MODES))}"
        )


def _hashable(value: Any) -> Any:
    """A list as a tuple, so that equal transforms are equal and never change."""
    return value if isinstance(value, int | float) else tuple(value)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """The middle of each image.

    Parameters
    ----------
    size : int or (int, int)
        Height and width.
    """

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", pair("CenterCrop: size", self.size, 1))

    def write(self, plan: Plan) -> None:
        """Append the row."""
        height, width = pair("CenterCrop: size", self.size, 1)
        if height > plan.height or width > plan.width:
            raise ValueError(
                f"CenterCrop: size {(height, width)} does not fit into images of "
                f"{plan.height} x {plan.width}"
            )
        top, left = round((plan.height - height) / 2), round((plan.width - width) / 2)
        plan.moves("crop", height, width, top, left, 1, 1, outside=None, draws=False)
        plan.height, plan.width = height, width

    def fixed(self) -> Transform:
        """Itself."""
        return self


@dataclass(frozen=True)
class RandomCrop(Transform):
    """A part of each image, from anywhere in it, or from what padding makes of it.

    When a network is tested, the middle of the image takes its place.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the part.
    padding : int, (int, int) or (int, int, int, int)
        Pixels added on all sides; left and right, top and bottom; or left, top, right, bottom.
    fill : float or sequence
        The colour of "constant" padding, in the units of the images (0 to 255 for uint8).
    padding_mode : {"constant", "reflect", "edge"}
        A colour, the image turned over at its last pixel, or its last pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import augment
    >>> augment.RandomCrop(24)(np.ones((2, 1, 28, 28), np.float32)).shape
    (2, 1, 24, 24)
    """

    size: int | tuple[int, int]
    padding: int | tuple[int, ...] = 0
    fill: float | tuple[float, ...] = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", pair("RandomCrop: size", self.size, 1))
        object.__setattr__(self, "padding", _hashable(self.padding))
        object.__setattr__(self, "fill", _hashable(self.fill))
        _check_mode("RandomCrop", self.padding_mode)
        self._sides()

    def _sides(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        given = self.padding if isinstance(self.padding, tuple) else (self.padding,)
        if len(given) not in (1, 2, 4) or not all(isinstance(p, int) and p >= 0 for p in given):
            raise ValueError(
                f"RandomCrop: padding must be 1, 2 or 4 whole numbers of at least 0, got {self.padding!r}"
            )
        left, top, right, bottom = (given * 4)[:4]
        return left, top, right, bottom

    def write(self, plan: Plan) -> None:
        """Append the row."""
        height, width = pair("RandomCrop: size", self.size, 1)
        left, top, right, bottom = self._sides()
        if self.padding_mode == "reflect" and (
            max(left, right) >= plan.width or max(top, bottom) >= plan.height
        ):
            raise ValueError(
                f"RandomCrop: padding {self.padding} is too much to reflect of images of "
                f"{plan.height} x {plan.width}; it must be less than their size"
            )
        tops = plan.height + top + bottom - height + 1
        lefts = plan.width + left + right - width + 1
        if tops < 1 or lefts < 1:
            raise ValueError(
                f"RandomCrop: size {(height, width)} does not fit into images of {plan.height} x "
                f"{plan.width} with padding {self.padding}"
            )
        outside = self.padding_mode if left or top or right or bottom else None
        plan.moves("crop", height, width, -top, -left, tops, lefts, outside=outside, fill=self.fill)
        plan.height, plan.width = height, width

    def fixed(self) -> Transform:
        """The middle, at the same size."""
        return CenterCrop(self.size)


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """Left and right exchanged, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        chance("RandomHorizontalFlip", self.p)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        plan.moves("flip", 0, self.p, outside=None)


@dataclass(frozen=True)
class RandomVerticalFlip(Transform):
    """Up and down exchanged, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        chance("RandomVerticalFlip", self.p)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        plan.moves("flip", 1, self.p, outside=None)


def _around_zero(what: str, value: Any) -> tuple[float, float]:
    if isinstance(value, int | float):
        most = number(what, value, 0)
        return -most, most
    return span(what, value)


@dataclass(frozen=True)
class RandomRotation(Transform):
    """Turned about the middle, by bilinear interpolation.

    Parameters
    ----------
    degrees : float or (float, float)
        The most to either side, or the least and the most; positive is counter-clockwise.
    fill, padding_mode
        What comes in from outside, as in `RandomCrop`.
    """

    degrees: float | tuple[float, float]
    fill: float | tuple[float, ...] = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        span_ = _around_zero("RandomRotation: degrees", self.degrees)
        object.__setattr__(self, "degrees", span_)
        object.__setattr__(self, "fill", _hashable(self.fill))
        _check_mode("RandomRotation", self.padding_mode)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        low, high = _around_zero("degrees", self.degrees)
        plan.moves(
            "turn", -high, -low, 0, 0, 1, 1, 0, 0, 0, 0, outside=self.padding_mode, fill=self.fill
        )


@dataclass(frozen=True)
class RandomAffine(Transform):
    """Turned, moved, stretched and sheared about the middle, by bilinear interpolation.

    Parameters
    ----------
    degrees : float or (float, float)
        The most to either side, or the least and the most; positive is clockwise, as in torchvision.
    translate : (float, float), optional
        The most to either side, as a share of the width and of the height.
    scale : (float, float), optional
        The least and the most.
    shear : float, (float, float) or (float, float, float, float), optional
        Degrees along x, and along y: the most to either side, least and most, or both for x, then y.
    fill, padding_mode
        What comes in from outside, as in `RandomCrop`.
    """

    degrees: float | tuple[float, float]
    translate: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    shear: float | tuple[float, ...] | None = None
    fill: float | tuple[float, ...] = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        for name in ("translate", "scale", "shear", "fill", "degrees"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _hashable(value))
        _check_mode("RandomAffine", self.padding_mode)
        self._numbers()

    def _numbers(self) -> tuple[float, ...]:
        degrees = _around_zero("RandomAffine: degrees", self.degrees)
        moves = (0.0, 0.0) if self.translate is None else self.translate
        if not isinstance(moves, tuple) or len(moves) != 2:
            raise ValueError(f"RandomAffine: translate is a pair (x, y), got {self.translate!r}")
        for share in moves:
            number("RandomAffine: translate", share, 0, 1)
        scale = span("RandomAffine: scale", self.scale or (1.0, 1.0), 1e-6, 1e6)
        shear = self.shear if self.shear is not None else 0.0
        along = (
            shear if isinstance(shear, tuple) else (-number("RandomAffine: shear", shear, 0), shear)
        )
        if len(along) not in (2, 4):
            raise ValueError(f"RandomAffine: shear is 1, 2 or 4 numbers, got {self.shear!r}")
        spans = [
            span("RandomAffine: shear", along[i : i + 2], -89, 89) for i in range(0, len(along), 2)
        ]
        spans += [(0.0, 0.0)] * (2 - len(spans))
        return (*degrees, *moves, *scale, *spans[0], *spans[1])

    def write(self, plan: Plan) -> None:
        """Append the row."""
        plan.moves("turn", *self._numbers(), outside=self.padding_mode, fill=self.fill)
