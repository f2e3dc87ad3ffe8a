"""Recorded steps: on rows of data in memory, many in one call of C; or on a batch that is copied in."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Sequence
from operator import is_not
from typing import Any, NamedTuple

import numpy as np

from .._core import RecordingError, change_count, launch
from .._core import ops as op
from ..compiler import record
from ..compiler.guard import random_states
from ..scope import scope
from ..tensor import Tensor, empty, empty_like, zeros
from .feed import Batch
from .rates import Rates
from .tracker import WAIT_BATCHES, WAIT_ELEMENTS, metrics_output

__all__ = ["Failed", "RecordedBatch", "RecordedSteps", "Subject", "Task"]

# What is done with a batch: called with inputs, target, weight and what wants to see the loss before
# anything is changed; gives the output.
Task = Callable[[tuple[Tensor, ...], Any, Any, Callable[[Tensor], None]], Any]

# Steps in a call of C at most. It ends after _SECONDS, which are 2000 of the smallest steps there are.
_STEPS, _SECONDS = 4096, 0.05


class Failed(Exception):
    """A step failed on its data; nothing was changed by its backward pass.

    Attributes
    ----------
    done : int
        How many steps were done before.
    loss : float or None
        The loss, where it is that which is NaN or infinite.
    """

    def __init__(self, done: int, loss: float | None) -> None:
        super().__init__(done, loss)
        self.done, self.loss = done, loss


class _Written(Exception):
    """The model writes to its input, which is the target, too."""


class Subject(NamedTuple):
    """What is recorded: a task, and a function that gives the model and all else that it uses."""

    task: Task
    parts: Callable[[], tuple[Any, ...]]


class _Recorded:
    """A task and a log of the losses, which a recorded call writes."""

    def __init__(self, subject: Subject, guarded: bool) -> None:
        self.task, self.guarded = subject.task, guarded
        self._subject = subject
        self.slots = 1
        self._log: Tensor | None = None

    def _record(self, step: Callable[[], Any], inputs: Sequence[Tensor] = ()) -> None:
        self._recording = record(lambda: _without_draws(step), inputs)
        self._parts = self._subject.parts()
        self._changes = change_count()

    def fits(self) -> bool:
        """Whether the task uses the very same parts, set as they were when it was recorded."""
        parts = self._subject.parts()
        if len(parts) != len(self._parts) or any(map(is_not, parts, self._parts)):
            return False
        if not self._recording.guard.attributes.holds():
            return False
        changes = change_count()
        if changes == self._changes:
            return True
        try:
            fits = self._recording.fits()
        except RecordingError:  # other layers, which is no error here
            return False
        self._changes = changes
        return fits

    def repeats(self) -> bool:
        """Whether it leaves each gradient as it found it. The first step makes the gradients of parameters
        that the optimizer does not have; later ones add to them.
        """
        return bool(self._recording.guard.attributes.repeats())

    @scope("log")
    def _write(self, loss: Tensor, slot: Tensor) -> None:
        if self._log is None:
            self._log = zeros(self.slots, loss.dtype)
        launch(op.log_value, (self._log, slot, loss, self._log), (int(self.guarded),))

    def _failure(self, slot: int, done: int) -> Failed:
        """What to say of the step that writes to a slot, after so many others."""
        loss = float(self._log.numpy()[slot]) if self.guarded and self._log is not None else 0.0
        return Failed(done, None if math.isfinite(loss) else loss)


class RecordedSteps(_Recorded):
    """Steps on consecutive batches of the rows of arrays.

    Parameters
    ----------
    subject : Subject
    columns : Batch
        All rows.
    order : Tensor or None
        Which row comes when; its values may change between runs. None is from first to last.
    rows : int
        In a batch.
    most : int
        How many steps there may be in a row.
    keeps : bool
        Whether the outputs are wanted, too.
    guarded : bool
        Whether a loss that is not finite ends the run before its step.
    rates : Rates, optional
        What the optimizer's options are before each step.
    """

    def __init__(
        self, subject: Subject, columns: Batch, order: Tensor | None, rows: int, most: int,
        keeps: bool, guarded: bool, rates: Rates | None = None,
    ) -> None:  # fmt: skip
        super().__init__(subject, guarded)
        self._rates = rates
        self._columns, self._order, self.rows, self._keeps = columns, order, rows, keeps
        self.slots = min(most, _STEPS)
        self._outputs: Tensor | None = None
        # Where the step under way writes to the log, and the places of its rows in the order.
        self._at = zeros(1 + rows, "int64")
        self._advance = Tensor(np.array([1] + [rows] * rows))
        try:
            self._record(lambda: self._step(shares=True))
        except _Written:
            self._record(lambda: self._step(shares=False))

    def _step(self, shares: bool) -> None:
        slot, index = self._at[:1], self._at[1:]
        if self._rates is not None:
            with scope("schedule"):
                self._rates.read(slot)
        with scope("batch"):
            if self._order is not None:
                index = self._order.take(index)
            rows = _Rows(index, shares)
            inputs, y, weight = self._columns
            taken = tuple([rows.of(x) for x in inputs]), rows.of(y), rows.of(weight)
        output = self.task(*taken, lambda loss: self._write(loss, slot))
        if rows.written():
            raise _Written
        if self._keeps:
            self._keep(metrics_output(output).detach(), slot)
        with scope("batch"):
            launch(op.add, (self._at, self._advance, self._at))

    @scope("log")
    def _keep(self, output: Tensor, slot: Tensor) -> None:
        """Write the output to its slot: there are as many as may wait for the metrics."""
        waiting = min(WAIT_BATCHES, -(-WAIT_ELEMENTS // max(output.size, 1)))
        self.slots = min(self.slots, waiting)
        self._outputs = empty((self.slots, *output.shape), output.dtype)
        there = self._outputs.reshape(1, self.slots, -1)
        launch(op.scatter, (there, slot, output.reshape(1, 1, -1), there))

    def run(self, first: int, steps: int, slot: int) -> int:
        """Do steps, the first on the rows from place `first` on. Returns how many: time is limited.

        Raises
        ------
        Failed
            After the steps before that one.
        """
        at, rates = self._at.numpy(), self._rates
        at[0], at[1:] = slot, np.arange(first, first + self.rows)
        if rates is not None:
            steps = min(steps, rates.room(slot))
            rates.fill(slot, steps)
        try:
            self._recording.run_many(steps, _SECONDS)
        except (ValueError, IndexError) as error:
            raise self._failure(int(at[0]), int(at[0]) - slot) from error
        finally:
            done = int(at[0]) - slot
            if rates is not None:
                rates.settle(steps, done)
        return done

    def losses(self, slot: int, steps: int) -> list[float]:
        """What the log has there."""
        assert self._log is not None
        return self._log.numpy()[slot : slot + steps].tolist()  # type: ignore[no-any-return]

    def outputs(self, slot: int, steps: int) -> Tensor:
        """Of some steps, one after another; they stay until their slots are used again."""
        assert self._outputs is not None
        found = self._outputs[slot : slot + steps]
        return found.reshape(-1, *found.shape[2:]) if found.ndim > 1 else found


class RecordedBatch(_Recorded):
    """A step on a batch that is copied to where the recorded calls read it."""

    def __init__(self, subject: Subject, batch: Batch, guarded: bool) -> None:
        super().__init__(subject, guarded)
        inputs, y, weight = batch
        self._inputs = tuple([empty_like(x) for x in inputs])
        self._y = None if y is None else empty_like(y)
        self._weight = None if weight is None else empty_like(weight)
        slot = zeros(1, "int64")
        filled = [*self._inputs, *[x for x in (self._y, self._weight) if x is not None]]
        self._record(
            lambda: self.task(
                self._inputs, self._y, self._weight, lambda loss: self._write(loss, slot)
            ),
            filled,
        )

    def run(self, batch: Batch, keeps: bool) -> tuple[float, Any]:
        """(loss, output if wanted). The loss is 0 where the task has none.

        Raises
        ------
        Failed
            Before the backward pass.
        """
        inputs, y, weight = batch
        values = [*inputs, *[x for x in (y, weight) if x is not None]]
        for value, there in zip(values, self._recording.inputs, strict=True):
            launch(op.copy, (value, there))
        try:
            self._recording.run_many(1)
        except (ValueError, IndexError) as error:
            raise self._failure(0, 0) from error
        loss = 0.0 if self._log is None else float(self._log.item())
        output = self._recording.result if keeps else None
        return loss, output.clone() if isinstance(output, Tensor) else output


class _Rows:
    """Gathers the rows that an index names, once of an array that is there several times (x, x)."""

    def __init__(self, index: Tensor, shares: bool) -> None:
        self._index, self._shares = index, shares
        self._found: dict[Any, Tensor] = {}
        self._shared: list[tuple[Tensor, int]] = []

    def of(self, x: Tensor | None) -> Any:
        if x is None:
            return None
        key = (x._pointer, x.shape, x.strides, x.code)
        if key not in self._found or not self._shares:
            self._found[key] = x.take(self._index)
        else:
            self._shared.append((self._found[key], self._found[key]._version))
        return self._found[key]

    def written(self) -> bool:
        """Whether one that is there several times was written to since."""
        return any(x._version != version for x, version in self._shared)


def _without_draws(step: Callable[[], Any]) -> Any:
    """The step's result, unless it draws from generators whose numbers a replay would repeat."""
    numpys = sys.modules.get("numpy.random")  # numpy imports it at the first use
    before, python = random_states(), random.getstate()
    state = None if numpys is None else numpys.get_state()
    result = step()
    if random_states() == before:
        return result
    random.setstate(python)
    if numpys is not None:
        numpys.set_state(state)
    raise RecordingError(
        "the model or the loss draws from random or numpy.random, which would repeat its numbers; "
        "fastnn.random does not"
    )
