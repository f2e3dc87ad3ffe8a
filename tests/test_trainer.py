"""Trainer: fit, evaluate, predict; what they take, what they refuse, how they end."""

import io
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import fastnn
from fastnn import Trainer, nn, regularizers
from fastnn.data import Batches
from fastnn.training import Callback, History, Lambda, NonFiniteError, TerminateOnNonFinite
from fastnn.training.feed import Feed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1).astype(np.int64)
T = (X @ np.array([[1.0], [-2], [0.5], [0]], np.float32)).astype(np.float32)


def classifier(seed=0, width=16):
    fastnn.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))


def trainer(**options):
    options = {"loss": "cross_entropy", "metrics": ["accuracy"], **options}
    return Trainer(options.pop("model", None) or classifier(), **options)


def weights(model):
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


# --- learning ---


def test_fit_learns_and_reports():
    t = trainer(optimizer=lambda p: fastnn.optimizers.Adam(p, lr=0.02))
    history = t.fit(X, Y, epochs=30, batch_size=16, validation=(X, Y), verbose=0)
    assert isinstance(history, History)
    assert history.epoch == list(range(30))
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["accuracy"][-1] > 0.9 > history["accuracy"][0]
    assert history["loss"][-1] < 0.4 * history["loss"][0]
    found = t.evaluate(X, Y)
    assert found["accuracy"] == history["val_accuracy"][-1]
    assert found["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-6)
    assert (t.predict(X).numpy().argmax(1) == Y).mean() == found["accuracy"]
    assert history.params["batches"] == 6


def test_fit_is_the_plain_loop():
    """The same batches give the same bits as a loop by hand."""
    t = trainer(optimizer="sgd")
    t.fit(X, Y, epochs=2, batch_size=40, verbose=0)
    model = classifier()
    optimizer = type(t.optimizer)(model.parameters())
    batches = Batches(X, Y, batch_size=40, shuffle=True)
    for _ in range(2):
        for x, y in batches:
            loss = fastnn.losses.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert (weights(model) == weights(t.model)).all()


def test_threads_do_not_change_a_bit():
    x = RNG.normal(size=(512, 64)).astype(np.float32)
    y = RNG.integers(0, 3, 512)
    found = []
    threads = fastnn.get_num_threads()
    try:
        for count in (1, 2, 4):
            fastnn.set_num_threads(count)
            fastnn.manual_seed(0)
            model = nn.Sequential(
                nn.Linear(64, 200),
                nn.BatchNorm1d(200),
                nn.GELU(),
                nn.Dropout(0.2),
                nn.Linear(200, 3),
            )
            Trainer(model, loss="cross_entropy").fit(x, y, epochs=2, batch_size=100, verbose=0)
            found.append(weights(model))
    finally:
        fastnn.set_num_threads(threads)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_regression_and_strings():
    model = nn.Linear(4, 1)
    t = Trainer(model, loss="mse", optimizer="adam", metrics=["r2", "mae", "rmse"])
    first = t.evaluate(X, T)
    history = t.fit(X, T, epochs=100, batch_size=8, verbose=0)
    assert history["loss"][-1] < 0.5 * first["loss"]
    assert history["rmse"][-1] == pytest.approx(np.sqrt(history["loss"][-1]), rel=1e-4)


def test_lbfgs():
    t = Trainer(nn.Linear(4, 1), loss="mse", optimizer="lbfgs")
    history = t.fit(X, T, epochs=10, batch_size=96, verbose=0)
    assert history["loss"][-1] < 1e-3 < history["loss"][0]


def test_a_second_fit_goes_on_with_other_orders():
    t = trainer(optimizer="sgd")
    t.fit(X, Y, epochs=3, batch_size=40, verbose=0)
    u = trainer(optimizer="sgd")
    for _ in range(3):
        u.fit(X, Y, epochs=1, batch_size=40, verbose=0)
    assert (weights(t.model) == weights(u.model)).all()
    assert t.epochs_done == u.epochs_done == 3


def test_shuffle_and_seed():
    def train(**options):
        t = trainer(optimizer="sgd")
        t.fit(X, Y, epochs=1, batch_size=8, verbose=0, **options)
        return weights(t.model)

    assert (train() == train()).all()
    assert (train(seed=1) != train()).any()
    assert (train(shuffle=False) != train()).any()
    assert (train(shuffle=False) == train(shuffle=False, seed=5)).all()


# --- what counts as data ---


class Stream:
    """Batches as numpy arrays, anew each time."""

    def __iter__(self):
        for start in range(0, 96, 32):
            yield X[start : start + 32], Y[start : start + 32]


def test_data_in_other_clothes():
    def train(*data, **options):
        t = trainer(optimizer="sgd")
        t.fit(*data, epochs=2, batch_size=32, verbose=0, **options)
        return weights(t.model)

    wanted = train(X, Y, shuffle=False)
    assert (train((X, Y), shuffle=False) == wanted).all()
    assert (train(fastnn.tensor(X), fastnn.tensor(Y), shuffle=False) == wanted).all()
    assert (train(X.tolist(), Y.tolist(), shuffle=False) == wanted).all()
    assert (train(Batches(X, Y, batch_size=32)) == wanted).all()
    assert (train(Stream()) == wanted).all()
    assert (train(list(Stream())) == wanted).all()
    wide = np.repeat(X, 2, axis=1)[:, ::2]
    assert (train(wide, Y.astype(np.int32), shuffle=False) == wanted).all()


def test_streams_as_validation_and_for_evaluate():
    t = trainer()
    history = t.fit(Stream(), epochs=1, validation=Stream(), verbose=0)
    found = t.evaluate(Stream())
    assert found["accuracy"] == history["val_accuracy"][0] == t.evaluate(X, Y)["accuracy"]
    assert found["loss"] == pytest.approx(t.evaluate(X, Y)["loss"], rel=1e-6)
    assert t.predict(x for x, _ in Stream()).shape == (96, 3)


def test_a_generator_ends_after_an_epoch():
    with pytest.raises(ValueError, match="no batches came in epoch 2"):
        trainer().fit(iter(Stream()), epochs=2, verbose=0)


def test_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)

        def forward(self, x, z):
            return self.a(x) + self.b(z)

    t = trainer(model=Two())
    history = t.fit((X, X[:, :2]), Y, epochs=2, validation=0.25, verbose=0)
    assert len(history["val_loss"]) == 2
    assert t.predict((X, X[:, :2])).shape == (96, 3)


