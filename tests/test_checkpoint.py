"""Checkpoints: a run that was stopped anywhere ends with the bits of one that was not."""

import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import fastnn
from fastnn import Trainer, nn, optimizers, schedules
from fastnn.training import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    ScheduleLR,
    load_checkpoint,
    save_checkpoint,
)
from fastnn.training.checkpoint import read_tree, write_tree

RNG = np.random.default_rng(2)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def same(a, b):
    """Equal trees, bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, fastnn.Tensor | np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (a != a and b != b)


# --- the file ---


def test_trees_come_back(tmp_path):
    tree = {
        "numbers": [1, -(2**70), 0.1, math.inf, -0.0, True, None, math.nan],
        "text": "ü\n",
        "keys": {0: "zero", 1: {"a.b": fastnn.ones(2)}, "a.b": 3},
        "a": {"b": np.arange(3), "$odd": 1},
        "a.b": fastnn.zeros((2, 0)),
        "pair": (1, fastnn.tensor([1.5], dtype="float64")),
        "scalar": np.float32(0.25),
        "bytes": np.array([1, 2], np.uint8),
    }
    write_tree(tmp_path / "t", tree)
    found = read_tree(tmp_path / "t")
    assert same(tree, found)
    assert isinstance(found["keys"][1]["a.b"], fastnn.Tensor)
    assert isinstance(found["a"]["b"], np.ndarray)
    assert math.copysign(1, found["numbers"][4]) == -1


def test_what_a_tree_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match=r"cannot hold a\.b: a set"):
        write_tree(tmp_path / "t", {"a": {"b": {1}}})
    with pytest.raises(TypeError, match=r"cannot hold parts\.a: a function"):
        save_checkpoint(tmp_path / "t", a=lambda: 0)
    assert not os.listdir(tmp_path)


def test_files_of_another_kind(tmp_path):
    model = nn.Linear(2, 2)
    fastnn.save(tmp_path / "weights", model)
    with pytest.raises(ValueError, match="not a checkpoint of fastnn"):
        load_checkpoint(tmp_path / "weights", model=model)
    t = Trainer(model, loss="mse")
    t.save_checkpoint(tmp_path / "trainer")
    with pytest.raises(ValueError, match="of another kind"):
        load_checkpoint(tmp_path / "trainer", model=model)
    save_checkpoint(tmp_path / "parts", model=model)
    with pytest.raises(ValueError, match="has no optimizer; it has model"):
        load_checkpoint(tmp_path / "parts", optimizer=t.optimizer)
    with pytest.raises(ValueError, match="not of a Trainer"):
        t.load_checkpoint(tmp_path / "parts")
    with pytest.raises(ValueError, match="saved outside of fit"):
        t.fit(np.ones((4, 2), np.float32), np.ones((4, 2), np.float32), resume=tmp_path / "trainer")
    with pytest.raises(FileNotFoundError):
        t.load_checkpoint(tmp_path / "missing")
    fastnn.save(tmp_path / "odd", {}, {"format": "fastnn checkpoint 1", "tree": '{"$tensor":"x"}'})
    with pytest.raises(ValueError, match="damaged checkpoint"):
        t.load_checkpoint(tmp_path / "odd")
    fastnn.save(tmp_path / "deep", {}, {"format": "fastnn checkpoint 1", "tree": "[" * 10**5})
    with pytest.raises(ValueError, match="damaged checkpoint"):
        t.load_checkpoint(tmp_path / "deep")


# --- a plain loop ---


def test_a_plain_loop_resumes_to_the_same_bits(tmp_path):
    def build():
        fastnn.manual_seed(3)
        model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        optimizer = optimizers.Adam(model.parameters(), lr=0.01)
        return model, optimizer, schedules.ExponentialSchedule(optimizer, gamma=0.9)

    def step(model, optimizer, schedule):
        loss = fastnn.losses.cross_entropy(model(fastnn.as_tensor(X)), fastnn.as_tensor(Y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    parts = build()
    for _ in range(10):
        step(*parts)
    wanted = parts[0].state_dict()

    model, optimizer, schedule = build()
    for _ in range(4):
        step(model, optimizer, schedule)
    path = tmp_path / "loop"
    save_checkpoint(path, model=model, optimizer=optimizer, schedule=schedule, done=4)
    fastnn.manual_seed(99)
    model, optimizer, schedule = build()
    rest = load_checkpoint(path, model=model, optimizer=optimizer, schedule=schedule)
    assert rest == {"done": 4}
    for _ in range(10 - rest["done"]):
        step(model, optimizer, schedule)
    assert same(dict(wanted), dict(model.state_dict()))


# --- fit ---

OPTIMIZERS = ["sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad", "lion"]


class Quit(Exception):
    """Stands for a power cut."""


class PowerCut(Callback):
    """Ends everything after so many batches; comes after the checkpoint."""

    priority = 20

    def __init__(self, after):
        self.left = after

    def on_batch_end(self, step, logs):
        self.left -= 1
        if self.left == 0:
            raise Quit


def build(optimizer, tmp_path, seed=5):
    """A trainer with all that has state: dropout, batch norm, a schedule, metrics, callbacks."""
    fastnn.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(5, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3)
    )
    trainer = Trainer(
        model, loss="cross_entropy", optimizer=optimizer, metrics=["accuracy", "f1", "roc_auc"]
    )
    schedule = schedules.CosineSchedule(trainer.optimizer, 40)
    callbacks = [
        Checkpoint(tmp_path / "run", every_steps=1),
        ScheduleLR(schedule, every="step"),
        EarlyStopping(patience=50),
        CSVLogger(tmp_path / "log.csv"),
    ]
    return trainer, callbacks


def run(optimizer, tmp_path, cut=None, resume=None, **options):
    trainer, callbacks = build(optimizer, tmp_path, seed=5 if resume is None else 77)
    if cut:
        callbacks.append(PowerCut(cut))
    else:
        callbacks.append(PowerCut(10**9))
    try:
        history = trainer.fit(
            X, Y, epochs=5, batch_size=8, validation=0.2, callbacks=callbacks, verbose=0,
            resume=resume, **options,
        )  # fmt: skip
    except Quit:
        return None
    return {
        "model": dict(trainer.model.state_dict()),
        "optimizer": trainer.optimizer.state_dict(),
        "history": history.history,
        "epochs": history.epoch,
        "random": fastnn.random.get_state(),
        "lr": trainer.learning_rate,
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resume_is_the_run_never_interrupted(tmp_path, optimizer):
    wanted = run(optimizer, tmp_path)
    log = (tmp_path / "log.csv").read_text()
    # Six batches an epoch: within it, at its very end and at the start of the next.
    for cut in (1, 5, 6, 7, 29) if optimizer == "adam" else (8,):
        assert run(optimizer, tmp_path, cut=cut) is None
        found = run(optimizer, tmp_path, resume=tmp_path / "run")
        assert same(wanted, found), cut
        assert (tmp_path / "log.csv").read_text() == log


def test_resume_after_several_power_cuts(tmp_path):
    wanted = run("adam", tmp_path)
    assert run("adam", tmp_path, cut=3) is None
    for cut in (1, 4, 9):
        assert run("adam", tmp_path, cut=cut, resume=tmp_path / "run") is None
    assert same(wanted, run("adam", tmp_path, resume=tmp_path / "run"))


def test_resume_of_a_finished_run_trains_no_more(tmp_path):
    wanted = run("adam", tmp_path)
    assert same(wanted, run("adam", tmp_path, resume=tmp_path / "run"))


def test_resume_of_a_stream_within_an_epoch(tmp_path):
    batches = [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 60, 10)]

    def train(cut=None, resume=None):
        fastnn.manual_seed(0)
        trainer = Trainer(nn.Linear(5, 3), loss="cross_entropy")
        callbacks = [Checkpoint(tmp_path / "run", every_steps=2), PowerCut(cut or 10**9)]
        trainer.fit(batches, epochs=3, callbacks=callbacks, resume=resume, verbose=0)
        return dict(trainer.model.state_dict())

    wanted = train()
    with pytest.raises(Quit):
        train(cut=9)
    assert same(wanted, train(resume=tmp_path / "run"))


def test_resume_refuses_another_run(tmp_path):
    assert run("adam", tmp_path, cut=3) is None
    with pytest.raises(ValueError, match="saved by a fit with data"):
        run("adam", tmp_path, resume=tmp_path / "run", seed=1)
    trainer, callbacks = build("adam", tmp_path)
    with pytest.raises(ValueError, match="with callbacks"):
        trainer.fit(
            X, Y, batch_size=8, validation=0.2, callbacks=callbacks[:1], resume=tmp_path / "run"
        )
    other = Trainer(nn.Linear(5, 4), loss="cross_entropy")
    with pytest.raises(ValueError, match="weight"):
        other.fit(X, Y, resume=tmp_path / "run")


# --- kill -9 ---

VICTIM = """
    import sys
    import fastnn, numpy as np
    from fastnn import Trainer, nn
    from fastnn.training import Checkpoint, Lambda
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 4))
    x, y = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32), np.arange(64) % 4
    trainer = Trainer(model, loss="cross_entropy")
    save = Checkpoint(sys.argv[1], every_steps=1)
    tell = Lambda(on_fit_begin=lambda: print("go", flush=True))
    trainer.fit(x, y, epochs=10**6, batch_size=16, callbacks=[save, tell], verbose=0,
                resume=sys.argv[1] if len(sys.argv) > 2 else None)
