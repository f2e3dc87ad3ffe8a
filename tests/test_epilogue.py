"""Pointwise calls at the end of matrix products: the same bits as on their own, and only where that pays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Tensor, losses, nn, optimizers
from fastnn._core import launch
from fastnn._core import ops as op
from fastnn.compiler.chaincode import OUTPUT, REGISTER, Step, encode
from fastnn.compiler.passes import epilogue
from steps import names, programs_with_and_without


def data(*shape, seed=0, dtype=np.float32):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


@pytest.fixture
def always(monkeypatch):
    """Products of any size end with chains."""
    monkeypatch.setattr(epilogue, "FEW", 0)
    monkeypatch.setattr(epilogue, "MANY", 1 << 60)


def pointwise(name, *inputs):
    """A call of a pointwise op that no function has, such as a gradient's."""
    y = fastnn.empty(np.broadcast_shapes(*[x.shape for x in inputs]), inputs[0].dtype)
    launch(getattr(op, name), (*inputs, y))
    return y


def both(function, *arguments):
    """With the passes and without: the same bits. Returns the program with them."""
    return programs_with_and_without(function, arguments, ("epilogue", "chain"))[0]


def forms(a, b, y, row, column):
    """Ends of a product that a training step has, and others."""
    c = a @ b
    d = fastnn.dropout(a @ b, 0.3)
    return {
        "gradient": lambda: pointwise("relu_grad", y, c),
        "long gradient": lambda: pointwise("gelu_grad", y, c) * 2.0,
        "residual": lambda: fastnn.relu(c + row) + y,
        "dropout": lambda: d,
        "dropout and gradient": lambda: pointwise("relu_grad", y, d),
        "column": lambda: (c * column - row) / 3.0,
        "where": lambda: fastnn.where(c < y, c, row),
    }


FORMS = list(forms(*[data(1, 1)] * 5))
SHAPES = [
    (64, 40, 96),
    (33, 5, 129),
    (130, 300, 70),
    (200, 800, 60),
    (1, 50, 300),
    (300, 50, 1),
    (7, 1, 5),
]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_call_and_the_same_bits(name, dtype, always, isa, threads):
    for m, k, n in SHAPES:
        arguments = [data(m, k, dtype=dtype), data(k, n, seed=1, dtype=dtype)]
        arguments += [data(m, n, seed=2, dtype=dtype), data(n, seed=3, dtype=dtype)]
        arguments.append(data(m, 1, seed=4, dtype=dtype))
        for count in (1, 2, 4):
            with threads(count):
                program = both(lambda *x: forms(*x)[name](), *arguments)
            kept = [call for call in names(program) if call != "random_reserve"]
            assert kept == ["matmul_chain"], program.show()


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_as_rows(name, dtype, always, isa, threads):
    """A product that is computed as C^T and turned over ends with the same chain."""
    for m, k, n in [(48, 500, 310), (64, 801, 600)]:
        arguments = [data(m, k, dtype=dtype), data(n, k, seed=1, dtype=dtype)]
        arguments += [data(m, n, seed=2, dtype=dtype), data(n, seed=3, dtype=dtype)]
        arguments.append(data(m, 1, seed=4, dtype=dtype))
        for count in (1, 2):
            with threads(count):
                program = both(lambda a, w, *x: forms(a, w.T, *x)[name](), *arguments)
            assert "matmul_chain" in names(program)


def test_transposed_operands(always):
    a, b, y = data(90, 60), data(90, 80, seed=1), data(80, 60, seed=2)
    program = both(lambda a, b, y: pointwise("tanh_grad", y.T, a.T @ b), a, b, y)
    assert names(program) == ["matmul_chain"]
    both(lambda a, b, y: pointwise("tanh_grad", y, (a.T @ b).T), a, b, y)


def test_results_of_other_types_stay_apart(always):
    a, b = data(90, 60), data(60, 80, seed=1)
    assert names(both(lambda a, b: a @ b > 0, a, b)) == ["matmul", "less"]
    both(lambda a, b: (fastnn.relu(a @ b) * 2 > 1).astype("float32"), a, b)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 70)] * 3),
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=1, max_size=8
    ),
)
def test_random_ends(shape, steps):
    m, k, n = shape

    def run(a, b, y, row, column):
        c = first = a @ b
        known, kept = [y, row, column, y * 1.0, row * 1.0], []
        for kind, other, keep in steps:
            e = known[other]
            c = {
                0: lambda: fastnn.relu(c),
                1: lambda: c + e,
                2: lambda: e * c,
                3: lambda: pointwise("sigmoid_grad", c, c),
                4: lambda: fastnn.dropout(c, 0.25),
                5: lambda: fastnn.where(e < c, c, first),
                6: lambda: c @ fastnn.ones((n, n)) * 0.1,
            }[kind]()
            known[other] = c
            if keep:
                kept.append(c)
        return (*kept, c)

    before = epilogue.FEW, epilogue.MANY
    epilogue.FEW, epilogue.MANY = 0, 1 << 60
    try:
        both(run, data(m, k), data(k, n, seed=1), data(m, n, seed=2), data(n, seed=3), data(m, 1))
    finally:
        epilogue.FEW, epilogue.MANY = before


