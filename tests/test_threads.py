"""Threads: how many, why, the same bits, good manners towards the caller and other libraries."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastnn
from fastnn import _core

PTHREAD = _core.runtime_info()["threads_backend"] == "pthread"


def python(code, **variables):
    """The output of code run in a new interpreter."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def work(seed=0):
    """Results of ops with and without barriers, large enough for several threads."""
    x = np.random.default_rng(seed).standard_normal((301, 517)).astype("f4")
    t = fastnn.tensor(x)
    product = t @ fastnn.tensor(np.ascontiguousarray(x.T))
    return [
        y.numpy().tobytes() for y in (product, fastnn.exp(t), fastnn.sum(t), fastnn.sum(t, axis=0))
    ]


def test_same_bits_at_any_number_of_threads():
    fastnn.set_num_threads(1)
    expected = work()
    for n in (2, 3, 4, 8):
        fastnn.set_num_threads(n)
        assert fastnn.get_num_threads() == n
        for _ in range(5):
            assert work() == expected


def test_concurrent_callers():
    expected = work(1)
    seen = []

    def call():
        for _ in range(10):
            seen.append(work(1) == expected)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert seen == [True] * 40


def test_the_number_and_its_reason():
    code = "from fastnn import _core; i = _core.runtime_info(); print(i['threads'], i['threads_reason'])"
    assert python(code, OMP_NUM_THREADS="3") == "3 OMP_NUM_THREADS=3"
    assert python(code, OMP_NUM_THREADS="2,4").startswith("2 ")
    number, reason = python(code).split(maxsplit=1)
    assert "affinity" in reason or "quota" in reason
    if hasattr(os, "sched_getaffinity"):
        assert 1 <= int(number) <= len(os.sched_getaffinity(0))
        pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + code
        assert python(pinned).startswith("1 ")
    code = f"import fastnn; fastnn.set_num_threads(5); {code}"
    assert python(code) == "5 set_num_threads(5)"


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_is_an_error(n):
    with pytest.raises(ValueError, match="at least 1"):
        fastnn.set_num_threads(n)


def test_subnormals_are_the_callers_business():
    tiny = np.full(3, np.finfo("f4").tiny, "f4")
    for n in (1, 2):
        fastnn.set_num_threads(n)
        work()
        assert (tiny / np.float32(2) > 0).all()  # numpy still makes subnormal numbers


def test_no_floating_point_flags_are_left_behind():
    with np.errstate(all="raise"):
        fastnn.exp(fastnn.tensor(np.full(5000, 1000.0, "f4")))
        np.ones(3) + np.ones(3)


@pytest.mark.skipif(PTHREAD, reason="the pthread team has no OpenMP for threadpoolctl to find")
def test_threadpoolctl_sees_and_limits():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    fastnn.set_num_threads(4)
    pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "openmp"]
    assert any(p["num_threads"] == 4 for p in pools)
    expected = work()
    with threadpoolctl.threadpool_limits(limits=1):
        assert fastnn.get_num_threads() == 1
        assert "OpenMP" in _core.runtime_info()["threads_reason"]
        assert work() == expected
    assert fastnn.get_num_threads() == 4
