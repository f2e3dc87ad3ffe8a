"""Random numbers and dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import Maker, Row, call, family, reals, torch, twin


@family("random")
def _() -> Iterator[tuple[str, Maker]]:
    key = np.array([7, 0], np.int64)

    def fill(op: str, np_f: Any, t_f: Any, *scalars: float) -> Maker:
        def make(n: int, dtype: str) -> Row:
            y = np.empty(n, "i8" if op in ("integers", "permutation") else dtype)
            ours, moved = call(op, [key, y], *scalars)
            return Row(op, ours, moved, np_f and (lambda: np_f(n, dtype, y)), twin(t_f, y))

        return make

    g = np.random.default_rng(1)
    for name, np_f, t_f, scalars in (
        ("uniform", lambda n, d, y: g.random(n, d, y), lambda y: lambda: y.uniform_(), (0.0, 1.0)),
        ("normal", lambda n, d, y: g.standard_normal(n, d, y), lambda y: lambda: y.normal_(), (0.0, 1.0)),
        ("bernoulli", None, lambda y: lambda: y.bernoulli_(0.3), (0.3,)),
        ("integers", lambda n, d, y: g.integers(0, 99, n), lambda y: lambda: y.random_(0, 99), (0, 99)),
        ("permutation", lambda n, *_: g.permutation(n), lambda y: lambda: torch.randperm(len(y), out=y), ()),
    ):  # fmt: skip
        yield name, fill(name, np_f, t_f, *scalars)

    def dropout(p: float) -> Maker:
        def make(n: int, dtype: str) -> Row:
            x, y = reals(n, dtype), np.empty(n, dtype)
            ours, moved = call("dropout", [x, key, y], p, 1 / (1 - p), 0.0, 0.0)
            t = twin(lambda x: lambda: torch.nn.functional.dropout(x, p), x)
            return Row("dropout", ours, moved, None, t)

        return make

    yield "dropout-0.2", dropout(0.2)
    yield "dropout-0.5", dropout(0.5)
