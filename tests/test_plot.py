"""Pictures: what is in them (axes, numbers, names) and that files are written; not how they look."""

import builtins
import doctest
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import nn, plot
from fastnn.training import History

needs_matplotlib = pytest.mark.usefixtures("matplotlib")


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib")


def title(axis):
    return axis.get_title(loc="left")


def network():
    fastnn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Dropout(0.5),
        nn.Flatten(), nn.Linear(8 * 25, 4),
    )  # fmt: skip


def history():
    h = History()
    validation = [(0.8, 0.5), (0.6, 0.75), (0.7, 0.7)]
    for epoch, loss in enumerate([0.9, 0.5, 0.4]):
        val_loss, val_accuracy = validation[epoch]
        logs = {"loss": loss, "accuracy": 1 - loss, "val_loss": val_loss, "lr": 0.1**epoch}
        h.append(epoch, logs | {"val_accuracy": val_accuracy})
    return h


@needs_matplotlib
def test_training_curves(tmp_path):
    figure = plot.training_curves(history(), path=tmp_path / "curves.png", title="a run")
    loss, accuracy, rate = figure.axes
    assert [title(a) for a in figure.axes] == ["loss", "accuracy", "learning rate"]
    training, validation, ring = loss.get_lines()
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), [0.9, 0.5, 0.4])
    np.testing.assert_array_equal(validation.get_ydata(), [0.8, 0.6, 0.7])
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["training", "validation"]
    assert ring.get_xdata() == [2] and ring.get_ydata() == [0.6]
    assert [t.get_text() for t in accuracy.texts] == ["best 75.00 %"]
    assert accuracy.yaxis.get_major_formatter()(0.125, 0) == "12.5 %"
    assert rate.get_yscale() == "log" and len(rate.get_lines()) == 1
    assert figure.get_suptitle() == "a run"
    assert (tmp_path / "curves.png").read_bytes()[1:4] == b"PNG"


@needs_matplotlib
def test_training_curves_of_few_numbers():
    only = plot.training_curves({"loss": [None, 0.5, float("nan")]})
    assert len(only.axes) == 1 and only.axes[0].get_legend() is None
    assert [t.get_text() for t in only.axes[0].texts] == ["best 0.5"]
    validation = plot.training_curves({"loss": [1.0], "val_r2": [0.3], "mae": [2.0]})
    assert [title(a) for a in validation.axes] == ["loss", "mae", "r2"]
    assert len(plot.training_curves({f"m{i}": [1.0, 2.0] for i in range(5)}).axes) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.training_curves({"loss": [None], "lr": [0.0]})
    with pytest.raises(ValueError, match="no epochs yet"):
        plot.training_curves(History())


@needs_matplotlib
def test_confusion_matrix(tmp_path):
    labels, scores = [0, 0, 1, 2, 2, 2], np.eye(3)[[0, 1, 1, 2, 2, 0]]
    names = ["cat", "dog", "bird"]
    figure = plot.confusion_matrix(labels, scores, names=names, path=tmp_path / "confusion.pdf")
    axis = figure.axes[0]
    assert title(axis) == "accuracy 66.7 % of 6"
    cells = {tuple(map(int, t.get_position()))[::-1]: int(t.get_text()) for t in axis.texts}
    assert cells == {(0, 0): 1, (0, 1): 1, (1, 1): 1, (2, 2): 2, (2, 0): 1}
    np.testing.assert_allclose(axis.images[0].get_array()[2], [1 / 3, 0, 2 / 3])
    assert [t.get_text() for t in axis.get_yticklabels()] == names
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted class", "true class")
    assert (tmp_path / "confusion.pdf").read_bytes().startswith(b"%PDF")
    many = plot.confusion_matrix(np.arange(100), np.arange(100)).axes[0]
    assert not many.texts and len(many.get_xticks()) <= 40


@needs_matplotlib
def test_confusion_matrix_takes_tensors_and_refuses_nonsense():
    figure = plot.confusion_matrix(fastnn.tensor([0, 1]), fastnn.tensor([[1.0, 0, 0], [0, 0, 1]]))
    assert figure.axes[0].images[0].get_array().shape == (3, 3)
    for labels, found, names, message in [
        ([0, 1], [0], None, "one for each prediction"),
        ([0.5, 1], [0, 1], None, "whole numbers"),
        ([0, 1], [0.5, 1], None, "must be classes"),
        ([0, 3], [0, 1], ["a", "b"], "2 names"),
        ([0, -1], [0, 1], None, "from -1"),
        (np.zeros(0, int), np.zeros(0, int), None, "no examples"),
    ]:
        with pytest.raises(ValueError, match=message):
            plot.confusion_matrix(labels, found, names=names)


