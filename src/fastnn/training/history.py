"""History: what `Trainer.fit` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..profiler import Profile

__all__ = ["History"]


class History:
    """The numbers of each epoch, as in Keras.

    Attributes
    ----------
    history : dict of str to list
        `loss`, each metric, and with validation `val_loss` and `val_...`: a number an epoch.
    epoch : list of int
        The epochs, counted from 0.
    params : dict
        What `fit` was asked for: epochs, batch size, batches an epoch.
    interrupted : bool
        Whether Ctrl-C ended the run.
    stopped : str or None
        Why a callback ended it early.
    seconds : float
        How long it took.
    profile : fastnn.profiler.Profile or None
        Where the time went, after `fit(profile=True)`.

    Examples
    --------
    >>> history = History()
    >>> history.append(0, {"loss": 0.5, "accuracy": 0.75})
    >>> history.append(1, {"loss": 0.25, "accuracy": 0.875})
    >>> history.history["loss"]
    [0.5, 0.25]
    >>> history.best("accuracy")
    (1, 0.875)
    >>> history
    History(2 epochs)
     epoch  loss  accuracy
         1   0.5      0.75
         2  0.25     0.875
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.params: dict[str, Any] = {}
        self.interrupted = False
        self.stopped: str | None = None
        self.seconds = 0.0
        self.profile: Profile | None = None

    def append(self, epoch: int, logs: dict[str, Any]) -> None:
        """Add an epoch. A name that is missing from some has None there."""
        for name, value in logs.items():
            self.history.setdefault(name, [None] * len(self.epoch)).append(value)
        self.epoch.append(epoch)
        for values in self.history.values():
            values.extend([None] * (len(self.epoch) - len(values)))

    def best(self, name: str, mode: str = "auto") -> tuple[int, Any]:
        """The epoch with the best value of `name`, and the value.

        Parameters
        ----------
        name : str
            A key of `history`.
        mode : {"auto", "min", "max"}
            Which end is good; "auto" takes losses and errors to be good when small.
        """
        if name not in self.history:
            raise KeyError(
                f"the history has no {name!r}; it has {', '.join(self.history) or 'nothing'}"
            )
        largest = wants_large(name, mode)
        pairs = [(v, e) for v, e in zip(self.history[name], self.epoch, strict=True) if v == v]
        known = [(v, e) for v, e in pairs if v is not None]
        if not known:
            raise ValueError(f"the history has no number for {name!r}")
        value, epoch = (max if largest else min)(known, key=lambda pair: pair[0])
        return epoch, value

    def state_dict(self) -> dict[str, Any]:
        """The numbers as plain Python, for a checkpoint."""
        return {
            "history": {name: list(values) for name, values in self.history.items()},
            "epoch": list(self.epoch),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch, self.seconds = list(state["epoch"]), state["seconds"]

    def __getitem__(self, name: str) -> list[Any]:
        return self.history[name]

    def __len__(self) -> int:
        return len(self.epoch)

    def __repr__(self) -> str:
        notes = [f"{len(self)} epoch{'s' * (len(self) != 1)}"]
        if self.seconds:
            notes.append(f"{self.seconds:.1f} s")
        if self.interrupted:
            notes.append("interrupted")
        if self.stopped:
            notes.append(self.stopped)
        rows = [["epoch", *self.history]]
        for i, epoch in enumerate(self.epoch):
            rows.append([str(epoch + 1), *(show(values[i]) for values in self.history.values())])
        if len(rows) > 21:  # the first and the last ten
            rows[11:-10] = [["..."] * len(rows[0])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            " " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return "\n".join([f"History({', '.join(notes)})", *(lines if self.epoch else [])])


def show(value: Any) -> str:
    """A number in four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


_LARGE = ("accuracy", "top_", "precision", "recall", "f1", "auc", "r2")


def wants_large(name: str, mode: str = "auto") -> bool:
    """Whether a larger value of this metric is better."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"mode is {mode!r}; it must be 'auto', 'min' or 'max'")
    return mode == "max" or (mode == "auto" and any(part in name for part in _LARGE))
