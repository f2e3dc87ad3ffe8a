"""Transforms that change pixels where they are: scaling, colours, noise, erased parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .compose import Transform
from .plan import Plan, chance, number, span

__all__ = ["ColorJitter", "Cutout", "GaussianNoise", "Normalize", "RandomErasing", "ToFloat"]


def _numbers(what: str, value: Any) -> Any:
    """One finite number, or a tuple of them."""
    array = np.asarray(value, np.float64)
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{what} must be a finite number, or one a channel; got {value!r}")
    return tuple(array.tolist()) if array.ndim else float(array)


@dataclass(frozen=True)
class ToFloat(Transform):
    """uint8 images as reals from 0 to 1; reals stay as they are. Every transform does that by itself: this
    one is for where there is no other.
    """

    def write(self, plan: Plan) -> None:
        """Nothing: it is how uint8 images are read."""

    def fixed(self) -> Transform:
        """Itself."""
        return self


@dataclass(frozen=True)
class Normalize(Transform):
    """``(x - mean) / std`` for each channel of images in 0 to 1.

    Parameters
    ----------
    mean, std : float or sequence of float
        One for all channels, or one for each.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import augment
    >>> augment.Normalize(0.5, 0.25)(np.ones((1, 1, 1, 2), np.float32)).tolist()
    [[[[2.0, 2.0]]]]
    """

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _numbers("Normalize: mean", self.mean))
        object.__setattr__(self, "std", _numbers("Normalize: std", self.std))
        if not (np.asarray(self.std) > 0).all():
            raise ValueError(f"Normalize: std must be above 0, got {self.std}")

    def write(self, plan: Plan) -> None:
        """Append the row."""
        mean = plan.per_channel("Normalize: mean", self.mean)
        std = plan.per_channel("Normalize: std", self.std)
        scale = [1 / s for s in std]
        shift = [-m / s for m, s in zip(mean, std, strict=True)]
        plan.row("scale", plan.values([*scale, *shift]))

    def fixed(self) -> Transform:
        """Itself."""
        return self

    def inverse_scale(self) -> tuple[Any, Any]:
        """``x std + mean``."""
        return self.std, self.mean


def _factor(what: str, value: Any) -> tuple[float, float]:
    if isinstance(value, int | float):
        most = number(what, value, 0)
        return max(0.0, 1 - most), 1 + most
    return span(what, value, 0)


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Brightness, contrast and saturation changed by chance, of images in 0 to 1 with 1 or 3 channels.

    ``x`` becomes ``brightness x``; moves away from the mean grey of the image by the factor `contrast`;
    and away from its own grey by `saturation`. All three are one step, after which colours are cut to 0 to 1.

    Parameters
    ----------
    brightness, contrast, saturation : float or (float, float)
        The factor is at most so far from 1, or between the two.
    """

    brightness: float | tuple[float, float] = 0
    contrast: float | tuple[float, float] = 0
    saturation: float | tuple[float, float] = 0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            value = _factor(f"ColorJitter: {name}", getattr(self, name))
            object.__setattr__(self, name, value)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        if plan.channels not in (1, 3):
            raise ValueError(
                f"ColorJitter: the images have {plan.channels} channels; it is for 1 (grey) or 3 (red, "
                "green, blue)"
            )
        spans = (self.brightness, self.contrast, self.saturation)
        plan.row("tint", *(v for factor in spans for v in _factor("ColorJitter", factor)))

    def wants_units(self) -> bool:
        """True: colours are cut to 0 to 1."""
        return True


@dataclass(frozen=True)
class GaussianNoise(Transform):
    """Normal noise of standard deviation `sigma` on every element."""

    sigma: float = 0.1

    def __post_init__(self) -> None:
        number("GaussianNoise: sigma", self.sigma, 0)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        plan.row("noise", self.sigma)
        plan.draw_noise()


@dataclass(frozen=True)
class RandomErasing(Transform):
    """A rectangle erased, with probability p (Zhong et al. 2020).

    Parameters
    ----------
    p : float
        The probability.
    scale : (float, float)
        The least and the most that its area is of the image's.
    ratio : (float, float)
        The least and the most of height / width.
    value : float, sequence of float or "random"
        The colour, in the units that the images have by then, or normal noise.
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float | tuple[float, ...] | str = 0

    def __post_init__(self) -> None:
        chance("RandomErasing", self.p)
        object.__setattr__(self, "scale", span("RandomErasing: scale", self.scale, 0, 1))
        object.__setattr__(self, "ratio", span("RandomErasing: ratio", self.ratio, 1e-3, 1e3))
        if self.value != "random":
            object.__setattr__(self, "value", _numbers("RandomErasing: value", self.value))

    def write(self, plan: Plan) -> None:
        """Append the row."""
        low, high = self.ratio
        _erase(
            plan,
            "RandomErasing",
            self.p,
            (*self.scale, math.log(low), math.log(high)),
            0,
            self.value,
        )


@dataclass(frozen=True)
class Cutout(Transform):
    """A square erased whose middle is anywhere in the image (DeVries and Taylor 2017).

    Parameters
    ----------
    size : int
        The side of the square, in pixels.
    p : float
        The probability.
    value : float, sequence of float or "random"
        As in `RandomErasing`.
    """

    size: int
    p: float = 1.0
    value: float | tuple[float, ...] | str = 0

    def __post_init__(self) -> None:
        chance("Cutout", self.p)
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(
                f"Cutout: size must be a whole number of at least 1, got {self.size!r}"
            )
        if self.value != "random":
            object.__setattr__(self, "value", _numbers("Cutout: value", self.value))

    def write(self, plan: Plan) -> None:
        """Append the row."""
        _erase(plan, "Cutout", self.p, (0.0, 0.0, 0.0, 0.0), self.size, self.value)


def _erase(
    plan: Plan, what: str, p: float, ranges: tuple[float, ...], side: int, value: Any
) -> None:
    colour = -1
    if value != "random":
        colour = plan.values(plan.per_channel(f"{what}: value", value))
    plan.row("erase", p, *ranges, side, colour)
    if colour < 0:
        plan.draw_noise()
