"""What a Trainer does with one batch: learns from it, assesses it, or predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import optimizers
from .. import regularizers as penalties
from ..autograd import no_grad
from ..scope import scope
from ..tensor import Tensor
from .images import Images
from .work import Job

__all__ = ["Steps"]


class Steps:
    """The steps of a Trainer, and a job for each kind of them."""

    model: Any
    loss: Callable[..., Any]
    optimizer: Any
    regularizers: list[Any]

    def __init__(self) -> None:
        self._images: Images | None = None
        self._learning = Job(self._learn, self._parts)
        self._assessing = Job(self._assess, self._parts)
        self._predicting = Job(self._predict, self._parts)

    def _learn(
        self, inputs: tuple[Tensor, ...], y: Any, weight: Any, see: Callable[[Tensor], None]
    ) -> Any:
        """Forward, backward and the optimizer's step on one batch; gives the output."""
        outputs: list[Any] = []
        inputs, y = self._changed(inputs, y, training=True)

        def gradients() -> Tensor:
            output = self.model(*inputs)
            loss = self._loss(output, y, weight)
            if self.regularizers:
                extra = penalties.penalty(self.regularizers, self.model)
                loss = loss if extra is None else loss + extra
            outputs.append(output)
            see(loss)
            self.optimizer.zero_grad()
            loss.backward()
            return loss

        if isinstance(self.optimizer, optimizers.LBFGS):
            self.optimizer.step(gradients)
        else:
            gradients()
            self.optimizer.step()
        if self.regularizers:
            penalties.constrain(self.regularizers, self.model)
        return outputs[0]

    def _assess(
        self, inputs: tuple[Tensor, ...], y: Any, weight: Any, see: Callable[[Tensor], None]
    ) -> Any:
        """The output for one batch, and its loss for whom it may concern."""
        with no_grad():
            inputs, y = self._changed(inputs, y)
            output = self.model(*inputs)
            see(self._loss(output, y, weight))
        return output

    def _predict(
        self, inputs: tuple[Tensor, ...], y: Any, weight: Any, see: Callable[[Tensor], None]
    ) -> Any:
        with no_grad():
            inputs, y = self._changed(inputs, y)
            return self.model(*inputs)

    def _changed(
        self, inputs: tuple[Tensor, ...], y: Any, training: bool = False
    ) -> tuple[tuple[Tensor, ...], Any]:
        """Inputs and targets as the model and the loss get them."""
        if self._images is None:
            return inputs, y
        with scope("augment"):
            return self._images.changed(inputs, y, training)

    def _parts(self) -> tuple[Any, ...]:
        """What a step is made of, with what a loss of the user's is set to."""
        options = getattr(self.loss, "__dict__", {}).values()
        return (
            self.model, self.loss, self.optimizer, self._images, *self.regularizers, *options,
        )  # fmt: skip

    def _loss(self, output: Any, y: Any, weight: Any) -> Tensor:
        loss = (
            self.loss(output, y) if weight is None else self.loss(output, y, sample_weight=weight)
        )
        if not isinstance(loss, Tensor) or loss.size != 1:
            seen = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"Trainer: the loss must be one number as a tensor, got {seen}")
        return loss
