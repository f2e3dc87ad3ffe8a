"""Fuzzing of `launch`, below every check that Python makes: real calls, recorded while the table
of cases runs, are made again with one thing wrong. Each gives an error or a result, and writes
nothing outside its arrays: every array is a part of a larger one whose rest is checked.
"""

import sys

import numpy as np
import pytest

import fastnn
from cases import CASES
from fastnn import _core, losses, nn, optimizers
from fastnn._core import launch
from fastnn._core import ops as op

FILL = 77  # what surrounds every array
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
NUMBERS = (0.0, 1.0, -1.0, 0.5, np.nan, np.inf, 1e30)
WHOLE = (0, 1, 2, -1, 7, 2**31, -(2**62), 2**62)


@pytest.fixture(scope="module")
def calls():
    """A few calls of each op: ([numpy array or None, ...], scalars, {output: its input})."""
    found = {}

    def spy(number, arrays, scalars=()):
        kept = found.setdefault(number, [])
        if len(kept) < 6:
            same = {
                i: index_of(a, arrays)
                for i, a in enumerate(arrays)
                if a is not None and index_of(a, arrays) < i
            }
            kept.append(([None if a is None else np.array(a) for a in arrays], scalars, same))
        launch(number, arrays, scalars)

    modules = [
        m for n, m in list(sys.modules.items()) if n.startswith("fastnn.") and hasattr(m, "launch")
    ]
    modules = [m for m in modules if m is not _core]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "launch", spy)
        for case in CASES:
            for dims in case.all_dims(odd=(4,))[:2]:
                for create in (False, True):  # fused gradients, and those composed of other ops
                    inputs = [
                        fastnn.Tensor(a, requires_grad=case.gradient and a.dtype.kind == "f")
                        for a in case.make(dims, "float32")
                    ]
                    y = case.call(*inputs)
                    if case.gradient and not isinstance(y, tuple):
                        y.backward(fastnn.ones_like(y), create_graph=create)
        everything_else()
    return found


def everything_else():
    """Ops that the table does not reach: random numbers, optimizers, dropout, scatters, embeddings."""
    fastnn.random.uniform((5, 3)), fastnn.random.normal((7,)), fastnn.random.permutation(9)
    fastnn.random.bernoulli(0.5, (5,)), fastnn.random.integers(0, 9, (4,))
    x = fastnn.zeros((5, 3))
    x[fastnn.tensor([0, 2])] = 1.0
    x[x > 0] = 2.0
    fastnn.one_hot([0, 2, 1], 3), fastnn.flip(x, 0), fastnn.any(x > 1), fastnn.all(x > 1)
    fastnn.argmin(x), fastnn.prod(x), fastnn.cumsum(x, 0), fastnn.isnan(x), fastnn.isinf(x)
    fastnn.logical_or(x > 0, ~(x > 1)), nn.BatchNorm1d(3).eval()(x)
    labels = fastnn.tensor([0, 2, 1, 1])
    for name in ("SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Lion"):
        model = nn.Sequential(
            nn.Embedding(6, 4), nn.Dropout(0.2), nn.LayerNorm(4), nn.BatchNorm1d(4), nn.Linear(4, 3)
        )
        optimizer = getattr(optimizers, name)(model.parameters(), lr=0.1, clip_norm=1.0)
        losses.cross_entropy(model(labels), labels).backward()
        optimizer.step()
    optimizers.EMA(model.parameters()).update()
    optimizers.clip_grad_norm_(model.parameters(), 1.0)
    optimizers.clip_grad_value_(model.parameters(), 1.0)
    log, slot = fastnn.zeros(5), fastnn.zeros(1, "int64")
    fastnn.random.launch(op.log_value, (log, slot, fastnn.ones(1), log), (1,))


def index_of(a, arrays):
    """The first place of a; tensors compare element by element, so list.index is of no use."""
    return next(i for i, b in enumerate(arrays) if b is a)


