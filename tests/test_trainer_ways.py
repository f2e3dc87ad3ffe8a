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
from fastnn.data import Batches, augment
from fastnn.training import Callback, Checkpoint, Lambda, NonFiniteError, TerminateOnNonFinite
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


# --- images that change on their way into a step ---

PHOTOS = np.random.default_rng(2).integers(0, 256, (150, 8, 8, 3), np.uint8).transpose(0, 3, 1, 2)
KINDS = np.arange(150) % 3
CHANGE = augment.Compose(
    [
        augment.RandomCrop(6, padding=1),
        augment.RandomHorizontalFlip(),
        augment.GaussianNoise(0.1),
        augment.Normalize((0.5, 0.4, 0.3), 0.2),
    ]
)


def looks():
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize(
    "augment",
    [
        CHANGE,
        [CHANGE, augment.RandomRotation(15), augment.ColorJitter(0.2)][:2],
        [CHANGE, augment.MixUp(num_classes=3, p=0.5), augment.CutMix(num_classes=3)],
        augment.CenterCrop(6),
    ],
    ids=repr,
)
def test_augmented_steps(augment, threads):
    left = []
    for count in (1, 2):
        with threads(count):
            left.append(
                run(True, lambda t, x, y: fit_images(t, x, y, augment), looks, (PHOTOS, KINDS))
            )
    assert left[0][1] == left[1][1]
    assert not left[0][0]._learning.plain
    _, eager = run(False, lambda t, x, y: fit_images(t, x, y, augment), looks, (PHOTOS, KINDS))
    assert left[0][1] == eager


def fit_images(trainer, x, y, augment, **options):
    return plain(trainer, x, y, augment=augment, validation=(x[:50], y[:50]), **options)


def test_only_what_is_not_by_chance_applies_to_tests():
    trainer, _ = run(True, lambda t, x, y: fit_images(t, x, y, CHANGE), looks, (PHOTOS, KINDS))
    state = fastnn.random.get_state()
    units = PHOTOS[:, :, 1:7, 1:7] / np.float32(255)
    ready = (units - np.float32([[[0.5]], [[0.4]], [[0.3]]])) / np.float32(0.2)
    expect = trainer.model(fastnn.as_tensor(ready)).numpy()
    assert np.allclose(trainer.predict(PHOTOS).numpy(), expect, atol=1e-5)
    found = trainer.evaluate(PHOTOS, KINDS)
    assert found["accuracy"] == pytest.approx((expect.argmax(axis=1) == KINDS).mean())
    assert fastnn.random.get_state() == state
    # A fit without an augmentation takes images as they are again.
    plain(trainer, ready, KINDS)
    assert np.allclose(
        trainer.predict(ready).numpy(), trainer.model(fastnn.as_tensor(ready)).numpy()
    )


def test_augmented_streams_and_resumed_runs(tmp_path):
    batches = [(PHOTOS[i : i + 50], KINDS[i : i + 50]) for i in range(0, 150, 50)]
    both(lambda t, x, y: t.fit(batches, epochs=3, augment=CHANGE, verbose=0), make=looks)
    file = tmp_path / "run.safetensors"

    def kill(epoch):
        if epoch == 2 and file.exists():
            raise InterruptedError

    def whole(t, x, y, resume=None):
        watching = [Checkpoint(file), Lambda(on_epoch_begin=lambda epoch: None)]
        return fit_images(t, x, y, CHANGE, epochs=4, callbacks=watching, resume=resume)

    def stopped(t, x, y):
        file.unlink()
        with pytest.raises(InterruptedError):
            fit_images(t, x, y, CHANGE, epochs=4,
                       callbacks=[Checkpoint(file), Lambda(on_epoch_begin=kill)])  # fmt: skip
        fastnn.manual_seed(9)
        return whole(t, x, y, resume=file)

    _, expect = run(True, whole, looks, (PHOTOS, KINDS))
    _, found = run(True, stopped, looks, (PHOTOS, KINDS))
    assert found[0] == expect[0]


def test_images_that_a_fit_refuses():
    trainer = Trainer(looks(), loss="cross_entropy")
    with pytest.raises(TypeError, match=r"x is uint8 .*augment.ToFloat\(\)"):
        trainer.fit(PHOTOS, KINDS, verbose=0)
    with pytest.raises(TypeError, match="x is float64 but the model computes in float32"):
        trainer.fit(PHOTOS / 255, KINDS, augment=CHANGE, verbose=0)
    with pytest.raises(TypeError, match="must be transforms of fastnn.data.augment, got 'flip'"):
        trainer.fit(PHOTOS, KINDS, augment="flip", verbose=0)
    with pytest.raises(ValueError, match="from 0 to 1, these are from 0 to 255"):
        trainer.fit(PHOTOS.astype(np.float32), KINDS, augment=augment.ColorJitter(0.1), verbose=0)
    with pytest.raises(ValueError, match="a model of one input, images; x is a tuple of 2"):
        trainer.fit((PHOTOS, PHOTOS), KINDS, augment=CHANGE, verbose=0)
    with pytest.raises(ValueError, match="does not fit into images of 8 x 8"):
        trainer.fit(PHOTOS, KINDS, augment=augment.RandomCrop(20), verbose=0)
    with pytest.raises(ValueError, match="say how many classes"):
        trainer.fit(PHOTOS, KINDS, augment=augment.MixUp(), verbose=0)