@needs_matplotlib
def test_misclassified(tmp_path):
    x = np.arange(5 * 4 * 4, dtype="uint8").reshape(5, 1, 4, 4)
    logits = np.log([[0.9, 0.1], [0.3, 0.7], [0.05, 0.95], [0.6, 0.4], [0.1, 0.9]])
    figure = plot.misclassified(
        x, [0, 0, 0, 1, 1], logits, names=["cat", "dog"], path=tmp_path / "wrong.png"
    )
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["dog (95 %)\nis cat", "dog (70 %)\nis cat", "cat (60 %)\nis dog"]
    assert figure.get_suptitle() == "3 of 5 wrong (60.0 %)"
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), x[2, 0] / 255)
    assert (tmp_path / "wrong.png").exists()
    assert len(plot.misclassified(x, [0, 0, 0, 1, 1], logits, count=2).axes) == 2
    classes = plot.misclassified(x, [0, 0, 0, 1, 1], [0, 1, 1, 0, 1])
    assert classes.axes[0].get_title() == "1\nis 0"
    right = plot.misclassified(x, [0, 1, 1, 0, 1], [0, 1, 1, 0, 1])
    assert not right.axes and right.get_suptitle().startswith("0 of 5")
    with pytest.raises(ValueError, match="4 images for 5 predictions"):
        plot.misclassified(x[:4], [0, 0, 0, 1, 1], logits)


@needs_matplotlib
def test_images():
    colours = np.random.default_rng(0).random((5, 3, 6, 7))
    figure = plot.images(colours, list("abcde"), columns=3, title="five")
    assert [axis.get_title() for axis in figure.axes] == list("abcde")
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), colours[1].transpose(1, 2, 0))
    normalised = plot.images((colours - 0.5) * 4).axes[0].images[0].get_array()
    assert normalised.min() >= 0 and normalised.max() <= 1
    assert len(plot.images(np.zeros((6, 6))).axes) == 1
    with pytest.raises(ValueError, match="4 titles for 5 images"):
        plot.images(colours, list("abcd"))
    with pytest.raises(ValueError, match=r"must be \(N, 1, H, W\)"):
        plot.images(np.zeros((2, 4, 6, 6)))


@needs_matplotlib
def test_filters(tmp_path):
    model = network()
    first = plot.filters(model, path=tmp_path / "filters.svg")
    assert len(first.axes) == 6 and first.get_suptitle() == "0 Conv2d: 6 filters, 3 x 3"
    shown = np.asarray(first.axes[2].images[0].get_array())
    weight = model[0].weight.numpy()[2].transpose(1, 2, 0)
    np.testing.assert_allclose(shown, 0.5 + 0.5 * weight / np.abs(weight).max(), atol=1e-6)
    assert "<svg" in (tmp_path / "filters.svg").read_text()
    second = plot.filters(model, "3", count=4, columns=2)
    assert len(second.axes) == 4 * 4 + 1  # and the scale
    np.testing.assert_allclose(second.axes[5].images[0].get_array(), model[3].weight.numpy()[1, 1])
    assert second.axes[0].images[0].get_clim()[0] == -second.axes[0].images[0].get_clim()[1]
    assert len(plot.filters(nn.Conv2d(1, 5, 3)).axes) == 6
    for layer, message in [("1", "not a Conv2d"), ("nine", "no layer 'nine'")]:
        with pytest.raises(ValueError, match=message):
            plot.filters(model, layer)
    with pytest.raises(ValueError, match="no Conv2d"):
        plot.filters(nn.Linear(3, 4))


@needs_matplotlib
def test_feature_maps(tmp_path):
    model = network()
    model[4].eval()
    modes = [m.training for m in model.modules()]
    image = np.random.default_rng(0).normal(size=(3, 16, 16)).astype("float32")
    figure = plot.feature_maps(model, image, ["1", "3"], channels=5, path=tmp_path / "maps.png")
    assert [t.get_text() for t in figure.texts] == [
        "1 ReLU: 6 channels, 14 x 14", "3 Conv2d: 8 channels, 5 x 5",
    ]  # fmt: skip
    assert len(figure.axes) == 1 + 2 * 5
    hidden = model[1](model[0](image[None])).numpy()[0]
    strongest = hidden[np.argmax(np.abs(hidden).mean((1, 2)))]
    np.testing.assert_allclose(
        figure.axes[1].images[0].get_array(), strongest, rtol=1e-5, atol=1e-6
    )
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks for m in model.modules()), "hooks are gone"
    assert (tmp_path / "maps.png").exists()
    assert len(plot.feature_maps(model, image).texts) == 2  # the convolutions
    assert len(plot.feature_maps(model, image[None], "0").axes) == 7
    for layers, message in [("6", "is no image"), ("x", "no layer 'x'")]:
        with pytest.raises(ValueError, match=message):
            plot.feature_maps(model, image, layers)
    with pytest.raises(ValueError, match="one image"):
        plot.feature_maps(model, np.stack([image, image]))


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ImportError, match=r"plot\.images needs matplotlib: pip install fastnn\[plot\]"
    ):
        plot.images(np.zeros((6, 6)))


@needs_matplotlib
def test_the_page_about_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parent.parent / "docs" / "plotting.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert not failed and tried > 10
    assert len(list(tmp_path.glob("*.png"))) == 6


@needs_matplotlib
def test_no_window_and_no_shared_state():
    import sys

    plot.images(np.zeros((6, 6)))
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