def fenced(rng, values):
    """values as a part of a larger array: the tensor, the larger one, which places it has."""
    steps = rng.choice([1, 1, 1, 2], values.ndim)
    shape = [n * k + 6 for n, k in zip(values.shape, steps, strict=True)]
    whole = np.full(shape, FILL, "uint8" if values.dtype == bool else values.dtype)
    middle = tuple(slice(3, 3 + n * k, k) for n, k in zip(values.shape, steps, strict=True))
    inside = np.zeros(whole.shape, bool)
    inside[middle] = True
    whole[middle] = values
    array = whole.view(values.dtype)[middle]
    return fastnn.Tensor(array), whole, inside


def other_shape(rng, values):
    """values with another shape: an axis more, less, longer, shorter, or none."""
    shape = list(values.shape)
    how = rng.integers(6)
    if how == 0 or not shape:
        shape.insert(int(rng.integers(len(shape) + 1)), int(rng.integers(3)))
    elif how == 1:
        shape.pop(int(rng.integers(len(shape))))
    elif how == 2:
        shape = [1] * 8
    else:
        i = int(rng.integers(len(shape)))
        shape[i] = (shape[i] + 1, max(0, shape[i] - 1), 0)[how - 3]
    return np.resize(values, shape) if values.size else np.zeros(shape, values.dtype)


def spoilt(rng, arrays, scalars):
    """The call with one thing changed, or none."""
    arrays, scalars = list(arrays), list(scalars)
    how = rng.integers(6)
    i = int(rng.integers(len(arrays)))
    if how == 0 and scalars:
        k = int(rng.integers(len(scalars)))
        scalars[k] = (
            rng.choice(NUMBERS) if isinstance(scalars[k], float) else int(rng.choice(WHOLE))
        )
    elif how == 1 and arrays[i] is not None:
        arrays[i] = other_shape(rng, arrays[i])
    elif how == 2 and arrays[i] is not None:
        arrays[i] = arrays[i].astype(rng.choice(DTYPES))
    elif how == 3:
        arrays[i] = None if arrays[i] is not None or rng.random() < 0.5 else np.ones(3, "float32")
    elif how == 4 and arrays[i] is not None and arrays[i].dtype == "int64" and arrays[i].size:
        arrays[i].flat[rng.integers(arrays[i].size)] = rng.choice([-1, 5, 2**40, -(2**62), 2**62])
    return arrays, tuple(scalars)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(vars(op)))
def test_one_thing_wrong(name, calls):
    number = getattr(op, name)
    rng = np.random.default_rng(number)
    for arrays, scalars, same in calls.get(number, []):
        for _ in range(25):
            kept, fences = [], []
            some, values = spoilt(rng, [None if a is None else a.copy() for a in arrays], scalars)
            for i, a in enumerate(some):
                if a is None or (i in same and rng.random() < 0.9):
                    kept.append(None if a is None else kept[same[i]])
                    continue
                tensor, whole, inside = fenced(rng, a)
                kept.append(tensor)
                fences.append((whole, inside))
            try:
                launch(number, tuple(kept), values)
            except (ValueError, TypeError, IndexError, MemoryError, OverflowError) as error:
                assert str(error)
            for whole, inside in fences:
                assert (whole[~inside] == FILL).all(), f"{name} wrote outside its array"


def test_every_call_of_the_table_can_be_made_again(calls):
    """What was recorded is good as it is."""
    assert len(calls) > 40
    for number, found in calls.items():
        for arrays, scalars, same in found:
            made = []
            for i, a in enumerate(arrays):
                made.append(None if a is None else made[same[i]] if i in same else fastnn.Tensor(a))
            launch(number, tuple(made), scalars)


def refuses(call, word):
    with pytest.raises((ValueError, TypeError), match=word):
        call()


def test_what_is_no_call():
    x = fastnn.ones((2,))
    refuses(lambda: launch(op.add, (x, np.ones(2), x)), "Tensor")
    refuses(lambda: launch(op.add, (x,)), "arrays")
    refuses(lambda: launch(10**6, ()), "op")
    refuses(lambda: launch(-1, ()), "op")
    refuses(lambda: launch(op.add, [x, x, x]), "tuple")
