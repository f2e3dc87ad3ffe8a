"""Trainer: fit, evaluate and predict for any model; a plain loop is for what is special."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from .. import losses, optimizers, random
from ..autograd import no_grad
from ..ops import concat
from ..profiler import watch
from ..tensor import Tensor
from ..units import whole
from .arguments import flag, list_of, metrics_of, optimizer_of
from .callbacks import Callback
from .checkpoint import read_tree, write_tree
from .feed import Feed, split
from .history import History
from .images import Images
from .nonfinite import NonFiniteError, explain
from .progress import Interrupt, progress
from .run import Run, check_callbacks
from .steps import Steps
from .tracker import Piece, Tracker
from .work import Stretches, Way, work

__all__ = ["Trainer"]


class Trainer(Steps):
    """Trains a model.

    Parameters
    ----------
    model : Module
        What is trained; called with a batch of inputs.
    loss : str or callable
        A name of `fastnn.losses`, or a function of (output, target) that gives a scalar tensor.
        It is called with `sample_weight=` too where there are weights.
    optimizer : str, Optimizer, class or callable
        A name of `fastnn.optimizers`, an optimizer of this model's parameters, or what makes one
        of them.
    regularizers : sequence of Regularizer
        Penalties, which become part of the training loss, and constraints.
    metrics : sequence of str, Metric or callable
        What is reported beside the loss, see `fastnn.metrics.get`.
    compile : bool
        Record each kind of step once and replay it in C, whole stretches of an epoch in a call, as
        `fastnn.compile` does. The results have the same bits either way. What Python does besides
        tensor operations in the model or the loss (printing, say) then happens only when the step is
        recorded; a step that reads values in Python, a model with hooks of yours, and L-BFGS run as
        without it.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> from fastnn.data import datasets
    >>> (x, y), test = datasets.digits(flatten=True)
    >>> _ = fastnn.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> trainer = Trainer(model, loss="cross_entropy", optimizer="adam", metrics=["accuracy"])
    >>> history = trainer.fit(x, y, epochs=10, validation=test, verbose=0)
    >>> history["val_accuracy"][-1] > 0.85
    True
    """

    def __init__(
        self,
        model: Any,
        *,
        loss: Any,
        optimizer: Any = "adam",
        regularizers: Sequence[Any] = (),
        metrics: Sequence[Any] = (),
        compile: bool = True,
    ) -> None:
        super().__init__()
        if not hasattr(model, "named_parameters"):
            raise TypeError(f"Trainer: model is a {type(model).__name__}, not a Module")
        loss = loss() if isinstance(loss, type) else loss
        self.model, self.loss = model, losses.get(loss) if isinstance(loss, str) else loss
        if not callable(self.loss):
            raise TypeError(f"Trainer: loss is {loss!r}; it must be a name or a function")
        self.optimizer = optimizer_of(optimizer, model)
        self.regularizers = list_of("regularizers", regularizers)
        for regularizer in self.regularizers:
            regularizer.attach(model)
        self.metrics = metrics_of(list_of("metrics", metrics), self.loss)
        self.epochs_done = 0  # over all calls of fit; decides the shuffling
        self.compile = flag("compile", compile)
        self._run: Run | None = None

    # --- training ---

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation: Any = None,
        augment: Any = None,
        callbacks: Sequence[Callback] = (),
        sample_weight: Any = None,
        class_weight: Any = None,
        shuffle: bool = True,
        seed: int = 0,
        resume: str | os.PathLike[str] | None = None,
        verbose: int | str = "auto",
        profile: bool = False,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        x : array-like, tuple of array-like, Batches, or iterable
            The inputs, several of them for a model of several arguments; or, without `y`, what
            gives batches: `fastnn.data.Batches`, or any iterable of (x, y) or (x, y,
            sample_weight) that can be gone through anew each epoch.
        y : array-like, optional
            The targets, a row for each row of x.
        epochs : int
            How often to go through the data.
        batch_size : int
            Rows in a step; the last batch of an epoch may be smaller. For arrays only.
        validation : (x, y), (x, y, sample_weight), Batches, iterable or float, optional
            What to evaluate on after each epoch; a float holds out that share of the rows, at
            random.
        augment : Transform or sequence of Transform, optional
            Of `fastnn.data.augment`: how images (N, C, H, W) are changed on their way into a
            training step. What of it is not by chance (`Normalize`, uint8 to float) applies to
            validation, and from then on to `evaluate` and `predict`, too. Metrics see the labels as
            they were given.
        callbacks : sequence of Callback
            See `fastnn.training.callbacks`.
        sample_weight : array-like of shape (n,), optional
            What each row counts in the loss and the metrics.
        class_weight : mapping, sequence or "balanced", optional
            What a row of each class counts, by class index; multiplied with `sample_weight`.
        shuffle : bool
            Another order in each epoch.
        seed : int
            Which orders, and which rows a `validation` share holds out.
        resume : path, optional
            A file of the `Checkpoint` callback, saved by an equal call of `fit`: the run
            continues where the file was saved, within an epoch too, and ends with the same bits
            as if it had never stopped.
        verbose : {"auto", 0, 1, 2}
            "auto" and 1: a progress bar if tqdm is installed and stderr is a terminal, else a
            line an epoch; 0: nothing; 2: lines.
        profile : bool
            Measure where the time goes, call by call: `History.profile`.

        Returns
        -------
        History
            Loss and metrics of each epoch. After Ctrl-C it has `interrupted` set and the model is
            as it was after the last whole step.

        Raises
        ------
        ValueError, TypeError
            The data does not fit the model or itself.
        NonFiniteError
            The loss became NaN or infinite; see `TerminateOnNonFinite`.
        """
        epochs, profile = whole("epochs", epochs, 1), flag("profile", profile)
        callbacks = check_callbacks(callbacks)
        held = (validation,)
        if isinstance(validation, float | int):
            (x, y, sample_weight), held = split(float(validation), x, y, sample_weight, seed)
        self._images = images = None if augment is None else Images(augment, self.model)
        feed = Feed(
            "fit", x, y, sample_weight, model=self.model, batch_size=batch_size, shuffle=shuffle,
            seed=seed, class_weight=class_weight, pixels=images is not None,
        )  # fmt: skip
        checked = None
        if validation is not None:
            checked = Feed(
                "validation", *held, model=self.model, batch_size=max(batch_size, 256),
                pixels=images is not None,
            )  # fmt: skip
        for data in (feed, checked):
            if images is not None and data is not None:
                images.check(data.source)
        self._run = Run(self, feed, checked, callbacks, epochs)
        self._run.history.params = {
            "epochs": epochs, "batch_size": batch_size, "batches": feed.batches,
        }  # fmt: skip
        try:
            if not profile:
                return self._run.go(progress(verbose), resume)
            with watch() as watched:
                history = self._run.go(progress(verbose), resume)
            history.profile = watched.profile
            return history
        finally:
            self._run = None
            self.model.train()

    def learn(self, feed: Feed, epochs: int, way: Way) -> Callable[[int, int], Iterator[Piece]]:
        """What trains on the batches of an epoch: called with the first one and the epoch's number."""
        job = self._learning
        job.plain = not self.compile or isinstance(self.optimizer, optimizers.LBFGS)
        columns = None if job.plain else feed.columns()
        if columns is None:
            return partial(work, job, feed, way)
        return Stretches(job, feed, columns, epochs, way).run

    def explain(self, inputs: tuple[Tensor, ...], loss: float) -> NonFiniteError:
        """The error for a batch with such a loss."""
        run = self._run
        with no_grad():
            inputs, _ = self._changed(inputs, None)
        return explain(self.model, inputs, loss, *((run.epoch, run.step) if run else (0, 0)))

    # --- using ---

    def evaluate(
        self, x: Any, y: Any = None, *, sample_weight: Any = None, batch_size: int = 256
    ) -> dict[str, float]:
        """Loss and metrics on data, given as to `fit`.

        Returns
        -------
        dict
            `loss` (without penalties) and each metric by its name.
        """
        feed = Feed(
            "evaluate", x, y, sample_weight, model=self.model, batch_size=batch_size,
            pixels=self._images is not None,
        )  # fmt: skip
        with Interrupt() as interrupt:
            found = self.run_evaluation(feed, interrupt)
        if interrupt.requested:
            raise KeyboardInterrupt
        return found

    def run_evaluation(self, feed: Feed, interrupt: Interrupt) -> dict[str, Any]:
        """`evaluate` on a feed, until it ends or Ctrl-C."""
        kept = [metric.state_dict() for metric in self.metrics]
        tracker = Tracker(self.metrics)
        training = self.model.training
        self.model.eval()
        self._assessing.plain = not self.compile
        try:
            for piece in work(self._assessing, feed, Way(bool(self.metrics)), 0, 0):
                tracker.add(piece)
                if interrupt.requested:
                    break
            return tracker.result()
        finally:
            self.model.train(training)
            for metric, state in zip(self.metrics, kept, strict=True):
                metric.load_state_dict(state)

    def predict(self, x: Any, *, batch_size: int = 256) -> Tensor:
        """The model's outputs for all rows of `x`, in evaluation mode and without gradients.

        Parameters
        ----------
        x : array-like or tuple of array-like
            The inputs, as to `fit`; or an iterable of batches of them.
        batch_size : int
            Rows at a time.

        Returns
        -------
        Tensor of shape (n, ...)
        """
        feed = Feed(
            "predict", x, model=self.model, batch_size=batch_size, needs_target=False,
            pixels=self._images is not None,
        )  # fmt: skip
        training = self.model.training
        self.model.eval()
        parts = []
        self._predicting.plain = not self.compile
        try:
            for piece in work(self._predicting, feed, Way(), 0, 0):
                if not isinstance(piece.output, Tensor):
                    kind = type(piece.output).__name__
                    raise TypeError(f"predict: the model gives a {kind}, not a tensor")
                parts.append(piece.output.detach())
        finally:
            self.model.train(training)
        return parts[0] if len(parts) == 1 else concat(parts)

    # --- for callbacks ---

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the run after this epoch; from `on_batch_end`, after this batch."""
        if self._run is not None:
            self._run.stopped = reason

    @property
    def epoch(self) -> int:
        """The epoch of the present `fit`, from 0."""
        return 0 if self._run is None else self._run.epoch

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate, of its first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    # --- checkpoints ---

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write all that training needs to go on to one file, atomically.

        During `fit` that includes where it stands: `fit(..., resume=path)` goes on from there.
        """
        tree = {
            "model": self.model.state_dict(copy=False),
            "optimizer": self.optimizer.state_dict(),
            "random": random.get_state(),
            "epochs_done": self.epochs_done,
            "run": None if self._run is None else self._run.state_dict(),
        }
        write_tree(path, tree)

    def load_checkpoint(self, path: str | os.PathLike[str]) -> dict[str, Any] | None:
        """Put back model, optimizer and random numbers; `fit(resume=path)` goes on within a run.

        Returns
        -------
        dict or None
            Where the run stood, if the file was saved during `fit`.

        Raises
        ------
        ValueError
            The file is damaged, or of another model or optimizer.
        """
        tree = read_tree(path)
        wanted = {"model", "optimizer", "random", "epochs_done", "run"}
        if not isinstance(tree, dict) or set(tree) != wanted:
            raise ValueError(f"{os.fspath(path)}: a checkpoint, but not of a Trainer")
        self.model.load_state_dict(tree["model"])
        self.optimizer.load_state_dict(tree["optimizer"])
        random.set_state(tree["random"])
        self.epochs_done = tree["epochs_done"]
        return tree["run"]
