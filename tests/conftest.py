"""What every test may ask for: an ISA, a thread count, a seeded generator, the real data sets."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import _core

ISAS = [name for name, supported in _core.isa_compiled().items() if supported]


def pytest_report_header(config):
    info = _core.runtime_info()
    return (
        f"fastnn {fastnn.__version__}: ISA {_core.isa_name()} of {', '.join(ISAS)}; "
        f"{info['threads']} threads ({info['threads_reason']}, {info['threads_backend']})"
    )


@contextmanager
def using_isa(name):
    """Run the block with the kernels of one ISA."""
    before = _core.isa_name()
    _core.isa_select(name)
    try:
        yield
    finally:
        _core.isa_select(before)


@contextmanager
def using_threads(count):
    """Run the block with a given number of threads."""
    before = _core.get_num_threads()
    _core.set_num_threads(count)
    try:
        yield
    finally:
        _core.set_num_threads(before)


@pytest.fixture(params=ISAS)
def isa(request):
    """Each ISA that this machine has, one after another."""
    with using_isa(request.param):
        yield request.param


@pytest.fixture
def threads():
    """A context manager: `with threads(4): ...`."""
    return using_threads


@pytest.fixture(autouse=True)
def as_before():
    """Whatever a test chooses, the next one has the machine's own ISA and number of threads."""
    isa, threads = _core.isa_name(), _core.get_num_threads()
    yield
    _core.isa_select(isa)
    _core.set_num_threads(threads)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_seed():
    """Every test starts from the same random state, whatever ran before it; PyTorch's too."""
    fastnn.manual_seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def data_root():
    """The folder of the real data sets; the test is skipped where there is none."""
    root = os.environ.get("FASTNN_DATA")
    if not root:
        pytest.skip("FASTNN_DATA is not set: no real data sets here")
    if not Path(root).is_dir():
        pytest.skip(f"FASTNN_DATA={root} is not a folder: no real data sets here")
    return Path(root)


@pytest.fixture(autouse=True, scope="session")
def own_measurements(tmp_path_factory):
    """What the machine can do is measured anew: it is busy, and the user's own figures should stay."""
    os.environ["FASTNN_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
