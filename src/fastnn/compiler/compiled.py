"""Compiled functions: recorded once for each kind of arguments, replayed in C after that."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any, overload
from weakref import WeakSet

import numpy as np

from .. import _core
from ..autograd import is_grad_enabled
from ..autograd.graph import mode
from ..tensor import Tensor, as_tensor
from ..units import duration, parse_size, whole
from .arguments import buffer_like, detached, key_of, leaf, mapped, objects_in
from .footprint import Footprint
from .guard import Guard, names_of
from .listing import listing
from .names import Names
from .passes import check_passes, run_passes
from .program import Program
from .trace import arrays_in, trace

__all__ = ["Compiled", "Recording", "compile", "record"]

# How many recordings of a function are looked through without a key, the latest first.
READY = 4
# How many recordings are kept for arguments of one kind: each has memory of its own.
MOST = 8

# All recordings there are, and who wants to be told of new ones: the profiler, while it watches.
live: WeakSet[Recording] = WeakSet()
on_record: list[Callable[[Recording], None]] = []


class Recording(_core.Replay):
    """One recorded execution; called with values for its inputs, it runs on them.

    Attributes
    ----------
    inputs : list of Tensor
        The buffers that arguments are copied into; later calls than the first read large ones in place.
    program : Program
        The calls, after all passes.
    guard : Guard
        What they depend on besides memory.
    footprint : Footprint
        The memory that they need; ``footprint.peak`` is all of it in bytes.

    Raises
    ------
    MemoryError
        If that is more than the limit.

    Examples
    --------
    >>> import fastnn
    >>> recording = fastnn.compile(lambda x: x * 2).prepare(fastnn.ones(3))
    >>> recording(fastnn.ones(3))
    Tensor([2., 2., 2.])
    >>> recording.footprint.inputs  # bytes that arguments are copied into
    12
    """

    def __init__(
        self,
        inputs: list[Tensor],
        program: Program,
        result: Any,
        guard: Guard,
        limit: int | None = None,
        lends: bool = False,
    ) -> None:
        ready = program.lower()
        self.footprint = Footprint.of(program, ready.workspace)
        self.footprint.check(program, limit)
        known = program.arrays() if lends else None
        super().__init__(ready, inputs, result, guard.attributes, known)
        self.inputs = inputs
        self.program = program
        self.grad = is_grad_enabled()
        self.guard = guard
        self._moves = _core.move_count()
        live.add(self)
        for see in on_record:
            see(self)

    def run_many(self, repeats: int, seconds: float = 0) -> int:
        """Run the calls again and again on what the inputs hold. Returns how often.

        Parameters
        ----------
        repeats : int
            How often at the most.
        seconds : float, default 0
            Begin no other run after so long; 0: go on to the end.

        Raises
        ------
        RecordingError
            If the second run would be another: it adds to the gradients that the first one leaves.
        """
        repeats, seconds = whole("run_many: repeats", repeats, 0), duration("seconds", seconds)
        attributes = self.guard.attributes
        if repeats > 1 and not attributes.repeats():
            raise _core.RecordingError(
                f"{_core.user_line()}: run_many: the function found other gradients than it leaves, so that "
                "its second run would add to them; begin it with zero_grad()"
            )
        # Where Python has its turn after each run, one by one.
        once = 1 if attributes.before or attributes.after else repeats
        done, end = 0, time.monotonic() + seconds
        while done < repeats and not (done and seconds and time.monotonic() >= end):
            attributes.prepare()
            ran = self.ready.run(once, seconds)
            attributes.settle()
            done += ran
            if ran < once:
                break
        return done

    def show(self) -> str:
        """The memory that it takes, and the calls: threads, costs, places in the arena, layers."""
        names = Names(self.program, list(arrays_in(self.result)), self.guard.things())
        return f"{self.footprint}\n{listing(self.program, self.ready.steps(), names)}"

    def __repr__(self) -> str:
        count = len(self.program.calls)
        return f"Recording({count} call{'s' * (count != 1)}, {self.footprint})"

    def fits(self) -> bool:
        """Whether all memory is where it was, and modules and optimizers are set as they were then.

        Raises
        ------
        RecordingError
            If a module has other layers, parameters or hooks since.
        """
        return self._moves == _core.move_count() and not self.guard.difference()


def record(
    function: Callable[[], Any],
    inputs: Sequence[Tensor] = (),
    *,
    views: Sequence[Tensor] | None = None,
    without: Collection[str] = (),
    memory_limit: int | str | None = None,
) -> Recording:
    """Record a function without arguments, which reads its inputs where they are.

    Nothing is computed yet: `Recording.run_many` does that, on what all memory that the function uses holds
    then. ``views`` is what it has of inputs that arguments are copied into.

    Examples
    --------
    >>> import fastnn
    >>> x, total = fastnn.ones(2), fastnn.zeros(2)
    >>> recording = record(lambda: total.copy_(total + x), [x])
    >>> recording.run_many(3), total
    (3, Tensor([3., 3.]))
    """
    kept = list(inputs)
    program, result, guard = trace(lambda: mapped(function(), detached), kept, views)
    _core.memory_trim()  # of the intermediates, which nobody wrote
    limit = None if memory_limit is None else parse_size("memory_limit", memory_limit)
    return Recording(kept, run_passes(program, without), result, guard, limit, views is not None)


class Compiled(_core.Caller):
    """What `compile` returns.

    Attributes
    ----------
    latest : Recording or None
        The one that was called last.

    Examples
    --------
    >>> import fastnn
    >>> double = fastnn.compile(lambda x: x * 2)
    >>> _ = double(fastnn.ones(3)), double(fastnn.ones((2, 2))), double(fastnn.zeros(3))
    >>> double  # a recording for each shape
    compile(<lambda>, 2 recordings)
    >>> double.latest.inputs[0].shape
    (3,)
    """

    latest: Recording | None

    def __init__(
        self,
        function: Callable[..., Any],
        without: Collection[str] = (),
        memory_limit: int | str | None = None,
        mode: Any = mode,
    ) -> None:
        super().__init__(mode)
        self._function = function
        self._options: dict[str, Any] = {"without": without, "memory_limit": memory_limit}
        self._recordings: dict[Any, list[Recording]] = {}
        self._moves = _core.move_count()
        update_wrapper(self, function, updated=())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: the instance is the first argument."""
        return self if instance is None else MethodType(self, instance)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Where no recording that is ready fits: find one, or record."""
        recording, values = self._recording(args, kwargs)
        recording.fitted = _core.change_count()
        if not kwargs and all(isinstance(x, (Tensor, np.ndarray)) for x in args):
            others = [r for r in self.ready if r is not recording]
            self.ready = [recording, *others[: READY - 1]]
        self.latest = recording
        return recording(*values)

    def prepare(self, *args: Any, **kwargs: Any) -> Recording:
        """Record for arguments of this kind, where that was not done yet, and run nothing.

        Examples
        --------
        >>> import fastnn
        >>> double = fastnn.compile(lambda x: x * 2)
        >>> double.prepare(fastnn.zeros((500, 500))).footprint.peak  # input and result, 1 MB each
        2000004
        """
        self.latest, _ = self._recording(args, kwargs)
        return self.latest

    def _recording(self, args: Any, kwargs: Any) -> tuple[Recording, list[Tensor]]:
        """The recording for arguments, made now if there is none, and the tensors among them."""
        values: list[Tensor] = []
        key = (is_grad_enabled(), key_of((args, kwargs), values))
        recording = self._find(key)
        if recording is None:
            recording = self._record(args, kwargs, values)
            self._add(key, recording)
        return recording, values

    def _find(self, key: Any) -> Recording | None:
        """The recording for the arguments that fits."""
        moves = _core.move_count()
        if moves != self._moves:  # the memory of those from before is gone
            for kind, recordings in list(self._recordings.items()):
                self._recordings[kind] = [r for r in recordings if r._moves == moves]
            self.ready = [r for r in self.ready if r._moves == moves]
            self._moves = moves
        found = self._recordings.get(key, ())
        return next((r for r in found if r.guard.attributes.holds() and r.fits()), None)

    def _add(self, key: Any, recording: Recording) -> None:
        """Another recording for these arguments; of many, those made last are kept."""
        recordings = self._recordings.setdefault(key, [])
        if len(recordings) == MOST:
            changed = recordings[-1].guard.difference() or ".grad of a tensor"
            warnings.warn(
                f"compile: {getattr(self, '__name__', 'a function')} was recorded {MOST + 1} times for "
                f"arguments of one kind, the last time because of {changed}; what changes often belongs "
                "into a tensor, or stays outside",
                stacklevel=4,
            )
            self.ready = [r for r in self.ready if r is not recordings[0]]
            del recordings[0]
        recordings.append(recording)

    def inline(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Within another compiled function it is part of that recording, cut off from the graph as ever."""
        given = mapped((args, kwargs), lambda x: leaf(as_tensor(x)))
        return mapped(self._function(*given[0], **given[1]), detached)

    def _record(self, args: Any, kwargs: Any, values: list[Tensor]) -> Recording:
        inputs = [buffer_like(v) for v in values]
        views = [leaf(x) for x in inputs]
        left = iter(views)
        filled_args, filled_kwargs = mapped((args, kwargs), lambda _: next(left))

        def function() -> Any:
            for thing in objects_in((args, kwargs)):
                _core.note_use(thing)
            return self._function(*filled_args, **filled_kwargs)

        # By id: a reference would keep what the function lets go.
        before = {(id(where), name): id(value) for where, name, value in names_of(self._function)}
        recording = record(function, inputs, views=views, **self._options)
        for where, name, value in names_of(self._function):
            if before.get((id(where), name)) == id(value):  # else the function itself sets it
                recording.guard.attributes.name(where, name, value)
        return recording

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has no recordings: they are of this very function's objects."""
        return (Compiled, (self._function, *self._options.values()))

    def train(self, mode: bool = True) -> Compiled:
        """Set the mode of a compiled module, as its own `train` does."""
        module: Any = self._function
        module.train(mode)
        return self

    def eval(self) -> Compiled:
        """Set a compiled module to evaluation mode."""
        return self.train(False)

    def __getattr__(self, name: str) -> Any:
        """What else a compiled module has: its parameters, state_dict ..."""
        if name == "_function":  # not set yet
            raise AttributeError(name)
        return getattr(self._function, name)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", None) or repr(self._function)
        count = sum(map(len, self._recordings.values()))
        return f"compile({name}, {count} recording{'s' * (count != 1)})"

    def reset(self) -> None:
        """Forget all recordings."""
        self._recordings.clear()
        self.ready = []
        self.latest = None

    def show(self) -> str:
        """The calls of the latest recording as text."""
        return "not recorded yet" if self.latest is None else self.latest.show()


