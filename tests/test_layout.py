"""Images whose channels come last in memory stay so, without a copy; parameters keep their order too."""

import copy
import math
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn, ops, random
from fastnn.flat import flatten

SHAPE = (3, 5, 4, 6)  # N, C, H, W


def images(seed=0, shape=SHAPE, dtype="float32", requires_grad=False):
    """Images whose channels come last in memory."""
    n, c, *places = shape
    values = np.random.default_rng(seed).standard_normal((n, *places, c)).astype(dtype)
    return Tensor(np.moveaxis(values, -1, 1), requires_grad=requires_grad)


def channels_last(x):
    return np.moveaxis(np.asarray(x), 1, -1).flags.c_contiguous


OTHER = images(1)
PLAIN = Tensor(np.ascontiguousarray(images(2).numpy()))
BIAS = Tensor(np.arange(5, dtype="float32").reshape(5, 1, 1))

POINTWISE = {
    "add": lambda x: x + 1,
    "reflected": lambda x: 2 - x,
    "two": lambda x: x * OTHER,
    "row-major second": lambda x: x + PLAIN,
    "row-major first": lambda x: PLAIN * x,
    "bias": lambda x: x + BIAS,
    "bias first": lambda x: BIAS + x,
    "relu": ops.relu,
    "gelu": ops.gelu,
    "exp": ops.exp,
    "neg": ops.neg,
    "clip": lambda x: ops.clip(x, -0.5, 0.5),
    "compare": lambda x: x > 0,
    "isnan": ops.isnan,
    "logic": lambda x: ~(x > 0) | (x < -1),
    "where": lambda x: ops.where(x > 0, x, 0.0),
    "where condition": lambda x: ops.where(x > 0, 1.0, 0.0),
    "maximum": lambda x: ops.maximum(0.0, x),
    "astype": lambda x: x.astype("float64"),
    "bool": lambda x: x.astype("bool"),
    "clone": ops.clone,
    "empty_like": fastnn.empty_like,
    "zeros_like": fastnn.zeros_like,
    "ones_like": fastnn.ones_like,
    "dropout": lambda x: ops.dropout(x, 0.5, generator=random.Generator(3)),
    "channels": lambda x: ops.dropout(
        x, 0.5, noise_shape=(3, 5, 1, 1), generator=random.Generator(3)
    ),
    "noise": lambda x: ops.gaussian_noise(x, 1.0, generator=random.Generator(3)),
    "softmax": lambda x: ops.softmax(x, 1),
    "log_softmax": lambda x: ops.log_softmax(x, 2),
    "rows": lambda x: x.take([2, 0, 1, 1]),
    "some channels": lambda x: x.take([4, 1], 1),
    "concat": lambda x: ops.concat([x, x], 1),
    "pad": lambda x: ops.pad(x, [(0, 0), (0, 0), (1, 2), (0, 1)]),
    "part": lambda x: ops.relu(x[:, :, ::2, 1:]),
    "sums": lambda x: x.sum(axis=(2, 3), keepdims=True) * x,
    "one axis": lambda x: x.max(axis=3),
}


@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_channels_stay_last(name, how):
    function = POINTWISE[name]
    x = images()
    got = fastnn.compile(function)(x) if how == "compiled" else function(x)
    assert channels_last(got)
    if name in ("dropout", "noise", "empty_like"):  # which elements are drawn goes by memory
        return
    want = function(Tensor(np.ascontiguousarray(x.numpy())))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3), (2, 0, 3, 1)])
def test_any_order_of_axes_is_kept(order):
    lies = np.random.default_rng(0).standard_normal((3, 4, 5, 2)).astype("float32")
    x = Tensor(lies).permute(order)
    y = ops.exp(x) * 2
    assert y.strides == x.strides
    np.testing.assert_allclose(y.numpy(), np.exp(x.numpy()) * 2, rtol=1e-6)
    np.testing.assert_array_equal(x.take([1, 0, 1], 2).numpy(), x.numpy()[:, :, [1, 0, 1]])
    two = Tensor(np.array([[1, 0], [0, 1]]))
    np.testing.assert_array_equal(x.take(two, 1).numpy(), x.numpy()[:, [[1, 0], [0, 1]]])


