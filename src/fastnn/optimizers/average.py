"""An exponential moving average of the weights, often better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from .._core import launch
from .._core import ops as op
from ..flat import flatten, runs
from ..scope import scope
from ..tensor import Tensor, empty_like, zeros
from .group import H0, H1, HYPERPARAMETERS, STEP

__all__ = ["EMA"]

_RULE = 6


class EMA:
    """Keeps ``average = decay average + (1 - decay) weights``.

    Parameters
    ----------
    params : iterable of Tensor
        The weights; the average starts from their present values.
    decay : float, default 0.999
    warmup : bool, default False
        At step t use ``min(decay, (1 + t) / (10 + t))``, so that early averages forget the first
        weights.

    Examples
    --------
    >>> w = Tensor([0.0], requires_grad=True)
    >>> ema = EMA([w], decay=0.5)
    >>> w.detach().fill_(1.0)
    Tensor([1.])
    >>> ema.update()
    >>> with ema.apply():
    ...     w.item()
    0.5
    >>> w.item()
    1.0
    """

    def __init__(
        self, params: Iterable[Tensor], decay: float = 0.999, *, warmup: bool = False
    ) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"EMA: decay must lie between 0 and 1, got {decay}")
        if hasattr(params, "parameters"):
            raise TypeError(f"EMA: pass {type(params).__name__}.parameters(), not the model itself")
        self.params = list(params)
        if not self.params:
            raise ValueError("EMA: no parameters were given")
        self._runs = runs(flatten(self.params), self.params)
        self._averages = [_copy(run.data) for run in self._runs]
        self._weights: list[Tensor] | None = None  # kept here while the average is applied
        self._hyper = zeros(HYPERPARAMETERS, "float64")
        self._hyper.numpy()[[H0, H1]] = decay, warmup

    @property
    def decay(self) -> float:
        """The decay, without the warm-up."""
        return float(self._hyper.numpy()[H0])

    @scope("average")
    def update(self) -> None:
        """Take the present weights into the average; call it after each step of the optimizer."""
        if self._weights is not None:
            raise RuntimeError("EMA.update: the average is applied; restore() the weights first")
        h = self._hyper
        launch(op.optimizer_tick, (h, h), (_RULE,))
        for run, average in zip(self._runs, self._averages, strict=True):
            launch(op.ema, (average, run.data, h, average))

    def apply(self) -> EMA:
        """Put the average in the weights' place, until `restore` or the end of a ``with`` block."""
        if self._weights is not None:
            raise RuntimeError("EMA.apply: the average is applied already")
        self._weights = [_copy(run.data) for run in self._runs]
        for run, average in zip(self._runs, self._averages, strict=True):
            launch(op.copy, (average, run.data))
        return self

    def restore(self) -> None:
        """Put the weights back."""
        if self._weights is None:
            raise RuntimeError("EMA.restore: the average is not applied")
        for run, weights in zip(self._runs, self._weights, strict=True):
            launch(op.copy, (weights, run.data))
        self._weights = None

    def __enter__(self) -> EMA:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._weights is not None:
            self.restore()

    def __getstate__(self) -> tuple[list[Tensor], dict[str, Any]]:
        """For copies and pickles: the weights and the averages, but not where they lie in memory."""
        if self._weights is not None:
            raise RuntimeError(
                "EMA: the average is applied; restore() the weights before copying it"
            )
        return self.params, self.state_dict()

    def __setstate__(self, state: tuple[list[Tensor], dict[str, Any]]) -> None:
        params, saved = state
        self.__init__(params)  # type: ignore[misc]
        self.load_state_dict(saved)

    def _views(self) -> list[Tensor]:
        """The average of each parameter, in the order in which they were given."""
        found = {
            id(p): run.view(average, p)
            for run, average in zip(self._runs, self._averages, strict=True)
            for p in run.params
        }
        return [found[id(p)] for p in self.params]

    def state_dict(self) -> dict[str, Any]:
        """The averages, one array a parameter, and the count of updates."""
        values = self._hyper.numpy()
        return {
            "decay": float(values[H0]),
            "warmup": bool(values[H1]),
            "step": int(values[STEP]),
            "average": [a.numpy().copy() for a in self._views()],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises
        ------
        ValueError
            If the shapes are not those of the parameters; nothing is changed then.
        """
        averages = state_dict["average"]
        shapes = [np.shape(a) for a in averages]
        if shapes != [p.shape for p in self.params]:
            raise ValueError(
                f"EMA.load_state_dict: saved shapes {shapes} are not those of the parameters "
                f"{[p.shape for p in self.params]}"
            )
        values = self._hyper.numpy()
        values[[H0, H1, STEP]] = state_dict["decay"], state_dict["warmup"], state_dict["step"]
        for view, average in zip(self._views(), averages, strict=True):
            view.numpy()[...] = np.asarray(average)


def _copy(x: Tensor) -> Tensor:
    y = empty_like(x)
    launch(op.copy, (x, y))
    return y