def test_validation_share_is_held_out():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.extend(x.detach().numpy()[:, 0].tolist())
            return super().forward(x)

    t = trainer(model=Spy(4, 3), compile=False)
    t.fit(X, Y, epochs=2, validation=0.25, verbose=0)
    assert len(set(seen)) == 72


def test_sample_weight_zero_is_as_if_the_row_were_not_there():
    weight = (np.arange(96) < 48).astype(np.float32)
    t = trainer()
    found = t.evaluate(X, Y, sample_weight=weight)
    assert found["accuracy"] == pytest.approx(t.evaluate(X[:48], Y[:48])["accuracy"])
    t.fit(X, Y, sample_weight=weight, epochs=1, batch_size=96, shuffle=False, verbose=0)
    after = weights(t.model)
    other = X.copy()
    other[48:] = RNG.normal(size=(48, 4))
    u = trainer()
    u.fit(other, Y, sample_weight=weight, epochs=1, batch_size=96, shuffle=False, verbose=0)
    assert np.allclose(weights(u.model), after, atol=1e-6)


def test_class_weight_is_a_sample_weight():
    def train(**options):
        t = trainer(optimizer="sgd")
        t.fit(options.pop("x", X), *options.pop("y", (Y,)), epochs=2, verbose=0, **options)
        return weights(t.model)

    table = np.array([1.0, 2.0, 5.0])
    wanted = train(sample_weight=table[Y])
    assert (train(class_weight={0: 1, 1: 2, 2: 5}) == wanted).all()
    assert (train(class_weight=[1, 2, 5]) == wanted).all()
    assert (train(x=Batches(X, Y, shuffle=True), y=(), class_weight=[1, 2, 5]) == wanted).all()
    half = np.full(96, 0.5)
    assert (train(class_weight=[2, 4, 10], sample_weight=half) == wanted).all()
    counts = np.bincount(Y)
    assert np.allclose(train(class_weight="balanced"), train(class_weight=96 / (3 * counts)))


