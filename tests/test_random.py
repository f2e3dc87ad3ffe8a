"""Random numbers: the generator's own test vectors, same bits everywhere, distributions, dropout."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, _core, gradcheck, ops, random
from fastnn._core import ops as op


def philox(counter, key):
    """Philox4x32-10 in plain integers."""
    c, k, low = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(q >> 32) ^ c[1] ^ k[0], q & low, (p >> 32) ^ c[3] ^ k[1], p & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


def test_philox_vectors():
    """Those published with the generator (Random123, kat_vectors)."""
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 0xFFFFFFFF
    assert philox([ones] * 4, [ones] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    want = [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    assert philox(pi, [0xA4093822, 0x299F31D0]) == want


def words(seed, counter, n, size):
    """n raw integers in the order of csrc/kernels/random.h."""
    made = []
    while len(made) < n:
        low = 0xFFFFFFFF
        key = [seed & low, seed >> 32]
        block = [
            philox([(counter + i) & low, (counter + i) >> 32 & low, 0, 0], key) for i in range(16)
        ]
        if size == 4:
            made += [block[t + 8 * h][q] for q in range(4) for t in range(8) for h in range(2)]
        else:
            made += [
                block[j][2 * q] | block[j][2 * q + 1] << 32 for q in range(2) for j in range(16)
            ]
        counter = (counter + 16) % 2**64
    return np.array(made[:n], np.uint64)


SEED, COUNTER = 0xFEDCBA9876543210, (1 << 32) - 7


def generator():
    made = random.Generator(SEED)
    made.set_state((SEED, COUNTER))
    return made


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 130])
def test_uniforms_are_philoxs_bits(n, isa):
    x = random.uniform(n, generator=generator())
    assert (x.numpy() == (words(SEED, COUNTER, n, 4) >> 8).astype("f4") * 2.0**-24).all()
    x = random.uniform(n, dtype="float64", generator=generator())
    assert (x.numpy() == (words(SEED, COUNTER, n, 8) >> 12).astype("f8") * 2.0**-52).all()


FILLS = {
    "uniform": lambda n, dtype, g: random.uniform(n, -0.3, 1.7, dtype=dtype, generator=g),
    "normal": lambda n, dtype, g: random.normal(n, 0.3, 1.7, dtype=dtype, generator=g),
    "bernoulli": lambda n, dtype, g: random.bernoulli(0.3, n, dtype=dtype, generator=g),
    "integers": lambda n, dtype, g: random.integers(-5, 17, n, generator=g),
    "permutation": lambda n, dtype, g: random.permutation(n, generator=g),
    "dropout": lambda n, dtype, g: ops.dropout(fastnn.full(n, 1.3, dtype), 0.3, generator=g),
}


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_on_every_isa_and_thread_count(name, dtype, threads):
    seen = set()
    for isa in [n for n, supported in _core.isa_compiled().items() if supported]:
        _core.isa_select(isa)
        for count in (1, 2, 4):
            with threads(count):
                seen.add(FILLS[name](100_003, dtype, generator()).numpy().tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("name", FILLS)
def test_a_short_fill_is_the_start_of_a_long_one(name):
    if name == "permutation":
        pytest.skip("a permutation of fewer is another one")
    long = FILLS[name](5000, "float32", generator()).numpy()
    for n in (1, 63, 64, 65, 4095, 4097):
        assert (FILLS[name](n, "float32", generator()).numpy() == long[:n]).all()


# --- distributions: fixed seeds, bounds of five standard errors ---

N = 1_000_000


def moments(x, mean, variance, fourth):
    """Mean and variance within five standard errors; fourth is the fourth central moment."""
    x = x.numpy().astype(np.float64)
    assert abs(x.mean() - mean) < 5 * math.sqrt(variance / len(x))
    assert abs(x.var() - variance) < 5 * math.sqrt((fourth - variance**2) / len(x))
    for lag in (1, 16, 64, 4096):  # neighbours in memory, in a vector, in a group, in a chunk
        correlation = np.corrcoef(x[:-lag], x[lag:])[0, 1]
        assert abs(correlation) < 5 / math.sqrt(len(x))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype, seed):
    x = random.uniform(N, -1, 3, dtype=dtype, generator=random.Generator(seed))
    assert x.numpy().min() >= -1 and x.numpy().max() < 3
    moments(x, 1, 16 / 12, 4**4 / 80)
    counts = np.histogram(x.numpy(), 100, (-1, 3))[0]
    chi2 = ((counts - N / 100) ** 2 / (N / 100)).sum()
    assert abs(chi2 - 99) < 5 * math.sqrt(2 * 99)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype, seed):
    x = random.normal(N, 2, 0.5, dtype=dtype, generator=random.Generator(seed))
    moments(x, 2, 0.25, 3 * 0.5**4)
    z = np.sort((x.numpy().astype(np.float64) - 2) / 0.5)
    # Kolmogorov and Smirnov's largest distance between the distribution functions
    want = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z[::100]])
    assert np.abs(want - np.arange(0, N, 100) / N).max() < 2.5 / math.sqrt(N)
    assert 4 < np.abs(z).max() < 6.7


def test_normals_are_accurate():
    """Box and Muller's formula in extended precision, from the same bits."""
    bits = words(SEED, COUNTER, 32, 8)
    radius, angle = bits[:16], bits[16:]
    u = (radius >> 12).astype("f8") * 2.0**-52 + 2.0**-53
    x = (((angle << np.uint64(2)) >> 12).astype("f8") * 2.0**-52 - 0.5) * (math.pi / 2)
    x += (angle >> 62).astype("f8") * (math.pi / 2)
    r = np.sqrt(-2 * np.log(u))
    want = np.concatenate([r * np.cos(x), r * np.sin(x)])
    got = random.normal(32, dtype="float64", generator=generator()).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


