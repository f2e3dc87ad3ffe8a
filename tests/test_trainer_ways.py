"""Trainer: steps that fail, that cannot be recorded, and recorded ones beside other threads and Ctrl-C."""

import copy
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import Trainer, nn, optimizers
from fastnn.data import Batches
from fastnn.training import Callback, Lambda, NonFiniteError, TerminateOnNonFinite
from trainer_runs import T, X, Y, bits, both, mlp, nn_small, plain, run

# --- what is not finite ---


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loss_that_is_not_finite_ends_the_run_before_its_step(shuffle):
    def fail(t, x, y):
        with pytest.raises(NonFiniteError) as error:
            plain(t, x, y, epochs=50, shuffle=shuffle)
        t.error = error.value
        return fastnn.training.History()

    def diverging():
        return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 2))

    found = []
    for way in (True, False):
        trainer, left = run(
            way,
            fail,
            make=diverging,
            loss="mse",
            metrics=["mae"],
            data=(X, T),
            optimizer=lambda p: optimizers.SGD(p, lr=30.0),
        )
        found.append((left, str(trainer.error), trainer.error.epoch, trainer.error.step))
    assert found[0] == found[1]


def test_the_guard_can_be_taken_away():
    both(
        lambda t, x, y: plain(t, x, y, callbacks=[TerminateOnNonFinite(enabled=False)]),
        optimizer=lambda p: optimizers.SGD(p, lr=1e12), make=nn_small,
    )  # fmt: skip


# --- what cannot be recorded ---


class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        y = self.inner(x)
        return y * 2 if float(y.sum().item()) > 0 else y


def test_a_step_that_reads_values_runs_in_python_and_says_so_once():
    with pytest.warns(RuntimeWarning, match=r"in forward.*compile=False") as caught:
        trainer, found = run(True, plain, make=Reads)
        plain(trainer, X, Y)
    assert len(caught) == 1
    assert os.path.dirname(caught[0].filename) == os.path.dirname(__file__)
    assert found == run(False, plain, make=Reads)[1]


def test_numbers_of_numpy_are_drawn_at_every_step():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            return self.inner(x + fastnn.Tensor(np.random.rand(6).astype(np.float32)))  # noqa: NPY002

    def fit(t, x, y):
        np.random.seed(0)  # noqa: NPY002
        return plain(t, x, y)

    with pytest.warns(RuntimeWarning, match="numpy.random"):
        _, found = run(True, fit, make=Noisy)
    assert found == run(False, fit, make=Noisy)[1]


def test_hooks_of_the_user_run_at_every_step():
    def fit(t, x, y):
        counts = []
        with t.model[0].register_forward_hook(lambda *a: counts.append(1)):
            history = plain(t, x, y)
        assert len(counts) == 30
        return history

    with pytest.warns(RuntimeWarning, match="layer '0' has a hook"):
        _, found = run(True, fit)
    assert found == run(False, fit)[1]


def test_lbfgs_and_compile_false_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(
            True,
            plain,
            make=lambda: nn.Linear(6, 2),
            loss="mse",
            metrics=[],
            optimizer="lbfgs",
            data=(X, T),
        )
        run(False, plain, make=Reads)


def test_an_error_on_the_data_is_the_one_that_python_gives():
    """Labels out of range in the middle of an epoch."""
    bad = Y.copy()
    bad[200] = 7
    messages = []
    for way in (True, False):
        with pytest.raises((ValueError, IndexError)) as error:
            run(way, lambda t, x, y: plain(t, x, y, shuffle=False), data=(X, bad))
        messages.append((type(error.value), str(error.value)))
    assert messages[0] == messages[1]


def test_an_overridden_loop_over_batches_is_used():
    """Data that is made anew in each epoch (augmentation) is a stream, whatever it derives from."""

    class Louder(Batches):
        def from_batch(self, first, epoch):
            for x, y in super().from_batch(first, epoch):
                yield x * (1.0 + epoch), y

    both(lambda t, x, y: t.fit(Louder(x, y, batch_size=50), epochs=3, verbose=0))


