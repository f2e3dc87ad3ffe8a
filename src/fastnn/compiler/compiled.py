"""Compiled functions: recorded once for each kind of arguments, replayed in C after that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from .. import _core
from .._core import launch
from .._core import ops as op
from ..autograd import is_grad_enabled
from ..tensor import Tensor, as_tensor, empty
from .passes import run_passes
from .program import Program
from .trace import trace

__all__ = ["Compiled", "Recording", "compile", "record"]


class Recording:
    """One recorded execution.

    Attributes
    ----------
    inputs : list of Tensor
        The buffers that arguments are copied into.
    program : Program
        The calls, after all passes.
    """

    def __init__(
        self, inputs: list[Tensor], program: Program, result: Any, modules: list[Any]
    ) -> None:
        self.inputs = inputs
        self.program = program
        self.result = result
        self._ready = program.lower()
        unique = {id(m): m for m in modules}
        self._modules = [(m, m.training, _structure(m)) for m in unique.values()]
        self._moves = _core.move_count()

    def __call__(self, arguments: list[Tensor]) -> Any:
        for there, value in zip(self.inputs, arguments, strict=True):
            launch(op.copy, (value, there))
        self._ready.run()
        return _mapped(self.result, _copied)

    def run_many(self, repeats: int, seconds: float = 0) -> int:
        """Run the calls again and again on what the inputs hold. Returns how often."""
        return self._ready.run(repeats, seconds)

    def show(self) -> str:
        """The calls as text, with threads, cost and places in the arena."""
        return self.program.show(self._ready.steps())

    def fits(self) -> bool:
        """Whether the modules are in the modes, and all memory is where it was, when this was recorded.

        Raises
        ------
        RecordingError
            If a module has other layers or parameters since.
        """
        for module, _, structure in self._modules:
            if _structure(module) != structure:
                raise _core.RecordingError(
                    f"compile: a {type(module).__name__} has other layers or parameters than when it "
                    "was recorded; call reset() on the compiled function to record it anew"
                )
        return self._moves == _core.move_count() and all(
            module.training is training for module, training, _ in self._modules
        )


def record(
    function: Callable[[], Any], inputs: Sequence[Tensor] = (), *, without: Collection[str] = ()
) -> Recording:
    """Record a function without arguments, which reads its inputs where they are.

    Nothing is computed yet: `Recording.run_many` does that, on what the inputs, and all other memory that
    the function uses, hold then.

    Examples
    --------
    >>> import fastnn
    >>> x, total = fastnn.ones(2), fastnn.zeros(2)
    >>> recording = record(lambda: total.copy_(total + x), [x])
    >>> recording.run_many(3), total
    (3, Tensor([3., 3.]))
    """
    kept = list(inputs)
    program, result, modules = trace(lambda: _mapped(function(), _detached), kept)
    _core.memory_trim()  # of the intermediates, which nobody wrote
    return Recording(kept, run_passes(program, without), result, modules)


class Compiled:
    """What `compile` returns."""

    def __init__(self, function: Callable[..., Any], without: Collection[str] = ()) -> None:
        self._function = function
        self._without = without
        self._recordings: dict[Any, list[Recording]] = {}
        self._changes = _core.change_count()
        self.latest: Recording | None = None
        update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values: list[Tensor] = []
        key = (is_grad_enabled(), _key((args, kwargs), values))
        recordings = self._recordings.get(key)
        if recordings and self._changes == _core.change_count():
            recording: Recording | None = recordings[0]
        else:
            recording = self._find(key)
        if recording is None:
            recording = self._record(args, kwargs, values)
            self._recordings.setdefault(key, []).insert(0, recording)
            self._changes = _core.change_count()
        self.latest = recording
        return recording(values)

    def _find(self, key: Any) -> Recording | None:
        """Something changed: the recording for the arguments that still fits, first in its list."""
        moves = _core.move_count()
        for kind, recordings in list(self._recordings.items()):
            kept = [r for r in recordings if r._moves == moves]  # the others' memory is gone
            kept.sort(key=lambda r: not r.fits())
            self._recordings[kind] = kept
        found = self._recordings.get(key)
        fitting = found[0] if found and found[0].fits() else None
        # The order is right for all kinds of arguments now, if each has a recording that fits.
        if all(r and r[0].fits() for r in self._recordings.values()):
            self._changes = _core.change_count()
        return fitting

    def _record(self, args: Any, kwargs: Any, values: list[Tensor]) -> Recording:
        inputs = [_buffer(v) for v in values]
        buffers = iter(inputs)
        filled_args, filled_kwargs = _mapped((args, kwargs), lambda _: next(buffers))
        return record(
            lambda: self._function(*filled_args, **filled_kwargs), inputs, without=self._without
        )

    def reset(self) -> None:
        """Forget all recordings."""
        self._recordings.clear()
        self.latest = None

    def show(self) -> str:
        """The calls of the latest recording as text."""
        return "not recorded yet" if self.latest is None else self.latest.show()


def _structure(module: Any) -> tuple[int, ...]:
    """The identities of a module's own layers and tensors."""
    return tuple(
        [id(v) for v in vars(module).values() if isinstance(v, Tensor) or hasattr(v, "forward")]
    )


