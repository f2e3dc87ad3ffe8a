"""Recorded programs among other threads and processes: right bits, no deadlock, a share for everybody."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn, optimizers
from fastnn.compiler import record


def training(seed=0, width=128):
    """(recording of a step, model): large enough for several threads."""
    rng = np.random.default_rng(seed)
    fastnn.manual_seed(seed)
    model = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, 4))
    optimizer = optimizers.Adam(model.parameters())
    x = Tensor(rng.standard_normal((128, 32)).astype("f4"))
    y = Tensor(rng.integers(0, 4, 128))

    def step():
        optimizer.zero_grad()
        fastnn.losses.cross_entropy(model(x), y).backward()
        optimizer.step()

    return record(step, [x, y]), model


def state(model):
    return b"".join(v.numpy().tobytes() for v in model.state_dict().values())


def trained(seed, steps, threads, stretch=None):
    """The model's bits after some steps."""
    fastnn.set_num_threads(threads)
    recording, model = training(seed)
    done = 0
    while done < steps:
        done += recording.run_many(min(stretch or steps, steps - done))
    return state(model)


def test_two_models_train_in_two_threads():
    fastnn.set_num_threads(2)
    steps = 600
    expected = [trained(seed, steps, 1) for seed in range(2)]
    fastnn.set_num_threads(2)
    made = [training(seed) for seed in range(2)]
    progress = [[], []]
    start = threading.Barrier(2)

    def train(i):
        start.wait(timeout=60)
        for _ in range(steps // 20):
            made[i][0].run_many(20)
            progress[i].append(time.monotonic())

    threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=120)
    assert [state(model) for _, model in made] == expected
    # Nobody waits for the other's end: when one is done the other has come a part of the way.
    first = min(p[-1] for p in progress)
    assert min(sum(at <= first for at in p) for p in progress) > steps // 20 // 10


@pytest.mark.parametrize("stretch", [1, 7, 100])
def test_same_bits_at_any_number_of_threads(stretch):
    expected = trained(0, 100, 1)
    for threads in (2, 3, 4):
        assert trained(0, 100, threads, stretch) == expected


def test_the_number_of_threads_changes_after_recording():
    expected = trained(0, 80, 1)
    for first, second in [(1, 2), (2, 1), (4, 3)]:
        fastnn.set_num_threads(first)
        recording, model = training(0)
        recording.run_many(40)
        fastnn.set_num_threads(second)
        assert max(threads for threads, *_ in recording.ready.steps()) <= second
        recording.run_many(40)
        assert state(model) == expected


def test_a_program_among_eager_work():
    """One thread replays while another launches: they share the team."""
    fastnn.set_num_threads(2)
    expected = trained(1, 300, 1)
    fastnn.set_num_threads(2)
    recording, model = training(1)
    a = Tensor(np.random.default_rng(0).standard_normal((200, 200)).astype("f4"))
    product = (a @ a).numpy()
    stop, wrong = threading.Event(), []

    def launch():
        while not stop.is_set():
            if not np.array_equal((a @ a).numpy(), product):
                wrong.append(1)

    other = threading.Thread(target=launch)
    other.start()
    try:
        recording.run_many(300)
    finally:
        stop.set()
        other.join()
    assert state(model) == expected and not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_goes_on_with_a_recording():
    fastnn.set_num_threads(2)
    recording, model = training(2)
    recording.run_many(50)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        recording.run_many(50)
        os._exit(0 if state(model) == trained(2, 100, 1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    recording.run_many(50)
    assert state(model) == trained(2, 100, 1)


def test_a_long_run_ends_in_time():
    recording, _ = training(0)
    begin = time.monotonic()
    done = recording.run_many(10**9, seconds=0.05)
    assert 0 < done < 10**9 and time.monotonic() - begin < 5


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_ctrl_c_ends_a_long_run_between_two_steps():
    recording, model = training(0)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            recording.run_many(10**9)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert np.isfinite(model[0].weight.numpy()).all()
    assert recording.run_many(3) == 3
