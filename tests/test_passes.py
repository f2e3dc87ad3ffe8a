"""Each pass: a program with it equals the program without it, bit for bit; and it does what it is for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Tensor, _core, nn, optimizers, regularizers
from fastnn.compiler.passes import PASSES
from fastnn.flat import flatten
from steps import data

ops = _core.ops


def mlp():
    fastnn.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Dropout(0.2), nn.Linear(9, 3))


def clipped(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = fastnn.losses.cross_entropy(model(x), y)
    loss.backward()
    norm = optimizers.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return loss, norm


def zeroed(model, optimizer, x, y):
    optimizer.zero_grad(set_to_none=False)
    loss = fastnn.losses.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def micro_batches(model, optimizer, x, y):
    optimizer.zero_grad()
    for k in range(2):
        (
            fastnn.losses.cross_entropy(model(x[4 * k : 4 * k + 4]), y[4 * k : 4 * k + 4]) / 2
        ).backward()
    optimizer.step()


def regularized(model, optimizer, x, y):
    rules = [regularizers.L2(1e-2), regularizers.L1(1e-2, on="*.weight"), regularizers.MaxNorm(0.6)]
    optimizer.zero_grad()
    loss = fastnn.losses.cross_entropy(model(x), y)
    (loss + regularizers.penalty(rules, model)).backward()
    optimizer.step()
    regularizers.constrain(rules, model)
    return loss


def gradients(model, optimizer, x, y):
    for p in model.parameters():
        p.grad = None
    model(x).mean().backward()
    return [p.grad for p in model.parameters()]


def shared(model, optimizer, x, y):
    optimizer.zero_grad()
    h = model[0](x)
    h = h + model[3](h).sum(1, keepdims=True).clone() * 0.5
    loss = fastnn.losses.cross_entropy(model[3](h), y) + model[3](model[0](x * 2)).square().mean()
    loss.backward()
    optimizer.step()
    return loss


STEPS = [clipped, zeroed, micro_batches, regularized, gradients, shared]


def run(step, without=(), steps=4):
    """The results of some steps, and the model's and the optimizer's state after them."""
    model = mlp()
    optimizer = optimizers.AdamW(model.parameters(), lr=0.05)
    call = lambda x, y: step(model, optimizer, x, y)  # noqa: E731
    compiled = call if without is None else fastnn.compile(call, without=without)
    fastnn.manual_seed(1)
    flat = []
    for i in range(steps):
        flat += leaves(compiled(Tensor(data(8, 5, seed=i)), Tensor(np.arange(8) % 3)))
    flat += [p.numpy().copy() for p in model.parameters()]
    flat += [a for s in optimizer.state_dict()["state"].values() for a in s.values()]
    return flat, None if without is None else compiled.latest


def leaves(nest):
    if isinstance(nest, (tuple, list)):
        return [a for part in nest for a in leaves(part)]
    return [] if nest is None else [nest.numpy().copy()]


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.__name__)
def test_no_pass_changes_a_bit(step):
    eager, _ = run(step, None)
    for without in [(), *((name,) for name in PASSES), tuple(PASSES)]:
        assert_same(eager, run(step, without)[0])


def names(recording):
    return [call.name for call in recording.program.calls]


def test_gradients_and_constraints_are_written_in_place():
    assert names(run(regularized, ("copies",))[1]).count("copy") >= 4
    assert "copy" not in names(run(regularized)[1])
    model = mlp()  # not in flat memory: its gradients are results

    def gradient(x):
        return fastnn.grad(model(x).square().sum(), [model[0].weight])[0].clone()

    found = {}
    for without in ((), ("copies",)):
        fastnn.manual_seed(3)
        compiled = fastnn.compile(gradient, without=without)
        found[without] = compiled(Tensor(data(8, 5))).numpy(), names(compiled.latest).count("copy")
    assert_same([found[()][0]], [found["copies",][0]])
    assert found[()][1] == 0 < found["copies",][1]


def test_results_of_constants_are_constants():
    without = run(micro_batches, ("constants",))[1]
    assert names(without).count("div") == 2  # the loss's factor, times 1
    assert "div" not in names(run(micro_batches)[1])


def test_repeated_values_are_computed_once():
    def mean(x, w):
        return fastnn.grad((x @ w).tanh().mean(), [w])[0]

    x, w = Tensor(data(7, 4)), Tensor(data(4, 5, seed=1), requires_grad=True)
    found = {}
    for without in ((), ("repeated",)):
        compiled = fastnn.compile(mean, without=without)
        found[without] = compiled(x, w).numpy(), compiled.latest.program
    assert_same([found[()][0]], [found["repeated",][0]])

    def made(program):
        return [c.views[-1].elements for c in program.calls if c.name in ("mul", "div")]

    assert made(found[()][1]) != made(found["repeated",][1]) or not made(found[()][1])


def test_an_error_in_a_constant_is_raised_at_the_run():
    def divided(x):
        return x // (Tensor(np.int64(4)) * Tensor(np.int64(0)))

    with pytest.raises(ValueError, match="zero"):
        fastnn.compile(divided)(Tensor(np.int64([1, 2])))


def test_copies_that_are_needed_stay():
    def swap(a, b):
        c = a.clone()
        a.copy_(b)
        b.copy_(c)
        return c * 2

    a, b = Tensor(data(5)), Tensor(data(5, seed=1))
    recording = fastnn.compiler.record(lambda: swap(a, b), [])
    want = b.numpy().copy(), a.numpy().copy()
    recording.run_many(1)
    assert_same([a.numpy(), b.numpy()], want)
    recording.run_many(1)
    assert_same([b.numpy(), a.numpy()], want)


@st.composite
def straight_code(draw):
    """Lines (op, operand, operand) over a few 4x4 values, of which some are written in place."""
    kinds = ["add", "mul", "clone", "copy_", "row", "mean", "iadd", "setitem", "T", "fill"]
    count = draw(st.integers(1, 20))
    return [
        (draw(st.sampled_from(kinds)), draw(st.integers(0, i + 2)), draw(st.integers(0, i + 2)))
        for i in range(count)
    ]


def evaluate(code, values):
    values = list(values)
    for kind, i, j in code:
        a, b = values[i], values[j]
        made = a
        if kind == "add":
            made = a + b
        elif kind == "mul":
            made = a * b * 0.25
        elif kind == "clone":
            made = a.clone()
        elif kind == "copy_":
            a.copy_(b.clone() if a is b else b)
        elif kind == "row":
            made = (a[:1] + 1.0).broadcast_to((4, 4)) * 0.5
        elif kind == "mean":
            made = (a.mean() * 2.0).broadcast_to((4, 4)) + b
        elif kind == "iadd":
            a.copy_(a * 0.5 + b)
        elif kind == "setitem":
            a[1:3] = b.clone()[:2]
        elif kind == "T":
            made = (a.T * 1.0).clone()
        else:
            made = fastnn.full((4, 4), 0.5) * 2.0
        values.append(made)
    return values[-1] * 1.0


@settings(deadline=None, max_examples=80)
@given(straight_code())
def test_random_code_with_writes_in_place(code):
    """On memory that is the user's, so that every write shows."""
    found = []
    for without in (None, (), tuple(PASSES)):
        values = [Tensor(data(4, 4, seed=k)) for k in range(3)]
        results = []
        if without is None:
            results += [evaluate(code, values).numpy().copy() for _ in range(2)]
        else:
            recording = fastnn.compiler.record(
                lambda v=values: evaluate(code, v), [], without=without
            )
            for _ in range(2):
                recording.run_many(1)
                results.append(recording.result.numpy().copy())
        found.append([*results, *(v.numpy().copy() for v in values)])
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


def test_a_clip_that_does_nothing_leaves_gradients_alone():
    model = mlp()
    (flat,) = flatten(model.parameters())
    flat.grad.numpy()[...] = 0.001
    for p in model.parameters():
        p.grad = p._grad_view
    before = flat.grad.numpy().copy()
    optimizers.clip_grad_norm_(model.parameters(), 1e3)
    np.testing.assert_array_equal(flat.grad.numpy(), before)
    optimizers.clip_grad_norm_(model.parameters(), 1e-3)
    assert np.abs(flat.grad.numpy()).max() < 0.001