def test_regularizers_are_part_of_the_loss_and_constraints_hold():
    model = classifier()
    t = trainer(
        model=model,
        optimizer="sgd",
        regularizers=[
            regularizers.L2(0.5, on="*.weight"),
            regularizers.MaxNorm(0.1, on="0.weight"),
        ],
    )
    plain = t.evaluate(X, Y)["loss"]
    history = t.fit(X, Y, epochs=1, batch_size=96, verbose=0)
    squares = sum(
        float((p.detach().numpy() ** 2).sum()) for p in classifier().parameters() if p.ndim == 2
    )
    assert history["loss"][0] == pytest.approx(plain + 0.5 * squares, rel=1e-4)
    norms = np.linalg.norm(model[0].weight.detach().numpy(), axis=1)
    assert norms.max() <= 0.1 + 1e-6


def test_evaluate_and_predict_leave_no_trace():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    t = trainer(model=model)
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    state = fastnn.random.get_state()
    first, second = t.predict(X).numpy(), t.predict(X, batch_size=7).numpy()
    assert np.allclose(first, second, atol=1e-6)
    assert t.evaluate(X, Y) == t.evaluate(X, Y)
    assert model.training
    assert all((before[k] == v.numpy()).all() for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert repr(fastnn.random.get_state()) == repr(state)
    assert t.predict(X[:1]).shape == (1, 3)


def test_metrics_of_many_batches_are_those_of_one():
    t = trainer(metrics=["accuracy", "f1", "top_2", "roc_auc"])
    assert t.evaluate(X, Y, batch_size=1) == pytest.approx(t.evaluate(X, Y, batch_size=96))


def test_scores_are_logits_where_the_loss_says_so():
    t = Trainer(nn.Linear(4, 1), loss="bce_with_logits", metrics=["accuracy"])
    target = (T > 0).astype(np.float32)
    wanted = ((t.predict(X).numpy() > 0) == (T > 0)).mean()
    assert t.evaluate(X, target)["accuracy"] == pytest.approx(wanted)


def test_columns_are_questions_of_their_own_where_the_loss_says_so():
    model = nn.Linear(4, 3)
    t = Trainer(model, loss="bce_with_logits", metrics=["accuracy", "f1"])
    target = RNG.integers(0, 2, (96, 3)).astype(np.float32)
    wanted = ((t.predict(X).numpy() > 0) == target).mean()
    assert t.evaluate(X, target)["accuracy"] == pytest.approx(wanted)
    one_hot = Trainer(model, loss="cross_entropy", metrics=["accuracy"])
    wanted = one_hot.evaluate(X, Y)["accuracy"]
    assert one_hot.evaluate(X, np.eye(3, dtype=np.float32)[Y])["accuracy"] == wanted


# --- what is shown ---


def test_lines_and_silence(capsys):
    t = trainer()
    t.fit(X, Y, epochs=2, validation=(X, Y))
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert re.fullmatch(
        r"epoch 2/2  \d+\.\d s  loss [\d.]+  accuracy [\d.]+  val_loss [\d.]+  val_accuracy [\d.]+",
        out[1],
    )
    t.fit(X, Y, epochs=1, verbose=0)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match="verbose is 'loud'"):
        t.fit(X, Y, verbose="loud")


