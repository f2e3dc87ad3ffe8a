"""One call of `fit`: where it stands, its epochs and callbacks, and how it is saved and resumed."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .callbacks import Callback, ScheduleLR, TerminateOnNonFinite
from .feed import Feed
from .history import History
from .progress import Interrupt, Progress
from .rates import Rates
from .tracker import Tracker
from .work import Way

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Run", "check_callbacks"]


class Run:
    """A run in progress.

    Attributes
    ----------
    epoch, step : int
        The epoch under way, and how many of its batches are done.
    stopped : str or None
        Why the run is to end, once a callback has asked for it.
    history : History
        The epochs that are over.
    """

    def __init__(
        self,
        trainer: Trainer,
        feed: Feed,
        validation: Feed | None,
        callbacks: list[Callback],
        epochs: int,
    ) -> None:
        self.trainer, self.feed, self.validation = trainer, feed, validation
        self.callbacks = sorted(callbacks, key=lambda callback: callback.priority)
        self.epochs, self.epoch, self.step = epochs, 0, 0
        self.first_order = trainer.epochs_done  # a second fit goes on with fresh orders
        self.stopped: str | None = None
        self.history, self.tracker = History(), Tracker(trainer.metrics)
        self._after_batch = [c for c in self.callbacks if _overrides(c, "on_batch_end")]

    def go(self, shown: Progress, resume: str | os.PathLike[str] | None) -> History:
        """All epochs that are left."""
        history = self.history
        for callback in self.callbacks:
            callback.trainer = self.trainer
            callback.on_fit_begin()
        if resume is not None:
            self._resume(resume)
        self._learn = self.trainer.learn(self.feed, self.epochs, self._way())
        started = time.perf_counter() - history.seconds
        try:
            with Interrupt() as interrupt:
                while self.epoch < self.epochs and not self.stopped and not interrupt.requested:
                    self._epoch(shown, interrupt, started)
            history.interrupted, history.stopped = interrupt.requested, self.stopped
            for callback in self.callbacks:
                callback.on_fit_end(history)
            history.seconds = time.perf_counter() - started
        except BaseException:
            shown.close()
            raise
        shown.close(_farewell(history))
        return history

    def _way(self) -> Way:
        """How the batches are gone through, with these callbacks."""
        trainer, rates = self.trainer, None
        guarded = all(c.enabled for c in self.callbacks if isinstance(c, TerminateOnNonFinite))
        scheduled = [c for c in self._after_batch if isinstance(c, ScheduleLR) and c.ahead()]
        if scheduled:
            rates = Rates(trainer.optimizer, [c.schedule for c in scheduled])
        return Way(
            bool(trainer.metrics),
            trainer.explain if guarded else None,
            limit=lambda: min(
                [_ahead(c, self.step) for c in self._after_batch], default=sys.maxsize
            ),
            waiting=lambda: self.tracker.waiting,
            rates=rates,
        )

    def _epoch(self, shown: Progress, interrupt: Interrupt, started: float) -> None:
        """One epoch from where the run stands, its validation, and what callbacks do at its end."""
        trainer, tracker = self.trainer, self.tracker
        if self.step == 0:
            tracker.reset()
            for callback in self.callbacks:
                callback.on_epoch_begin(self.epoch)
        shown.begin(self.epoch, self.epochs, self.feed.batches, self.step)
        trainer.model.train()
        for piece in self._learn(self.step, self.first_order + self.epoch):
            tracker.add(piece)
            self.step += len(piece.losses)
            shown.step(tracker.loss, len(piece.losses))
            for callback in self._after_batch:
                callback.on_batch_end(self.step - 1, {"loss": piece.losses[-1]})
            if interrupt.requested:
                return
            if self.stopped:
                break
        logs = tracker.result()
        if self.validation is not None:
            found = trainer.run_evaluation(self.validation, interrupt)
            if interrupt.requested:
                return
            logs.update({f"val_{name}": number for name, number in found.items()})
        self.history.seconds = time.perf_counter() - started
        self._end_epoch(logs)
        shown.end(logs)

    def _end_epoch(self, logs: dict[str, Any]) -> None:
        """Let the callbacks see the logs; those that save come last and see the epoch as over."""
        epoch = self.epoch
        early = [c for c in self.callbacks if c.priority < 10]
        for callback in early:
            callback.on_epoch_end(epoch, logs)
        self.history.append(epoch, logs)
        self.epoch, self.step = epoch + 1, 0
        self.trainer.epochs_done = self.first_order + self.epoch
        for callback in self.callbacks[len(early) :]:
            callback.on_epoch_end(epoch, logs)

    # --- saved and resumed ---

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands."""
        return {
            "epoch": self.epoch, "step": self.step, "first_order": self.first_order,
            "stopped": self.stopped, "feed": self.feed.state_dict(),
            "tracker": self.tracker.state_dict(), "history": self.history.state_dict(),
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self.callbacks],
        }  # fmt: skip

    def _resume(self, path: str | os.PathLike[str]) -> None:
        """Bring this run to where the file was saved."""
        saved = self.trainer.load_checkpoint(path)
        if saved is None:
            raise ValueError(f"{os.fspath(path)}: saved outside of fit; use load_checkpoint(path)")
        kinds = [type(c).__name__ for c in self.callbacks]
        for what, then, now in (
            ("data", saved["feed"], self.feed.state_dict()),
            ("callbacks", [kind for kind, _ in saved["callbacks"]], kinds),
        ):
            if then != now:
                raise ValueError(f"{os.fspath(path)}: saved by a fit with {what} {then}, not {now}")
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.first_order, self.stopped = saved["first_order"], saved["stopped"]
        self.tracker.load_state_dict(saved["tracker"])
        self.history.load_state_dict(saved["history"])
        for callback, (_, state) in zip(self.callbacks, saved["callbacks"], strict=True):
            callback.load_state_dict(state)


def check_callbacks(callbacks: Any) -> list[Callback]:
    """The callbacks as a list, or an error that says what is none."""
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"fit: callbacks must be a list, got {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            kind = "class" if isinstance(callback, type) else type(callback).__name__
            raise TypeError(f"fit: a callback is an object of a subclass of Callback, got a {kind}")
    return list(callbacks)


def _overrides(callback: Callback, name: str) -> bool:
    return name in vars(callback) or getattr(type(callback), name) is not getattr(Callback, name)


def _ahead(callback: Callback, step: int) -> int:
    """How many steps may be done before a callback's `on_batch_end` has to be called."""
    method = callback.on_batch_end
    ours = getattr(method, "__module__", "") == Callback.__module__
    return callback._ahead(step) if ours else 1


def _farewell(history: History) -> str:
    if history.interrupted:
        return (
            f"fit: interrupted after {len(history)} whole epochs; "
            "the model is as its last step left it"
        )
    return f"fit: stopped: {history.stopped}" if history.stopped else ""