def test_axes_that_say_nothing_stay_in_their_places():
    x = Tensor(np.zeros((2, 1, 4, 5), "float32"))
    assert (x + 1).strides == x.strides
    wide = ops.broadcast_to(Tensor(np.zeros((2, 3, 1, 1), "float32")), (2, 3, 4, 5))
    assert (wide + 1).is_contiguous()
    matrix = Tensor(np.zeros((4, 3), "float32")).T
    assert (matrix + 1).is_contiguous() and fastnn.zeros_like(matrix).is_contiguous()


@pytest.mark.parametrize("axes", [None, (2, 3), (0, 2, 3), 1, (1, 2), 0, (0, 1)])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "prod", "logsumexp"])
def test_reductions(name, axes):
    x = images(4, (6, 17, 9, 5))
    plain = Tensor(np.ascontiguousarray(x.numpy()))
    got, want = (getattr(ops, name)(v, axes) for v in (x, plain))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-5, atol=1e-5)
    if name in ("max", "min"):
        where = getattr(ops, f"arg{name}")
        np.testing.assert_array_equal(where(x, axes).numpy(), where(plain, axes).numpy())


def test_gradients_lie_as_their_tensors():
    x = images(requires_grad=True)
    w = Tensor(np.ones((1, 5, 1, 1), "float32"), requires_grad=True)
    y = ops.relu(x * w) + ops.dropout(x, 0.5)
    y.retain_grad()
    ops.mean(y).backward()
    assert channels_last(x.grad)
    first = x.grad.numpy().copy()
    loss = ops.flatten(ops.gelu(x), 1).sum()  # whose gradient comes row-major
    loss.backward()
    assert channels_last(x.grad) and not np.array_equal(first, x.grad.numpy())


def test_dropout_drops_the_same_elements_of_the_gradient():
    x = images(requires_grad=True)
    y = ops.dropout(x, 0.5)
    plain = Tensor(np.ones(SHAPE, "float32"))  # row-major, unlike x
    y.backward(plain)
    np.testing.assert_array_equal(y.numpy() != 0, x.grad.numpy() != 0)


def test_a_batch_enters_without_a_copy():
    memory = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype("float32")
    x = Tensor(memory.transpose(0, 3, 1, 2))
    assert np.shares_memory(x.numpy(), memory) and x.shape == (2, 3, 16, 16)
    compiled = fastnn.compile(lambda x: ops.relu(x * 2 + 1).sum(axis=(2, 3)))
    want = ops.relu(x * 2 + 1).sum(axis=(2, 3))
    np.testing.assert_array_equal(compiled(memory.transpose(0, 3, 1, 2)).numpy(), want.numpy())
    names = [call.name for call in compiled.latest.program.calls]
    assert names == ["chain", "sum"]
    np.testing.assert_array_equal(compiled(x).numpy(), want.numpy())
    assert repr(compiled).endswith("1 recording)")
    plain = np.ascontiguousarray(x.numpy())  # another order: sums may have other last bits
    np.testing.assert_allclose(compiled(plain).numpy(), want.numpy(), rtol=1e-6)
    assert repr(compiled).endswith("2 recordings)")


class Kernel(nn.Module):
    """A module with a weight whose channels come last."""

    def __init__(self, seed=0):
        super().__init__()
        self.weight = nn.Parameter(images(seed, (4, 3, 2, 2)).numpy())
        self.bias = nn.Parameter(np.zeros((4, 1, 1), "float32"))

    def forward(self, x):
        return (x.reshape(-1, 1, 3, 2, 2) * self.weight).sum(axis=(2, 3, 4)) + self.bias[:, 0, 0]


