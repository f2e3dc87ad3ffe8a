"""The examples in the docstrings of every module run and print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import fastnn

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def module_names():
    found = [m.name for m in pkgutil.walk_packages(fastnn.__path__, "fastnn.")]
    return ["fastnn", *sorted(n for n in found if not n.endswith(("._core", ".__main__")))]


@pytest.mark.parametrize("name", module_names())
def test_examples_in(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    if name.startswith("fastnn.plot"):
        pytest.importorskip("matplotlib")
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in finder.find(module, name, extraglobs={"fastnn": fastnn, "np": np}):
        fastnn.manual_seed(0)
        output = []
        runner.run(test, out=output.append)
        assert not runner.failures, "".join(output)
