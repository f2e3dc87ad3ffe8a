"""Regularizers: penalties that are added to the loss, and constraints that are put on parameters
after a step.

Each is attached to a part of a model by its `on=`: a pattern of names (`"*.weight"`,
`"encoder.*"`), several of them, a layer, or a parameter. `penalty(model)` is a scalar tensor to add
to the loss, or None; `constrain(model)` changes the parameters in place and is for after
`optimizer.step()`. Weight decay that is decoupled from the gradient is the optimizer's
(`AdamW(weight_decay=...)`), not here.

    for x, y in batches:
        loss = cross_entropy(model(x), y)
        extra = penalty(regularizers, model)
        (loss if extra is None else loss + extra).backward()
        optimizer.step()
        constrain(regularizers, model)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

import numpy as np

from . import ops
from ._core import launch, note_change, note_use
from ._core import ops as op
from .autograd import Node, is_grad_enabled, no_grad, record
from .flat import Run, stretches
from .ops.shape import normal_axes
from .scope import scope
from .tensor import Tensor, empty, ones_like

__all__ = [
    "L1", "L2", "ActivityL1", "ActivityL2", "ElasticNet", "MaxNorm", "Orthogonal", "Regularizer",
    "UnitNorm", "constrain", "penalty",
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
        named = _named(model)
        if isinstance(self.on, Tensor):
            chosen = [(name, value) for name, value in named if value is self.on]
        elif hasattr(self.on, "named_parameters"):
            inside = {id(value) for _, value in self.on.named_parameters()}
            chosen = [(name, value) for name, value in named if id(value) in inside]
        else:
            chosen = [(name, value) for name, value in named if _matches(name, self.on)]
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
    """The sum of all penalties, or None if there is none."""
    return _sum(term for each in regularizers if (term := each.penalty(model)) is not None)


@scope("regularizer")
def constrain(regularizers: Iterable[Regularizer], model: Any) -> None:
    """Apply all constraints, in order."""
    for each in regularizers:
        each.constrain(model)


# --- penalties on parameters ---


class _Penalty(Regularizer):
    """A sum over the parameters that are trained; on frozen ones a penalty would be a constant."""

    def penalty(self, model: Any) -> Tensor | None:
        return _sum(self._of(w) for _, w in self.parameters(model) if w.requires_grad)

    def _of(self, w: Tensor) -> Tensor:
        raise NotImplementedError


class _Elementwise(_Penalty):
    """A sum over elements, which is 0 where they are 0: parameters side by side in flat memory, and what
    is between them, are summed as one vector.
    """

    def penalty(self, model: Any) -> Tensor | None:
        found, loose = stretches(w for _, w in self.parameters(model) if w.requires_grad)
        return _sum([*map(self._of_run, found), *map(self._of, loose)])

    def _of_run(self, run: Run) -> Tensor:
        with no_grad():
            value = self._value(run.data)
        return record(value, type(self).__name__, _run_backward, run.params, (self, run, run.data))

    def _value(self, w: Tensor) -> Tensor:
        """The sum for a vector, where no gradient is asked for."""
        return self._of(w)

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        """The gradient at w, times dy, of one element."""
        raise NotImplementedError


def _run_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, ...]:
    regularizer, run, _ = node.saved
    places = [node.grad_place(i) for i in range(len(run.params))]
    first = places[0]
    if first is None or any(p is None or p[1] != first[1] for p in places):
        return tuple(
            regularizer._slope(w, dy) if node.needs(i) else None for i, w in enumerate(run.params)
        )
    slope = regularizer._slope(run.data, dy)
    if first[1]:
        launch(op.add, (run.grad, slope, run.grad))
    else:
        launch(op.copy, (slope, run.grad))
    return tuple(w._grad_view for w in run.params)


class L1(_Elementwise):
    """`factor * sum |w|`: draws weights to zero exactly.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.load_state_dict({"weight": [[1.0, -2.0]], "bias": [4.0]})
    >>> regularizers.L1(0.5, on="*.weight").penalty(layer).item()
    1.5
    """

    def __init__(self, factor: float, on: Any = "*") -> None:
        super().__init__(on)
        self.factor = _factor("L1", "factor", factor)

    def _of(self, w: Tensor) -> Tensor:
        return ops.sum(ops.abs(w)) * self.factor

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        return ops.sign(w) * (dy * self.factor)


class L2(_Elementwise):
    """`factor * sum w^2`: Keras's convention, without the 1/2 that makes it a weight decay of
    `factor`.

    Examples
    --------
    >>> from fastnn import nn, regularizers
    >>> model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    >>> regularizers.L2(1e-4, on="*.weight").penalty(model).shape
    ()
    """

    def __init__(self, factor: float, on: Any = "*") -> None:
        super().__init__(on)
        self.factor = _factor("L2", "factor", factor)

    def _of(self, w: Tensor) -> Tensor:
        return ops.sum(ops.square(w)) * self.factor

    def _value(self, w: Tensor) -> Tensor:
        return _squares(w, 0)[0] * self.factor

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        return w * (dy * (2 * self.factor))


class ElasticNet(_Elementwise):
    """`l1 * sum |w| + l2 * sum w^2` (Zou and Hastie 2005)."""

    def __init__(self, l1: float, l2: float, on: Any = "*") -> None:
        super().__init__(on)
        self.l1 = _factor("ElasticNet", "l1", l1)
        self.l2 = _factor("ElasticNet", "l2", l2)

    def _of(self, w: Tensor) -> Tensor:
        return ops.sum(ops.abs(w)) * self.l1 + ops.sum(ops.square(w)) * self.l2

    def _value(self, w: Tensor) -> Tensor:
        return ops.sum(ops.abs(w)) * self.l1 + _squares(w, 0)[0] * self.l2

    def _slope(self, w: Tensor, dy: Tensor) -> Tensor:
        return ops.sign(w) * (dy * self.l1) + w * (dy * (2 * self.l2))


class Orthogonal(_Penalty):
    """`factor * ||W W^T - I||^2`, or of `W^T W` if that is smaller: draws rows (columns) to be
    orthonormal.

    Of the parameters that `on` matches, those of two or more axes count, as matrices (out,
    everything else).
    """

    def __init__(self, factor: float, on: Any = "*") -> None:
        super().__init__(on)
        self.factor = _factor("Orthogonal", "factor", factor)

    def parameters(self, model: Any) -> list[tuple[str, Tensor]]:
        return _matrices(self, super().parameters(model))

    def _of(self, w: Tensor) -> Tensor:
        rows = ops.reshape(w, (w.shape[0], math.prod(w.shape[1:])))
        if rows.shape[0] > rows.shape[1]:
            rows = ops.transpose(rows)
        gram = ops.matmul(rows, ops.transpose(rows))
        unit = Tensor(np.eye(rows.shape[0], dtype=w.dtype.numpy))
        return ops.sum(ops.square(gram - unit)) * self.factor


# --- constraints ---


class _NormConstraint(Regularizer):
    """Scales parts of a parameter: the rows (axis 0 kept) of those of two or more axes."""

    def __init__(self, axis: int | Sequence[int] | None, on: Any) -> None:
        super().__init__(on)
        self.axis = tuple(axis) if isinstance(axis, Sequence) else axis

    def parameters(self, model: Any) -> list[tuple[str, Tensor]]:
        return _matrices(self, super().parameters(model))

    def constrain(self, model: Any) -> None:
        with no_grad():
            for _, w in self.parameters(model):
                axis = tuple(range(1, w.ndim)) if self.axis is None else self.axis
                w.copy_(w * self._scale(ops.sqrt(_squares(w, axis))))

    def _scale(self, norm: Tensor) -> Tensor:
        raise NotImplementedError


def _squares(w: Tensor, axis: int | Sequence[int]) -> Tensor:
    """The sums of squares over some axes, which are kept with length 1."""
    reduced = normal_axes(axis, w.ndim, "regularizers")
    squares = empty([1 if k in reduced else n for k, n in enumerate(w.shape)], w.dtype)
    launch(op.sum_squares, (w.detach(), squares))
    return squares


class MaxNorm(_NormConstraint):
    """Scales down each unit's weights (each row) whose norm is above `limit` (Srivastava et al.
    2014).

    Parameters
    ----------
    limit : float
        The largest norm.
    on
        See `Regularizer`; parameters of one axis, such as biases, are left alone.
    axis : int or sequence of int, optional
        The axes that a norm is taken over; by default all but the first.
    """

    def __init__(
        self, limit: float = 2.0, on: Any = "*", axis: int | Sequence[int] | None = None
    ) -> None:
        super().__init__(axis, on)
        self.limit = _factor("MaxNorm", "limit", limit)

    def _scale(self, norm: Tensor) -> Tensor:
        tiny = float(np.finfo(norm.dtype.numpy).tiny)
        # Exactly 1 for what is within the limit, so that it keeps its bits.
        return ops.minimum(self.limit / ops.maximum(norm, tiny), 1.0)


class UnitNorm(_NormConstraint):
    """Scales each unit's weights (each row) to norm 1; rows of zeros stay.

    The parameters are those of `MaxNorm`, without `limit`.
    """

    def __init__(self, on: Any = "*", axis: int | Sequence[int] | None = None) -> None:
        super().__init__(axis, on)

    def _scale(self, norm: Tensor) -> Tensor:
        return 1.0 / ops.where(norm == 0.0, ones_like(norm), norm)


# --- penalties on outputs ---


class _Activity(Regularizer):
    """Watches outputs with hooks, from `attach` to `detach`, in training mode only.

    `on` matches names of modules; by default it is the model itself, whose name is empty.
    """

    def __init__(self, factor: float, on: Any = "") -> None:
        super().__init__([on] if on == "" else on)
        self.factor = _factor(type(self).__name__, "factor", factor)
        self._model: Any = None
        self._handles: list[Any] = []
        self._outputs: list[Tensor] = []

    def attach(self, model: Any) -> Self:
        """Start to watch the model, and no longer another one."""
        if model is self._model:
            return self
        modules = self._modules(model)
        self.detach()
        self._model = model
        self._handles = [model.register_forward_pre_hook(self._begin)]
        self._handles += [module.register_forward_hook(self._watch) for module in modules]
        return self

    def detach(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        self._model, self._handles, self._outputs = None, [], []

    def penalty(self, model: Any) -> Tensor | None:
        """The penalty on the outputs of the model's last training pass; None if there was none."""
        if model is not self._model:
            raise RuntimeError(
                f"{type(self).__name__}: attach(model) it before the model runs, to see the outputs"
            )
        outputs, self._outputs = self._outputs, []
        return _sum(
            self._of(y) * (self.factor / max(1, y.shape[0] if y.ndim else 1)) for y in outputs
        )

    def _of(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def _modules(self, model: Any) -> list[Any]:
        if not hasattr(model, "named_modules"):
            raise TypeError(f"{type(self).__name__} is for a Module, not a {type(model).__name__}")
        named = list(model.named_modules())
        if hasattr(self.on, "named_modules"):
            chosen = [module for _, module in named if module is self.on]
        elif isinstance(self.on, Tensor):
            raise TypeError(
                f"{type(self).__name__}: on= takes module names or a Module, not a Tensor"
            )
        else:
            chosen = [module for name, module in named if _matches(name, self.on)]
        if not chosen:
            names = ", ".join(name for name, _ in named if name)
            raise ValueError(
                f"{type(self).__name__}: no module matches {self._on_text()}; "
                f"the names are: {names or '(none)'}"
            )
        return chosen

    def _begin(self, module: Any, args: Any) -> None:
        self._outputs = []

    def _watch(self, module: Any, args: Any, output: Any) -> None:
        if module.training and is_grad_enabled():
            several = output if isinstance(output, (tuple, list)) else (output,)
            self._outputs += [y for y in several if isinstance(y, Tensor) and y.requires_grad]


class ActivityL1(_Activity):
    """`factor * sum |y|` of a layer's outputs, averaged over the batch: makes them sparse.

    Parameters
    ----------
    factor : float
    on : str, sequence of str or Module
        The layers, by patterns of their names, or one of them; by default the model's own output.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn, regularizers
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> sparse = regularizers.ActivityL1(1e-3, on="1").attach(model)
    >>> y = model(fastnn.ones((8, 3)))
    >>> sparse.penalty(model).shape
    ()
    """

    def _of(self, y: Tensor) -> Tensor:
        return ops.sum(ops.abs(y))


class ActivityL2(_Activity):
    """`factor * sum y^2` of a layer's outputs, averaged over the batch. See `ActivityL1`."""

    def _of(self, y: Tensor) -> Tensor:
        return ops.sum(ops.square(y))


# --- names and sums ---


def _named(model: Any) -> list[tuple[str, Tensor]]:
    """The parameters of a model with their names; a lone parameter is called "parameter"."""
    if isinstance(model, Tensor):
        return [(model.name or "parameter", model)]
    if not hasattr(model, "named_parameters"):
        raise TypeError(
            f"a regularizer is for a Module or a Parameter, not a {type(model).__name__}"
        )
    return list(model.named_parameters())


def _matches(name: str, patterns: str | Sequence[str]) -> bool:
    """Whether one of the patterns matches; "*.weight" also finds the "weight" of a lone layer."""
    several = (patterns,) if isinstance(patterns, str) else patterns
    return any(
        fnmatchcase(name, p) or (p.startswith("*.") and fnmatchcase(f".{name}", p)) for p in several
    )


def _matrices(
    regularizer: Regularizer, named: list[tuple[str, Tensor]]
) -> list[tuple[str, Tensor]]:
    """Those of two or more axes."""
    chosen = [(name, value) for name, value in named if value.ndim >= 2]
    if not chosen:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in named)
        raise ValueError(
            f"{type(regularizer).__name__} is for parameters of two or more axes; "
            f"{regularizer._on_text()} matches only {shapes}"
        )
    return chosen


def _sum(terms: Iterable[Tensor]) -> Tensor | None:
    total = None
    for term in terms:
        total = term if total is None else total + term
    return total


def _factor(cls: str, name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{cls}: {name} must be a number, not {value!r}") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{cls}: {name} must be a finite number of 0 or more, not {value}")
    return number
