"""Trainer: recorded steps give the bits of steps in Python, in everything that fit leaves behind."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optimizers, regularizers, schedules
from fastnn.data import Batches
from fastnn.training import Callback, Checkpoint, EarlyStopping, Lambda, ScheduleLR
from fastnn.training.checkpoint import read_tree
from fastnn.training.recorded import RecordedSteps
from fastnn.training.work import Stretches
from trainer_runs import OPTIMIZERS, RNG, T, X, Y, bits, both, mlp, nn_small, plain, run


@pytest.fixture
def stretches(monkeypatch):
    """How many steps each call of C did."""
    counts = []
    original = Stretches._piece

    def spy(self, steps, order, first, count, slot):
        counts.append(count)
        return original(self, steps, order, first, count, slot)

    monkeypatch.setattr(Stretches, "_piece", spy)
    return counts


# --- the whole of what fit takes ---


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, stretches):
    both(optimizer=OPTIMIZERS[name])
    assert max(stretches) == 9  # all batches but the last, which is smaller


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 50, 300, 299])
def test_batch_sizes(batch_size, shuffle):
    both(lambda t, x, y: plain(t, x, y, batch_size=batch_size, shuffle=shuffle), make=nn_small)


def test_many_outputs_wait_for_the_metrics():
    """More steps than outputs that may wait; the metric sees the same batches."""
    seen = []

    def shape(prediction, target):
        seen.append((prediction.shape, target.shape))
        return 0.0

    both(lambda t, x, y: plain(t, x, y, batch_size=2), make=nn_small, metrics=["accuracy", shape])
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    assert seen[0] == ((128, 3), (128,))


def test_elements_wait_for_the_metrics():
    wide = lambda: nn.Linear(6, 5000)  # noqa: E731
    both(make=wide, loss="mse", metrics=["mae"], data=(X, np.tile(T, (1, 2500))))


def test_weights_and_validation():
    def fit(t, x, y):
        return plain(
            t, x, y, sample_weight=np.linspace(0, 2, len(x)), class_weight={0: 1.0, 1: 2.0, 2: 0.5},
            validation=0.2,
        )  # fmt: skip

    both(fit, metrics=["accuracy", "f1"])


def test_float64_and_regression():
    def double():
        return mlp(2).astype("float64")

    both(
        make=double,
        loss="mse",
        metrics=["mae", "r2"],
        data=(X.astype(np.float64), T.astype(np.float64)),
    )


def test_several_inputs_and_bytes():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(5, 4), nn.Linear(10, 3)

        def forward(self, x, kind):
            return self.out(fastnn.concat([x, self.table(kind)], axis=1))

    kinds = RNG.integers(0, 5, 300)
    both(make=Two, data=((X, kinds), Y))


class Stream:
    """Batches of several sizes."""

    def __iter__(self):
        for begin in range(0, 300, 45):
            yield X[begin : begin + 45], Y[begin : begin + 45], np.ones(len(X[begin : begin + 45]))


@pytest.mark.parametrize("data", [(X, Y), (Stream(),)])
def test_parameters_that_the_optimizer_does_not_have(data, stretches):
    """Their gradients add up from step to step, also where somebody takes them away meanwhile."""

    class Forget(Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                self.trainer.model[0].weight.grad = None

    def fit(t, x, y=None):
        t.optimizer = optimizers.SGD(t.model[2].parameters(), lr=0.1)
        history = plain(t, x, y, epochs=4, callbacks=[Forget()])
        grads.append(bits([p.grad for p in t.model.parameters()]))
        return history

    grads = []
    both(fit, make=nn_small, data=data)
    assert grads[0] == grads[1]
    assert len(data) == 1 or max(stretches) >= 8


@pytest.mark.parametrize("writes", [True, False])
def test_the_input_as_target(writes, monkeypatch):
    """It is gathered once, unless the model writes to it."""

    class Blind(nn.Linear):
        def forward(self, x):
            if writes:
                x[:, :2] = 0.0
            return super().forward(x)

    found = []
    original = RecordedSteps._step
    monkeypatch.setattr(
        RecordedSteps, "_step", lambda self, shares: (found.append(shares), original(self, shares))
    )
    both(make=lambda: Blind(6, 6), loss="mse", metrics=[], data=(X, X))
    assert found == ([True, False] * 2 if writes else [True] * 2)


def test_targets_of_bytes():
    both(data=(X, Y.astype(np.uint8)))


def test_regularizers():
    given = lambda: [  # noqa: E731
        regularizers.L2(0.01), regularizers.MaxNorm(1.0), regularizers.ActivityL2(0.1, on="0"),
    ]  # fmt: skip
    both(lambda t, x, y: plain(t, x, y), regularizers=given())


def test_two_fits_and_other_seeds():
    def fit(t, x, y):
        plain(t, x, y, seed=3)
        t.evaluate(x, y)
        return plain(t, x, y, batch_size=50)

    both(fit)


def test_batches_as_data_with_class_weights():
    def fit(t, x, y):
        data = Batches(
            x, y, sample_weight=np.linspace(1, 2, 300), batch_size=40, shuffle=True, seed=2
        )
        return t.fit(data, epochs=3, class_weight=[1.0, 2.0, 3.0], verbose=0)

    both(fit)


def test_streams():
    both(lambda t, x, y: t.fit(Stream(), epochs=3, validation=Stream(), verbose=0))


# --- callbacks ---


def test_callbacks_after_every_batch(stretches):
    seen = []

    def fit(t, x, y):
        ema = optimizers.EMA(t.model.parameters(), decay=0.9)
        note = Lambda(
            on_batch_end=lambda step, logs: (ema.update(), seen.append((step, logs["loss"])))
        )
        history = plain(t, x, y, callbacks=[note])
        seen.extend(v.tobytes() for v in ema.state_dict()["average"])
        return history

    both(fit)
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    assert set(stretches) == {1}


@pytest.mark.parametrize("name", ["momentum", "adam", "groups"])
@pytest.mark.parametrize("seconds", [0.05, 1e-9])
def test_schedules_by_step(name, seconds, stretches, monkeypatch):
    """Also where a stretch ends long before what is known in advance."""
    monkeypatch.setattr("fastnn.training.recorded._SECONDS", seconds)
    rates = []

    def fit(t, x, y):
        one, two = [
            ScheduleLR(lambda o: schedules.OneCycleSchedule(o, 0.1, total_steps=450), every="step"),
            ScheduleLR(lambda o: schedules.StepSchedule(o, 20), every="step"),
        ]
        history = plain(t, x, y, batch_size=2, callbacks=[one, two] if name == "adam" else [one])
        rates.append([one.schedule.state_dict(), list(map(dict, t.optimizer.param_groups))])
        return history

    both(fit, optimizer=OPTIMIZERS[name], make=nn_small)
    assert bits([str(r) for r in rates[0]]) == bits([str(r) for r in rates[1]])
    assert max(stretches) > 16 if seconds > 1e-3 else max(stretches) == 1


def test_a_schedule_of_the_user_steps_after_every_batch(stretches):
    class Mine(schedules.Schedule):
        def factor(self, count):
            return 1 / (1 + count)

        def _apply(self):
            super()._apply()
            self.optimizer.clip_norm = 1.0

    both(
        lambda t, x, y: plain(t, x, y, callbacks=[ScheduleLR(Mine, every="step")]),
        make=nn_small,
    )
    assert max(stretches) == 1


def test_resume_with_a_schedule_by_step(tmp_path):
    def callbacks():
        schedule = ScheduleLR(lambda o: schedules.CosineSchedule(o, 30), every="step")
        return [schedule, Checkpoint(tmp_path / "c", every_steps=4)]

    whole = run(True, lambda t, x, y: plain(t, x, y, callbacks=callbacks()))[1]
    run(True, lambda t, x, y: plain(t, x, y, epochs=1, callbacks=callbacks()))
    for way in (True, False):
        kept = (tmp_path / "c").read_bytes()
        resumed = run(way, lambda t, x, y: plain(
            t, x, y, callbacks=callbacks(), resume=tmp_path / "c"), seed=9)[1]  # fmt: skip
        assert resumed == whole
        (tmp_path / "c").write_bytes(kept)


def test_schedules():

    def by_epoch(t, x, y):
        make = lambda o: schedules.ExponentialSchedule(o, 0.5)  # noqa: E731
        return plain(t, x, y, callbacks=[ScheduleLR(make)])

    both(by_epoch)


def test_early_stopping():
    both(
        lambda t, x, y: plain(
            t, x, y, epochs=30, validation=(X, Y), callbacks=[EarlyStopping(patience=1)]
        ),
        optimizer=lambda p: optimizers.Adam(p, lr=0.1),
    )


def test_stop_within_an_epoch():
    def fit(t, x, y):
        stop = Lambda(on_batch_end=lambda step, logs: t.stop() if step == 4 else None)
        return plain(t, x, y, callbacks=[stop])

    both(fit)


def test_what_a_callback_changes_takes_effect():
    """Frozen layers, dropout, clipping, a rate, momentum: none of it is built in for good."""

    class Change(Callback):
        def on_epoch_end(self, epoch, logs):
            model, optimizer = self.trainer.model, self.trainer.optimizer
            if epoch == 0:
                model[0].weight.requires_grad = False
            if epoch == 1:
                model[3].p = 0.6
                optimizer.param_groups[0]["lr"] = 0.05
            if epoch == 2:
                optimizer.clip_norm = 0.1
                optimizer.param_groups[0]["momentum"] = 0.9
            if epoch == 3:
                model[2] = nn.ReLU()

    both(
        lambda t, x, y: plain(t, x, y, epochs=6, callbacks=[Change()]),
        optimizer=lambda p: optimizers.SGD(p, lr=0.1),
    )


@pytest.mark.parametrize("steps", [4, 7])
def test_resume_within_an_epoch(tmp_path, steps):
    """Either way resumes what either way has saved."""

    class Cut(Exception):
        pass

    def cut(step, logs):
        if step == steps:
            raise Cut

    def saved(compile, path):
        with pytest.raises(Cut):
            run(compile, lambda t, x, y: plain(t, x, y, callbacks=[
                Checkpoint(path, every_steps=3), Lambda(on_batch_end=cut)]))  # fmt: skip
        return path.read_bytes()

    a, b = tmp_path / "a", tmp_path / "b"
    assert saved(True, a) == saved(False, b)
    idle = Lambda(on_batch_end=lambda step, logs: None)
    ends = [
        run(way, lambda t, x, y, p=p: plain(
            t, x, y, callbacks=[Checkpoint(tmp_path / "c"), idle], resume=p), seed=5)[1]
        for way, p in ((True, a), (False, a), (True, b))
    ]  # fmt: skip
    assert ends[0] == ends[1] == ends[2]


def test_checkpoints_in_the_middle_of_stretches(tmp_path, stretches):
    def fit(t, x, y):
        return plain(t, x, y, callbacks=[Checkpoint(tmp_path / "c{epoch}", every_steps=4)])

    found = []
    for way in (True, False):
        run(way, fit)
        trees = [read_tree(p) for p in sorted(tmp_path.iterdir())]
        for tree in trees:
            del tree["run"]["history"]["seconds"]
        found.append(bits(trees))
    assert found[0] == found[1]
    assert stretches == [4, 4, 1, 1] * 3
