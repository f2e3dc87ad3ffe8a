"""What losses share: checks, sample weights, reduction, and the class that keeps options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from ..tensor import Tensor, as_tensor

__all__ = ["Loss"]

REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}


class Loss:
    """A loss with its options kept: ``Huber(delta=2.0)(prediction, target)``.

    The options are the keyword arguments of the function of the same name. Subclasses set
    ``function``.

    Raises
    ------
    TypeError
        For an option that the function does not have.

    Examples
    --------
    >>> from fastnn.losses import Huber
    >>> Huber(delta=2.0)
    Huber(delta=2.0)
    """

    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, **options: Any) -> None:
        known = [
            name for name, p in inspect.signature(type(self).function).parameters.items()
            if p.kind is p.KEYWORD_ONLY and name != "sample_weight"
        ]  # fmt: skip
        for name in options:
            if name not in known:
                raise TypeError(
                    f"{type(self).__name__}: no option {name!r}; there are {', '.join(known)}"
                )
        if options.get("reduction", "mean") not in (*REDUCTIONS, "batchmean"):
            reduction(type(self).__name__, options["reduction"])  # type: ignore[arg-type]
        self.options = options

    @property
    def __name__(self) -> str:
        return type(self).function.__name__

    def __call__(self, *args: Any, sample_weight: Any = None) -> Tensor:
        return type(self).function(*args, sample_weight=sample_weight, **self.options)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({options})"


def reduction(name: str, value: str) -> int:
    """Its number in C."""
    try:
        return REDUCTIONS[value]
    except (KeyError, TypeError):
        raise ValueError(
            f'{name}: reduction is {value!r}; it must be "mean", "sum" or "none"'
        ) from None


def real(name: str, what: str, x: Any) -> Tensor:
    """X as a float tensor."""
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    if x.code > 1:
        raise TypeError(
            f'{name}: {what} is {x.dtype}, not float; convert it with x.astype("float32")'
        )
    return x


def beside(name: str, what: str, t: Any, x: Tensor) -> Tensor:
    """T as a tensor of x's dtype: whole numbers and data that is no tensor are converted."""
    if not isinstance(t, Tensor):
        t = as_tensor(t)
        return t if t.code == x.code else ops.astype(t, x.dtype)
    if t.code == x.code:
        return t
    if t.code <= 1:
        raise TypeError(
            f"{name}: prediction is {x.dtype} and {what} {t.dtype}; "
            f'convert one with x.astype("{x.dtype}")'
        )
    return ops.astype(t, x.dtype)


def pair(name: str, prediction: Any, target: Any, what: str = "target") -> tuple[Tensor, Tensor]:
    """Both as float tensors of one dtype and exactly one shape."""
    x = real(name, "prediction", prediction)
    t = beside(name, what, target, x)
    if x.shape != t.shape:
        raise ValueError(
            f"{name}: prediction has shape {x.shape} but {what} {t.shape}{_way_out(x, t)}"
        )
    return x, t


def _way_out(x: Tensor, t: Tensor) -> str:
    if x.size == t.size and [n for n in x.shape if n != 1] == [n for n in t.shape if n != 1]:
        return f"; reshape one, as in prediction.reshape{t.shape}"
    return ""


def weights(name: str, sample_weight: Any, shape: tuple[int, ...], x: Tensor) -> Tensor | None:
    """Sample weights as a view of the losses' shape: one a row, or one for each leading index."""
    if sample_weight is None:
        return None
    w = beside(name, "sample_weight", sample_weight, x).detach()
    if w.shape == shape:
        return w
    if w.ndim > len(shape) or w.shape != shape[: w.ndim]:
        raise ValueError(
            f"{name}: sample_weight has shape {w.shape}, but the losses have {shape}: "
            "give one weight a row"
        )
    return ops.broadcast_to(ops.reshape(w, w.shape + (1,) * (len(shape) - w.ndim)), shape)


def reduced(name: str, loss: Tensor, how: str, sample_weight: Any) -> Tensor:
    """The losses weighted and reduced; for losses composed of other functions."""
    kind = reduction(name, how)
    w = weights(name, sample_weight, loss.shape, loss)
    if w is not None:
        loss = loss * w
    return ops.mean(loss) if kind == 2 else ops.sum(loss) if kind == 1 else loss
