"""How the batches of a feed are worked through: one by one in Python, or recorded.

What is recorded gives the same bits as what is not. A task that cannot be recorded (it reads values in
Python, say) runs as it is; nothing has changed by then, since recording computes nothing.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .._core import RecordingError
from ..data import Batches
from ..tensor import Tensor, empty
from .feed import Batch, Feed
from .nonfinite import NonFiniteError
from .rates import Rates
from .recorded import Failed, RecordedBatch, RecordedSteps, Subject, Task
from .tracker import Piece

__all__ = ["Job", "Stretches", "Way", "work"]

# Kinds of batches of a stream that are recorded at a time; the least recently used makes room.
_KINDS = 16


class Job:
    """A task, what it is done with, and its recordings for batches that come one by one.

    Parameters
    ----------
    task : Task
        What is done with a batch.
    parts : callable
        Gives the model and all else that the task uses.

    Attributes
    ----------
    plain : bool
        Whether it is to run as it is.
    """

    def __init__(self, task: Task, parts: Callable[[], tuple[Any, ...]]) -> None:
        self.task, self.subject = task, Subject(task, parts)
        self.plain = self._given_up = False
        self._kinds: dict[Any, RecordedBatch | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For copies of a Trainer and pickle: recordings belong to this model alone."""
        return {**vars(self), "_kinds": {}}

    def give_up(self, error: RecordingError) -> None:
        """Run the task as it is until further notice, and say so once."""
        self.plain = True
        if self._given_up:
            return
        self._given_up = True
        warnings.warn(
            f"Trainer: steps run one by one in Python, since they cannot be recorded: {error}. "
            "Trainer(..., compile=False) does the same without this warning",
            RuntimeWarning,
            stacklevel=_outside(),
        )

    def check(self) -> None:
        """Hooks of the user want to run at every step, not only when it is recorded."""
        layer = _foreign_hook(self.subject.parts()[0])
        if layer is not None:
            raise RecordingError(f"layer {layer!r} has a hook, which wants to run at every step")

    def recorded(self, batch: Batch, guarded: bool) -> RecordedBatch | None:
        """The recording for batches like this one; None for the first of its kind."""
        inputs, y, weight = batch
        key = (guarded, *[None if x is None else (x.shape, x.code) for x in (*inputs, y, weight)])
        again = key in self._kinds
        found = self._kinds.pop(key, None)
        if again and (found is None or not found.fits()):
            self.check()
            found = RecordedBatch(self.subject, batch, guarded)
        self._kinds[key] = found
        if len(self._kinds) > _KINDS:
            del self._kinds[next(iter(self._kinds))]
        return found


def _foreign_hook(model: Any) -> str | None:
    """The name of a layer with a hook that is not this package's."""
    package = __name__.partition(".")[0] + "."
    for name, module in model.named_modules() if hasattr(model, "named_modules") else ():
        for hooks in ("_forward_hooks", "_forward_pre_hooks"):
            for hook in getattr(module, hooks, {}).values():
                if not str(getattr(hook, "__module__", "")).startswith(package):
                    return name or type(module).__name__
    return None


class Way:
    """How a feed is gone through.

    Parameters
    ----------
    keeps : bool
        Whether the outputs are wanted.
    explain : callable, optional
        Makes the error for a batch's inputs and loss, where the loss is guarded.
    limit : callable
        How many steps may be done before Python has to look after something.
    waiting : callable
        How many outputs given before are still in use.
    rates : Rates, optional
        What the optimizer's options are before each step, where schedules set them.
    """

    def __init__(
        self,
        keeps: bool = True,
        explain: Callable[[tuple[Tensor, ...], float], NonFiniteError] | None = None,
        limit: Callable[[], int] = lambda: sys.maxsize,
        waiting: Callable[[], int] = lambda: 0,
        rates: Rates | None = None,
    ) -> None:
        self.keeps, self.explain, self.limit, self.waiting = keeps, explain, limit, waiting
        self.rates = rates


def _one(job: Job, batch: Batch, way: Way) -> Piece:
    """A batch, as it is."""
    inputs, y, weight = batch
    losses: list[float] = []

    def see(loss: Tensor) -> None:
        if losses:  # L-BFGS evaluates the batch several times and copes with overflows
            return
        losses.append(float(loss.item()))
        if way.explain is not None and not math.isfinite(losses[0]):
            raise way.explain(inputs, losses[0])

    output = job.task(inputs, y, weight, see)
    return Piece(losses or [0.0], inputs[0].shape[0], output, y, weight)


def _again(job: Job, batch: Batch, way: Way, failed: Failed) -> NoReturn:
    """Raise the error for a batch that failed when it was replayed: the one that Python gives."""
    if failed.loss is not None and way.explain is not None:
        raise way.explain(batch[0], failed.loss) from None
    try:
        _one(job, batch, way)
    except Exception as error:
        raise error from None
    raise failed.__cause__ or failed