@overload
def compile(
    function: Callable[..., Any],
    *,
    without: Collection[str] = ...,
    memory_limit: int | str | None = ...,
) -> Compiled: ...
@overload
def compile(
    *, without: Collection[str] = ..., memory_limit: int | str | None = ...
) -> Callable[[Callable[..., Any]], Compiled]: ...
def compile(
    function: Callable[..., Any] | None = None,
    *,
    without: Collection[str] = (),
    memory_limit: int | str | None = None,
) -> Any:
    """Record a function of tensors and replay it in C.

    The first call for each new set of argument shapes and dtypes runs the function to note the ops that it
    launches; every call runs them on the arguments in one go, without Python. All that a function does
    through tensors is replayed: forward and backward passes, optimizer steps, updates of running statistics.
    What it does in Python besides (printing, counting) happens only when it is recorded.

    Parameters
    ----------
    function : callable, optional
        Left out where this is a decorator with options: ``@fastnn.compile(memory_limit="1 GB")``. Its
        arguments may be tensors and numpy arrays, in nested tuples, lists and dicts; anything else must
        be hashable, and another value of it makes another recording. Results are detached from the graph.
    without : collection of str
        Names of passes to leave out (`fastnn.compiler.passes.PASSES`), to see what each does.
    memory_limit : int or str, optional
        The most memory that a recording may take besides what was there before (parameters, data), in bytes
        or as ``"512 MB"``. It is known before anything runs: `Compiled.prepare` tells it, and the first
        line of `Compiled.show`.

    Notes
    -----
    What lies in tensors is read anew by each call: parameters, buffers, the state, rates and options of
    optimizers, EMA's decay, the random generator. What the function reads in Python is part of the
    recording: other modes, numbers of layers (`Dropout.p`) and optimizers (`clip_norm`), frozen
    parameters or the absence of a gradient make another recording; another layer, parameter or hook is an
    error until `reset`. Where a name of the function's closure or globals means another object or number,
    there is another recording, too; what the functions that it calls find by name stays as it was. Tensors
    that the function keeps (``self.hidden = x``) have the values of the latest call.

    Raises
    ------
    MemoryError
        At the first call of its kind, if it would need more memory than the limit; nothing was run then.
    RecordingError
        If the function does what a replay cannot repeat, such as reading a value of a tensor; the message
        names the line. Nothing was computed or changed then, so the function itself can be called instead.

    Examples
    --------
    >>> import fastnn
    >>> square_sum = fastnn.compile(lambda x: (x * x).sum())
    >>> square_sum(fastnn.Tensor([1.0, 2.0])), square_sum(fastnn.Tensor([3.0, 4.0]))
    (Tensor(5.), Tensor(25.))
    """
    if memory_limit is not None:
        memory_limit = parse_size("memory_limit", memory_limit)
    without = check_passes(without)
    if function is None:
        return lambda decorated: compile(decorated, without=without, memory_limit=memory_limit)
    if not callable(function):
        raise TypeError(f"compile: expected a function, got {type(function).__name__}")
    return Compiled(function, without, memory_limit)
