"""What all optimizers share: groups of parameters in flat memory, clipping, and the state to save.

The parameters of a group lie in as few stretches of flat memory as possible; a step is one C call
for each. Whatever may change during training (learning rate, step count, ...) is in a small float64
array that the call reads, so that a recorded step stays right when it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .._core import launch, memory_of, note_change, note_use
from .._core import ops as op
from ..autograd import enable_grad
from ..flat import adopt_gradient, flatten, gradients, runs
from ..scope import scope
from ..tensor import Tensor, empty
from .group import MU_PRODUCT, STEP, ParamGroup

__all__ = ["Optimizer"]


class Optimizer:
    """Base of the optimizers: changes parameters after ``backward`` has computed their gradients.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimize. Dicts have the key ``"params"`` and options of their own for those
        parameters.
    defaults : dict
        The options of groups that do not set them.
    clip_norm : float, optional
        Scale the gradients of all parameters together so that their 2-norm is at most this.
    clip_value : float, optional
        Clip each element of the gradients to +- this, after the scaling by ``clip_norm``.

    Attributes
    ----------
    param_groups : list of ParamGroup
        The groups; ``group["lr"] = 0.1`` takes effect at the next step.

    Raises
    ------
    ValueError
        For no parameters, a parameter that comes twice, or an option out of its range.
    """

    _op: ClassVar[int]
    _rule: ClassVar[int]
    # Options that the C rule reads, and their places in the array of hyperparameters.
    _fields: ClassVar[Mapping[str, int | tuple[int, ...]]] = {}
    # The rule's state arrays, by PyTorch's names, in the order of the op's arguments.
    _states: ClassVar[tuple[str, ...]] = ()
    # Attributes that a copy does not take along: it makes them itself, or has them from the state.
    _own: ClassVar[tuple[str, ...]] = ("param_groups", "_squares", "_norm", "_scale")

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        if isinstance(params, Tensor):
            raise TypeError("optimizer: params is a single tensor; pass a list of them")
        if hasattr(params, "parameters"):
            raise TypeError(
                f"optimizer: pass {type(params).__name__}.parameters(), not the model itself"
            )
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"optimizer: clip_norm must be positive, got {clip_norm}")
        self.defaults = {**defaults, "clip_value": clip_value}
        self.clip_norm = clip_norm
        given = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        self._begin([{**group, "params": _tensors(group["params"])} for group in groups])

    def _begin(self, groups: list[dict[str, Any]]) -> None:
        """Take these groups of parameters, none of which had a step yet."""
        self.param_groups: list[ParamGroup] = []
        self._squares: Tensor | None = None  # what clip_norm works with, made at the first step
        self._norm: Tensor | None = None
        self._scale: Tensor | None = None
        # All at once, so that every group finds its parameters next to each other.
        flatten([p for group in groups for p in group["params"]])
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Optimize more parameters, with options of their own.

        Parameters
        ----------
        group : dict
            ``{"params": tensors, option: value, ...}``.
        """
        tensors = _tensors(group["params"])
        if not tensors:
            raise ValueError(
                "optimizer: no parameters were given (a generator can be used up only once)"
            )
        taken = {id(p) for other in self.param_groups for p in other["params"]}
        for p in tensors:
            if id(p) in taken:
                raise ValueError(f"optimizer: a parameter of shape {p.shape} comes twice")
            taken.add(id(p))
        unknown = set(group) - set(self.defaults) - {"params", "initial_lr", "name"}
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: unknown option {sorted(unknown)[0]!r}; it has "
                f"{', '.join(self.defaults)}"
            )
        flats = flatten(tensors)
        made = ParamGroup({**self.defaults, **group, "params": tensors}, self._fields)
        made.runs = runs(flats, tensors)
        made.states = [{} for _ in made.runs]
        self._validate(made)
        self.param_groups.append(made)
        note_change()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            note_change()
        super().__setattr__(name, value)

    def _recorded_options(self) -> dict[str, Any]:
        """What a recorded step depends on that is not in its buffers."""
        found: dict[str, Any] = {"clip_norm": self.clip_norm}
        for i, group in enumerate(self.param_groups):
            found[f"param_groups[{i}]"] = [id(p) for p in group["params"]]
            for name in group.baked():
                found[f"param_groups[{i}][{name!r}]"] = group[name]
            found[f"the states of param_groups[{i}]"] = (
                [self._uses(name, group) for name in self._states],
                [id(memory_of(array)[0]) for state in group.states for array in state.values()],
            )
        return found

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with ``set_to_none=False`` set them to zero."""
        params = [p for group in self.param_groups for p in group["params"]]
        if set_to_none:
            for p in params:
                p.grad = None
        else:
            for gradient in gradients(params):
                gradient.detach().zero_()

    @scope("optimizer")
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients anew; its result is returned.
        """
        note_use(self)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        work = [(group, _stretches(group)) for group in self.param_groups]
        scale = self._clip_scale([piece for _, pieces in work for piece in pieces])
        for group, pieces in work:
            if not pieces:
                continue
            h = group.hyper
            launch(op.optimizer_tick, (h, h), (self._rule,))
            for _, i, begin, length in pieces:
                run = group.runs[i]
                state = self._state(group, i)
                w, g = _part(run.data, begin, length), _part(run.grad, begin, length)
                s = tuple([None if t is None else _part(t, begin, length) for t in state])
                launch(self._op, (w, g, *s, scale, h, w, *s))
        return loss

    @property
    def grad_norm(self) -> float:
        """The 2-norm of all gradients at the last step, before clipping; needs ``clip_norm``."""
        if self._norm is None:
            raise RuntimeError("grad_norm: it is measured by a step with clip_norm set")
        return float(self._norm.item())

    @scope("clip")
    def _clip_scale(self, pieces: list[_Piece]) -> Tensor | None:
        if self.clip_norm is None or not pieces:
            return None
        if self._squares is None or self._squares.size != len(pieces):
            self._squares = empty(len(pieces), "float64")
            self._norm, self._scale = empty(1, "float64"), empty(1, "float64")
        squares = self._squares
        for k, (group, i, begin, length) in enumerate(pieces):
            g = _part(group.runs[i].grad, begin, length)
            launch(op.flat_dot, (g, g, _part(squares, k, 1)))
        launch(op.clip_scale, (squares, self._norm, self._scale), (float(self.clip_norm),))
        return self._scale

    # --- state ---

    def _validate(self, group: ParamGroup) -> None:
        """Options that do not go together are an error here."""

    def _uses(self, name: str, group: ParamGroup) -> bool:
        """Whether a state array is needed with the group's options."""
        return True

    def _initial(self, name: str, group: ParamGroup) -> float:
        """What a state array is filled with at first."""
        return 0.0

    def _state(self, group: ParamGroup, i: int) -> list[Tensor | None]:
        have = group.states[i]
        result: list[Tensor | None] = []
        for name in self._states:
            if not self._uses(name, group):
                result.append(None)
                continue
            if name not in have:
                have[name] = group.runs[i].state()
                value = self._initial(name, group)
                if value:
                    have[name].numpy()[...] = value
            result.append(have[name])
        return result

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later, as plain numbers, lists and numpy arrays.

        Returns
        -------
        dict
            ``"state"``: for each parameter's number its state arrays, by PyTorch's names;
            ``"param_groups"``: the options, ``"params"`` as numbers, and the count of steps.
        """
        state: dict[int, dict[str, np.ndarray]] = {}
        groups = []
        first = 0
        for group in self.param_groups:
            options = {k: _plain(v) for k, v in group.items() if k != "params"}
            values = group.hyper.numpy()
            numbers = list(range(first, first + len(group["params"])))
            groups.append(
                {
                    **options,
                    "params": numbers,
                    "step": int(values[STEP]),
                    "mu_product": float(values[MU_PRODUCT]),
                }
            )
            number = {id(p): first + k for k, p in enumerate(group["params"])}
            for run, arrays in zip(group.runs, group.states, strict=True):
                for p in run.params:
                    kept = {name: run.view(t, p).numpy().copy() for name, t in arrays.items()}
                    if kept:
                        state[number[id(p)]] = kept
            first += len(group["params"])
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises
        ------
        ValueError
            If groups, parameters or shapes are not those of this optimizer; nothing is changed
            then.
        """
        if not {"param_groups", "state"} <= set(state_dict):
            raise ValueError(
                "load_state_dict: this is no optimizer's state; it lacks 'param_groups' or 'state' "
                f"(it has {', '.join(map(str, state_dict)) or 'nothing'})"
            )
        groups, states = (
            state_dict["param_groups"],
            {int(k): v for k, v in state_dict["state"].items()},
        )
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError(
                f"load_state_dict: the saved groups have {[len(g['params']) for g in groups]} "
                "parameters, "
                f"these {[len(g['params']) for g in self.param_groups]}"
            )
        everything = [p for group in self.param_groups for p in group["params"]]
        for k, arrays in states.items():
            for name, value in arrays.items():
                if name in self._states and np.shape(value) != everything[k].shape:
                    raise ValueError(
                        f"load_state_dict: {name} of parameter {k} has shape {np.shape(value)}, "
                        f"the parameter {everything[k].shape}"
                    )
        first = 0
        for group, saved in zip(self.param_groups, groups, strict=True):
            for name, value in saved.items():
                if name not in ("params", "step", "mu_product"):
                    group[name] = tuple(value) if isinstance(value, list) else value
            values = group.hyper.numpy()
            values[STEP] = saved.get("step", 0)
            values[MU_PRODUCT] = saved.get("mu_product", 1)
            number = {id(p): first + k for k, p in enumerate(group["params"])}
            group.states = [{} for _ in group.runs]
            note_change()  # recorded steps use the arrays that were there
            for run, arrays in zip(group.runs, group.states, strict=True):
                for p in run.params:
                    for name, value in states.get(number[id(p)], {}).items():
                        if name in self._states:
                            if name not in arrays:
                                arrays[name] = run.state()
                            run.view(arrays[name], p).numpy()[...] = np.asarray(value)
            first += len(group["params"])

    def __getstate__(self) -> tuple[dict[str, Any], list[list[Tensor]], dict[str, Any]]:
        """For copies and pickles: attributes, parameters and state, but not where they lie in memory.

        Copied or pickled together with its model, an optimizer stays that of the model.
        """
        attributes = {k: v for k, v in vars(self).items() if k not in self._own}
        return attributes, [list(g["params"]) for g in self.param_groups], self.state_dict()

    def __setstate__(
        self, state: tuple[dict[str, Any], list[list[Tensor]], dict[str, Any]]
    ) -> None:
        attributes, params, saved = state
        vars(self).update(attributes)
        self._begin([{"params": tensors} for tensors in params])
        self.load_state_dict(saved)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