def test_memory_of_the_users_is_not_lost(always):
    state = data(40, 30)

    def add(a, b):  # the product may not be made where state lies: it is read after that
        c = a @ b
        launch(op.add, (state, c, state))
        launch(op.relu, (state, state))
        return state * 1.0

    made = []
    for without in ((), ("epilogue", "chain")):
        np.copyto(state.numpy(), data(40, 30).numpy())
        compiled = fastnn.compile(add, without=without)
        made.append([compiled(data(40, 9), data(9, 30)).numpy() for _ in range(3)])
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU])
def test_training_steps(activation, dropout, always):
    found = []
    for without in ((), ("epilogue", "chain")):
        fastnn.manual_seed(0)
        layers = [nn.Linear(20, 50), activation(), nn.Dropout(dropout)]
        layers += [nn.Linear(50, 50), activation(), nn.Dropout(dropout), nn.Linear(50, 4)]
        model = nn.Sequential(*layers)
        optimizer = optimizers.AdamW(model.parameters(), lr=1e-2)

        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = losses.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        compiled = fastnn.compile(step, without=without)
        x, y = data(64, 20), Tensor(np.arange(64) % 4)
        found.append([compiled(x, y).item() for _ in range(6)])
        assert ("matmul_chain" in names(compiled.latest.program)) is not bool(without)
    assert found[0] == found[1] and len(set(found[0])) == 6


def test_what_does_not_pay_is_left_alone():
    def gradient(a, b, y):
        return pointwise("relu_grad", y, a @ b)

    for m, k, n, fused in [
        (32, 64, 64, 0),
        (64, 64, 64, 1),
        (1024, 32, 256, 1),
        (1024, 512, 256, 0),
    ]:
        program = both(gradient, data(m, k), data(k, n), data(m, n))
        assert ("matmul_chain" in names(program)) == fused
    both(lambda a, b: (a @ b, fastnn.gelu(a @ b)), data(64, 64), data(64, 64))


def test_weights_are_packed_for_products_with_chains():
    linear = nn.Linear(40, 200)
    x, y = data(70, 40), data(70, 200)

    def run(x, y):
        with fastnn.no_grad():
            return fastnn.relu(linear(x) * y + x.sum())

    compiled = fastnn.compile(run)
    got = [compiled(x, y).numpy() for _ in range(2)]
    assert "matmul_chain" in names(compiled.latest.program)
    assert [call.name for call in compiled.latest.program.prologue] == ["gemm_pack"]
    for result in got:
        np.testing.assert_array_equal(result, run(x, y).numpy())


def test_it_reads_like_an_expression(always):
    program = both(
        lambda a, b, y: pointwise("relu_grad", y, (a @ b) * 2.0),
        *[data(64, 64, seed=k) for k in range(3)],
    )
    assert "relu_grad(" in program.show() and "mul(" in program.show() and "@" in program.show()


# --- the op ---


def product(code, *e, a=None, c=None, bias=None):
    c = fastnn.zeros((6, 4)) if c is None else c
    a = data(6, 3) if a is None else a
    launch(op.matmul_chain, (a, data(3, 4), bias, code, *e, *[None] * (3 - len(e)), c))
    return c


def test_a_chain_of_its_own():
    code = encode([Step(op.mul, REGISTER, (OUTPUT, 0), ()), Step(op.relu, OUTPUT, (REGISTER,), ())])
    bias, row = data(4, seed=5), data(4, seed=6)
    want = np.maximum((data(6, 3) @ data(3, 4) + bias).numpy() * row.numpy(), 0)
    np.testing.assert_array_equal(product(code, row, bias=bias).numpy(), want)
    assert product(code, row, a=data(0, 3), c=fastnn.zeros((0, 4))).shape == (0, 4)
    ones = encode([Step(op.exp, OUTPUT, (OUTPUT,), ())])
    c = fastnn.zeros((6, 4))
    launch(op.matmul_chain, (data(6, 0), data(0, 4), None, ones, None, None, None, c))
    np.testing.assert_array_equal(c.numpy(), np.ones((6, 4)))


def test_what_does_not_fit_is_refused():
    double = encode([Step(op.add, OUTPUT, (OUTPUT, 0), ())])
    with pytest.raises(ValueError, match="word 0"):
        product(double)  # no e0
    with pytest.raises(ValueError, match="word 0"):
        product(encode([Step(op.add, OUTPUT + 1, (OUTPUT, OUTPUT), ())]))
    for e in (data(5), data(5, 4), data(6, 3), data(1, 6, 4)):
        with pytest.raises(ValueError, match="broadcast"):
            product(double, e)
    with pytest.raises(TypeError, match="real dtype"):
        product(double, data(6, 4, dtype=np.float64))
    with pytest.raises(ValueError, match="contiguous"):
        product(double, data(6, 4), c=fastnn.zeros((4, 6)).T)
    with pytest.raises(ValueError, match="shapes must be"):
        product(double, data(6, 4), a=data(6, 5))