def test_a_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    trainer().fit(X, Y, epochs=2, batch_size=16)
    shown = screen.getvalue()
    assert "epoch 2/2: 100%" in shown
    assert "6/6" in shown
    assert "accuracy" in shown


def test_history_shows_itself():
    history = History()
    for epoch in range(30):
        history.append(epoch, {"loss": 1 / (epoch + 1), "val_accuracy": epoch / 30})
    assert repr(history).startswith("History(30 epochs)\n epoch")
    assert "..." in repr(history)
    assert history.best("loss") == (29, pytest.approx(1 / 30))
    assert history.best("val_accuracy")[0] == 29
    assert history.best("loss", "max")[0] == 0
    history.append(30, {"loss": 0.1, "lr": 0.5})
    assert history["lr"] == [None] * 30 + [0.5]
    assert history["val_accuracy"][-1] is None
    with pytest.raises(KeyError, match="no 'acc'"):
        history.best("acc")


# --- bad input ---


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ((X, Y[:-1]), {}, ValueError, r"rows differ \(x: \(96, 4\), y: \(95,\)\)"),
        ((X[:0], Y[:0]), {}, ValueError, "x is empty"),
        ((X,), {}, ValueError, "y is missing"),
        (([],), {}, ValueError, "y is missing"),
        (("x", "y"), {}, TypeError, "not numeric"),
        ((X, Y), {"epochs": 0}, ValueError, "epochs is 0"),
        ((X, Y), {"epochs": 1.5}, TypeError, "whole number"),
        ((X, Y), {"batch_size": -1}, ValueError, "batch_size is -1"),
        ((X, Y), {"batch_size": 0}, ValueError, "batch_size is 0"),
        (((X * 9).astype(np.uint8), Y), {}, TypeError, r"x is uint8 .*x.astype\('float32'\) / 255"),
        (
            (X.astype(np.float64), Y),
            {},
            TypeError,
            r"x is float64 but the model computes in float32",
        ),
        ((np.where(X[3, 2] == X, np.nan, X), Y), {}, ValueError, "x holds nan"),
        ((X, Y + 1), {}, (ValueError, IndexError), "3"),
        ((X, Y - 1), {}, (ValueError, IndexError), "-1"),
        ((X[:, :3], Y), {}, ValueError, "3 features"),
        ((X, Y), {"validation": 1.5}, ValueError, "between 0 and 1"),
        ((X, Y), {"validation": 0.001}, ValueError, "leaves nothing"),
        ((X, Y), {"validation": (X, Y, Y, Y)}, ValueError, "a tuple must be"),
        ((X, Y), {"validation": (X, Y[:3])}, ValueError, "rows differ"),
        ((Stream(),), {"validation": 0.5}, ValueError, "needs x and y as arrays"),
        ((Stream(), Y), {}, ValueError, "gives its own y"),
        ((X, Y), {"sample_weight": np.ones(3)}, ValueError, "rows differ"),
        ((X, Y), {"sample_weight": -np.ones(96)}, ValueError, "negative"),
        ((X, Y), {"class_weight": {0: 1.0}}, ValueError, "class_weight"),
        ((X, Y), {"class_weight": {0: 1.0, 2: 1.0}}, ValueError, "lacks class 1"),
        ((X, Y), {"class_weight": {"a": 1.0}}, TypeError, "class indices"),
        ((X, Y), {"class_weight": "even"}, ValueError, "'balanced'"),
        ((X, Y), {"class_weight": [1, -1, 1]}, ValueError, "non-negative"),
        ((X, Y), {"callbacks": [Callback]}, TypeError, "got a class"),
        ((X, Y), {"callbacks": print}, TypeError, "must be a list"),
        (([(X, Y, Y, Y)],), {}, ValueError, "4 parts"),
        (([(X, Y[:3])],), {}, ValueError, "rows differ"),
    ],
)
def test_fit_refuses(data, options, error, message):
    t = trainer()
    before = weights(t.model)
    with pytest.raises(error, match=message):
        t.fit(*data, **{"epochs": 1, "verbose": 0, **options})
    assert (weights(t.model) == before).all()
    t.fit(X, Y, verbose=0)  # and goes on to work


