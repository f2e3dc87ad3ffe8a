"""The memory of a step: what is told before a run is what the run takes, and more than a limit is refused."""

import sys
import textwrap
from subprocess import run

import numpy as np
import pytest

import fastnn
from fastnn import nn, optimizers
from steps import data, train_step

proc = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads its memory in /proc/self/statm"
)


def test_the_footprint_adds_up():
    model = nn.Linear(100, 50)
    optimizer = optimizers.Adam(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = fastnn.losses.mse(fastnn.relu(model(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled = fastnn.compile(step)
    compiled(data(64, 100), data(64, 50))
    f = compiled.latest.footprint
    assert f.inputs == 64 * 150 * 4
    assert 2 * 50 * 101 * 4 <= f.kept <= 2 * 50 * 101 * 4 + 500  # Adam's two averages, and the loss
    assert f.arena >= 64 * 50 * 4
    assert f.peak == f.arena + f.workspace + f.inputs + f.constants + f.kept
    assert f.yours >= 2 * 50 * 101 * 4  # parameters and gradients
    assert compiled.show().startswith("peak memory ")


def test_what_a_step_takes_is_known_before_it_runs():
    model = nn.Linear(100, 50)
    optimizer = optimizers.Adam(model.parameters())
    before = model.weight.numpy().copy()

    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled = fastnn.compile(step)
    prepared = compiled.prepare(data(64, 100))
    assert prepared.footprint.peak > 64 * 100 * 4 and "adam(" in compiled.show()
    assert model.weight.grad is None
    np.testing.assert_array_equal(model.weight.numpy(), before)
    compiled(data(64, 100))
    assert compiled.latest is prepared and (model.weight.numpy() != before).any()


def test_a_program_above_the_limit_is_refused_and_nothing_is_run():
    model = nn.Sequential(nn.Linear(30, 200), nn.Tanh(), nn.Linear(200, 5))
    optimizer = optimizers.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}

    step = train_step(model, optimizer, fastnn.losses.mse)

    compiled = fastnn.compile(step, memory_limit="100 kB")
    with pytest.raises(MemoryError, match=r"peak memory .*limit is 97\.7 KiB.*0 Linear.*smaller"):
        compiled(data(512, 30), data(512, 5))
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])
    assert compiled(data(8, 30), data(8, 5)).item() > 0
    peak = compiled.latest.footprint.peak
    assert fastnn.compile(lambda x: x * 2, memory_limit=peak)(data(2)).shape == (2,)
    with pytest.raises(ValueError, match="memory_limit"):
        fastnn.compile(step, memory_limit="much")


def in_a_process_of_its_own(code):
    """Run code that prints numbers; those of its last line."""
    prelude = """
        import gc, os, numpy as np, fastnn
        from fastnn import nn, optimizers
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        def make(*sizes):
            layers = []
            for n, m in zip(sizes, sizes[1:]):
                layers += [nn.Linear(n, m), nn.ReLU()]
            model = nn.Sequential(*layers[:-1])
            optimizer = optimizers.Adam(model.parameters())
            @fastnn.compile
            def step(x, y):
                optimizer.zero_grad()
                loss = fastnn.losses.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                return loss
            return step
    """
    done = run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(code)],
        capture_output=True, text=True, check=False, env=None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


@proc
def test_a_run_takes_the_memory_that_was_printed():
    # Small first, so that code and threads are there; then all of the program's memory is new.
    peak, grown = in_a_process_of_its_own("""
        make(8, 8, 4)(np.zeros((4, 8), "f"), np.zeros(4, int))
        step = make(512, 2048, 2048, 64)
        x, y = np.ones((4096, 512), "f"), np.zeros(4096, int)
        gc.collect()
        fastnn._core.memory_trim()
        before = resident()
        for _ in range(2):
            step(x, y)
        f = step.latest.footprint
        print(f.peak, resident() - before)
    """)
    assert peak > 100e6
    assert abs(grown - peak) < 0.05 * peak


@proc
def test_ten_thousand_steps_allocate_nothing():
    first, last, steps = in_a_process_of_its_own("""
        step = make(8, 32, 4)
        x, y = np.ones((16, 8), "f"), np.zeros(16, int)
        step(x, y)
        before = resident()
        for _ in range(5000):
            step(x, y)
        done = step.latest.run_many(5000)
        print(before, resident(), done + 5000)
    """)
    assert steps == 10_000
    assert last - first < 1e6
