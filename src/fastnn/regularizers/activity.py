"""Penalties on what layers give."""

from __future__ import annotations

from typing import Any, Self

from .. import ops
from ..autograd import is_grad_enabled
from ..tensor import Tensor
from .base import Regularizer, factor_of, matches, total

__all__ = ["ActivityL1", "ActivityL2"]


class _Activity(Regularizer):
    """Watches outputs with hooks, from `attach` to `detach`, in training mode only.

    `on` matches names of modules; by default it is the model itself, whose name is empty.
    """

    def __init__(self, factor: float, on: Any = "") -> None:
        super().__init__([on] if on == "" else on)
        self.factor = factor_of(type(self).__name__, "factor", factor)
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

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: hooks are not copied with a model."""
        return {
            **vars(self),
            "_model": None,
            "_handles": [],
            "_outputs": [],
            "watched": self._model,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        model = vars(self).pop("watched")
        if model is not None:
            self.attach(model)

    def penalty(self, model: Any) -> Tensor | None:
        """The penalty on the outputs of the model's last training pass; None if there was none."""
        if model is not self._model:
            raise RuntimeError(
                f"{type(self).__name__}: attach(model) it before the model runs, to see the outputs"
            )
        outputs, self._outputs = self._outputs, []
        return total(
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
            chosen = [module for name, module in named if matches(name, self.on)]
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
    """`factor * sum y^2` of a layer's outputs, averaged over the batch. See `ActivityL1`.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn, regularizers
    >>> small = regularizers.ActivityL2(0.5).attach(model := nn.ReLU())
    >>> y = model(fastnn.Tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True))
    >>> small.penalty(model).item()
    3.5
    """

    def _of(self, y: Tensor) -> Tensor:
        return ops.sum(ops.square(y))