def test_nan_in_the_input_is_named():
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"fit: x holds nan at \(3, 2\) \(1 such"):
        trainer().fit(bad, Y, verbose=0)
    target = T.copy()
    target[5] = np.inf
    with pytest.raises(ValueError, match=r"fit: y holds inf at \(5, 0\)"):
        Trainer(nn.Linear(4, 1), loss="mse").fit(X, target, verbose=0)
    large = np.full_like(X, 3e38)  # their sum overflows, they do not
    Feed("fit", large, Y, model=nn.Linear(4, 3))


def test_targets_of_another_shape_are_no_silent_broadcast():
    with pytest.raises(ValueError, match=r"\(32, 1\)|\(96, 1\)"):
        Trainer(nn.Linear(4, 1), loss="mse").fit(X, T[:, 0], verbose=0)


def test_target_dtype():
    with pytest.raises(TypeError, match=r"y is float64 but the model computes in float32"):
        Trainer(nn.Linear(4, 1), loss="mse").fit(X, T.astype(np.float64), verbose=0)


def test_embeddings_take_whole_numbers():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(8, 3))
    t = trainer(model=model)
    t.fit(RNG.integers(0, 10, (96, 2)), Y, verbose=0)
    with pytest.raises((ValueError, IndexError), match="10"):
        t.fit(np.full((96, 2), 10), Y, verbose=0)


def test_float64_models():
    t = trainer(model=classifier().to("float64"))
    t.fit(X.astype(np.float64), Y, class_weight=[1, 1, 2], verbose=0)
    with pytest.raises(TypeError, match="x is float32 but the model computes in float64"):
        t.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"loss": "crossentropy"}, ValueError, "crossentropy"),
        ({"loss": 3}, TypeError, "loss is 3"),
        ({"optimizer": "adamm"}, ValueError, "adamm"),
        ({"optimizer": 0.1}, TypeError, "optimizer is 0.1"),
        ({"metrics": "accuracy"}, TypeError, "metrics must be a list"),
        ({"metrics": ["acc"]}, ValueError, "no metric is named 'acc'"),
        ({"metrics": ["mae", "mae"]}, ValueError, "two metrics are named 'mae'"),
        ({"regularizers": [regularizers.L2(1, on="nothing")]}, ValueError, "nothing"),
        ({"model": print}, TypeError, "not a Module"),
    ],
)
def test_trainer_refuses(options, error, message):
    with pytest.raises(error, match=message):
        trainer(**options)


def test_a_loss_must_be_one_number():
    t = trainer(loss=lambda output, y: output)
    with pytest.raises(ValueError, match="the loss must be one number"):
        t.fit(X, Y, verbose=0)


# --- not finite ---


def test_non_finite_names_epoch_step_and_layer():
    model = classifier()

    class Poison(Callback):
        def on_batch_end(self, step, logs):
            if self.trainer.epoch == 1 and step == 1:
                model[2].weight.numpy()[0, 0] = np.nan

    with pytest.raises(NonFiniteError, match="epoch 2, step 3") as caught:
        trainer(model=model).fit(X, Y, epochs=3, batch_size=16, callbacks=[Poison()], verbose=0)
    message = str(caught.value)
    assert "layer '2' (Linear)" in message
    assert "its weight already holds 1 NaN" in message
    assert (caught.value.epoch, caught.value.step, caught.value.layer) == (1, 2, "2")
    assert not model[0]._forward_hooks


