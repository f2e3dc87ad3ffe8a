"""A process may fork at any time: the child computes, the parent goes on, nobody hangs."""

import multiprocessing
import os
import signal
import sys
import threading

import numpy as np
import pytest

import fastnn

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
FORKS = 300


def work():
    """A product and a reduction that want two threads."""
    x = np.linspace(-1, 1, 300 * 300, dtype="f4").reshape(300, 300)
    y = fastnn.tensor(x) @ fastnn.tensor(x)
    return y.numpy().tobytes() + fastnn.sum(y).numpy().tobytes()


def in_child(function):
    """Run function in a forked child; returns the child's exit status, 14 << 8 where it hung."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            os._exit(0 if function() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("other", [None, "sklearn.cluster", "torch"])
def test_many_forks(other):
    if other:
        pytest.importorskip(other)
    fastnn.set_num_threads(2)
    expected = work()
    for _ in range(FORKS):
        assert in_child(lambda: work() == expected) == 0
        assert work() == expected


def test_fork_after_training():
    w = fastnn.tensor(np.zeros((64, 10), "f4"), requires_grad=True)
    x = fastnn.tensor(np.random.default_rng(0).standard_normal((256, 64)).astype("f4"))

    def step():
        w.grad = None
        loss = fastnn.sum(fastnn.square(x @ w - 1.0))
        loss.backward()
        return bool(np.isfinite(w.grad.numpy()).all())

    for _ in range(20):
        step()
    for _ in range(20):
        assert in_child(step) == 0


def test_grandchildren():
    expected = work()
    assert in_child(lambda: in_child(lambda: work() == expected) == 0 and work() == expected) == 0


def test_fork_while_another_thread_computes():
    expected = work()
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            work()

    other = threading.Thread(target=compute)
    other.start()
    try:
        for _ in range(50):
            assert in_child(lambda: work() == expected) == 0
    finally:
        stop.set()
        other.join()


def test_multiprocessing_pool():
    expected = work()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(work) for _ in range(8)]
        assert all(result.get(timeout=60) == expected for result in results)
