"""Layer and batch normalisation, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .base import Maker, Row, call, family, matrix, reals, torch, twin

NO_LIMITS = -math.inf, math.inf


def operands(m: int, c: int, dtype: str) -> list[np.ndarray]:
    """Rows, the weight and bias of their columns, and a gradient."""
    return [reals(shape, dtype) for shape in ((m, c), c, c, (m, c))]


def layer(columns: int, grad: bool) -> Maker:
    def make(n: int, dtype: str) -> Row:
        m, c = matrix(n, columns)
        x, w, b, dy = operands(m, c, dtype)
        y, mean, rstd = np.empty_like(x), np.empty(m, dtype), np.empty(m, dtype)
        forward, moved = call("layer_norm", [x, w, b, y, mean, rstd], 1e-5, c)
        forward()
        if not grad:
            t = twin(lambda x, w, b: lambda: torch.nn.functional.layer_norm(x, (c,), w, b), x, w, b)
            return Row("layer_norm", forward, moved, None, t)
        dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
        ours, moved = call("layer_norm_grad", [x, w, mean, rstd, dy, dx, dw, db], c)
        t = twin(
            lambda dy, x, mean, rstd, w, b: lambda: torch.native_layer_norm_backward.default(
                dy, x, (c,), mean, rstd, w, b, (True, True, True))
            if False else torch.ops.aten.native_layer_norm_backward(
                dy, x, (c,), mean, rstd, w, b, (True, True, True)),
            dy, x, mean[:, None], rstd[:, None], w, b)  # fmt: skip
        return Row("layer_norm", ours, moved, None, t)

    return make


def batch(columns: int, grad: bool) -> Maker:
    def make(n: int, dtype: str) -> Row:
        m, c = matrix(n, columns)
        x, w, b, dy = operands(m, c, dtype)
        y, mean, rstd = np.empty_like(x), np.empty(c, dtype), np.empty(c, dtype)
        rm, rv = np.zeros(c, dtype), np.ones(c, dtype)
        forward, moved = call(
            "batch_norm",
            [x, w, b, rm, rv, None, None, y, mean, rstd, rm, rv, None],
            *(1e-5, 0.1, *NO_LIMITS),
        )
        forward()
        if not grad:
            t = twin(
                lambda x, w, b, rm, rv: (
                    lambda: torch.native_batch_norm(x, w, b, rm, rv, True, 0.1, 1e-5)
                ),
                x,
                w,
                b,
                rm,
                rv,
            )
            return Row("batch_norm", forward, moved, None, t)
        dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
        ours, moved = call(
            "batch_norm_grad",
            [x, w, b, mean, rstd, dy, None, None, dx, dw, db, None],
            *(*NO_LIMITS, 1),
        )
        t = twin(
            lambda dy, x, w, rm, rv, mean, rstd: (
                lambda: torch.ops.aten.native_batch_norm_backward(
                    dy, x, w, rm, rv, mean, rstd, True, 1e-5, (True, True, True)
                )
            ),
            dy,
            x,
            w,
            rm,
            rv,
            mean,
            rstd,
        )
        return Row("batch_norm", ours, moved, None, t)

    return make


@family("norm")
def _() -> Iterator[tuple[str, Maker]]:
    for columns in (8, 32, 64, 256, 768, 4096):
        yield f"layer_norm-{columns}", layer(columns, False)
        yield f"layer_norm_grad-{columns}", layer(columns, True)
    for columns in (10, 16, 64, 512):
        yield f"batch_norm-{columns}", batch(columns, False)
        yield f"batch_norm_grad-{columns}", batch(columns, True)
