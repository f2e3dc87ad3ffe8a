"""Recording one execution of a function as a `Program`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import _core
from ..tensor import Tensor
from .program import Buffer, Call, Program, View

__all__ = ["trace"]


def trace(function: Callable[[], Any], inputs: Sequence[Tensor]) -> tuple[Program, Any, list[Any]]:
    """Run a function, noting its calls.

    Parameters
    ----------
    function : callable
        Without arguments; it uses the inputs.
    inputs : sequence of Tensor
        What will hold other values when the program is run again; their values may not be read meanwhile.

    Returns
    -------
    program : Program
        Memory that was made during the call and that nobody holds any more is temporary. All other memory
        (inputs, parameters, results, what the function stored somewhere) stays where it is.
    result : object
        What the function returned.
    used : list of object
        What noted itself while it ran (`_core.note_use`): the modules that were called.
    """
    recorder = _core.Recorder(inputs)
    with recorder:
        result = function()
    calls, used = recorder.calls, recorder.used
    del recorder
    return Program(_lift(calls)), result, used


def _lift(recorded: list[_core.Call]) -> list[Call]:
    """The calls on buffers. The recorded list is emptied, so that what only it held can be told apart."""
    owners: dict[int, Any] = {}
    buffers: dict[int, Buffer] = {}
    wholes: dict[int, _core.Array] = {}  # all of the memory made while recording, by its owner
    read_first: set[int] = set()  # memory that was filled in Python: its values are constants
    calls: list[tuple[int, list[Any], tuple[float, ...]]] = []
    for op, arrays, scalars in recorded:
        n_inputs = len(_core.op_info(op)[2].split("->")[0].split())
        views: list[Any] = []
        for i, array in enumerate(arrays):
            if array is None:
                views.append(None)
                continue
            owner, offset, size, born = _core.memory_of(array)
            key = id(owner)
            if key not in buffers:
                buffers[key] = Buffer(size)
                owners[key] = owner
                if born:
                    wholes[key] = _core.whole(array)
                    if i < n_inputs:
                        read_first.add(key)
                else:
                    buffers[key].array = array
            views.append(
                (key, offset, array.shape, array.strides, array.code, None if born else array)
            )
        calls.append((op, views, scalars))
    del owner, array, arrays
    recorded.clear()
    for key, whole in wholes.items():
        # References that are ours: the dict of owners, the array over all, and getrefcount's argument.
        if key in read_first or sys.getrefcount(owners[key]) > 3:
            buffers[key].array = whole
    return [
        Call(op, tuple(None if v is None else _view(v, buffers[v[0]]) for v in views), scalars)
        for op, views, scalars in calls
    ]


def _view(lifted: Any, buffer: Buffer) -> View:
    _, offset, shape, strides, code, array = lifted
    if array is None and buffer.array is not None:
        array = _core.place(buffer.array, offset, shape, strides, code)
    return View(buffer, offset, shape, strides, code, array)
