"""What programs do once: packed weights and calls on constants, again after every way to write them."""

import gc
import itertools

import numpy as np
import pytest

import fastnn
from fastnn import RecordingError, Tensor, _core, nn, optimizers
from steps import data, train_step

WITHOUT = ("hoist", "pack")


def net(*sizes):
    fastnn.manual_seed(0)
    layers = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


def prologue(compiled):
    return [call.name for call in compiled.latest.program.prologue]


@pytest.fixture
def packed():
    """(model, compiled model that packs its weights, input)."""
    model = net(70, 90, 110, 40)
    compiled = fastnn.compile(model)
    x = data(64, 70)
    with fastnn.no_grad():
        compiled(x)
        assert prologue(compiled) == ["gemm_pack"] * 3
        yield model, compiled, x


def same(model, compiled, x):
    np.testing.assert_array_equal(compiled(x).numpy(), model(Tensor(x)).numpy())


@pytest.mark.parametrize("rows", [1, 2, 5, 33, 64, 200])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_same_bits_with_and_without(rows, dtype):
    model = net(70, 130, 257, 9)
    if dtype == "f8":
        model.double()
    x = data(rows, 70, dtype=dtype)
    with fastnn.no_grad():
        results = [
            fastnn.compile(model, without=names)(x).numpy()
            for names in ((), ("hoist",), ("pack",), WITHOUT)
        ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def by_launch(model):
    model[0].weight.copy_(model[0].weight * 0.5)


def by_numpy(model):
    model[0].weight.numpy()[:] *= 0.5


def by_state(model):
    model.load_state_dict({k: v.numpy() * 0.5 for k, v in model.state_dict().items()})


def by_dlpack(model):
    np.from_dlpack(model[0].weight)  # read-only, but the memory was lent
    by_launch(model)


def by_view(model):
    rows = model[0].weight.detach()[3:7]
    rows.copy_(rows * 0.5)


def by_optimizer(model):
    optimizer = optimizers.SGD(model.parameters(), lr=0.5)
    with fastnn.enable_grad():
        model(Tensor(data(8, 70))).sum().backward()
    optimizer.step()


def by_program(model):
    fastnn.compile(lambda: model[0].weight.copy_(model[0].weight * 0.5))()


WAYS = [by_launch, by_numpy, by_state, by_dlpack, by_view, by_optimizer, by_program]


@pytest.mark.parametrize("write", WAYS, ids=lambda f: f.__name__)
def test_every_way_to_write_weights_is_seen(packed, write):
    model, compiled, x = packed
    for _ in range(3):
        before = compiled(x).numpy()
        write(model)
        same(model, compiled, x)
        assert not np.array_equal(compiled(x).numpy(), before)


def test_writes_through_a_numpy_view_that_stays(packed):
    model, compiled, x = packed
    view = model[2].weight.numpy()
    same(model, compiled, x)
    for k in range(3):
        view[k] = k
        same(model, compiled, x)
    view[5] = 7
    del view
    gc.collect()
    same(model, compiled, x)


def test_training_step_and_inference_take_turns():
    model = net(20, 80, 60, 3).train()
    optimizer = optimizers.Adam(model.parameters())
    x, y = data(50, 20), np.arange(50) % 3

    step = fastnn.compile(train_step(model, optimizer))

    for _ in range(4):
        step(x, y)
        assert prologue(step) == []
        for _ in range(3):
            with fastnn.no_grad():
                expected = model(Tensor(x)).numpy()
            np.testing.assert_array_equal(model.predict(x).numpy(), expected)


def test_calls_on_weights_alone_are_made_once():
    w = Tensor(data(30, 40)).clone()
    compiled = fastnn.compile(lambda x: x * fastnn.softmax(w.T.exp(), axis=1).sum())
    x = data(5)
    for scale in (1.0, 2.0, 2.0):
        w.copy_(w * scale)
        expected = x * fastnn.softmax(w.T.exp(), axis=1).sum().item()
        np.testing.assert_array_equal(compiled(x).numpy(), expected)
    assert len(prologue(compiled)) >= 2
    assert "once" in compiled.show()


def test_memory_of_others_may_change_at_any_time():
    w = data(40, 40)
    shared = Tensor(w)
    compiled = fastnn.compile(lambda x: x @ shared.exp())
    x = data(32, 40)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(x).numpy(), (Tensor(x) @ shared.exp()).numpy())
        w *= 0.5
    assert prologue(compiled) == []


def test_what_the_program_writes_is_no_constant():
    w = Tensor(data(40, 40)).clone()

    def step(x):
        y = x @ w
        w.copy_(w * 0.5)
        return y

    eager, compiled = w.clone(), fastnn.compile(step)
    for _ in range(3):
        x = data(32, 40)
        np.testing.assert_array_equal(compiled(x).numpy(), (Tensor(x) @ eager).numpy())
        eager = eager * 0.5
    assert prologue(compiled) == []


def test_another_instruction_set_records_anew():
    model = net(70, 90, 40)
    x = data(64, 70)
    compiled = fastnn.compile(model)
    with fastnn.no_grad():
        for isa in _core.isa_compiled():
            if not _core.isa_compiled()[isa]:
                continue
            old = compiled.latest
            _core.isa_select(isa)
            if old is not None:
                with pytest.raises(RecordingError, match="instruction set"):
                    old.run_many(1)
            same(model, compiled, x)