def test_bernoulli_and_integers():
    x = random.bernoulli(0.3, N, generator=random.Generator(3)).numpy()
    assert set(np.unique(x)) == {0, 1}
    assert abs(x.mean() - 0.3) < 5 * math.sqrt(0.21 / N)
    assert random.bernoulli(0.5, 4, dtype="bool").dtype == "bool"
    assert random.bernoulli(0.0, 1000).numpy().max() == 0
    assert random.bernoulli(1.0, 1000).numpy().min() == 1
    k = random.integers(-3, 7, N, generator=random.Generator(3)).numpy()
    counts = np.bincount(k + 3, minlength=10)
    assert len(counts) == 10 and abs(((counts - N / 10) ** 2).sum() / (N / 10) - 9) < 5 * math.sqrt(
        18
    )
    wide = random.integers(-(2**63), 2**63 - 1, 1000).numpy()
    assert wide.min() < -(2**62) and wide.max() > 2**62
    assert random.integers(5, shape=(2, 3), dtype="int32").dtype == "int32"


def test_permutation_and_shuffle():
    for n in (0, 1, 2, 5, 511, 512, 513, 60_000):
        p = random.permutation(n).numpy()
        assert (np.sort(p) == np.arange(n)).all()
    g = random.Generator(0)
    counts = np.zeros((5, 5))
    for _ in range(4000):
        counts[np.arange(5), random.permutation(5, generator=g).numpy()] += 1
    assert abs(counts - 800).max() < 5 * math.sqrt(800)
    x = Tensor(np.arange(20.0).reshape(10, 2))
    y = random.shuffle(x, generator=g).numpy()
    assert sorted(y[:, 0]) == sorted(x.numpy()[:, 0]) and (y[:, 1] - y[:, 0] == 1).all()


# --- generators ---


def test_generators_go_on_and_start_again():
    g = random.Generator(7)
    a, b = random.uniform(100, generator=g), random.uniform(100, generator=g)
    assert not (a.numpy() == b.numpy()).any()
    state = g.get_state()
    c = random.normal(33, generator=g)
    g.set_state(state)
    assert (random.normal(33, generator=g).numpy() == c.numpy()).all()
    g.manual_seed(7)
    assert (random.uniform(100, generator=g).numpy() == a.numpy()).all()
    fastnn.manual_seed(5)
    x, state = random.uniform(9), random.get_state()
    y = random.uniform(9)
    random.set_state(state)
    assert (random.uniform(9).numpy() == y.numpy()).all()
    fastnn.manual_seed(5)
    assert (random.uniform(9).numpy() == x.numpy()).all()
    assert random.Generator(-1).seed == 2**64 - 1
    assert random.Generator().get_state() != random.Generator().get_state()


