"""What bandwidth.py measures: rows by families, a file for those that are alike."""

from . import base, loss, move, norm, optimizer, pointwise, random, reduce, softmax
from .base import FAMILIES

__all__ = [
    "FAMILIES", "base", "loss", "move", "norm", "optimizer", "pointwise", "random", "reduce", "softmax",
]  # fmt: skip
