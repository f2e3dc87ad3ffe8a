"""fastnn beside PyTorch, where it is installed.

Values and gradients of the table's rows, layers under one state_dict, and 20 training steps of every optimizer
from equal weights.
"""

import numpy as np
import pytest

import fastnn
from cases import CASES
from fastnn import losses, nn, optimizers
from test_cases import expected

torch = pytest.importorskip("torch")

TWINS = [c for c in CASES if c.torch]


def torch_tensor(a, grad):
    t = torch.from_numpy(a.copy())
    return t.requires_grad_() if grad and a.dtype.kind == "f" else t


def close(ours, theirs, tolerance, where=""):
    theirs = theirs.detach().numpy()
    assert tuple(ours.shape) == theirs.shape, where
    scale = max(1.0, np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=tolerance * scale, err_msg=where)


@pytest.mark.parametrize("case", TWINS, ids=lambda c: c.name)
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_values_and_gradients(case, real):
    tolerance = 4 * case.tolerance * np.finfo(real).eps
    for dims in case.all_dims(odd=(1, 8, 33)):
        arrays = case.make(dims, real)
        if isinstance(expected(case, arrays), Exception):
            continue
        ours = [
            fastnn.Tensor(a, requires_grad=case.gradient and a.dtype.kind == "f") for a in arrays
        ]
        theirs = [torch_tensor(a, case.gradient) for a in arrays]
        y, z = case.call(*ours), case.torch(torch, *theirs)
        close(y.detach(), z, tolerance, f"{case.name} {dims}")
        if case.gradient:
            dy = np.random.default_rng(1).uniform(-1, 1, y.shape).astype(real)
            y.backward(fastnn.Tensor(dy))
            z.backward(torch.from_numpy(dy))
            for x, t in zip(ours, theirs, strict=True):
                if x.requires_grad:
                    close(x.grad, t.grad, 8 * tolerance, f"gradient of {case.name} {dims}")


# --- training ---

X = np.random.default_rng(0).normal(size=(32, 6))
Y = np.random.default_rng(1).integers(0, 4, 32)


def twins(real="float64"):
    """The same network in both, with the same weights."""
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 4))
    theirs = theirs.to(getattr(torch, real))
    ours = nn.Sequential(nn.Linear(6, 9, dtype=real), nn.Tanh(), nn.Linear(9, 4, dtype=real))
    ours.load_state_dict(
        {k: fastnn.Tensor(v.detach().numpy()) for k, v in theirs.state_dict().items()}
    )
    return ours, theirs


def our_loss(model, real="float64"):
    return losses.cross_entropy(model(fastnn.Tensor(X.astype(real))), fastnn.Tensor(Y))


def torch_loss(model, real="float64"):
    return torch.nn.functional.cross_entropy(
        model(torch.from_numpy(X.astype(real))), torch.from_numpy(Y)
    )


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.01}),
    ("Adagrad", {"lr": 0.05}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.01}),
]


@pytest.mark.parametrize(
    ("name", "options"), OPTIMIZERS, ids=lambda v: v if isinstance(v, str) else ",".join(v)
)
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_twenty_steps(name, options, real):
    ours, theirs = twins(real)
    mine = getattr(optimizers, name)(ours.parameters(), **options)
    other = getattr(torch.optim, name)(theirs.parameters(), **options)
    for step in range(20):
        mine.zero_grad()
        other.zero_grad()
        loss, want = our_loss(ours, real), torch_loss(theirs, real)
        loss.backward()
        want.backward()
        mine.step()
        other.step()
        assert loss.item() == pytest.approx(want.item(), rel=1e-8 if real == "float64" else 2e-4), (
            f"step {step}"
        )
    for (key, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(
            p.numpy(), q.numpy(), rtol=0, atol=1e-7 if real == "float64" else 1e-3, err_msg=key
        )


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_twenty_steps_of_lbfgs(line_search):
    ours, theirs = twins()
    options = {"lr": 0.5, "max_iter": 5, "history_size": 7, "line_search_fn": line_search}
    mine = optimizers.LBFGS(ours.parameters(), **options)
    other = torch.optim.LBFGS(theirs.parameters(), **options)

    def my_closure():
        mine.zero_grad()
        loss = our_loss(ours)
        loss.backward()
        return loss

    def other_closure():
        other.zero_grad()
        loss = torch_loss(theirs)
        loss.backward()
        return loss

    for _ in range(4):
        loss, want = mine.step(my_closure), other.step(other_closure)
        assert loss.item() == pytest.approx(want.item(), rel=1e-6)


def test_twenty_steps_of_lion():
    """PyTorch has no Lion; the paper's update (Chen et al. 2023, algorithm 2) stands in."""
    ours, theirs = twins()
    lr, (b1, b2), decay = 1e-3, (0.9, 0.99), 0.1
    mine = optimizers.Lion(ours.parameters(), lr=lr, betas=(b1, b2), weight_decay=decay)
    momenta = [torch.zeros_like(p) for p in theirs.parameters()]
    for _ in range(20):
        mine.zero_grad()
        our_loss(ours).backward()
        mine.step()
        grads = torch.autograd.grad(torch_loss(theirs), list(theirs.parameters()))
        with torch.no_grad():
            for p, g, m in zip(theirs.parameters(), grads, momenta, strict=True):
                p -= lr * (torch.sign(b1 * m + (1 - b1) * g) + decay * p)
                m.mul_(b2).add_((1 - b2) * g)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.detach(), q, 1e-12)