def test_keys_of_one_generator_do_not_overlap():
    g = random.Generator(0)
    for n in (1, 31, 32, 33, 100):
        before = g.get_state()[1]
        g.key(n)
        assert g.get_state()[1] - before >= 16 * -(-n // 32)


def test_bad_arguments():
    with pytest.raises(ValueError, match="low .* must not be above high"):
        random.uniform(3, 2, 1)
    with pytest.raises(ValueError, match="must be finite"):
        random.normal(3, math.nan)
    with pytest.raises(ValueError, match="std must not be negative"):
        random.normal(3, 0, -1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        random.bernoulli(1.5, 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ops.dropout(fastnn.ones(3), -0.1)
    with pytest.raises(TypeError, match="float32"):
        ops.dropout(fastnn.ones(3, "int64"), 0.1)
    with pytest.raises(TypeError, match="random reals"):
        random.uniform(3, dtype="int64")
    with pytest.raises(ValueError, match="must be below high"):
        random.integers(3, 3)
    with pytest.raises(TypeError, match="seed must be an integer"):
        fastnn.manual_seed("lucky")
    with pytest.raises(ValueError, match="pair of integers"):
        random.set_state((1, 2, 3))
    with pytest.raises(ValueError, match="not be negative"):
        random.permutation(-1)
    with pytest.raises(ValueError, match="key is a contiguous int64 pair"):
        _core.launch(op.uniform, (Tensor([1, 2, 3]), fastnn.empty(4)), (0.0, 1.0))
    assert (random.uniform(10, 1, 1).numpy() == 1).all()


# --- dropout ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(dtype, p, isa):
    x = Tensor(np.linspace(1, 2, 100_001).astype(dtype), requires_grad=True)
    y = ops.dropout(x, p, generator=random.Generator(0))
    kept = y.numpy() != 0
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / x.size)
    np.testing.assert_allclose(y.numpy()[kept], (x.numpy() / (1 - p))[kept], rtol=1e-6)
    (dx,) = fastnn.grad(y, [x], fastnn.ones_like(y))
    assert ((dx.numpy() != 0) == kept).all()
    np.testing.assert_allclose(dx.numpy()[kept], 1 / (1 - p), rtol=1e-6)


def dropped(seed, counter, n, p):
    """Which of n elements dropout drops, as csrc/kernels/random.h has it."""
    low, groups = np.uint64(0xFFFFFFFF), -(-n // 128)
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    at = (np.uint64(counter) + np.arange(groups * 16, dtype="u8")).reshape(groups, 16)
    block = philox([at & low, at >> np.uint64(32), at * 0, at * 0], key)
    word = np.stack(block).reshape(4, groups, 2, 8).transpose(1, 0, 3, 2).reshape(groups, 64)
    draws = np.concatenate([word & np.uint64(0xFFFF), word >> np.uint64(16)], 1).ravel()[:n]
    whole = math.floor(p * 65536)
    gone = draws < whole
    for i in np.flatnonzero(draws == whole):
        first = (counter + int(i) // 128 * 16) % 2**64
        key = [seed & 0xFFFFFFFF, seed >> 32]
        word = philox([first & 0xFFFFFFFF, first >> 32, int(i) % 128, 1], key)[0]
        gone[i] = word < (p * 65536 - whole) * 2**32
    return gone


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.25, 0.3 + 2**-17, 1e-5, 1 - 1e-5])
def test_dropout_is_philoxs_bits(dtype, p, isa):
    n = 600_001  # enough for some draws that are p's whole part
    y = ops.dropout(fastnn.ones(n, dtype), p, generator=generator()).numpy()
    assert ((y == 0) == dropped(SEED, COUNTER, n, p)).all()


def test_dropout_of_a_little():
    """p counts to more than the 16 bits of a draw."""
    y = ops.dropout(fastnn.ones(3_000_000), 1e-5, generator=random.Generator(5)).numpy()
    assert 5 <= (y == 0).sum() <= 60


def test_dropout_at_the_ends_and_in_evaluation():
    x = Tensor([1.0, math.nan, math.inf])
    assert ops.dropout(x, 0.0) is x
    assert ops.dropout(x, 0.5, training=False) is x
    assert ops.dropout(x, 1.0).tolist() == [0, 0, 0]
    assert ops.alpha_dropout(x, 0.5, training=False) is x
    assert ops.gaussian_noise(x, 0.5, training=False) is x
    assert ops.dropout(fastnn.zeros((0, 3)), 0.5).shape == (0, 3)


def test_dropout_of_whole_channels_and_strided_inputs():
    x = fastnn.ones((50, 7, 11))
    y = ops.dropout(x, 0.5, noise_shape=(50, 1, 11), generator=random.Generator(0)).numpy()
    assert (y == y[:, :1]).all() and set(np.unique(y)) == {0, 2}
    a = np.arange(1.0, 13.0).reshape(3, 4)
    one = ops.dropout(Tensor(a.T), 0.5, generator=random.Generator(1)).numpy()
    two = ops.dropout(Tensor(a.T.copy()), 0.5, generator=random.Generator(1)).numpy()
    assert (one == two).all()


def test_alpha_dropout_keeps_mean_and_variance():
    x = random.normal(N, generator=random.Generator(0))
    y = ops.alpha_dropout(x, 0.2, generator=random.Generator(1)).numpy()
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.01


def test_gradients():
    x = Tensor(np.linspace(-1, 1, 77), requires_grad=True)
    for f in (ops.dropout, ops.alpha_dropout, ops.gaussian_noise):
        assert gradcheck(lambda x, f=f: f(x, 0.4, generator=random.Generator(3)), [x])
    y = ops.dropout(x, 0.4, generator=random.Generator(3))
    v = Tensor(np.ones(77), requires_grad=True)
    (dx,) = fastnn.grad(y, [x], v, create_graph=True)
    (back,) = fastnn.grad(dx, [v], Tensor(np.ones(77)))
    assert (back.numpy() == dx.numpy()).all()
