"""Copies that change the order of axes: the same bits as numpy's, for every element size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import using_threads
from fastnn import Tensor, ops
from fastnn._core import launch
from fastnn._core import ops as op

DTYPES = ["uint8", "bool", "int32", "float32", "int64", "float64"]


def numbered(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 251).reshape(shape).astype(dtype)


def check(x: np.ndarray) -> None:
    for threads in (1, 3):
        with using_threads(threads):
            got = ops.contiguous(Tensor(x)).numpy()
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, x)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_permuted_axes(data: st.DataObject) -> None:
    """Tiny axes beside long ones, skipped and reversed."""
    ndim = data.draw(st.integers(2, 6))
    shape: list[int] = []
    for _ in range(ndim):
        most = min(80, 60000 // int(np.prod(shape, dtype=int)))
        shape.append(min(most, data.draw(st.sampled_from([1, 2, 3, 4, 5, 9, 16, 17, 35, 80]))))
    x = numbered(tuple(shape), data.draw(st.sampled_from(DTYPES)))
    step = st.sampled_from([1, 1, 1, 1, -1, 2])
    x = x[tuple(slice(None, None, data.draw(step)) for _ in shape)]
    check(x.transpose(data.draw(st.permutations(range(ndim)))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lanes", [2, 3, 4, 7, 16, 17, 64, 65])
@pytest.mark.parametrize("n", [15, 16, 17, 1021, 9000, 10914])
def test_channels_last_and_first(lanes: int, n: int, dtype: str) -> None:
    """Around the limits of lanes, of axes that are walked and of the pieces that they are cut into."""
    x = numbered((2, n, lanes), dtype)
    check(x.swapaxes(1, 2))
    check(x.reshape(2, lanes, n).swapaxes(1, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("r", "c"), [(2, 1), (2, 64), (3, 5), (4, 3), (5, 33), (9, 2)])
def test_squares_of_pixels(r: int, c: int, dtype: str) -> None:
    """The copies of pixel_shuffle and pixel_unshuffle."""
    x = numbered((2, 3, 19, c, r, r), dtype)
    check(x.transpose(0, 1, 4, 2, 5, 3))
    x = numbered((2, 3, r, 19, r, c), dtype)
    check(x.transpose(0, 1, 3, 5, 2, 4))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_into_strided_memory(dtype: str) -> None:
    """Only the target's own elements are written."""
    source = numbered((40, 3, 2), dtype)
    memory = np.zeros((3, 2, 80), dtype)
    launch(op.copy, (Tensor(source.transpose(1, 2, 0)), Tensor(memory)[:, :, ::2]))
    np.testing.assert_array_equal(memory[:, :, ::2], source.transpose(1, 2, 0))
    assert not memory[:, :, 1::2].any()