def work(job: Job, feed: Feed, way: Way, first: int, number: int) -> Iterator[Piece]:
    """The batches of an epoch from number `first` on, each recorded if it is of a kind seen before."""
    for batch in feed.from_batch(first, number):
        if job.plain:
            yield _one(job, batch, way)
            continue
        try:
            recorded = job.recorded(batch, way.explain is not None)
        except RecordingError as error:
            job.give_up(error)
            recorded = None
        if recorded is None:
            yield _one(job, batch, way)
            continue
        inputs, y, weight = batch
        try:
            loss, output = recorded.run(batch, way.keeps)
        except Failed as failed:
            _again(job, batch, way, failed)
        yield Piece([loss], inputs[0].shape[0], output, y, weight)


class Stretches:
    """Epochs on data in memory: as many steps in one call of C as there is time for.

    Parameters
    ----------
    job : Job
    feed : Feed
        Whose columns are known.
    columns : Batch
        All its rows.
    epochs : int
        How many there will be; what happens only once is not recorded.
    way : Way
    """

    def __init__(self, job: Job, feed: Feed, columns: Batch, epochs: int, way: Way) -> None:
        assert isinstance(feed.source, Batches)
        self.job, self.feed, self.columns, self.epochs, self.way = job, feed, columns, epochs, way
        source = feed.source
        self.batch, self.batches = source.batch_size, len(source)
        self.whole = min(self.batches, source.rows // self.batch)  # batches with all their rows
        self._order = empty(source.rows, "int64") if source.shuffle else None
        self._steps: dict[int, RecordedSteps] = {}
        self._tried = False  # to have gradients that a step leaves as it finds them

    def run(self, first: int, number: int) -> Iterator[Piece]:
        """The batches of an epoch from number `first` on."""
        source, way = self.feed.source, self.way
        order = source.order(number)
        if self._order is not None:
            self._order.copy_(order)
        done = first
        while done < self.batches and not self.job.plain:
            count = max(1, min(way.limit(), self.whole - done))
            steps = self._recorded(done)
            if steps is None:
                break
            if not steps.repeats():
                yield self._alone(steps, done, number)
                done += 1
                continue
            self._tried = False
            slot = way.waiting() if steps.slots > 1 else 0
            count = min(count, steps.slots - slot)
            failure = None
            try:
                count = steps.run(done * self.batch, count, slot)
            except Failed as failed:
                count, failure = failed.done, failed
            if count:
                yield self._piece(steps, order, done, count, slot)
            done += count
            if failure is not None:
                _again(self.job, next(self.feed.from_batch(done, number)), way, failure)
        if done < self.batches:
            for batch in self.feed.from_batch(done, number):
                yield _one(self.job, batch, way)

    def _alone(self, steps: RecordedSteps, batch: int, number: int) -> Piece:
        """A step in Python, after which the next may leave all gradients as it finds them."""
        if self._tried:
            self.job.give_up(RecordingError("each step leaves other gradients than it finds"))
        self._tried = True
        del self._steps[steps.rows]
        return _one(self.job, next(self.feed.from_batch(batch, number)), self.way)

    def _recorded(self, batch: int) -> RecordedSteps | None:
        """The steps that begin with a batch, or None if they are not worth it or cannot be recorded."""
        last = batch >= self.whole
        rows = self.feed.source.rows - self.whole * self.batch if last else self.batch
        most = 1 if last else self.whole
        if most * self.epochs == 1:
            return None
        try:
            steps = self._steps.get(rows)
            if steps is None or not steps.fits():
                way = self.way
                self.job.check()
                steps = self._steps[rows] = RecordedSteps(
                    self.job.subject, self.columns, self._order, rows, most, way.keeps,
                    way.explain is not None, way.rates,
                )  # fmt: skip
        except RecordingError as error:
            self.job.give_up(error)
            return None
        return steps

    def _piece(
        self, steps: RecordedSteps, order: Tensor | None, first: int, count: int, slot: int
    ) -> Piece:
        losses = steps.losses(slot, count)
        if not self.way.keeps:
            return Piece(losses, steps.rows, None, None, None)
        begin = first * self.batch
        rows = slice(begin, begin + count * steps.rows)
        _, *others = self.columns
        y, weight = [None if x is None else _chosen(x, rows, order) for x in others]
        return Piece(losses, steps.rows, steps.outputs(slot, count), y, weight)


def _chosen(x: Tensor, rows: slice, order: Tensor | None) -> Tensor:
    """The rows that have these places in an order."""
    return x[rows] if order is None else x.take(order[rows])


def _outside() -> int:
    """The stack level of the first caller outside of this package, for a warning."""
    package, level, frame = os.path.dirname(os.path.dirname(__file__)), 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    return level