"""


def survives(path):
    """The file is whole and its position and weights belong together; returns the position."""
    tree = read_tree(path)
    assert tree["optimizer"] is not None
    assert all(np.isfinite(v.numpy()).all() for v in tree["model"].values())
    where = tree["run"]["epoch"], tree["run"]["step"]
    assert tree["run"]["tracker"]["rows"] in (16 * where[1], 64)
    return where


def kill_while_saving(folder, kills):
    path = folder / "run.safetensors"
    script = folder / "victim.py"
    script.write_text(textwrap.dedent(VICTIM))
    last = (-1, 0)
    rng = random.Random(0)
    for number in range(kills):
        resume = ["resume"] if number else []
        victim = subprocess.Popen(
            [sys.executable, str(script), str(path), *resume], stdout=subprocess.PIPE
        )
        assert victim.stdout.readline() == b"go\n"
        while not path.exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.06))
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
        where = survives(path)
        assert where >= last, "a later file was replaced by an earlier one"
        last = where
    left = sorted(p.name for p in folder.iterdir())
    assert len(left) <= 3, f"temporary files pile up: {left}"


def test_kill_9_while_saving_loses_nothing(tmp_path):
    """FASTNN_KILLS=300 for the long version."""
    kill_while_saving(tmp_path, int(os.environ.get("FASTNN_KILLS", "12")))
