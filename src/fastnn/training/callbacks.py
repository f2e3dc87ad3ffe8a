"""Callbacks: what happens at the seams of a run.

A callback gets `trainer`, with `trainer.model`, `trainer.optimizer` and `trainer.stop(reason)`.
Methods that a class does not override cost nothing.
"""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from .history import History, wants_large
from .rates import known_ahead

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = [
    "CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "Lambda", "ScheduleLR",
    "TerminateOnNonFinite",
]  # fmt: skip


class Callback:
    """Base class: override what you need.

    Epochs count from 0, steps count the batches of an epoch from 0. `logs` maps names to numbers;
    an entry that `on_epoch_end` adds goes to the history.

    Examples
    --------
    >>> class Shout(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(f"epoch {epoch}: {logs['loss']:.2f}!")
    """

    trainer: Trainer
    priority = 0  # those with a higher one come later

    def on_fit_begin(self) -> None:
        """Before the first epoch; `self.trainer` is set."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before the first batch of an epoch."""

    def on_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """After the optimizer's step; `logs` has this batch's loss."""

    def _ahead(self, step: int) -> int:
        """How many batches may be done, `step` of the epoch being done, before `on_batch_end` is
        called: more than one for callbacks of this module that do nothing after most batches.
        """
        return 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """After an epoch and its validation; `logs` has loss, metrics and `val_...`."""

    def on_fit_end(self, history: History) -> None:
        """After the last epoch, also of a stopped or interrupted run; not after an error."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know of this callback."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""


class Lambda(Callback):
    """A callback made of functions, named and called as the methods of `Callback`.

    Examples
    --------
    >>> seen = []
    >>> callback = Lambda(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(n for n in dir(Callback) if n.startswith("on_"))
                raise TypeError(f"Lambda: there is no {name!r}; there are {known}")
            if not callable(function):
                raise TypeError(f"Lambda: {name} is {function!r}, not a function")
            setattr(self, name, function)


class _Monitor(Callback):
    """What watches one number of the logs for getting better."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.large = wants_large(monitor, mode)
        self.best = -math.inf if self.large else math.inf

    def improved(self, logs: dict[str, Any]) -> bool:
        """Whether the number is the best so far by more than `min_delta`; remembers it if so."""
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: there is no {self.monitor!r} to monitor; there are "
                f"{', '.join(logs)}"
                + (" (fit has no validation=)" if "val_" in self.monitor else "")
            )
        value = float(logs[self.monitor])
        better = (
            value > self.best + self.min_delta if self.large else value < self.best - self.min_delta
        )
        if better:
            self.best = value
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class EarlyStopping(_Monitor):
    """Stop when a number has not become better for some epochs, and go back to the best weights.

    Parameters
    ----------
    monitor : str
        A name of the logs.
    patience : int
        How many epochs without improvement are waited for.
    min_delta : float
        A smaller change is no improvement.
    mode : {"auto", "min", "max"}
        Whether small or large is good.
    restore_best : bool
        At the end of the run, however it comes, the model has its weights of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience}; it must be at least 1")
        self.patience, self.restore_best = patience, restore_best
        self.wait, self.best_epoch = 0, -1
        self._weights: dict[str, Any] | None = None

    def on_fit_begin(self) -> None:
        self.best = -math.inf if self.large else math.inf
        self.wait, self.best_epoch, self._weights = 0, -1, None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            self._weights = self.trainer.model.state_dict() if self.restore_best else None
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.trainer.stop(f"{self.monitor} was best in epoch {self.best_epoch + 1}")

    def on_fit_end(self, history: History) -> None:
        if self._weights is not None:
            self.trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best, "wait": self.wait, "best_epoch": self.best_epoch,
            "weights": self._weights,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.wait, self.best_epoch = state["best"], state["wait"], state["best_epoch"]
        self._weights = state["weights"]