def test_a_hook_set_while_fit_runs_is_called():
    counts = []

    class Late(Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 0:
                self.trainer.model[0].register_forward_hook(lambda *a: counts.append(1))

    with pytest.warns(RuntimeWarning, match="hook"):
        run(True, lambda t, x, y: plain(t, x, y, callbacks=[Late()]))
    assert len(counts) == 20


def test_what_a_loss_of_the_user_is_set_to():
    class Scaled:
        def __init__(self):
            self.factor = 1.0

        def __call__(self, output, y):
            return fastnn.losses.cross_entropy(output, y) * self.factor

    class Double(Callback):
        def on_epoch_end(self, epoch, logs):
            self.trainer.loss.factor *= 2

    both(lambda t, x, y: plain(t, x, y, callbacks=[Double()]), loss=Scaled)


def test_two_threads_train_two_models():
    want = [run(True, plain, seed=seed, make=nn_small)[1][0] for seed in (1, 2)]
    models = []
    for seed in (1, 2):
        fastnn.manual_seed(seed)
        models.append(nn_small())
    trainers = [Trainer(m, loss="cross_entropy", metrics=["accuracy"]) for m in models]
    threads = [threading.Thread(target=plain, args=(t, X, Y)) for t in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bits(m.state_dict()) for m in models] == want


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_memory_stays_flat():
    """Epochs after the second take no more memory."""
    resident = []

    def note(epoch, logs):
        with open("/proc/self/statm") as file:
            resident.append(int(file.read().split()[1]) * 4096)

    run(True, lambda t, x, y: plain(
        t, x, y, epochs=40, batch_size=4, validation=(x, y), callbacks=[Lambda(on_epoch_end=note)]))  # fmt: skip
    assert resident[-1] - resident[4] < 1 << 20


def test_ctrl_c_ends_a_stretch_of_long_steps_soon():
    """A step takes about 1 ms; a stretch of them is over within 50 ms or so."""
    x = np.zeros((20000, 512), np.float32)
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 512))
    trainer = Trainer(model, loss="mse")
    trainer.fit(x[:200], x[:200], epochs=2, verbose=0)
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.2, interrupt).start()
    history = trainer.fit(x, x, epochs=100, verbose=0)
    waited = time.perf_counter() - sent[0]
    assert history.interrupted
    assert waited < 1.0


# --- evaluate and predict ---


def test_evaluate_and_predict():
    compiled, _ = run(True, plain)
    eager, _ = run(False, plain)
    for rows in (300, 7):
        for size in (256, 50, 1):
            for _ in range(3):
                want = eager.evaluate(X[:rows], Y[:rows], batch_size=size)
                assert bits(compiled.evaluate(X[:rows], Y[:rows], batch_size=size)) == bits(want)
                want = eager.predict(X[:rows], batch_size=size)
                assert bits(compiled.predict(X[:rows], batch_size=size)) == bits(want)
    assert any(r is not None for r in compiled._predicting._kinds.values())


def test_predictions_are_not_overwritten_by_the_next():
    trainer, _ = run(True, plain)
    first = [trainer.predict(X[i : i + 20]) for i in range(0, 200, 20)]
    for i, found in enumerate(first):
        assert bits(found) == bits(trainer.model.eval()(fastnn.Tensor(X[20 * i : 20 * i + 20])))


def test_predictions_follow_the_weights():
    """Whoever changes them: a recording may keep weights in a form of its own."""
    trainer, _ = run(
        True, plain, make=lambda: nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
    )
    model = trainer.model
    kept = model.state_dict()

    def changes():
        yield
        model[0].weight.numpy()[...] *= 0.5
        yield
        model.load_state_dict(kept)
        yield
        plain(trainer, X, Y)
        yield
        ema = optimizers.EMA(model.parameters())
        plain(trainer, X, Y)
        with ema.apply():
            yield
        yield

    for _ in changes():
        for _ in range(3):
            assert bits(trainer.predict(X)) == bits(model.eval()(fastnn.Tensor(X)))


def test_a_copy_of_a_trainer_predicts_by_itself():
    trainer, _ = run(True, plain)
    for _ in range(2):
        want = bits(trainer.predict(X))
    other = copy.deepcopy(trainer)
    trainer.model[0].weight.numpy()[...] = 0
    for _ in range(3):
        assert bits(other.predict(X)) == want != bits(trainer.predict(X))
