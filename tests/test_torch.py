"""fastnn beside PyTorch, where it is installed: values and gradients of the table's rows, layers under one
state_dict, losses with their options, 20 training steps of every optimizer, learning rates of every schedule."""

import numpy as np
import pytest
from cases import CASES

import fastnn
from fastnn import nn, optimizers, schedules

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
        ours = [fastnn.Tensor(a, requires_grad=case.gradient and a.dtype.kind == "f") for a in arrays]
        theirs = [torch_tensor(a, case.gradient) for a in arrays]
        y, z = case.call(*ours), case.torch(torch, *theirs)
        close(y.detach(), z, tolerance, f"{case.name} {dims}")
        if case.gradient:
            dy = np.random.default_rng(1).uniform(-1, 1, y.shape).astype(real)
            y.backward(fastnn.Tensor(dy))
            z.backward(torch.from_numpy(dy))
            for x, t in zip(ours, theirs, strict=True):
                if x.requires_grad:
                    close(x.grad, t.grad, tolerance, f"gradient of {case.name} {dims}")


# --- training ---

X = np.random.default_rng(0).normal(size=(32, 6))
Y = np.random.default_rng(1).integers(0, 4, 32)


def twins(real="float64"):
    """The same network in both, with the same weights."""
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 4))
    theirs = theirs.to(getattr(torch, real))
    ours = nn.Sequential(nn.Linear(6, 9, dtype=real), nn.Tanh(), nn.Linear(9, 4, dtype=real))
    ours.load_state_dict({k: fastnn.Tensor(v.detach().numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def our_loss(model, real="float64"):
    return fastnn.losses.cross_entropy(model(fastnn.Tensor(X.astype(real))), fastnn.Tensor(Y))


def torch_loss(model, real="float64"):
    return torch.nn.functional.cross_entropy(model(torch.from_numpy(X.astype(real))), torch.from_numpy(Y))


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


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda v: v if isinstance(v, str) else ",".join(v))
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
        assert loss.item() == pytest.approx(want.item(), rel=1e-10 if real == "float64" else 2e-4), f"step {step}"
    for (key, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(
            p.numpy(), q.numpy(), rtol=0, atol=1e-9 if real == "float64" else 1e-3, err_msg=key
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
        assert float(loss) == pytest.approx(float(want), rel=1e-6)


def test_twenty_steps_of_lion():
    """PyTorch has no Lion; the paper's update (Chen et al. 2023, algorithm 2) in numpy stands in."""
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
        (lambda p: optimizers.clip_grad_norm(p, 0.1), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.1)),
        (lambda p: optimizers.clip_grad_value(p, 0.01), lambda p: torch.nn.utils.clip_grad_value_(p, 0.01)),
    ):
        ours, theirs = twins()
        our_loss(ours).backward()
        torch_loss(theirs).backward()
        ours_clip(ours.parameters())
        torch_clip(theirs.parameters())
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad, 1e-6)
