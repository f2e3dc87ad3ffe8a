"""`nn.Module.predict`: a compiled forward pass in evaluation mode, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import _core
from ..autograd import no_grad
from ..ops import concat
from ..tensor import Tensor, as_tensor
from ..units import whole
from .compiled import Compiled

__all__ = ["Predictor"]

# Kinds of inputs with a recording, and kinds that were met once.
MOST_KINDS, MOST_MET = 16, 256


class _Without:
    """The mode in which a predictor runs, whatever the caller's is."""

    enabled = False


class Predictor(Compiled):
    """A module called in evaluation mode without gradients, whatever mode it is in.

    Inputs of a shape that comes for the first time run eagerly, as the last batch of some data does; from
    the second time on there is a recording for them.
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module, mode=_Without)
        self._met: set[Any] = set()

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Where no recording that is ready fits."""
        with no_grad(), _evaluating(self._function):
            args = tuple([as_tensor(x) for x in args])
            kind = tuple([(x.shape, x.dtype) for x in args])
            if kind not in self._met:
                if len(self._met) == MOST_MET:
                    self._met.clear()
                self._met.add(kind)
                return self._function(*args)
            if len(self._recordings) > MOST_KINDS:
                self.reset()
            try:
                return super().call(args, kwargs)
            except _core.RecordingError:  # it reads values: no recording can follow
                return self._function(*args)

    def predict(self, inputs: tuple[Any, ...], batch_size: int) -> Any:
        """The outputs for all rows of the inputs."""
        # One row takes microseconds, of which this call would be one.
        if type(batch_size) is not int or batch_size < 1:
            batch_size = whole("predict: batch_size", batch_size, 1)
        given = tuple([x if type(x) is np.ndarray else _constant(x) for x in inputs])
        shape = given[0].shape if given else ()
        if not shape or shape[0] <= batch_size:
            return self(*given)
        rows = shape[0]
        if any(not x.shape or x.shape[0] != rows for x in given):
            raise ValueError(
                "predict: the inputs must have the same number of rows, got shapes "
                f"{', '.join(str(x.shape) for x in given)}"
            )
        starts = range(0, rows, batch_size)
        return _joined([self(*[x[at : at + batch_size] for x in given]) for at in starts])


def _constant(x: Any) -> Tensor:
    """As a tensor that requires no gradient."""
    tensor = as_tensor(x)
    return tensor.detach() if tensor._requires_grad else tensor


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """All in evaluation mode. Nobody is told, since all of it is taken back: recordings stay valid."""
    training = [m for m in module.modules() if m.training]
    for m in training:
        vars(m)["training"] = False
    try:
        yield
    finally:
        for m in training:
            vars(m)["training"] = True


def _joined(parts: list[Any]) -> Any:
    """Outputs of batches, one below the other."""
    first = parts[0]
    if isinstance(first, Tensor):
        return concat(parts)
    if isinstance(first, (tuple, list)):
        return type(first)([_joined(list(column)) for column in zip(*parts, strict=True)])
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    raise TypeError(f"predict: the model gives a {type(first).__name__}, not tensors")