# A group, the number of one of its runs, and the first element and length of a part of that run.
_Piece = tuple[ParamGroup, int, int, int]


def _tensors(params: Any) -> list[Tensor]:
    """The tensors of one group; ``named_parameters()`` do too."""
    given: list[Any] = [params] if isinstance(params, Tensor) else list(params)
    return [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in given]


def _stretches(group: ParamGroup) -> list[_Piece]:
    """The parts of a group's runs that have gradients, all of them in flat memory."""
    pieces: list[_Piece] = []
    for i, run in enumerate(group.runs):
        if not run.intact():
            raise RuntimeError(
                "optimizer: parameters were moved to other memory (converted?) since the "
                "optimizer was made; "
                "make a new one"
            )
        whole = True
        for p in run.params:
            gradient = p.grad
            if gradient is None:
                whole = False
            elif gradient is not p._grad_view:
                adopt_gradient(p)
        if whole:
            pieces.append((group, i, 0, run.data.size))
            continue
        for part in runs([run.flat], [p for p in run.params if p.grad is not None]):
            pieces.append((group, i, part.offset - run.offset, part.data.size))
    return pieces


def _part(flat: Tensor, begin: int, length: int) -> Tensor:
    return flat if length == flat.size else flat._as_view((length,), (1,), begin)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.item() if isinstance(value, (np.generic, Tensor)) else value
