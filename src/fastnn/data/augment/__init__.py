"""Augmentation: images changed at random while a network trains on them.

Transforms carry torchvision's names where it has the idea. They work on whole batches (N, C, H, W), uint8 or
real, in C and in one pass; `Trainer.fit(x, y, augment=...)` makes them part of the recorded step, so that
uint8 images stay what they are in memory and every epoch sees others of them.

>>> from fastnn.data import augment
>>> augment.Compose([augment.RandomCrop(32, padding=4), augment.RandomHorizontalFlip()])
Compose([RandomCrop(size=(32, 32), padding=4, fill=0, padding_mode='constant'), RandomHorizontalFlip(p=0.5)])
"""

from __future__ import annotations

from .compose import Compose, Transform
from .geometry import (
    CenterCrop,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
)
from .mixing import CutMix, MixUp
from .pixels import ColorJitter, Cutout, GaussianNoise, Normalize, RandomErasing, ToFloat
from .preview import examples, preview

__all__ = [
    "CenterCrop", "ColorJitter", "Compose", "CutMix", "Cutout", "GaussianNoise", "MixUp", "Normalize",
    "RandomAffine", "RandomCrop", "RandomErasing", "RandomHorizontalFlip", "RandomRotation",
    "RandomVerticalFlip", "ToFloat", "Transform", "examples", "preview",
]  # fmt: skip
