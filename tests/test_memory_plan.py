"""The arena: nothing that is needed is overwritten, and results written onto dying inputs keep their bits."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from cases import CASES
from fastnn import Tensor, _core, nn, optimizers
from fastnn.compiler.passes import PASSES, run_passes
from fastnn.compiler.passes.alias import _PAIRS, onto
from fastnn.compiler.passes.chain import fuse_chains
from fastnn.compiler.passes.dead import drop_dead_calls
from fastnn.compiler.passes.memory import _joined, _lives, _needed_at_once, plan_memory
from fastnn.compiler.program import Program, span
from fastnn.compiler.trace import trace
from steps import data


def apart(program):
    """The program with memory of its own for each temporary."""
    places, end = {}, 0
    for buffer in program.temporaries():
        places[id(buffer)] = end
        end += -(-max(buffer.size, 1) // 64) * 64
    return replace(program, places=places, arena=end)


def block_step(norm=nn.LayerNorm, activation=nn.GELU, depth=3, width=24, batch=16):
    """A training step with residuals, norms and dropout."""
    fastnn.manual_seed(0)
    layers = [
        nn.Sequential(norm(width), nn.Linear(width, width), activation(), nn.Dropout(0.2))
        for _ in range(depth)
    ]
    head = nn.Linear(width, 4)
    params = [p for layer in (*layers, head) for p in layer.parameters()]
    optimizer = optimizers.AdamW(params, clip_norm=1.0)

    def step(x, y):
        optimizer.zero_grad()
        for layer in layers:
            x = x + layer(x)
        loss = fastnn.losses.cross_entropy(head(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, Tensor(data(batch, width)), Tensor(np.arange(batch) % 4)


STEPS = {
    "layer norm": {},
    "batch norm": {"norm": nn.BatchNorm1d, "activation": nn.SiLU},
    "deep": {"depth": 20, "width": 8},
}


def check_plan(program):
    """No two temporaries overlap while both are needed, but where a call writes one onto the other."""
    blocks = _joined(program, _lives(program))
    for block in blocks:
        assert len({program.places[id(b)] for b in block.buffers}) == 1
    for k, a in enumerate(blocks):
        for b in blocks[:k]:
            p, q = (program.places[id(x.buffers[0])] for x in (a, b))
            assert a.last < b.first or b.last < a.first or p + a.size <= q or q + b.size <= p
    for call in program.calls:
        for view in filter(None, call.views):
            if view.buffer.array is None:
                low, high = span(view)
                assert low >= 0 and high <= view.buffer.size
                assert program.places[id(view.buffer)] + high <= program.arena
    return _needed_at_once(blocks, len(program.calls))


@pytest.mark.parametrize("name", STEPS)
def test_steps_fit_into_what_is_needed_at_once(name):
    step, x, y = block_step(**STEPS[name])
    program = run_passes(trace(lambda: step(x, y), [x, y])[0])
    bound = check_plan(program)
    assert program.arena <= 1.03 * bound
    assert bound < sum(b.size for b in program.temporaries()) / 2


@pytest.mark.parametrize("name", STEPS)
def test_sharing_memory_changes_no_bit(name):
    found = []
    for plan in (apart, plan_memory):
        step, x, y = block_step(**STEPS[name])
        program, loss, _ = trace(lambda: step(x, y), [x, y])
        ready = plan(program).lower()
        run = []
        for _ in range(4):
            ready.run()
            run.append(loss.item())
        found.append(run)
    assert found[0] == found[1] and len(set(found[0])) == 4


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_threads_that_share_memory_keep_out_of_each_others_way(norm, threads):
    """Calls large enough for a team, in an arena where each place is used many times."""
    found = []
    for plan, count in [(apart, 1), *((plan_memory, n) for n in (1, 2, 4))]:
        with threads(count):
            step, x, y = block_step(norm, nn.ReLU, width=256, batch=192)
            program, loss, _ = trace(lambda step=step, x=x, y=y: step(x, y), [x, y])
            for transform in PASSES.values():
                program = transform(program)
            ready = plan(program).lower()
            run = []
            for _ in range(6):
                ready.run()
                run.append(loss.item())
        found.append(run)
    assert count == 1 or max(step[0] for step in ready.steps()) > 1
    assert all(run == found[0] for run in found) and len(set(found[0])) == 6


def restore(pieces, values):
    for piece, value in zip(pieces, values, strict=True):
        if piece.flags.writeable:
            piece[...] = value


def run_both_ways(program):
    """Run call by call, each also onto what it may overwrite. Returns how often each op was."""
    program = apart(program)
    arena = _core.empty(_core.Array, (max(program.arena, 1),), 4)
    np.asarray(memoryview(arena))[...] = 0
    seen = Counter()
    for call in program.calls:
        arrays = [None if v is None else program._array(v, arena) for v in call.views]
        pieces = [np.asarray(memoryview(a)) for a in (arena, *arrays) if a is not None]
        before = [piece.copy() for piece in pieces]
        _core.launch(call.op, tuple(arrays), call.scalars)
        wanted = [piece.copy() for piece in pieces]
        outputs = len(_core.op_info(call.op)[2].split("->")[0].split())
        for x, y in onto(call):
            i, j = call.views.index(x), len(call.views) - 1 - call.views[::-1].index(y)
            assert j >= outputs
            if arrays[i].readonly:
                continue
            restore(pieces, before)
            onto_x = list(arrays)
            onto_x[j] = _core.view(_core.Array, arrays[i], y.shape, y.strides)
            _core.launch(call.op, tuple(onto_x), call.scalars)
            results = [np.asarray(memoryview(a)).copy() for a in onto_x[outputs:] if a is not None]
            restore(pieces, wanted)
            expected = [np.asarray(memoryview(a)) for a in arrays[outputs:] if a is not None]
            for a, b in zip(results, expected, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{call.name} onto its input {i}")
            seen[call.name] += 1
    return seen


def case_program(case, real):
    """A case with its gradients."""
    rng = np.random.default_rng(0)
    dims = {s: 7 for a in case.args for s in a.shape.split() if not s.isdigit()}
    dims |= {s: sizes[-1] for s, sizes in case.sizes.items()} | case.large
    arrays = [Tensor(a.make(rng, dims, real)) for a in case.args]
    for x in arrays:
        x._requires_grad = x.dtype.is_float and case.gradient

    def step():
        y = case.call(*arrays)
        y = y[0] if isinstance(y, (tuple, list)) else y
        if y.requires_grad:
            (y * y).sum().backward()
        return y

    return trace(step, [])[0]


def more_steps():
    """Gradients of losses that have sums, and norms in evaluation."""
    x = Tensor(data(6, 5), requires_grad=True)
    part = Tensor(np.full((6, 5), 0.2, np.float32))
    losses = fastnn.losses
    fastnn.softmax(nn.BatchNorm1d(5).eval()(x), axis=0).square().sum().backward()
    for smoothing in (0.0, 0.1):
        losses.cross_entropy(x * 2, np.arange(6) % 5, label_smoothing=smoothing).backward()
        losses.cross_entropy(x * 2, part * 1, label_smoothing=smoothing).backward()
    for loss in (losses.mse, losses.mae, losses.huber, losses.bce):
        loss(fastnn.sigmoid(x), part * 1).backward()
    losses.bce_with_logits(x * 2, part * 1).backward()
    return x.grad


def pointwise():
    """What becomes a chain with two results, of which the first is made before the inputs are all read."""
    x = Tensor(data(40, 40))
    a, b = x @ x, x @ x.T
    y = fastnn.relu(a) * b
    return y, fastnn.dropout(y * a, 0.5) + b


def test_every_op_that_may_write_onto_an_input_gives_the_same_bits():
    seen = Counter()
    for case in CASES:
        try:
            program = case_program(replace(case, large={}), np.float32)
        except fastnn.RecordingError:
            continue  # functions whose result's shape depends on values
        seen += run_both_ways(program)
    for name in STEPS:
        step, x, y = block_step(**STEPS[name])
        seen += run_both_ways(trace(lambda step=step, x=x, y=y: step(x, y), [x, y])[0])
        seen += run_both_ways(fuse_chains(trace(lambda step=step, x=x, y=y: step(x, y), [x, y])[0]))
    seen += run_both_ways(trace(more_steps, [])[0])
    chained = fuse_chains(trace(pointwise, [])[0])
    seen += run_both_ways(chained)
    assert not sorted(set(_PAIRS) - set(seen)), "not tried"
    assert {"add", "relu_grad", "gelu_grad", "where", "clip_grad", "exp", "chain"} <= set(seen)


@st.composite
def expressions(draw):
    """Random straight-line code over a few values of two shapes: op, operands."""
    lines = []
    for i in range(draw(st.integers(1, 25))):
        op = draw(st.sampled_from(["add", "mul", "exp", "transpose", "matmul", "slice", "softmax",
                                   "sum", "setitem"]))  # fmt: skip
        lines.append((op, draw(st.integers(0, i + 1)), draw(st.integers(0, i + 1))))
    return lines, draw(st.sets(st.integers(0, len(lines) - 1), max_size=3))


def evaluate(lines, results, x, y):
    values = [x, y]
    for op, i, j in lines:
        a, b = values[i], values[j]
        if op == "add":
            made = a + b
        elif op == "mul":
            made = a * b * 0.5
        elif op == "exp":
            made = fastnn.tanh(fastnn.exp(a))
        elif op == "transpose":
            made = a.T
        elif op == "matmul":
            made = fastnn.tanh(a @ b)
        elif op == "slice":
            made = fastnn.concat([a[2:], b[:2]], axis=0)
        elif op == "softmax":
            made = fastnn.softmax(a, axis=0)
        elif op == "sum":
            made = a + b.sum(axis=0, keepdims=True) * 0.125
        else:
            made = a * 1.0
            made[1:3] = b[0:2]
        values.append(made)
    return [values[i + 2] for i in sorted(results)] + [values[-1]]


@settings(deadline=None, max_examples=60)
@given(expressions())
def test_random_programs(code):
    x, y = Tensor(data(4, 4)), Tensor(data(4, 4, seed=1))
    found = []
    for plan in (apart, plan_memory):
        program, results, _ = trace(lambda: evaluate(*code, x, y), [x, y])
        planned = plan(drop_dead_calls(program))
        if plan is plan_memory:
            check_plan(planned)
        ready = planned.lower()
        for _ in range(2):
            ready.run()
        found.append([r.numpy().copy() for r in results])
    for a, b, c in zip(*found, evaluate(*code, x, y), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c.numpy())


def test_an_empty_program_has_an_empty_plan():
    assert plan_memory(Program([])).arena == 0


# --- what is printed, and the limit ---
