"""Batches, splitting and scaling, the embedded digits, and readers of data sets on disk."""

import gzip
import os
import struct
import sys

import numpy as np
import pytest

import fastnn
from fastnn.data import Batches, Standardizer, datasets, permutation, train_test_split
from fastnn.data.idx import read_idx

DATA = os.environ.get("FASTNN_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="FASTNN_DATA names no folder with data sets")


# --- order, splitting, scaling ---


def test_permutation_is_one_and_depends_on_seed_and_stream_alone():
    for n in (0, 1, 2, 1000):
        assert sorted(permutation(n, 3)) == list(range(n))
    assert (permutation(100, 1, 2) == permutation(100, 1, 2)).all()
    assert (permutation(100, 1, 2) != permutation(100, 1, 3)).any()
    assert (permutation(100, 1, 2) != permutation(100, 2, 2)).any()
    # The order is part of what makes a resumed run equal: it must never change.
    assert permutation(8, 1, 2).tolist() == PINNED


PINNED = [4, 2, 5, 7, 1, 0, 3, 6]


def test_permutation_is_fair():
    first = np.bincount([permutation(5, seed)[0] for seed in range(2000)], minlength=5)
    assert first.min() > 330
    assert first.max() < 470


def test_train_test_split():
    x, y = np.arange(100), np.arange(100) % 4
    a, b, c, d = train_test_split(x, y, test_size=0.2, seed=5)
    assert sorted([*a, *b]) == list(range(100))
    assert len(b) == 20
    assert (a % 4 == c).all()
    assert (b % 4 == d).all()
    c, d = train_test_split(y, test_size=0.2, stratify=y)
    assert np.bincount(d).tolist() == [5] * 4
    assert len(train_test_split(x, test_size=7)[1]) == 7


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((), {}, "nothing to split"),
        ((np.ones(3), np.ones(4)), {}, "lengths differ: 3, 4"),
        ((np.ones(3),), {"test_size": 0}, "leaves a part empty"),
        ((np.ones(3),), {"test_size": 1.0}, "leaves a part empty"),
        ((np.ones(0),), {}, "leaves a part empty"),
        ((np.ones(4),), {"stratify": np.ones(3)}, "stratify has shape"),
    ],
)
def test_bad_splits(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        train_test_split(*arrays, **options)


def test_standardizer():
    x = np.random.default_rng(0).normal(3, 5, (50, 3))
    x[:, 1] = 0.1
    scale = Standardizer("float64")
    y = scale.fit_transform(x)
    assert np.allclose(y.mean(axis=0), 0)
    assert np.allclose(y.std(axis=0), [1, 0, 1])
    assert np.allclose(scale.inverse_transform(y), x)
    with pytest.raises(ValueError, match="fitted on rows of shape"):
        scale.transform(x[:, :2])
    with pytest.raises(ValueError, match="call fit first"):
        Standardizer().transform(x)
    with pytest.raises(ValueError, match="no rows"):
        Standardizer().fit(x[:0])
    with pytest.raises(ValueError, match="NaN"):
        Standardizer().fit([np.nan])


# --- batches ---


def rows(batches):
    return [part.numpy().tolist() for part in batches]


def test_batches_in_order():
    x = np.arange(10, dtype=np.float32)
    assert rows(Batches(x, batch_size=4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert rows(Batches(x, batch_size=4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(Batches(x, batch_size=4)) == 3
    assert len(Batches(x, batch_size=4, drop_last=True)) == 2
    assert rows(Batches(x, batch_size=100)) == [x.tolist()]


def test_shuffled_batches_keep_rows_together():
    x = np.arange(50, dtype=np.float32)
    data = Batches(x, x.astype(np.int64), sample_weight=x, batch_size=8, shuffle=True)
    first = list(data)
    for a, b, w in first:
        assert a.numpy().tolist() == b.numpy().tolist() == w.numpy().tolist()
    flat = [v for a, _, _ in first for v in a.tolist()]
    assert sorted(flat) == x.tolist()
    assert flat != x.tolist()
    assert flat != [v for a, _, _ in data for v in a.tolist()], "the next epoch has another order"
    data.set_epoch(0)
    assert flat == [v for a, _, _ in data for v in a.tolist()]
    later = [v for a, _, _ in data.from_batch(3, 0) for v in a.tolist()]
    assert later == flat[24:], "an epoch may be entered in the middle"


def test_several_inputs_and_no_copy():
    x = np.ones((6, 2), np.float32)
    for (a, b), y in Batches((x, x * 2), np.arange(6), batch_size=3):
        assert a.shape == b.shape == (3, 2)
        assert y.dtype == "int64"
    first = next(iter(Batches(x, batch_size=2)))
    x[0, 0] = 7
    assert first.numpy()[0, 0] == 7
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)[::-1, ::2]
    assert rows(Batches(wide, batch_size=4)) == [wide.tolist()]
    order = permutation(4, 0, 0)
    assert rows(Batches(wide, batch_size=4, shuffle=True)) == [wide[order].tolist()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": np.ones(3), "y": np.ones(4)}, r"rows differ \(x: \(3,\), y: \(4,\)\)"),
        ({"x": np.ones((0, 3)), "y": np.ones(0)}, r"x is empty \(shape \(0, 3\)\)"),
        ({"x": np.float32(1)}, "x is a single number"),
        ({"x": np.ones(3), "batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"x": np.ones(3), "batch_size": -4}, "batch_size is -4"),
        ({"x": np.ones(3), "batch_size": 4, "drop_last": True}, "3 rows make no whole batch of 4"),
        ({"x": np.ones(3), "sample_weight": np.ones(3)}, "sample_weight needs y"),
        ({"x": np.ones(2), "y": np.ones(2), "sample_weight": np.array([1, -1.0])}, "negative"),
        ({"x": np.ones(2), "y": np.ones(2), "sample_weight": np.array([1, np.nan])}, "not finite"),
        ({"x": np.ones(2), "y": np.ones(2), "sample_weight": np.ones((2, 1))}, "one number a row"),
    ],
)
def test_bad_batches(options, message):
    with pytest.raises(ValueError, match=message):
        Batches(**options)


def test_batch_size_must_be_whole():
    with pytest.raises(TypeError, match="whole number"):
        Batches(np.ones(3), batch_size=2.5)


# --- the digits ---


def test_digits():
    (x, y), (x_test, y_test) = datasets.digits()
    assert x.shape == (1438, 8, 8)
    assert x_test.shape == (359, 8, 8)
    assert (x.dtype, y.dtype) == ("float32", "int64")
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(y_test).min() >= 35
    (raw, _), _ = datasets.digits(scale=False, flatten=True)
    assert raw.dtype == "uint8"
    assert (raw.reshape(-1, 8, 8) == np.round(x * 16)).all()
    (other, _), _ = datasets.digits(seed=1)
    assert (other != x).any()


# --- IDX files ---


def idx(array, kind=8):
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + shape + array.tobytes()


def write_mnist(folder, suffix="", n=5):
    folder.mkdir(exist_ok=True)
    pack = gzip.compress if suffix else bytes
    for part, count in (("train", n), ("t10k", 2)):
        images = np.arange(count * 784, dtype=np.uint8).reshape(count, 28, 28)
        labels = np.arange(count, dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(labels)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", ["mnist", "."])
def test_mnist_layouts(tmp_path, monkeypatch, suffix, folder):
    write_mnist(tmp_path / folder, suffix)
    (x, y), (_x_test, y_test) = datasets.mnist(tmp_path)
    assert x.shape == (5, 28, 28)
    assert x.dtype == np.float32
    assert x.max() == 1
    assert y.tolist() == [0, 1, 2, 3, 4]
    assert y_test.tolist() == [0, 1]
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    (raw, _), _ = datasets.mnist(scale=False, flatten=True)
    assert raw.shape == (5, 784)
    assert raw.dtype == np.uint8


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\[.gz\].*FASTNN_DATA"):
        datasets.mnist()
    write_mnist(tmp_path / "fashion-mnist", ".gz")
    (tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"did not find t10k-labels-idx1-ubyte .or .gz. in"):
        datasets.fashion_mnist(tmp_path)
    for read in (
        datasets.cifar10, datasets.cifar10_subset, datasets.sms_spam, datasets.names, datasets.tiny_shakespeare,
        datasets.california_housing, datasets.etth1,
    ):  # fmt: skip
        with pytest.raises(FileNotFoundError, match="did not find"):
            read(tmp_path)
    with pytest.raises(ValueError, match="known are airline-passengers"):
        datasets.series("rain", tmp_path)


IMAGES = idx(np.zeros((3, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "not an IDX file: it begins with nothing"),
        ("train-images-idx3-ubyte", b"<html>not found", "not an IDX file"),
        ("train-images-idx3-ubyte", IMAGES[:9], "truncated within the header"),
        ("train-images-idx3-ubyte", IMAGES[:-1], "has only 2351"),
        ("train-images-idx3-ubyte", IMAGES + b"0", "has more"),
        ("train-images-idx3-ubyte", gzip.compress(IMAGES)[:-9], "compressed file is damaged"),
        ("train-images-idx3-ubyte", gzip.compress(IMAGES)[:12] + b"junk" * 9, "damaged"),
        ("train-images-idx3-ubyte", b"\0\0\x08\3" + b"\xff" * 12, "takes .* bytes, has only 0"),
        ("train-images-idx3-ubyte", gzip.compress(b"\0\0\x08\3" + b"\xff" * 12), "has only 0"),
        ("train-images-idx3-ubyte", idx(np.zeros(5, np.uint8)), "not uint8 images"),
        ("train-labels-idx1-ubyte", idx(np.zeros(4, np.uint8)), r"labels \(4,\) for 5 images"),
        ("train-labels-idx1-ubyte", idx(np.full(5, 10, np.uint8)), "a label is 10"),
    ],
)
def test_damaged_idx_files(tmp_path, name, content, message):
    write_mnist(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.mnist(tmp_path)
    assert name in str(caught.value)


def test_images_with_a_channel(tmp_path):
    write_mnist(tmp_path)
    (x, _), (x_test, _) = datasets.mnist(tmp_path, channels=True, scale=False)
    assert (x.shape, x_test.shape, x.dtype) == ((5, 1, 28, 28), (2, 1, 28, 28), "uint8")
    assert (x[:, 0] == datasets.mnist(tmp_path, scale=False)[0][0]).all()
    assert datasets.digits(channels=True)[0][0].shape == (1438, 1, 8, 8)
    with pytest.raises(ValueError, match="flatten and channels exclude each other"):
        datasets.digits(flatten=True, channels=True)


def test_idx_of_other_types(tmp_path):
    for kind, dtype in ((9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        (tmp_path / "f").write_bytes(idx(array, kind))
        found = read_idx(tmp_path / "f")
        assert found.dtype.isnative
        assert found.tolist() == array.tolist()


# --- CIFAR-10 ---


def write_cifar(folder, n=3):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, n, 3, 32, 32), np.uint8)
    labels = rng.integers(0, 10, (6, n), np.uint8)
    for i in range(6):
        rows = np.concatenate([labels[i][:, None], images[i].reshape(n, -1)], axis=1)
        name = "test_batch.bin" if i == 5 else f"data_batch_{i + 1}.bin"
        (folder / name).write_bytes(rows.tobytes())
    return images, labels


@pytest.mark.parametrize("folder", ["cifar10", "cifar-10-batches-bin", "."])
def test_cifar_in_its_binary_form(tmp_path, folder):
    images, labels = write_cifar(tmp_path / folder)
    (x, y), (x_test, y_test) = datasets.cifar10(tmp_path, scale=False)
    assert y.max() < len(datasets.CIFAR10_CLASSES) == len(datasets.FASHION_MNIST_CLASSES) == 10
    assert (x == images[:5].reshape(15, 3, 32, 32)).all()
    assert (x_test == images[5]).all()
    assert y.tolist() == labels[:5].ravel().tolist()
    assert (y_test.tolist(), y.dtype) == (labels[5].tolist(), "int64")
    packed = tmp_path / folder / "test_batch.bin"
    packed.with_suffix(".bin.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    assert np.array_equal(datasets.cifar10(tmp_path, scale=False)[1][0], x_test)
    for part in (x, x_test, datasets.cifar10(tmp_path)[0][0]):
        assert part.transpose(0, 2, 3, 1).flags.c_contiguous, "channels come last in memory"
    with pytest.raises(FileNotFoundError, match=r"cifar10_subset\.npz"):
        datasets.cifar10_subset(tmp_path)


def test_cifar_as_arrays(tmp_path):
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)
    parts = {"train_images": images, "train_labels": labels}
    parts |= {"test_images": images[:2], "test_labels": labels[:2]}
    np.savez(tmp_path / "cifar10.npz", **parts)
    (x, y), (x_test, _) = datasets.cifar10(tmp_path, subset=False)
    assert (x.shape, x.dtype, y.tolist()) == ((4, 3, 32, 32), "float32", [0, 1, 2, 3])
    assert len(x_test) == 2
    for name, value, message in (
        ("train_images", images[:3], r"int64 labels \(4,\) for 3 images"),
        (
            "test_images",
            images.astype(float),
            r"test_images is float64 \(4, 32, 32, 3\), not uint8",
        ),
        ("train_labels", labels + 7, "a label is 10, wanted 0 to 9"),
    ):
        np.savez(tmp_path / "cifar10.npz", **{**parts, name: value})
        with pytest.raises(ValueError, match=message):
            datasets.cifar10(tmp_path)


def test_damaged_cifar(tmp_path):
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match=r"data_batch_3.bin: damaged: 5000 bytes"):
        datasets.cifar10(tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    (tmp_path / "data_batch_3.bin.gz").write_bytes(b"\x1f\x8bx")
    with pytest.raises(ValueError, match=r"data_batch_3.bin.gz: damaged or truncated"):
        datasets.cifar10(tmp_path)
    (tmp_path / "data_batch_3.bin.gz").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"did not find .*batch.*; cifar10.npz or cifar10_subset.npz will do",
    ):
        datasets.cifar10(tmp_path)


# --- images in folders ---


def draw(path, size=(6, 4), colour=(10, 20, 30), mode="RGB"):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new(mode, size, colour).save(path)


def test_image_folder(tmp_path):
    draw(tmp_path / "dogs" / "b.png", colour=(0, 0, 255))
    draw(tmp_path / "dogs" / "old" / "a.PNG", colour=(0, 255, 0))
    draw(tmp_path / "cats" / "1.bmp", colour=(255, 0, 0))
    draw(tmp_path / "cats" / "2.png", colour=7, mode="L")
    (tmp_path / "dogs" / "notes.txt").write_text("none")
    (tmp_path / ".hidden").mkdir()
    x, y, names = datasets.image_folder(tmp_path)
    assert (x.shape, x.dtype, y.tolist(), names) == (
        (4, 3, 4, 6),
        "uint8",
        [0, 0, 1, 1],
        ["cats", "dogs"],
    )
    assert x[:, :, 0, 0].tolist() == [[255, 0, 0], [7, 7, 7], [0, 0, 255], [0, 255, 0]]
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    grey, _, _ = datasets.image_folder(tmp_path, mode="L", size=(8, 2), scale=True)
    assert (grey.shape, grey.dtype) == ((4, 1, 8, 2), "float32")
    assert grey.max() <= 1


def test_image_folders_that_are_wrong(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        datasets.image_folder(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="has no folders; put the images of each class"):
        datasets.image_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty: has no images"):
        datasets.image_folder(tmp_path)
    draw(tmp_path / "empty" / "a.png")
    draw(tmp_path / "full" / "b.png", size=(5, 5))
    with pytest.raises(ValueError, match=r"b.png: 5 x 5 pixels, but .*a.png has 4 x 6; give size="):
        datasets.image_folder(tmp_path)
    assert datasets.image_folder(tmp_path, size=5)[0].shape == (2, 3, 5, 5)
    (tmp_path / "full" / "c.jpg").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"c.jpg: damaged, or no image"):
        datasets.image_folder(tmp_path, size=5)
    with pytest.raises(ValueError, match="mode is 'CMYK'"):
        datasets.image_folder(tmp_path, mode="CMYK")
    with pytest.raises(ValueError, match="size must be a whole number"):
        datasets.image_folder(tmp_path, size=(5, 0))


def test_image_folder_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install fastnn\[images\]"):
        datasets.image_folder(tmp_path)


# --- text and tables ---


def test_damaged_text_and_tables(tmp_path):
    (tmp_path / "SMSSpamCollection").write_text("ham\tfine\neggs\tno\n")
    with pytest.raises(ValueError, match="line 2 is not 'ham' or 'spam'"):
        datasets.sms_spam(tmp_path)
    (tmp_path / "names.txt.gz").write_bytes(gzip.compress(b"emma\nolivia\n" * 50)[:-10])
    with pytest.raises(ValueError, match=r"names.txt.gz: damaged or truncated"):
        datasets.names(tmp_path)
    (tmp_path / "cal_housing.data").write_text("1,2,3\n")
    with pytest.raises(ValueError, match="wanted 9 columns"):
        datasets.california_housing(tmp_path)
    (tmp_path / "cal_housing.data").write_text("1,2,x\n")
    with pytest.raises(ValueError, match="not a table of numbers"):
        datasets.california_housing(tmp_path)
    (tmp_path / "cifar10_subset.npz").write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(ValueError, match=r"cifar10_subset.npz: damaged"):
        datasets.cifar10_subset(tmp_path)


@needs_data
def test_real_images():
    for read in (datasets.mnist, datasets.fashion_mnist):
        (x, y), (x_test, y_test) = read(scale=False)
        assert x.shape == (60000, 28, 28)
        assert x_test.shape == (10000, 28, 28)
        assert np.bincount(y).sum() == 60000
        assert len(y_test) == 10000
    (x, y), (x_test, y_test) = datasets.cifar10()
    assert x.shape == (6000, 3, 32, 32)
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    assert (x == datasets.cifar10_subset()[0][0]).all()
    assert np.bincount(y).tolist() == [600] * 10
    assert len(x_test) == len(y_test) == 2000


@needs_data
def test_real_text_and_tables():
    texts, labels = datasets.sms_spam()
    assert (len(texts), labels.sum()) == (5574, 747)
    assert len(datasets.names()) == 32033
    assert len(datasets.tiny_shakespeare()) == 1115394
    x, y = datasets.california_housing()
    assert x.shape == (20640, len(datasets.HOUSING_FEATURES))
    assert (y.min(), y.max()) == (14999, 500001)
    values, columns, dates = datasets.etth1()
    assert values.shape == (17420, 7)
    assert columns[-1] == "OT"
    assert dates[0] == "2016-07-01 00:00:00"
    values, dates = datasets.series("airline-passengers")
    assert len(values) == len(dates) == 144


def test_tensors_are_taken_as_they_are():
    x = fastnn.ones((4, 2), requires_grad=True)
    batch = next(iter(Batches(x, batch_size=2)))
    assert not batch.requires_grad
