"""How a Trainer's steps change the images that come to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data import Batches
from ..data.augment import Compose, Transform
from ..tensor import Tensor

__all__ = ["Images"]


class Images:
    """An augmentation in use: all of it while training, what is not by chance otherwise.

    Parameters
    ----------
    augment : Transform or sequence of Transform
    model : Module
        In whose dtype images come.
    """

    def __init__(self, augment: Any, model: Any) -> None:
        if not isinstance(augment, Transform | Sequence) or isinstance(augment, str):
            raise TypeError(
                f"fit: augment must be transforms of fastnn.data.augment, got {augment!r}"
            )
        self.learning = augment if isinstance(augment, Compose) else Compose(augment)
        self.assessing = self.learning.fixed()
        self._dtype = next((p.dtype for p in model.parameters()), None)

    def check(self, source: Any) -> None:
        """Refuse data in memory that the transforms cannot take, before anything runs."""
        if not isinstance(source, Batches):
            return
        if source.inputs:
            raise ValueError(
                f"fit: augment is for a model of one input, images; x is a tuple of {source.inputs}"
            )
        for compose in (self.learning, self.assessing):
            compose.check(source.arrays[0])

    def changed(self, inputs: tuple[Tensor, ...], y: Any, training: bool) -> tuple[Any, Any]:
        """Inputs and targets as the model and the loss get them."""
        if len(inputs) != 1:
            raise ValueError(
                f"fit: augment is for a model of one input, images; x is a tuple of {len(inputs)}"
            )
        x = inputs[0]
        dtype = None if x.dtype.is_float else self._dtype
        if not training:
            return (self.assessing(x, dtype=dtype),), y
        changed, y = self.learning(x, y, dtype=dtype)
        return (changed,), y
