"""Transforms of a whole batch: two images and their labels as one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .compose import Transform
from .plan import Plan, chance, number

__all__ = ["CutMix", "MixUp"]

_STEPS = 256


@cache
def beta_quantiles(alpha: float, larger: bool) -> tuple[float, ...]:
    """Where a number of the distribution Beta(alpha, alpha) lies, at equal steps of probability; or the
    larger one of it and its difference to 1.

    The distribution's integral up to 1/2, by trapezoids; for alpha below 1, where its density has a pole,
    over x**alpha.
    """
    if alpha < 1:
        part = np.linspace(0, 1, 8193)
        x = 0.5 * part ** (1 / alpha)
        density = (2 * (1 - x)) ** (alpha - 1)
    else:
        part = x = np.linspace(0, 0.5, 8193)
        density = (4 * x * (1 - x)) ** (alpha - 1)
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) * np.diff(part))])
    lower = np.interp(np.linspace(0, 1, _STEPS + 1), area / area[-1], x)  # of the half below 1/2
    if larger:
        return tuple(1 - lower)
    return (*lower, *(1 - lower[-2::-1]))


def _check(what: str, alpha: float, p: float, classes: int | None, smoothing: float) -> None:
    number(f"{what}: alpha", alpha, 1e-2, 1e4)
    chance(what, p)
    number(f"{what}: label_smoothing", smoothing, 0, 1)
    if classes is not None and (not isinstance(classes, int) or classes < 1):
        raise ValueError(
            f"{what}: num_classes must be a whole number of at least 1, got {classes!r}"
        )


def _write(
    plan: Plan,
    kind: str,
    quantiles: tuple[float, ...],
    p: float,
    classes: int | None,
    smoothing: float,
) -> None:
    if plan.mixes and (plan.classes, plan.smoothing) != (classes, smoothing):
        raise ValueError("augment: MixUp and CutMix differ in num_classes or label_smoothing")
    plan.row(kind, p, plan.values(quantiles), len(quantiles))
    plan.classes, plan.smoothing = classes, smoothing


@dataclass(frozen=True)
class MixUp(Transform):
    """Each image and its label mixed with the one before it in the batch (Zhang et al. 2018).

    ``x = share x + (1 - share) x_before``, and the labels alike, as rows of shares that `cross_entropy`
    takes. The share is drawn for each image, from Beta(alpha, alpha); the image's own is the larger one, so
    that an accuracy on its label means something. Of several such transforms, the first whose chance comes
    true mixes an image.

    Parameters
    ----------
    alpha : float
        1 draws all shares alike; smaller numbers mix less.
    num_classes : int, optional
        Needed where labels are class indices.
    p : float
        The probability.
    label_smoothing : float
        The part of each label that is spread evenly over all classes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import augment
    >>> x, y = np.zeros((4, 1, 8, 8), np.float32), np.arange(4)
    >>> _, shares = augment.MixUp(num_classes=4)(x, y)
    >>> shares.shape, float(shares.numpy().sum().round(4))
    ((4, 4), 4.0)
    """

    alpha: float = 1.0
    num_classes: int | None = None
    p: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check("MixUp", self.alpha, self.p, self.num_classes, self.label_smoothing)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        _write(
            plan, "mixup", beta_quantiles(float(self.alpha), True), self.p, self.num_classes,
            self.label_smoothing,
        )  # fmt: skip


@dataclass(frozen=True)
class CutMix(Transform):
    """A rectangle of the image before put into each image, and the labels mixed by area (Yun et al. 2019).

    Parameters
    ----------
    alpha : float
        The rectangle's area is 1 - share, with a share from Beta(alpha, alpha); what sticks out of the
        image does not count.
    num_classes, p, label_smoothing
        As in `MixUp`.
    """

    alpha: float = 1.0
    num_classes: int | None = None
    p: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check("CutMix", self.alpha, self.p, self.num_classes, self.label_smoothing)

    def write(self, plan: Plan) -> None:
        """Append the row."""
        _write(
            plan, "cutmix", beta_quantiles(float(self.alpha), False), self.p, self.num_classes,
            self.label_smoothing,
        )  # fmt: skip
