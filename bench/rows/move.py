"""Transposes, and rows and elements by index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import RNG, Maker, Row, call, family, matrix, reals, torch, twin


@family("transpose")
def _() -> Iterator[tuple[str, Maker]]:
    def transposed(columns: int | None, kind: str = "") -> Maker:
        def make(n: int, dtype: str) -> Row:
            m, c = matrix(n, columns or max(1, int(n**0.5)))
            x = RNG.integers(0, 100, (m, c)).astype(kind or dtype)
            y = np.empty((c, m), x.dtype)
            ours, moved = call("copy", [x.T, y])
            t = twin(lambda x, y: lambda: y.copy_(x.T), x, y)
            return Row("copy", ours, moved, lambda: np.copyto(y, x.T), t)

        return make

    yield "square", transposed(None)
    yield "narrow", transposed(10)
    yield "rows-512", transposed(512)
    yield "square-u1", transposed(None, "u1")

    def add(n: int, dtype: str) -> Row:
        side = max(1, int(n**0.5))
        a, b, y = (
            reals((side, side), dtype),
            reals((side, side), dtype),
            np.empty((side, side), dtype),
        )
        ours, moved = call("add", [a, b.T, y])
        t = twin(lambda a, b, y: lambda: torch.add(a, b.T, out=y), a, b, y)
        return Row("add", ours, moved, lambda: np.add(a, b.T, out=y), t)

    yield "add-transposed", add


@family("move")
def _() -> Iterator[tuple[str, Maker]]:
    def gather(columns: int) -> Maker:
        def make(n: int, dtype: str) -> Row:
            m, c = matrix(n, columns)
            x, index, y = reals((m, c), dtype), RNG.permutation(m), np.empty((m, c), dtype)
            ours, moved = call("gather", [x[None], index, y[None]], 0)
            t = twin(lambda x, i, y: lambda: torch.index_select(x, 0, i, out=y), x, index, y)
            return Row("gather", ours, moved, lambda: np.take(x, index, 0, out=y, mode="clip"), t)

        return make

    def scatter_add(columns: int) -> Maker:
        def make(n: int, dtype: str) -> Row:
            m, c = matrix(n, columns)
            y, index, v = np.zeros((m, c), dtype), RNG.integers(0, m, m), reals((m, c), dtype)
            ours, moved = call("scatter_add", [y[None], index, v[None], y[None]], -1)
            t = twin(lambda y, i, v: lambda: y.index_add_(0, i, v), y, index, v)
            return Row("scatter_add", ours, moved, lambda: np.add.at(y, index, v), t)

        return make

    for columns in (1, 10, 64, 784):
        yield f"gather-{columns}", gather(columns)
        yield f"scatter_add-{columns}", scatter_add(columns)

    def along(n: int, dtype: str) -> Row:
        x = reals(matrix(n, 64), dtype)
        index = RNG.integers(0, 64, x.shape)
        y = np.empty_like(x)
        ours, moved = call("gather_along", [x[..., None], index[..., None], y[..., None]])
        t = twin(lambda x, i, y: lambda: torch.gather(x, 1, i, out=y), x, index, y)
        return Row("gather", ours, moved, lambda: np.take_along_axis(x, index, 1), t)

    yield "gather_along-64", along

    def one_hot(n: int, dtype: str) -> Row:
        m, c = matrix(n, 10)
        index, y = RNG.integers(0, c, m), np.empty((m, c), dtype)
        ours, moved = call("one_hot", [index, y])
        eye = np.eye(c, dtype=dtype)
        t = twin(lambda i: lambda: torch.nn.functional.one_hot(i, c), index)
        return Row("one_hot", ours, moved, lambda: np.take(eye, index, 0), t)

    yield "one_hot-10", one_hot