class Checkpoint(_Monitor):
    """Save the run while it goes on; `fit(..., resume=path)` continues it to the same bits.

    Parameters
    ----------
    path : str or path
        The file, replaced each time as a whole; `{epoch}` in it is replaced by the epoch, from 1
        on.
    every_epochs : int
        Save after so many epochs.
    every_steps : int, optional
        Save within the epoch as well, after so many batches.
    monitor : str, optional
        Save only when this number of the logs is better than ever.
    mode : {"auto", "min", "max"}
        Whether small or large is good.
    weights_only : bool
        Save the model alone, as `fastnn.save` does.
    """

    priority = 10  # what the other callbacks have learned from the epoch is saved with it

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_epochs: int = 1,
        every_steps: int | None = None,
        monitor: str | None = None,
        mode: str = "auto",
        weights_only: bool = False,
    ) -> None:
        super().__init__(monitor or "", mode, 0.0)
        if every_epochs < 1 or (every_steps is not None and every_steps < 1):
            raise ValueError("Checkpoint: every_epochs and every_steps must be at least 1")
        self.path, self.weights_only = os.fspath(path), weights_only
        self.every_epochs, self.every_steps = every_epochs, every_steps

    def _ahead(self, step: int) -> int:
        return self.every_steps - step % self.every_steps if self.every_steps else sys.maxsize

    def on_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        if self.every_steps and (step + 1) % self.every_steps == 0:
            self._save(self.trainer.epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.monitor and not self.improved(logs):
            return
        if (epoch + 1) % self.every_epochs == 0:
            self._save(epoch)

    def _save(self, epoch: int) -> None:
        path = self.path.replace("{epoch}", str(epoch + 1))
        if self.weights_only:
            from ..io import save

            save(path, self.trainer.model)
        else:
            self.trainer.save_checkpoint(path)


class ScheduleLR(Callback):
    """Step a schedule of `fastnn.schedules` during `fit`.

    Parameters
    ----------
    schedule : schedule or callable
        A schedule of the trainer's optimizer; or a function that makes one from it.
    every : {"epoch", "step"}
        When to step it.
    monitor : str, optional
        The number of the logs that a schedule such as PlateauSchedule wants to see.
    """

    def __init__(self, schedule: Any, *, every: str = "epoch", monitor: str | None = None) -> None:
        if every not in ("epoch", "step"):
            raise ValueError(f"ScheduleLR: every is {every!r}; it must be 'epoch' or 'step'")
        if monitor and every == "step":
            raise ValueError("ScheduleLR: a monitored number is known only at the end of an epoch")
        self.schedule, self.every, self.monitor = schedule, every, monitor

    def on_fit_begin(self) -> None:
        if isinstance(self.schedule, type) or not hasattr(self.schedule, "step"):
            self.schedule = self.schedule(self.trainer.optimizer)

    def ahead(self) -> bool:
        """Whether it steps with each batch, and what it sets is known before."""
        return self.every == "step" and known_ahead(self.schedule, self.trainer.optimizer)

    def _ahead(self, step: int) -> int:
        return sys.maxsize if self.every == "epoch" or self.ahead() else 1

    def on_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        if self.every == "step":
            self.schedule.step()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        logs["lr"] = self.trainer.learning_rate
        if self.monitor:
            if self.monitor not in logs:
                raise ValueError(
                    f"ScheduleLR: there is no {self.monitor!r} to monitor; "
                    f"there are {', '.join(logs)}"
                )
            self.schedule.step(logs[self.monitor])
        elif self.every == "epoch":
            self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.schedule.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(state)


class CSVLogger(Callback):
    """Write a row an epoch to a CSV file, which can be read while the run goes on.

    Parameters
    ----------
    path : str or path
        The file.
    append : bool
        Go on with the file that is there; a resumed run does so by itself.
    """

    priority = 5  # what other callbacks add to the logs is there

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path, self.append = os.fspath(path), append
        self._columns: list[str] = []
        self._started = False

    def on_fit_begin(self) -> None:
        self._columns, self._started = [], False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if not self._started:
            self._start(["epoch", *logs])
        with self._open("a") as file:
            row = {"epoch": epoch + 1, **logs}
            csv.writer(file).writerow([row.get(name, "") for name in self._columns])

    def _start(self, columns: list[str]) -> None:
        self._columns, self._started = columns, True
        if self.append and os.path.exists(self.path) and os.path.getsize(self.path):
            with self._open("r") as file:
                self._columns = next(csv.reader(file))
            return
        with self._open("w") as file:
            csv.writer(file).writerow(columns)

    def _open(self, mode: str) -> TextIO:
        return open(self.path, mode, newline="", encoding="utf-8")  # type: ignore[return-value]

    def state_dict(self) -> dict[str, Any]:
        return {"columns": self._columns, "started": self._started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._columns = state["columns"]
        self._started = state["started"] and os.path.exists(self.path)


class TerminateOnNonFinite(Callback):
    """End the run with a `NonFiniteError` when the loss is NaN or infinite, before that step.

    Every `fit` has one; `TerminateOnNonFinite(enabled=False)` among the callbacks takes it away.
    The error names the epoch, the step and the first layer whose output was not finite, which is
    found by running the batch once more.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