def test_non_finite_overflow_in_a_layer_and_weights_untouched():
    class Explode(nn.Module):
        def forward(self, x):
            return fastnn.exp(x * 1000.0)

    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Explode())
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    with pytest.raises(NonFiniteError, match=r"'2' \(Explode\).*so it overflowed here"):
        trainer(model=model).fit(X, Y, verbose=0)
    after = model.state_dict()
    assert all((before[k] == after[k].numpy()).all() for k in before if "weight" in k)


def test_non_finite_input_of_a_stream():
    bad = X.copy()
    bad[0, 0] = np.inf
    with pytest.raises(NonFiniteError, match="the input of this batch holds 1 infinite"):
        trainer().fit([(bad, Y)], verbose=0)


def test_non_finite_loss_itself():
    t = trainer(loss=lambda output, y: (output * 0.0).sum() + float("inf"))
    with pytest.raises(NonFiniteError, match="every layer's output is finite"):
        t.fit(X, Y, verbose=0)


def test_non_finite_check_can_be_taken_away():
    t = trainer(loss=lambda output, y: (output * 0.0).sum() + float("nan"), metrics=[])
    history = t.fit(X, Y, callbacks=[TerminateOnNonFinite(enabled=False)], verbose=0)
    assert np.isnan(history["loss"][0])


# --- Ctrl-C ---


def test_ctrl_c_ends_fit_between_batches():
    asked = []

    def interrupt(step, logs):
        if step == 2:
            asked.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

    t = trainer()
    ended = []
    callbacks = [Lambda(on_batch_end=interrupt, on_fit_end=ended.append)]
    history = t.fit(X, Y, epochs=1000, batch_size=8, callbacks=callbacks, verbose=0)
    assert time.perf_counter() - asked[0] < 0.1
    assert history.interrupted
    assert ended == [history]
    assert "interrupted" in repr(history)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert np.isfinite(t.evaluate(X, Y)["loss"])
    assert not t.fit(X, Y, verbose=0).interrupted


def test_ctrl_c_from_another_thread_within_100_ms():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    x = RNG.normal(size=(4096, 64)).astype(np.float32)
    y = RNG.integers(0, 10, 4096)
    t = Trainer(model, loss="cross_entropy", metrics=["accuracy"])
    asked, times = [], []

    def press():
        asked.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    for delay in (0.05, 0.12, 0.2):
        timer = threading.Timer(delay, press)
        timer.start()
        history = t.fit(x, y, epochs=10**6, batch_size=128, validation=(x, y), verbose=0)
        took = time.perf_counter() - asked[-1]
        timer.join()
        assert history.interrupted
        assert np.isfinite(weights(model)).all()
        times.append(took)
    assert sorted(times)[1] < 0.1, times  # the machine may be busy with other things once


def test_ctrl_c_says_so_and_a_second_one_raises(capsys):
    def twice(step, logs):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        trainer().fit(X, Y, callbacks=[Lambda(on_batch_end=twice)], verbose=0)
    once = Lambda(on_batch_end=lambda step, logs: os.kill(os.getpid(), signal.SIGINT))
    trainer().fit(X, Y, callbacks=[once], verbose=0)
    assert "interrupted after 0 whole epochs" in capsys.readouterr().err


def test_fit_works_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(trainer().fit(X, Y, verbose=0)))
    thread.start()
    thread.join()
    assert len(found[0]) == 1


def test_a_handler_of_the_program_is_left_alone():
    script = """
        import os, signal
        import numpy as np
        from fastnn import Trainer, nn
        from fastnn.training import Lambda
        seen = []
        signal.signal(signal.SIGINT, lambda *a: seen.append(1))
        press = Lambda(on_batch_end=lambda step, logs: os.kill(os.getpid(), signal.SIGINT))
        x = np.ones((8, 2), np.float32)
        trainer = Trainer(nn.Linear(2, 1), loss="mse")
        history = trainer.fit(x, x[:, :1], callbacks=[press], verbose=0)
        assert seen
        assert not history.interrupted
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
