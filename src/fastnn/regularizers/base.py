"""What regularizers share: which parameters they mean, and sums over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

from .._core import launch, note_change, note_use
from .._core import ops as op
from ..ops.shape import normal_axes
from ..scope import scope
from ..tensor import Tensor, empty

__all__ = [
    "Regularizer", "constrain", "factor_of", "matches", "matrices", "named_parameters", "penalty", "squares",
    "total",
]  # fmt: skip


class Regularizer:
    """What all have in common: `on`, and doing nothing.

    Parameters
    ----------
    on : str, sequence of str, Module or Tensor
        Which parameters: a pattern as in a shell that their full names match (`"weight"` alone is
        also found by `"*.weight"`), several patterns, a layer (all its parameters), or a parameter.

    Raises
    ------
    ValueError
        When it is used, if nothing in the model matches; the message lists the names.
    """

    def __init__(self, on: Any = "*") -> None:
        patterns = isinstance(on, Sequence) and on and all(isinstance(item, str) for item in on)
        if not (isinstance(on, Tensor) or patterns or hasattr(on, "named_parameters")):
            raise TypeError(
                f"{type(self).__name__}: on= takes a name pattern, several, a Module or a "
                f"Parameter, not {on!r}"
            )
        self.on = on

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            note_change()
        super().__setattr__(name, value)

    def attach(self, model: Any) -> Self:
        """Check that `on` matches something in the model; Trainer does so before the first step."""
        self.parameters(model)
        return self

    def detach(self) -> None:
        """Undo `attach`."""

    def penalty(self, model: Any) -> Tensor | None:
        """What to add to the loss: a tensor of shape (), or None for nothing."""
        return None

    def constrain(self, model: Any) -> None:
        """Put the parameters back where they may be."""

    def parameters(self, model: Any) -> list[tuple[str, Tensor]]:
        """Names and parameters of the model that `on` means, each once."""
        note_use(self)  # a recorded step has its numbers built in
        named = named_parameters(model)
        if isinstance(self.on, Tensor):
            chosen = [(name, value) for name, value in named if value is self.on]
        elif hasattr(self.on, "named_parameters"):
            inside = {id(value) for _, value in self.on.named_parameters()}
            chosen = [(name, value) for name, value in named if id(value) in inside]
        else:
            chosen = [(name, value) for name, value in named if matches(name, self.on)]
        if not chosen:
            raise ValueError(
                f"{type(self).__name__}: no parameter matches {self._on_text()}; "
                f"the names are: {', '.join(name for name, _ in named) or '(none)'}"
            )
        return chosen

    def _on_text(self) -> str:
        if isinstance(self.on, Tensor):
            return f"on=<a parameter of shape {self.on.shape}>"
        if hasattr(self.on, "named_parameters"):
            return f"on=<a {type(self.on).__name__}>"
        return f"on={self.on!r}"

    def __repr__(self) -> str:
        values = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name != "on" and name[0] != "_"
        ]
        return f"{type(self).__name__}({', '.join([*values, self._on_text()])})"


@scope("regularizer")
def penalty(regularizers: Iterable[Regularizer], model: Any) -> Tensor | None:
    """The sum of all penalties, or None if there is none.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> several = [regularizers.L1(0.5), regularizers.L2(2.0)]
    >>> regularizers.penalty(several, nn.Parameter([3.0, -1.0])).item()
    22.0
    """
    return total(term for each in regularizers if (term := each.penalty(model)) is not None)


@scope("regularizer")
def constrain(regularizers: Iterable[Regularizer], model: Any) -> None:
    """Apply all constraints, in order.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> weight = nn.Parameter([[3.0, 4.0]])
    >>> regularizers.constrain([regularizers.MaxNorm(2.5)], weight)
    >>> weight.tolist()
    [[1.5, 2.0]]
    """
    for each in regularizers:
        each.constrain(model)


# --- names and sums ---


def named_parameters(model: Any) -> list[tuple[str, Tensor]]:
    """The parameters of a model with their names; a lone parameter is called "parameter"."""
    if isinstance(model, Tensor):
        return [(model.name or "parameter", model)]
    if not hasattr(model, "named_parameters"):
        raise TypeError(
            f"a regularizer is for a Module or a Parameter, not a {type(model).__name__}"
        )
    return list(model.named_parameters())


def matches(name: str, patterns: str | Sequence[str]) -> bool:
    """Whether one of the patterns matches; "*.weight" also finds the "weight" of a lone layer."""
    several = (patterns,) if isinstance(patterns, str) else patterns
    return any(
        fnmatchcase(name, p) or (p.startswith("*.") and fnmatchcase(f".{name}", p)) for p in several
    )


def matrices(regularizer: Regularizer, named: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Those of two or more axes."""
    chosen = [(name, value) for name, value in named if value.ndim >= 2]
    if not chosen:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in named)
        raise ValueError(
            f"{type(regularizer).__name__} is for parameters of two or more axes; "
            f"{regularizer._on_text()} matches only {shapes}"
        )
    return chosen


def total(terms: Iterable[Tensor]) -> Tensor | None:
    """Their sum, None for none."""
    found = None
    for term in terms:
        found = term if found is None else found + term
    return found


def factor_of(cls: str, name: str, value: float) -> float:
    """What a penalty is multiplied by, or an error that names the class and its option."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{cls}: {name} must be a number, not {value!r}") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{cls}: {name} must be a finite number of 0 or more, not {value}")
    return number


def squares(w: Tensor, axis: int | Sequence[int]) -> Tensor:
    """The sums of squares over some axes, which are kept with length 1."""
    reduced = normal_axes(axis, w.ndim, "regularizers")
    squares = empty([1 if k in reduced else n for k, n in enumerate(w.shape)], w.dtype)
    launch(op.sum_squares, (w.detach(), squares))
    return squares
