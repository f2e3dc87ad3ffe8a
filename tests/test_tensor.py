"""The Tensor itself: what it is made of, how it shares memory, prints and is indexed."""

import copy
import gc
import sys

import numpy as np
import pytest

import fastnn
from fastnn import Tensor

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")


# --- from and to numpy ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_aligned_real_array_is_shared(dtype):
    a = np.arange(6, dtype=dtype).reshape(2, 3)
    x = fastnn.as_tensor(a)
    a[0, 0] = 42
    assert x[0, 0].item() == 42
    assert x.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_gives_the_memory_itself(dtype):
    x = fastnn.zeros((2, 3), dtype=dtype)
    x.numpy()[1, 2] = 1
    assert x[1, 2].item() == 1
    assert x.numpy().dtype == np.dtype(dtype)


def test_the_array_outlives_its_tensor():
    x = fastnn.full((1000,), 3.0)
    a = x.numpy()
    del x
    gc.collect()
    junk = [fastnn.zeros((1000,)) for _ in range(20)]
    assert (a == 3).all() and len(junk) == 20


def test_the_tensor_outlives_its_array():
    x = fastnn.as_tensor(np.full(1000, 3.0))
    gc.collect()
    junk = [np.zeros(1000) for _ in range(20)]
    assert (x.numpy() == 3).all() and len(junk) == 20


@pytest.mark.parametrize(
    "data", [1.5, [1, 2.5], [[1, 2], [3, 4]], (), [[]], range(3), [True, False]]
)
def test_from_python_values(data):
    x = fastnn.tensor(data)
    want = np.asarray(data)
    assert x.shape == want.shape
    np.testing.assert_array_equal(x.numpy(), want)
    if want.dtype.kind == "f":
        assert x.dtype == "float32", "Python's real numbers become the default dtype"


@pytest.mark.parametrize(
    "dtype", ["float16", "int8", "int16", "uint16", "uint32", ">f4", ">f8", ">i8"]
)
def test_other_numeric_dtypes_are_converted_or_refused_clearly(dtype):
    a = np.array([1, 2, 3], dtype=dtype)
    try:
        x = fastnn.tensor(a)
    except TypeError as error:
        assert "dtype" in str(error) or str(a.dtype) in str(error)
    else:
        np.testing.assert_array_equal(x.numpy(), [1, 2, 3])


def test_byte_swapped_arrays_keep_their_values():
    a = np.array([1.5, -2.25, 3e10], dtype=">f4")
    np.testing.assert_array_equal(fastnn.tensor(a).numpy(), a.astype("float32"))


def test_arrays_off_their_alignment_keep_their_values():
    raw = bytearray(4 * 5 + 1)
    a = np.frombuffer(raw, dtype="float32", offset=1)
    a[:] = [1, 2, 3, 4, 5]
    x = fastnn.tensor(a)
    np.testing.assert_array_equal((x + 0).numpy(), [1, 2, 3, 4, 5])
    record = np.zeros(4, dtype=[("a", "u1"), ("b", "f8")])
    record["b"] = [1, 2, 3, 4]
    np.testing.assert_array_equal((fastnn.tensor(record["b"]) * 2).numpy(), [2, 4, 6, 8])


def test_read_only_arrays_can_be_read():
    a = np.arange(4.0)
    a.flags.writeable = False
    x = fastnn.as_tensor(a)
    np.testing.assert_array_equal((x * 2).numpy(), [0, 2, 4, 6])
    np.testing.assert_array_equal(a, [0, 1, 2, 3])


