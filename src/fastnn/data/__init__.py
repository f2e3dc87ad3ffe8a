"""Data: batches of arrays in memory, splitting and scaling, and data sets at hand or on disk."""

from __future__ import annotations

from . import augment, datasets
from .batches import Batches
from .preparation import Standardizer, permutation, train_test_split

__all__ = ["Batches", "Standardizer", "augment", "datasets", "permutation", "train_test_split"]