def batch():
    return images(7, (10, 3, 2, 2))


def test_flat_memory_keeps_the_order():
    model = Kernel()
    before = model.weight.numpy().copy()
    (flat,) = flatten(model.parameters())
    assert channels_last(model.weight)
    np.testing.assert_array_equal(model.weight.numpy(), before)
    at = flat.offset(model.weight)
    lies = flat.data.numpy()[at : at + 48].reshape(4, 2, 2, 3)
    np.testing.assert_array_equal(lies.transpose(0, 3, 1, 2), before)
    ops.square(model(batch())).sum().backward()
    assert channels_last(model.weight.grad) and model.weight.grad is model.weight._grad_view
    got = flat.grad.numpy()[at : at + 48].reshape(4, 2, 2, 3).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(got, model.weight.grad.numpy())


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: fastnn.optimizers.SGD(p, lr=0.1, momentum=0.9),
        lambda p: fastnn.optimizers.Adam(p, lr=0.1),
        lambda p: fastnn.optimizers.AdamW(p, lr=0.1, weight_decay=0.1),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_the_same_in_either_order(optimizer, compiled):
    ends = []
    for order in ("channels last", "row-major"):
        model = Kernel()
        if order == "row-major":
            model.weight = nn.Parameter(np.ascontiguousarray(model.weight.numpy()))
        chosen = optimizer(model.parameters())

        def step(x, model=model, chosen=chosen):
            chosen.zero_grad()
            loss = ops.square(model(x)).mean()
            loss.backward()
            chosen.step()
            return loss

        run = fastnn.compile(step) if compiled else step
        for _ in range(3):
            run(batch())
        assert channels_last(model.weight) == (order == "channels last")
        ends.append((model.weight.numpy().copy(), chosen.state_dict()))
    np.testing.assert_allclose(*[weight for weight, _ in ends], rtol=1e-4, atol=1e-5)


def test_state_goes_through_files_by_shape(tmp_path):
    model, other = Kernel(0), Kernel(1)
    path = tmp_path / "kernel.safetensors"
    fastnn.save(path, model)
    loaded = fastnn.load(path)
    np.testing.assert_array_equal(loaded["weight"].numpy(), model.weight.numpy())
    other.load_state_dict(loaded)
    np.testing.assert_array_equal(other.weight.numpy(), model.weight.numpy())
    assert channels_last(other.weight) and channels_last(model.state_dict()["weight"])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_keep_the_order(again):
    for x in (images(), images()[:, :, ::2], Kernel().weight, images(shape=(2, 1, 3, 1))):
        y = again(x)
        np.testing.assert_array_equal(x.numpy(), y.numpy())
        assert type(y) is type(x) and channels_last(y)


def test_optimizer_state_and_averages_go_by_shape():
    model = Kernel()
    optimizer = fastnn.optimizers.SGD(model.parameters(), lr=0.1, momentum=0.9)
    average = fastnn.optimizers.EMA(model.parameters(), decay=0.5)
    ops.square(model(batch())).mean().backward()
    optimizer.step()
    average.update()
    other = Kernel()
    fresh = fastnn.optimizers.SGD(other.parameters(), lr=0.1, momentum=0.9)
    fresh.load_state_dict(optimizer.state_dict())
    other.load_state_dict(model.state_dict())
    for m, o in ((model, optimizer), (other, fresh)):
        o.zero_grad()
        ops.square(m(batch())).mean().backward()
        o.step()
    np.testing.assert_array_equal(model.weight.numpy(), other.weight.numpy())


def test_to_another_dtype_keeps_the_order():
    model = Kernel().to("float64")
    assert channels_last(model.weight) and model.weight.dtype.name == "float64"


def test_empty_images():
    x = Tensor(np.zeros((0, 4, 4, 3), "float32").transpose(0, 3, 1, 2))
    assert ops.relu(x).shape == (0, 3, 4, 4) and math.isnan(float(x.mean().item()))