@pytest.mark.parametrize(
    "bad",
    [
        "text",
        b"bytes",
        None,
        object(),
        {"a": 1},
        [1, "two"],
        [[1, 2], [3]],
        np.array(["a"]),
        np.array([1 + 2j]),
        np.array([object()]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.zeros(2, dtype=[("a", "f4")]),
    ],
    ids=repr,
)
def test_what_is_not_numbers_is_refused(bad):
    with pytest.raises((TypeError, ValueError)):
        fastnn.tensor(bad)


def test_too_many_axes_are_refused():
    assert fastnn.zeros((1,) * 8).ndim == 8
    with pytest.raises(ValueError, match="8"):
        fastnn.zeros((1,) * 9)
    with pytest.raises(ValueError, match="8"):
        fastnn.tensor(np.zeros((1,) * 9))


@pytest.mark.parametrize("shape", [(2**62, 2**62), (2**40, 2**40), (2**61,)])
def test_a_shape_beyond_memory_is_an_error(shape):
    with pytest.raises((MemoryError, ValueError, OverflowError)):
        fastnn.zeros(shape)


@pytest.mark.parametrize("shape", [(-1,), (2, -3), ("a",), (1.5,), None])
def test_a_shape_that_is_none(shape):
    with pytest.raises((ValueError, TypeError)):
        fastnn.zeros(shape)


def test_array_protocol():
    x = fastnn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.asarray(x).base is not None or np.shares_memory(np.asarray(x), x.numpy())
    np.testing.assert_array_equal(np.array(x, dtype="float64"), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(np.array(x.T), [[1, 3], [2, 4]])
    copied = np.array(x, copy=True)
    copied[0, 0] = 9
    assert x[0, 0].item() == 1
    assert memoryview(x).shape == (2, 2)


def test_numpy_first_in_an_operation_gives_a_tensor():
    x = fastnn.tensor([1.0, 2.0])
    a = np.array([3.0, 4.0], dtype="float32")
    assert isinstance(x + a, Tensor)
    result = a + x
    assert isinstance(result, Tensor), "numpy must leave the operation to Tensor.__radd__"
    np.testing.assert_array_equal(result.numpy(), [4, 6])
    scalar = np.float32(2) * x
    assert isinstance(scalar, Tensor)


# --- DLPack ---


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_to_numpy_shares_memory(dtype):
    x = fastnn.ones((3, 4), dtype=dtype)
    a = np.from_dlpack(x)
    assert a.dtype == np.dtype(dtype) and np.shares_memory(a, x.numpy())
    np.testing.assert_array_equal(np.from_dlpack(x.T), x.numpy().T)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_from_numpy_shares_memory(dtype):
    a = np.ones((3, 4), dtype=dtype)
    x = fastnn.from_dlpack(a)
    assert x.shape == (3, 4) and x.dtype == dtype
    a[2, 3] = 0
    assert x[2, 3].item() == 0
    y = fastnn.from_dlpack(a.T[::-1])
    np.testing.assert_array_equal(y.numpy(), a.T[::-1])


def test_dlpack_keeps_memory_alive():
    a = np.from_dlpack(fastnn.full((1000,), 5.0))
    x = fastnn.from_dlpack(np.full(1000, 6.0))
    gc.collect()
    junk = [fastnn.zeros((1000,)) for _ in range(20)]
    assert (a == 5).all() and (x.numpy() == 6).all() and len(junk) == 20


def test_a_dlpack_capsule_serves_once():
    x = fastnn.ones((2,))
    capsule = x.__dlpack__()
    del capsule  # a capsule that nobody took gives its memory back
    for bad in (object(), 3, None):
        with pytest.raises((TypeError, BufferError, AttributeError)):
            fastnn.from_dlpack(bad)


def test_dlpack_of_a_tensor_that_wants_a_gradient():
    x = fastnn.ones((2,))
    x.requires_grad = True
    try:
        a = np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        assert "detach" in str(error)
    else:
        assert a.shape == (2,)


# --- values ---


def test_item():
    assert fastnn.tensor(2.5).item() == 2.5
    assert isinstance(fastnn.tensor([3]).item(), int)
    assert fastnn.tensor([[True]]).item() is True
    with pytest.raises(ValueError, match="2"):
        fastnn.tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError):
        fastnn.zeros((0,)).item()


def test_python_conversions():
    assert float(fastnn.tensor(2.5)) == 2.5
    assert int(fastnn.tensor(3)) == 3
    assert bool(fastnn.tensor(0.0)) is False
    assert len(fastnn.zeros((4, 2))) == 4
    with pytest.raises(TypeError):
        len(fastnn.tensor(1.0))
    with pytest.raises(ValueError):
        bool(fastnn.tensor([1.0, 2.0]))
    assert [row.numpy().tolist() for row in fastnn.tensor([[1.0], [2.0]])] == [[1], [2]]
    assert fastnn.tensor([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]


def test_the_truth_of_a_comparison_of_one_is_a_bool():
    assert bool(fastnn.tensor(3.0) > 2)
    assert not bool(fastnn.tensor(3.0) == 2)


def test_tensors_can_be_keys():
    x, y = fastnn.ones((2,)), fastnn.ones((2,))
    assert {x: 1, y: 2}[x] == 1
    assert hash(x) != hash(y)


def test_repr_reads_like_numbers():
    text = repr(fastnn.tensor([[1.0, 2.5], [3.0, 4.0]]))
    assert "2.5" in text and text.startswith("Tensor(")
    assert "float64" in repr(fastnn.zeros((2,), dtype="float64"))
    x = fastnn.ones((2,))
    x.requires_grad = True
    assert "requires_grad" in repr(x)
    assert "from=mul" in repr(x * 2)
    for shape in ((0,), (3, 0), (), (1000, 1000), (2, 2, 2, 2)):
        assert len(repr(fastnn.zeros(shape))) < 5000
    assert str(fastnn.tensor([float("nan"), float("inf")])).count("n") >= 2


def test_copies():
    x = fastnn.tensor([1.0, 2.0])
    for y in (
        copy.copy(x),
        copy.deepcopy(x),
        x.clone() if hasattr(x, "clone") else copy.deepcopy(x),
    ):
        np.testing.assert_array_equal(y.numpy(), x.numpy())
    deep = copy.deepcopy(x)
    deep.numpy()[0] = 9
    assert x[0].item() == 1


def test_constructors():
    assert fastnn.zeros(3).shape == (3,)
    np.testing.assert_array_equal(fastnn.arange(5).numpy(), np.arange(5))
    np.testing.assert_array_equal(fastnn.arange(1, 7, 2).numpy(), np.arange(1, 7, 2))
    np.testing.assert_allclose(fastnn.arange(0.0, 1.0, 0.25).numpy(), np.arange(0, 1, 0.25))
    x = fastnn.full((2, 3), 7, dtype="int64")
    assert x.dtype == "int64" and (x.numpy() == 7).all()
    for made in (
        fastnn.zeros_like(x),
        fastnn.ones_like(x),
        fastnn.full_like(x, 2),
        fastnn.empty_like(x),
    ):
        assert made.shape == x.shape and made.dtype == x.dtype
    assert fastnn.zeros((2,)).dtype == "float32", "the default dtype"


# --- dtypes ---


def test_float32_with_float64_is_an_error_that_says_how_to_cast():
    x, y = fastnn.ones((2,)), fastnn.ones((2,), dtype="float64")
    for f in (
        lambda: x + y,
        lambda: y * x,
        lambda: x / y,
        lambda: fastnn.maximum(x, y),
        lambda: x < y,
    ):
        with pytest.raises(TypeError, match="astype"):
            f()
    a = fastnn.ones((2, 2))
    with pytest.raises(TypeError, match="astype|dtype"):
        a @ a.astype("float64")
    with pytest.raises(TypeError, match="astype|dtype"):
        fastnn.concat([x, y])


def test_a_python_number_takes_the_tensors_dtype():
    for dtype in ("float32", "float64"):
        x = fastnn.ones((2,), dtype=dtype)
        for y in (x + 1, 1 + x, x * 2.5, 2 / x, x - 1, 1 - x, x**2):
            assert y.dtype == dtype
    i = fastnn.ones((2,), dtype="int64")
    assert (i + 1).dtype == "int64"


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_cast(dtype, to):
    a = np.array([0, 1, 2, 3, 100]).astype(dtype)
    got = fastnn.tensor(a).astype(to)
    assert got.dtype == to
    np.testing.assert_array_equal(got.numpy(), a.astype(to))


def test_unknown_dtypes_are_named():
    for bad in ("float17", "complex64", 3, object, None.__class__):
        with pytest.raises((TypeError, ValueError)):
            fastnn.zeros((2,), dtype=bad)


# --- indexing ---


def test_basic_slices_are_views():
    x = fastnn.zeros((4, 6))
    for view in (x[1], x[1:3], x[:, ::2], x[::-1], x.T, x[None], x[..., 0], x.reshape((6, 4))):
        assert np.shares_memory(view.numpy(), x.numpy())


def test_assignment():
    x = fastnn.zeros((3, 4))
    a = np.zeros((3, 4), dtype="float32")
    for index, value in [
        (0, 1.0),
        ((slice(None), 1), 2),
        ((slice(None, None, 2), slice(1, 3)), [[5.0, 6.0], [7.0, 8.0]]),
        (Ellipsis, 3.0),
        ((1, 2), 9),
    ]:
        x[index] = fastnn.tensor(value, dtype="float32") if isinstance(value, list) else value
        a[index] = value
        np.testing.assert_array_equal(x.numpy(), a)
    with pytest.raises((ValueError, TypeError)):
        x[0] = fastnn.ones((5,))


def test_integer_and_boolean_arrays_gather():
    a = np.arange(12.0).reshape(4, 3)
    x = fastnn.tensor(a)
    for index in (
        [2, 0],
        np.array([3, -1]),
        np.array([[0, 1], [2, 3]]),
        np.zeros(0, dtype="int64"),
    ):
        np.testing.assert_array_equal(
            x[fastnn.tensor(index, dtype="int64")].numpy(), a[np.asarray(index, dtype=int)]
        )
    for index in (a[:, 0] > 2, a > 5):
        np.testing.assert_array_equal(x[fastnn.tensor(index)].numpy(), a[index])
        np.testing.assert_array_equal(x[index].numpy(), a[index])


@pytest.mark.parametrize(
    "index", [4, -5, (0, 3), (0, 0, 0), "a", 1.5, [4], np.array([-5]), np.array([True, False])]
)
def test_indexing_outside(index):
    x = fastnn.zeros((4, 3))
    with pytest.raises((IndexError, TypeError, ValueError)):
        x[index if not isinstance(index, list) else np.array(index)]


def test_indexing_outside_names_the_range():
    with pytest.raises(IndexError, match="4"):
        fastnn.zeros((4, 3))[7]


# --- memory ---


def test_readonly_memory_is_never_written():
    a = np.zeros(4, dtype="float32")
    a.flags.writeable = False
    x = fastnn.as_tensor(a)
    for write in (
        lambda: x.__setitem__(0, 1.0),
        lambda: x.fill_(3.0),
        lambda: x.copy_(fastnn.ones((4,))),
        lambda: x.numpy().__setitem__(0, 1.0),
        lambda: x[1:].fill_(3.0),
        lambda: memoryview(x).__setitem__(0, 1.0),
    ):
        with pytest.raises((ValueError, TypeError), match="read-only|read only"):
            write()
    y = x
    y += 1  # new memory
    assert (a == 0).all() and (x.numpy() == 0).all() and (y.numpy() == 1).all()


def test_no_leak_of_tensors():
    from fastnn import _core

    def work():
        x = fastnn.ones((100, 100))
        y = fastnn.tensor(np.ones((100, 100), dtype="float32"))
        z = x[::2] + y.T[::2]
        np.from_dlpack(z), fastnn.from_dlpack(z.numpy()), memoryview(z)
        repr(z)

    work()
    gc.collect()
    before = _core.memory_in_use()
    counts = sys.getallocatedblocks()
    for _ in range(300):
        work()
    gc.collect()
    assert _core.memory_in_use() <= before
    assert sys.getallocatedblocks() - counts < 2000
