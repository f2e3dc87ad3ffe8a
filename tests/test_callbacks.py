"""Callbacks: when they are called and what each does."""

import csv

import numpy as np
import pytest

import fastnn
from fastnn import Trainer, nn
from fastnn.training import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    Lambda,
    ScheduleLR,
    TerminateOnNonFinite,
)

RNG = np.random.default_rng(1)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def trainer(**options):
    fastnn.manual_seed(0)
    model = nn.Linear(3, 2)
    return Trainer(model, loss="cross_entropy", **options)


def fit(t=None, **options):
    return (t or trainer()).fit(X, Y, **{"verbose": 0, "batch_size": 10, **options})


class Scripted(Callback):
    """Gives `val_loss` the values of a list, epoch by epoch, as if validation had."""

    priority = -1

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]


def test_order_and_arguments():
    calls = []

    class Record(Callback):
        def on_fit_begin(self):
            calls.append(("fit_begin", self.trainer is t))

        def on_epoch_begin(self, epoch):
            calls.append(("epoch_begin", epoch))

        def on_batch_end(self, step, logs):
            calls.append(("batch_end", step, isinstance(logs["loss"], float)))

        def on_epoch_end(self, epoch, logs):
            calls.append(("epoch_end", epoch, sorted(logs)))

        def on_fit_end(self, history):
            calls.append(("fit_end", len(history)))

    t = trainer()
    fit(t, epochs=2, batch_size=20, callbacks=[Record()], validation=(X, Y))
    epoch = [("batch_end", 0, True), ("batch_end", 1, True)]
    assert calls == [
        ("fit_begin", True),
        ("epoch_begin", 0), *epoch, ("epoch_end", 0, ["loss", "val_loss"]),
        ("epoch_begin", 1), *epoch, ("epoch_end", 1, ["loss", "val_loss"]),
        ("fit_end", 2),
    ]  # fmt: skip


def test_lambda_and_what_it_adds_to_the_logs():
    history = fit(
        epochs=2, callbacks=[Lambda(on_epoch_end=lambda e, logs: logs.update(twice=2 * e))]
    )
    assert history["twice"] == [0, 2]
    with pytest.raises(TypeError, match="there is no 'on_epoch_ends'; there are on_batch_end"):
        Lambda(on_epoch_ends=print)
    with pytest.raises(TypeError, match="not a function"):
        Lambda(on_epoch_end=3)


def test_a_callback_may_stop_the_run():
    t = trainer()
    history = fit(
        t, epochs=9, callbacks=[Lambda(on_epoch_end=lambda e, logs: e == 1 and t.stop("enough"))]
    )
    assert len(history) == 2
    assert history.stopped == "enough"
    steps = []

    def after_two(step, logs):
        steps.append(step)
        if step == 1:
            t.stop()

    assert len(fit(t, epochs=9, callbacks=[Lambda(on_batch_end=after_two)])) == 1
    assert steps == [0, 1]


def test_an_error_in_a_callback_comes_through():
    def fail(step, logs):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(callbacks=[Lambda(on_batch_end=fail)])


# --- EarlyStopping ---


def test_early_stopping_restores_the_best():
    t = trainer()
    seen = []
    keep = Lambda(on_epoch_end=lambda e, logs: seen.append(t.model.weight.detach().numpy().copy()))
    stopping = EarlyStopping(patience=2)
    history = fit(t, epochs=20, callbacks=[Scripted([5, 3, 4, 3.5, 1]), keep, stopping])
    assert len(history) == 4
    assert history.stopped == "val_loss was best in epoch 2"
    assert stopping.best == 3
    assert stopping.best_epoch == 1
    assert (t.model.weight.detach().numpy() == seen[1]).all()


def test_early_stopping_min_delta_mode_and_restore():
    t = trainer()
    stopping = EarlyStopping(patience=1, min_delta=0.5, restore_best=False)
    assert len(fit(t, epochs=9, callbacks=[Scripted([5, 4.6, 4.0] * 3), stopping])) == 2
    stopping = EarlyStopping(patience=1, mode="max")
    assert len(fit(t, epochs=9, callbacks=[Scripted([1, 2, 3, 2, 9]), stopping])) == 4
    # a second fit starts afresh
    assert len(fit(t, epochs=9, callbacks=[Scripted([1, 2, 3, 2, 9]), stopping])) == 4
    stopping = EarlyStopping(patience=1)
    assert len(fit(t, epochs=9, callbacks=[Scripted([2.0, np.nan, 1]), stopping])) == 2


