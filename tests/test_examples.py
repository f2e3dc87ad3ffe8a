"""Every example runs, on a small slice of its data, and says what it should."""

import doctest
import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
DATA = os.environ.get("FASTNN_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="FASTNN_DATA names no folder with data sets")


def run(name, *options, timeout=120):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *options],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def percent(text, after):
    return float(text.split(after)[1].split("%")[0])


def test_digits(tmp_path):
    out = run("digits.py", "--save", str(tmp_path / "digits.safetensors"))
    assert percent(out, "test accuracy") > 97
    assert "the same predictions, bit for bit" in out
    assert (tmp_path / "digits.safetensors").stat().st_size > 100_000


def test_digits_on_a_slice():
    assert percent(run("digits.py", "--epochs", "3", "--limit", "300"), "test accuracy") > 40


def test_plain_loop():
    assert percent(run("plain_loop.py", "--epochs", "8"), "test accuracy") > 90


@needs_data
def test_mnist_mlp():
    out = run("mnist_mlp.py", "--epochs", "2", "--limit", "4000")
    assert percent(out, "test accuracy") > 80
    run("mnist_mlp.py", "--fashion", "--epochs", "1", "--limit", "500")


@needs_data
def test_mnist_cnn():
    assert percent(run("mnist_cnn.py", "--epochs", "2", "--limit", "2000"), "test accuracy") > 85


@needs_data
def test_fashion_cnn():
    assert percent(run("fashion_cnn.py", "--epochs", "2", "--limit", "1500"), "test accuracy") > 55


@needs_data
def test_cifar_resnet():
    out = run("cifar_resnet.py", "--epochs", "2", "--limit", "300", "--only", "early stopping")
    seen, new, gap = [float(v[:-1]) for v in out.splitlines()[-1].split()[-3:]]
    assert "early stopping" in out.splitlines()[-1]
    assert 5 < new < 100
    assert abs(seen - new - gap) < 0.2


@needs_data
def test_housing():
    out = run("housing.py", "--epochs", "5", "--limit", "3000")
    assert float(out.split("R2 ")[1].split()[0]) > 0.3


@needs_data
def test_spam():
    out = run("spam.py", "--epochs", "4", "--limit", "2500")
    assert float(out.split("test: ")[1].split("f1 ")[1].split(",")[0]) > 0.7


@pytest.mark.parametrize(
    "name", ["mnist_mlp.py", "mnist_cnn.py", "cifar_resnet.py", "housing.py", "spam.py"]
)
def test_missing_data_says_where_to_put_it(name):
    environment = {k: v for k, v in os.environ.items() if k != "FASTNN_DATA"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    assert "FASTNN_DATA" in done.stderr


def test_the_code_of_the_readme(tmp_path, monkeypatch, capsys):
    text = (EXAMPLES.parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    assert len(blocks[0].split("\n")) <= 20
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(block, names)
    shown = capsys.readouterr().out
    assert float(shown.splitlines()[0]) > 0.95
    assert (tmp_path / "digits.safetensors").exists()
    assert (tmp_path / "run.safetensors").exists()


@pytest.mark.parametrize("name", ["training", "compiling", "images"])
def test_pages_do_as_they_say(name):
    page = EXAMPLES.parent / "docs" / f"{name}.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0


def test_every_example_is_here():
    text = pathlib.Path(__file__).read_text()
    assert all(path.name in text for path in EXAMPLES.glob("*.py"))
