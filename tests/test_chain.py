"""Chains of pointwise calls: the same bits as the calls one by one, and code that does not fit is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Tensor, _core
from fastnn._core import launch
from fastnn._core import ops as op
from fastnn.compiler.chaincode import INPUTS, OUTPUT, OUTPUTS, REGISTER, Step, decode, encode
from steps import programs_with_and_without

UNARY = ["relu", "tanh", "sigmoid", "gelu", "abs", "square", "neg", "exp", "softplus", "silu"]
BINARY = ["add", "sub", "mul", "maximum", "minimum", "relu_grad", "gelu_grad", "tanh_grad"]


def both(function, *arguments, calls=None):
    """A function compiled with the pass and without it, from the same seed: the same bits, maybe fewer calls."""
    programs = programs_with_and_without(function, arguments, ("chain",))
    if calls is not None:
        assert len(programs[0].calls) == calls, programs[0].show()
    assert len(programs[0].calls) <= len(programs[1].calls)
    return programs[0]


def data(*shape, seed=0, dtype=np.float32):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def gelu_by_hand(x):
    return 0.5 * x * (1.0 + fastnn.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (1031,), (3, 5000), (257, 31), (4, 3, 700), (2000, 1)])
def test_a_function_by_hand_is_one_call(shape, dtype, isa, threads):
    for count in (1, 2, 4):
        with threads(count):
            program = both(gelu_by_hand, data(*shape, dtype=dtype), calls=1)
    assert "chain: mul(mul(" in program.show() and "tanh(" in program.show()


@st.composite
def programs(draw):
    """Steps that each take two of what is there; whether a result is kept, and whether it is written over an
    earlier one."""
    steps = []
    for _ in range(draw(st.integers(2, 14))):
        kind = draw(
            st.sampled_from(["unary", "binary", "where", "dropout", "in place", "sum", "turn"])
        )
        steps.append(
            (
                kind,
                draw(st.sampled_from(UNARY if kind == "unary" else BINARY)),
                draw(st.integers(0, 9)),
                draw(st.integers(0, 9)),
                draw(st.booleans()),
            )
        )
    shape = draw(st.sampled_from([(1,), (7,), (33, 65), (5, 1100), (129, 1), (2, 3, 40)]))
    return shape, draw(st.sampled_from([np.float32, np.float64])), steps


def interpret(steps, x, row, column, state):
    """Run the steps. Operands come from a list of full and of broadcast tensors, results go onto it."""
    known, kept = [x, row, column, state, x * 0.5], []
    for kind, name, i, j, keep in steps:
        a, b = known[i % len(known)], known[j % len(known)]
        if kind == "unary":
            y = fastnn.empty(a.shape, a.dtype)
            scalars = (1.0, 20.0) if name == "softplus" else ()
            launch(getattr(op, name), (a, y), scalars)
        elif kind == "binary":
            y = fastnn.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
            launch(getattr(op, name), (a, b, y))
        elif kind == "where":
            y = fastnn.where((a < b) & (a < 1), a, b * 2)
        elif kind == "dropout":
            y = fastnn.dropout(x + a, 0.4)
        elif kind == "in place":  # memory of the user's, read before and after
            launch(op.mul, (state, a, state))
            y = state
        elif kind == "sum":
            y = (a * b).sum() + b
        else:
            y = (x.T + 1.0).T if x.ndim == 2 else x[::-1] + a
        known.append(y)
        if keep:
            kept.append(y)
    return (*kept, known[-1], state * 1.0)


@settings(max_examples=150, deadline=None)
@given(programs())
def test_random_programs(program):
    shape, dtype, steps = program
    x = data(*shape, dtype=dtype)
    row, column = data(shape[-1], seed=1, dtype=dtype), data(*shape[:-1], 1, seed=2, dtype=dtype)

    def run(x, row, column):
        state = fastnn.zeros(shape, dtype) + 1.5
        return interpret(steps, x, row, column, state)

    both(run, x, row, column)


def test_threads_and_isas(isa, threads):
    x, row = data(300, 500), data(500, seed=1)

    def run(x, row):
        y = fastnn.dropout(fastnn.relu(x + row), 0.3)
        return y * x, fastnn.where(y < row, fastnn.exp(-y), row)

    for count in (1, 2, 4):
        with threads(count):
            # reserve, add to where; the three tensors that row makes are of another shape
            program = both(run, x, row)
            assert sum(call.op == op.chain for call in program.calls) == 1


def test_memory_of_the_users_is_written_in_order():
    state = data(50)

    def run(x):
        launch(op.add, (state, x, state))
        y = state * 2
        total = y.sum()
        launch(op.mul, (state, x, state))
        return fastnn.exp(y) + state, total

    before = state.numpy().copy()
    seen = []
    for without in ((), ("chain",)):
        np.copyto(state.numpy(), before)
        compiled = fastnn.compile(run, without=without)
        seen.append([[r.numpy() for r in compiled(data(50, seed=k))] for k in range(3)])
        seen[-1].append([state.numpy().copy()])
    for a, b in zip(*seen, strict=True):
        for p, q in zip(a, b, strict=True):
            np.testing.assert_array_equal(p, q)


def test_overlapping_views_are_left_alone():
    def run(x):
        z = x.clone()
        y = z * 2
        launch(op.add, (y[:-1], y[1:], z[1:]))  # writes part of what the first call reads
        return y + z

    both(run, data(2000))


def test_long_chains_are_cut_where_registers_or_outputs_end():
    def many_outputs(x):
        return tuple(fastnn.relu(x * float(k)) for k in range(6))

    def deep(x):
        parts = [x * (k + 0.5) for k in range(20)]
        while len(parts) > 1:
            parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)] + parts[
                len(parts) // 2 * 2 :
            ]
        return parts[0]

    both(many_outputs, data(3000))
    both(deep, data(3000))


def test_a_chain_that_saves_nothing_is_left_alone():
    both(lambda x, y: (x * 2.0, y * 2.0), data(3000), data(3000, seed=1), calls=2)
    both(lambda x: (x * 2.0) * x, data(10), calls=2)  # too short


# --- the op ---


def run_chain(code, inputs, outputs):
    if not isinstance(code, _core.Array):
        code = Tensor(np.array(code, np.int64))
    arrays = (code, *inputs, *[None] * (INPUTS - len(inputs)), *outputs)
    launch(op.chain, (*arrays, *[None] * (OUTPUTS - len(outputs))))


def test_code_is_read_as_it_was_written():
    steps = [
        Step(op.clip, REGISTER, (0,), (-0.25, 1e300)),
        Step(op.add, OUTPUT, (REGISTER, 1), ()),
    ]
    assert decode(encode(steps)) == steps


def test_an_output_may_be_an_input_that_is_still_read():
    x, y = data(5000), data(5000, seed=1)
    want = x.numpy() * y.numpy()
    code = encode([Step(op.mul, OUTPUT, (0, 1), ()), Step(op.sub, OUTPUT + 1, (0, OUTPUT), ())])
    difference = fastnn.empty((5000,))
    before = x.numpy().copy()
    run_chain(code, (x, y), (x, difference))
    np.testing.assert_array_equal(x.numpy(), want)
    np.testing.assert_array_equal(difference.numpy(), before - want)


def word(number, to, *operands):
    """The first word of an instruction."""
    return number | to << 16 | sum(place << (24 + 8 * k) for k, place in enumerate(operands))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ([], "not written"),
        ([-1], "word 0"),
        ([word(60000, OUTPUT, 0)], "word 0"),
        ([word(op.matmul, OUTPUT, 0, 0)], "word 0"),
        ([word(op.uniform, OUTPUT, 0)], "word 0"),
        ([word(op.floor_divide, OUTPUT, 0, 0)], "word 0"),
        ([word(op.exp, OUTPUT, 1)], "word 0"),  # no such input
        ([word(op.exp, OUTPUT, 7)], "word 0"),
        ([word(op.exp, OUTPUT, REGISTER)], "word 0"),  # read before it was written
        ([word(op.exp, OUTPUT, OUTPUT)], "word 0"),
        ([word(op.exp, OUTPUT, 200)], "word 0"),
        ([word(op.exp, 0, 0)], "word 0"),  # an input is not written
        ([word(op.exp, 7, 0)], "word 0"),
        ([word(op.exp, OUTPUT + 1, 0)], "word 0"),  # no such output
        ([word(op.exp, OUTPUT + 3, 0)], "word 0"),
        ([word(op.exp, OUTPUT, 0) | 1 << 48], "word 0"),
        ([word(op.clip, OUTPUT, 0), 0], "word 0"),  # one of its two scalars
        ([word(op.isnan, OUTPUT, 0)], "word 0"),  # a bool into a real output
        ([word(op.logical_not, OUTPUT, 0)], "word 0"),
        ([word(op.isnan, REGISTER, 0), word(op.exp, OUTPUT, REGISTER)], "word 1"),
        ([word(op.dropout, OUTPUT, 0, 0), 0, 0, 0, 0], "word 0"),  # x is no key
        ([word(op.exp, OUTPUT, 0)] + 32 * [word(op.exp, REGISTER, 0)], "word 32"),
    ],
)
def test_code_that_does_not_fit_is_refused(code, why):
    x, y = data(10), fastnn.zeros((10,))
    with pytest.raises(ValueError, match=why):
        run_chain(code, (x,), (y,))
    assert not y.numpy().any()


def test_arrays_that_do_not_fit_are_refused():
    x, one = data(4, 6), [word(op.add, OUTPUT, 0, 1)]
    cases = [
        ((x, data(5)), (fastnn.empty((4, 6)),), ValueError, "broadcast"),
        ((x, data(1, 4, 6)), (fastnn.empty((4, 6)),), ValueError, "broadcast"),
        ((x, x), (fastnn.empty((4, 6)).T,), ValueError, "broadcast"),
        ((x, x), (fastnn.empty((6, 4)).T,), ValueError, "contiguous"),
        ((x, x), (fastnn.empty((4, 6)), fastnn.empty((4, 6))), ValueError, "not written"),
        ((x, data(4, 6, dtype=np.float64)), (fastnn.empty((4, 6)),), TypeError, "one real dtype"),
        ((x, Tensor(np.arange(24).reshape(4, 6))), (fastnn.empty((4, 6)),), TypeError, "keys"),
    ]
    for inputs, outputs, error, why in cases:
        with pytest.raises(error, match=why):
            run_chain(one, inputs, outputs)
    with pytest.raises(TypeError, match="words"):
        run_chain(Tensor(np.zeros((2, 2), np.int64)), (x,), (fastnn.empty((4, 6)),))
    cube = data(2, 3, 4)
    with pytest.raises(ValueError, match="rows and columns"):
        run_chain(one, (cube, data(3, 1)), (fastnn.empty((2, 3, 4)),))


def test_scalars_reach_the_op():
    x, y = data(100), fastnn.empty((100,))
    bits = [struct.unpack("<q", struct.pack("<d", v))[0] for v in (-0.5, 0.25)]
    run_chain([word(op.clip, OUTPUT, 0), *bits], (x,), (y,))
    np.testing.assert_array_equal(y.numpy(), x.numpy().clip(-0.5, 0.25))


def test_empty_arrays():
    run_chain([word(op.exp, OUTPUT, 0)], (data(0, 4),), (fastnn.empty((0, 4)),))
    run_chain([word(op.exp, OUTPUT, 0)], (data(4, 0),), (fastnn.empty((4, 0)),))