def test_early_stopping_refuses():
    with pytest.raises(ValueError, match=r"there is no 'val_loss' to monitor.*no validation="):
        fit(callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="patience is 0"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="mode is 'up'"):
        EarlyStopping(mode="up")


# --- ScheduleLR ---


def test_schedule_by_epoch_and_by_step():
    t = trainer(optimizer="sgd")
    first = t.learning_rate
    halve = fastnn.schedules.ExponentialSchedule(t.optimizer, gamma=0.5)
    history = fit(t, epochs=3, callbacks=[ScheduleLR(halve)])
    assert history["lr"] == pytest.approx([first, first / 2, first / 4])
    assert t.learning_rate == pytest.approx(first / 8)

    t = trainer(optimizer="sgd")
    make = lambda optimizer: fastnn.schedules.ExponentialSchedule(optimizer, gamma=0.5)  # noqa: E731
    fit(t, epochs=1, callbacks=[ScheduleLR(make, every="step")])
    assert t.learning_rate == pytest.approx(first / 16)


def test_schedule_on_plateau():
    t = trainer(optimizer="sgd")
    first = t.learning_rate
    plateau = fastnn.schedules.PlateauSchedule(t.optimizer, factor=0.1, patience=1)
    callbacks = [Scripted([1.0, 2, 2, 2, 2]), ScheduleLR(plateau, monitor="val_loss")]
    history = fit(t, epochs=5, callbacks=callbacks)
    assert history["lr"][0] == pytest.approx(first)
    assert t.learning_rate < first
    with pytest.raises(ValueError, match="there is no 'val_loss' to monitor"):
        fit(t, callbacks=[ScheduleLR(plateau, monitor="val_loss")])


def test_schedule_refuses():
    with pytest.raises(ValueError, match="every is 'batch'"):
        ScheduleLR(None, every="batch")
    with pytest.raises(ValueError, match="known only at the end"):
        ScheduleLR(None, every="step", monitor="loss")


# --- CSVLogger ---


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(epochs=2, callbacks=[CSVLogger(path)], validation=(X, Y))
    header, *data = rows(path)
    assert header == ["epoch", "loss", "val_loss"]
    assert [row[0] for row in data] == ["1", "2"]
    assert [float(row[1]) for row in data] == history["loss"]
    fit(epochs=1, callbacks=[CSVLogger(path, append=True)], validation=(X, Y))
    assert len(rows(path)) == 4
    fit(epochs=1, callbacks=[CSVLogger(path)])
    assert len(rows(path)) == 2
    with pytest.raises(OSError, match="no"):
        fit(callbacks=[CSVLogger(tmp_path / "no" / "log.csv")])


# --- Checkpoint as a saver of weights (resuming is in test_checkpoint.py) ---


def test_checkpoint_of_the_best_weights(tmp_path):
    path = tmp_path / "best.safetensors"
    t = trainer()
    seen = []
    keep = Lambda(on_epoch_end=lambda e, logs: seen.append(t.model.weight.detach().numpy().copy()))
    best = Checkpoint(path, monitor="val_loss", weights_only=True)
    fit(t, epochs=4, callbacks=[Scripted([3, 1, 2, 1]), keep, best])
    assert (fastnn.load(path)["weight"].numpy() == seen[1]).all()


def test_checkpoint_names_and_intervals(tmp_path):
    fit(epochs=5, callbacks=[Checkpoint(tmp_path / "e{epoch}", every_epochs=2, weights_only=True)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e2", "e4"]
    with pytest.raises(ValueError, match="at least 1"):
        Checkpoint("a", every_epochs=0)
    with pytest.raises(FileNotFoundError, match="no folder"):
        fit(callbacks=[Checkpoint(tmp_path / "no" / "file")])


def test_terminate_on_non_finite_is_a_callback():
    assert TerminateOnNonFinite().enabled
