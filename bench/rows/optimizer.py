"""Optimizer steps over flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import Maker, Row, Thunk, call, family, reals, torch, twin


@family("optimizer")
def _() -> Iterator[tuple[str, Maker]]:
    def rule(name: str, state: tuple[int, ...], t_make: Any, **hyper: float) -> Maker:
        """state: 1 for each state array that there is, 0 for one that is not."""

        def make(n: int, dtype: str) -> Row:
            w, grad = reals(n, dtype), reals(n, dtype)
            arrays = [np.abs(reals(n, dtype)) if s else None for s in state]
            h = np.zeros(16)
            h[:8] = (1, 1e-3, 0, 1, 0.9, 0.999, 1e-8, 0)
            h[8:] = 1e-3
            ours, _ = call(name, [w, grad, *arrays, None, h, w, *arrays])
            moved = (3 + 2 * sum(state)) * w.nbytes

            def step(w: Any, g: Any) -> Thunk:
                p = torch.nn.Parameter(w.clone())
                p.grad = g.clone()
                return t_make([p]).step

            return Row(name, ours, moved, None, t_make and twin(step, w, grad))

        return make

    def fused(name: str, **more: Any) -> Any:
        return lambda p: getattr(torch.optim, name)(p, fused=True, **more)

    yield "sgd", rule("sgd", (0,), fused("SGD", lr=1e-3))
    yield "sgd-momentum", rule("sgd", (1,), fused("SGD", lr=1e-3, momentum=0.9))
    yield "adam", rule("adam", (1, 1, 0), fused("Adam", lr=1e-3))
    yield "nadam", rule("nadam", (1, 1), lambda p: torch.optim.NAdam(p, foreach=True))
    yield "rmsprop", rule("rmsprop", (1, 0, 0), lambda p: torch.optim.RMSprop(p, foreach=True))
    yield "adagrad", rule("adagrad", (1,), fused("Adagrad", lr=1e-3))
    yield "lion", rule("lion", (1,), None)

    def dot(n: int, dtype: str) -> Row:
        a, y = reals(n, dtype), np.empty(1)
        ours, _ = call("flat_dot", [a, a, y])
        return Row(
            "flat_dot", ours, a.nbytes, lambda: np.dot(a, a), twin(lambda a: lambda: a.dot(a), a)
        )

    yield "flat_dot", dot
