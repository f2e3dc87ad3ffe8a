"""Losses with their mean, and their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import RNG, Maker, Row, Thunk, call, family, matrix, reals, torch, twin


def elementwise(name: str, t_name: str) -> Iterator[tuple[str, Maker]]:
    def forward(n: int, dtype: str) -> Row:
        x, t, loss = reals(n, dtype), reals(n, dtype, 0, 1), np.empty((), dtype)
        ours, moved = call(name, [x, t, None, None, loss], 1.0, 2)
        f = twin(lambda x, t: lambda: getattr(torch.nn.functional, t_name)(x, t), x, t)
        return Row(name, ours, moved, None, f)

    def grad(n: int, dtype: str) -> Row:
        x, t, dy = reals(n, dtype), reals(n, dtype, 0, 1), np.ones((), dtype)
        dx = np.empty_like(x)
        ours, moved = call(f"{name}_grad", [x, t, None, None, dy, dx], 1.0, 2)
        f = None
        if name == "mse_loss":
            f = twin(
                lambda dy, x, t, dx: (
                    lambda: torch.ops.aten.mse_loss_backward.grad_input(dy, x, t, 1, grad_input=dx)
                ),
                dy,
                x,
                t,
                dx,
            )
        return Row(name, ours, moved, None, f)

    yield name, forward
    yield f"{name}_grad", grad


def cross(columns: int, grad: bool) -> Maker:
    def make(n: int, dtype: str) -> Row:
        m, c = matrix(n, columns)
        x, labels = reals((m, c), dtype), RNG.integers(0, c, m)
        loss, total, stats = np.ones((), dtype), np.ones((), dtype), np.empty((m, 2), dtype)
        scalars = (0.0, -100, 2)
        forward, moved = call(
            "cross_entropy", [x, labels, None, None, loss, total, stats], *scalars
        )
        forward()
        if grad:
            dy, dx = np.ones((), dtype), np.empty_like(x)
            ours, moved = call(
                "cross_entropy_grad", [x, labels, None, None, total, dy, stats, dx], *scalars
            )

            def both(x: Any, t: Any) -> Thunk:
                logp, one = torch.log_softmax(x, 1), torch.ones((), dtype=x.dtype)
                total = torch.tensor(float(len(x)), dtype=x.dtype)
                nll, aten_ = torch.ops.aten.nll_loss_backward, torch._log_softmax_backward_data

                def run() -> Any:
                    d = nll(one, logp, t, None, 1, -100, total)
                    return aten_(d, logp, 1, x.dtype)

                return run

            return Row("cross", ours, moved, None, twin(both, x, labels))
        f = twin(lambda x, t: lambda: torch.nn.functional.cross_entropy(x, t), x, labels)
        return Row("cross", forward, moved, None, f)

    return make


@family("loss")
def _() -> Iterator[tuple[str, Maker]]:
    for name, t_name in (
        ("mse_loss", "mse_loss"), ("mae_loss", "l1_loss"), ("huber_loss", "huber_loss"),
        ("bce_logits_loss", "binary_cross_entropy_with_logits"),
    ):  # fmt: skip
        yield from elementwise(name, t_name)
    for columns in (2, 10, 32, 100, 1000, 50000):
        yield f"cross_entropy-{columns}", cross(columns, False)
        yield f"cross_entropy_grad-{columns}", cross(columns, True)
