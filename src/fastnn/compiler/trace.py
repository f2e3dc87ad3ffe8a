"""Recording one execution of a function as a `Program`."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import _core
from ..dtypes import BY_CODE, int32, int64, uint8
from ..tensor import Tensor
from .guard import Guard, random_states, warn_of_constants
from .layers import layer_names
from .program import Buffer, Call, Program, View, inputs_of

__all__ = ["arrays_in", "trace"]

_one_at_a_time = threading.RLock()


def trace(
    function: Callable[[], Any], inputs: Sequence[Tensor], views: Sequence[Tensor] | None = None
) -> tuple[Program, Any, Guard]:
    """Run a function, noting its calls instead of making them: nothing is computed yet.

    Parameters
    ----------
    function : callable
        Without arguments; it uses the inputs.
    inputs : sequence of Tensor
        What will hold other values when the program is run again; their values may not be read meanwhile.
    views : sequence of Tensor, optional
        Given where the inputs are copies of what a caller passes: what the function has of them, and may
        not write. The program gets views of its own then, so that it can be told who has others.

    Returns
    -------
    program : Program
        Memory that was made during the call and that nobody holds any more is temporary. All other memory
        (inputs, parameters, results, what the function stored somewhere) stays where it is.
    result : object
        What the function returned; its tensors have their values once the program has run.
    guard : Guard
        What the recording depends on besides memory.

    Raises
    ------
    RecordingError
        If the function did what a replay cannot repeat.

    Notes
    -----
    Nothing is computed, and each ``.grad`` is what it was before, also after an error.
    """
    recorder = _core.Recorder(inputs if views is None else views, views is not None)
    attributes = recorder.attributes
    try:
        with _one_at_a_time, recorder:
            states = random_states()
            result = function()
            warn_of_constants(states)
        attributes.close()
        _place_deferred(recorder)
        guard = Guard(recorder.used, attributes, _read(recorder.calls))
    finally:
        attributes.undo()
    calls, number = recorder.calls, recorder.number
    del recorder
    result_owners = Counter(id(_core.memory_of(x)[0]) for x in arrays_in(result))
    if views is not None:
        _use_own_views(calls, inputs)
    program = Program(_lift(calls, number, result_owners))
    for buffer in program.buffers():
        if any(_core.memory_of(x)[0] is _owner(buffer) for x in inputs):
            buffer.kind = "input"
    return program, result, guard


def _owner(buffer: Buffer) -> Any:
    return None if buffer.array is None else _core.memory_of(buffer.array)[0]


def _place_deferred(recorder: _core.Recorder) -> None:
    """Have each function that replays call in Python called before all calls, or after them.

    Raises
    ------
    RecordingError
        If calls on both sides of it use what it writes.
    """
    for function, arrays, place, line in recorder.deferred:
        written = {id(_core.memory_of(x)[0]) for x in arrays}
        calls = recorder.calls
        sides = [
            any(
                x is not None and id(_core.memory_of(x)[0]) in written
                for _, views, *_ in part
                for x in views
            )
            for part in (calls[:place], calls[place:])
        ]
        if all(sides):
            raise _core.RecordingError(
                f"{line}: a schedule was stepped between two uses of its optimizer while the function was "
                "recorded; step it before the first, after the last, or outside the function"
            )
        attributes = recorder.attributes
        (attributes.before if sides[1] else attributes.after).append(function)


def _read(calls: list[Any]) -> set[int]:
    """The ids of the owners of all memory that the calls read."""
    return {
        id(_core.memory_of(array)[0])
        for op, arrays, *_ in calls
        for array in arrays[: inputs_of(op)]
        if array is not None
    }


def arrays_in(value: Any) -> Iterator[_core.Array]:
    """The arrays in a nest of tuples, lists and dicts."""
    if isinstance(value, _core.Array):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))


@dataclass
class _Memory:
    """What the recorded calls did with one piece of memory."""

    owner: Any
    buffer: Buffer
    whole: _core.Array | None  # all of it, where it was made while recording
    filled: bool  # whether Python was given it to write
    first: int  # the call that is the first to touch it
    readonly: bool  # whether nobody may write it
    written: bool = False
    views: list[_core.Array] = field(default_factory=list)  # of memory from outside, one a use

    def forsaken(self) -> bool:
        """Whether memory from outside was used, and nobody but us has it now."""
        if not self.views or self.readonly or _core.lender_is_held(self.owner):
            return False
        uses = Counter(map(id, self.views))
        if sys.getrefcount(self.owner) > 2 + len(
            uses
        ):  # ours, getrefcount's argument, and the views'
            return False
        for i in range(len(self.views)):
            # In our list and in the call for each use, as the buffer's array, and getrefcount's argument.
            ours = 2 * uses[id(self.views[i])] + (self.buffer.array is self.views[i]) + 1
            if sys.getrefcount(self.views[i]) > ours:
                return False
        return True

    def settle(self, results: int) -> Call | None:
        """Decide whether the memory stays, or is the program's to place. Returns the call to begin with.

        What Python filled is a constant if no call writes it. If one does, and nobody keeps it, then it is
        made anew each time the function runs: a call sets it up as Python did. If somebody other than the
        results keeps it, it is state that was made once.
        """
        if self.readonly and not _core.lender_is_held(self.owner):
            self.buffer.kind = "constant"
            self.buffer.array = self.buffer.array if self.whole is None else self.whole
            return None
        if self.whole is None:
            self.buffer.kind = "yours"
            return None
        # References that are not a holder's: ours, the array over all, and getrefcount's argument.
        kept = sys.getrefcount(self.owner) - 3 - results > 0 or _core.lender_is_held(self.owner)
        if kept or results or (self.filled and not self.written):
            self.buffer.array = self.whole
            self.buffer.kind = "kept" if kept or results else "constant"
        if not self.filled or not self.written or kept or not self.whole.size:
            return None
        return _setting_up(self.buffer, self.whole)


def _use_own_views(recorded: list[Any], inputs: Sequence[Tensor]) -> None:
    """Have the calls on inputs use views of their own instead of those that the function has."""
    wholes = {id(_core.memory_of(x)[0]): _core.whole(x) for x in inputs}
    made: dict[int, tuple[_core.Array, _core.Array]] = {}

    def own(array: _core.Array | None) -> _core.Array | None:
        if array is None:
            return None
        owner, offset, *_ = _core.memory_of(array)
        whole = wholes.get(id(owner))
        if whole is None:
            return array
        if id(array) not in made:
            view = _core.place(whole, offset, array.shape, array.strides, array.code)
            made[id(array)] = (view, array)  # with the array, whose id is taken for so long
        return made[id(array)][0]

    for i, (op, arrays, scalars, scope) in enumerate(recorded):
        recorded[i] = (op, tuple(map(own, arrays)), scalars, scope)


def _lift(recorded: list[Any], recording: int, result_owners: Counter[int]) -> list[Call]:
    """The calls on buffers. The recorded list is emptied, so that what only it held can be told apart."""
    memory: dict[int, _Memory] = {}
    lifted: list[tuple[int, list[Any], tuple[float, ...]]] = []
    layers = layer_names([scope for *_, scope in recorded])
    for number, (op, arrays, scalars, _) in enumerate(recorded):
        n_inputs = inputs_of(op)
        views: list[Any] = []
        for i, array in enumerate(arrays):
            if array is None:
                views.append(None)
                continue
            owner, offset, size, born, filled = _core.memory_of(array, recording)
            piece = memory.get(id(owner))
            if piece is None:
                whole = _core.whole(array) if born else None
                piece = _Memory(owner, Buffer(size), whole, filled, number, array.readonly)
                memory[id(owner)] = piece
                if not born:
                    piece.buffer.array = array
            piece.written |= i >= n_inputs
            fixed = None if born else array
            if not born:
                piece.views.append(array)
            views.append((piece.buffer, offset, array.shape, array.strides, array.code, fixed))
        lifted.append((op, views, scalars))
    if recorded:
        del owner, array, arrays
    recorded.clear()
    before: dict[int, list[Call]] = {}
    for key, piece in memory.items():
        if piece.forsaken():
            shape = piece.views[0].shape
            raise _core.RecordingError(
                f"{_core.user_line()}: a tensor of shape {shape} from outside the function was used and then "
                "let go while it was recorded: each replay would use that same tensor again. Where another "
                "took its place, as in h = f(h), write into it instead, as in h.copy_(f(h)); or pass it as "
                "an argument and return it"
            )
        call = piece.settle(result_owners[key])
        if call is not None:
            before.setdefault(piece.first, []).append(call)
    calls: list[Call] = []
    for number, ((op, views, scalars), layer) in enumerate(zip(lifted, layers, strict=True)):
        calls += [replace(call, layer=layer) for call in before.get(number, [])]
        placed = tuple(None if v is None else _view(*v) for v in views)
        calls.append(Call(op, placed, scalars, layer))
    return calls


def _view(
    buffer: Buffer,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    code: int,
    array: _core.Array | None = None,
) -> View:
    if array is None and buffer.array is not None:
        array = _core.place(buffer.array, offset, shape, strides, code)
    return View(buffer, offset, shape, strides, code, array)


def _setting_up(buffer: Buffer, whole: _core.Array) -> Call:
    """The call that gives a buffer the bytes that Python wrote; one number repeated where all are alike."""
    code = next(dtype.code for dtype in (int64, int32, uint8) if whole.size % dtype.itemsize == 0)
    itemsize = BY_CODE[code].itemsize
    values = np.asarray(memoryview(whole)).view(BY_CODE[code].numpy)
    alike = bool((values == values[:1]).all())
    source = _core.empty(_core.Array, (1 if alike else values.size,), code)
    np.asarray(memoryview(source))[...] = values[: source.size]
    size = whole.size // itemsize
    read = View(
        Buffer(source.size * itemsize, _core.whole(source), kind="constant"),
        0, (size,), (0 if alike else 1,), code,
        _core.view(_core.Array, source, (size,), (0 if alike else 1,)),
    )  # fmt: skip
    return Call(_core.ops.copy, (read, _view(buffer, 0, (size,), (1,), code)), ())