def compile(function: Callable[..., Any], *, without: Collection[str] = ()) -> Compiled:
    """Record a function of tensors and replay it in C.

    The first call for each new set of argument shapes and dtypes runs the function to note the ops that it
    launches; every call copies the arguments and runs those ops in one go, without Python. Everything that a
    function does through tensors is replayed: forward and backward passes, optimizer steps, updates of
    running statistics. What it does in Python besides (printing, counting) happens only when it is recorded.

    Parameters
    ----------
    function : callable
        Its arguments may be tensors and numpy arrays, in nested tuples, lists and dicts; anything else must
        be hashable, and another value of it makes another recording. Results are detached from the graph.
    without : collection of str
        Names of passes to leave out (`fastnn.compiler.passes.PASSES`), to see what each does.

    Raises
    ------
    RecordingError
        If the function reads a value of a tensor while it is recorded; the message names the line.

    Examples
    --------
    >>> import fastnn
    >>> square_sum = fastnn.compile(lambda x: (x * x).sum())
    >>> square_sum(fastnn.Tensor([1.0, 2.0])), square_sum(fastnn.Tensor([3.0, 4.0]))
    (Tensor(5.), Tensor(25.))
    """
    if not callable(function):
        raise TypeError(f"compile: expected a function, got {type(function).__name__}")
    return Compiled(function, without)


def _key(value: Any, tensors: list[Tensor]) -> Any:
    """What a recording depends on; the tensors within are added to the list."""
    if isinstance(value, (Tensor, np.ndarray)):
        tensor = as_tensor(value)
        tensors.append(tensor)
        return (tensor.shape, tensor.code, tensor._requires_grad)
    if isinstance(value, (tuple, list)):
        return (type(value), *(_key(v, tensors) for v in value))
    if isinstance(value, dict):
        return (dict, *((k, _key(v, tensors)) for k, v in value.items()))
    return (type(value), value)


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """A nest of tuples, lists and dicts with each tensor and array in it replaced."""
    if isinstance(value, (Tensor, np.ndarray)):
        return function(value)
    if isinstance(value, (tuple, list)):
        return type(value)([_mapped(v, function) for v in value])
    if isinstance(value, dict):
        return {k: _mapped(v, function) for k, v in value.items()}
    return value


def _buffer(value: Tensor) -> Tensor:
    made = empty(value.shape, value.dtype)
    made._requires_grad = value._requires_grad
    return made


def _detached(value: Any) -> Any:
    """Without the history, which would keep every intermediate of the recording alive.

    A tensor of our own, so that memory which only the results hold can be told from what the function kept.
    """
    return value.detach() if isinstance(value, Tensor) else value


def _copied(value: Any) -> Any:
    """A copy, which the next run does not overwrite."""
    if not isinstance(value, Tensor):
        return value
    made = _core.empty_like(value)
    launch(op.copy, (value, made))
    return made