def test_clipping():
    for ours_clip, torch_clip in (
        (
            lambda p: optimizers.clip_grad_norm_(p, 0.1),
            lambda p: torch.nn.utils.clip_grad_norm_(p, 0.1),
        ),
        (
            lambda p: optimizers.clip_grad_value_(p, 0.01),
            lambda p: torch.nn.utils.clip_grad_value_(p, 0.01),
        ),
    ):
        ours, theirs = twins()
        our_loss(ours).backward()
        torch_loss(theirs).backward()
        ours_clip(ours.parameters())
        torch_clip(theirs.parameters())
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad, 1e-6)


# --- layers, with one state for both ---

LAYERS = [
    (lambda n: n.Linear(6, 4), (5, 6)),
    (lambda n: n.Linear(6, 4, bias=False), (3, 5, 6)),
    (lambda n: n.LayerNorm(6), (5, 6)),
    (lambda n: n.LayerNorm((3, 6)), (4, 3, 6)),
    (lambda n: n.RMSNorm(6), (5, 6)),
    (lambda n: n.BatchNorm1d(6), (5, 6)),
    (lambda n: n.BatchNorm1d(6, momentum=None), (5, 6)),
    (lambda n: n.BatchNorm1d(3, affine=False), (4, 3, 7)),
    (lambda n: n.BatchNorm1d(6, track_running_stats=False), (5, 6)),
    (lambda n: n.Sequential(n.Linear(6, 8), n.GELU(), n.LayerNorm(8), n.Linear(8, 2)), (5, 6)),
    (lambda n: n.ELU(0.5), (5, 6)),
    (lambda n: n.Hardtanh(-2, 1), (5, 6)),
    (lambda n: n.Softplus(), (5, 6)),
    (lambda n: n.Softmax(-1), (5, 6)),
    (lambda n: n.LogSoftmax(-1), (5, 6)),
    (lambda n: n.Flatten(), (5, 2, 3)),
]


@pytest.mark.parametrize("i", range(len(LAYERS)))
def test_layers(i):
    make, shape = LAYERS[i]
    theirs, ours = make(torch.nn), make(nn)
    for p in theirs.parameters():
        torch.nn.init.uniform_(p, -1, 1)
    state = {k: v.detach().numpy() for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in state.items()
    }
    ours.load_state_dict({k: fastnn.tensor(v) for k, v in state.items()})
    rng = np.random.default_rng(0)
    for mode in ("train", "train", "eval"):
        getattr(ours, mode)()
        getattr(theirs, mode)()
        a = rng.normal(size=shape).astype("float32")
        x, t = fastnn.tensor(a.copy()).requires_grad_(), torch.from_numpy(a).requires_grad_()
        y, z = ours(x), theirs(t)
        close(y.detach(), z, 1e-5)
        dy = rng.normal(size=y.shape).astype("float32")
        y.backward(fastnn.tensor(dy))
        z.backward(torch.from_numpy(dy))
        close(x.grad, t.grad, 2e-5)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad, 1e-4)
    for (key, v), w in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        close(v.detach(), w, 1e-6, key)


def test_an_embedding():
    theirs, ours = torch.nn.Embedding(7, 3, padding_idx=2), nn.Embedding(7, 3, padding_idx=2)
    ours.load_state_dict({"weight": fastnn.tensor(theirs.weight.detach().numpy())})
    index = np.array([[1, 2, 2], [6, 1, 0]])
    y, z = ours(fastnn.tensor(index)), theirs(torch.from_numpy(index))
    close(y.detach(), z, 0)
    (y * y).sum().backward()
    (z * z).sum().backward()
    close(ours.weight.grad, theirs.weight.grad, 1e-6)


def test_a_state_goes_there_and_back():
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    ours = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in ours.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    close(ours.eval()(fastnn.tensor(x)).detach(), theirs.eval()(torch.from_numpy(x)), 1e-6)
