"""What a run shows while it goes on, and how Ctrl-C reaches it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from .history import show

__all__ = ["Interrupt", "Progress", "progress"]


class Progress:
    """Shows nothing; the others fill in what they show."""

    def begin(self, epoch: int, epochs: int, batches: int | None, done: int = 0) -> None:
        """An epoch starts, at batch number `done`."""

    def step(self, loss: float, batches: int) -> None:
        """Some batches are done; `loss` is the mean of the epoch so far."""

    def end(self, logs: dict[str, Any]) -> None:
        """The epoch is over."""

    def close(self, message: str = "") -> None:
        """The run is over."""
        if message:
            print(message, file=sys.stderr, flush=True)


class _Lines(Progress):
    """A line an epoch."""

    def begin(self, epoch: int, epochs: int, batches: int | None, done: int = 0) -> None:
        self.title, self.started = (
            f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}",
            time.perf_counter(),
        )

    def end(self, logs: dict[str, Any]) -> None:
        numbers = "  ".join(f"{name} {show(value)}" for name, value in logs.items())
        print(f"{self.title}  {time.perf_counter() - self.started:.1f} s  {numbers}", flush=True)


class _Bar(Progress):
    """A tqdm bar an epoch, which stays when it is over."""

    def __init__(self, tqdm: Any) -> None:
        self.tqdm, self.bar = tqdm, None

    def begin(self, epoch: int, epochs: int, batches: int | None, done: int = 0) -> None:
        title = f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"
        self.bar = self.tqdm(
            total=batches, initial=done, desc=title, unit="batch", dynamic_ncols=True
        )

    def step(self, loss: float, batches: int) -> None:
        if self.bar is not None and self.bar.update(batches):  # true only when it was drawn
            self.bar.set_postfix_str(f"loss {show(loss)}", refresh=False)

    def end(self, logs: dict[str, Any]) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(f"{name} {show(v)}" for name, v in logs.items()))
            self.bar.close()
            self.bar = None

    def close(self, message: str = "") -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        super().close(message)


def progress(verbose: int | str) -> Progress:
    """A bar, lines or nothing, by `verbose`: "auto", 0 (nothing), 1 (as "auto") or 2 (lines)."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose is {verbose!r}; it must be 'auto', 0, 1 or 2")
    if verbose == 0:
        return Progress()
    if verbose != 2 and sys.stderr is not None and sys.stderr.isatty():
        try:
            from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            return _Lines()
        return _Bar(tqdm)
    return _Lines()


class Interrupt:
    """Turns the first Ctrl-C into a flag, so that a run ends between two batches, not in a step.

    A second Ctrl-C raises KeyboardInterrupt at once. Outside of the main thread, or where the
    program has a handler of its own, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None

    def __enter__(self) -> Interrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
