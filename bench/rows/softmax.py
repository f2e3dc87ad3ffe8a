"""Softmax of rows and columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import Maker, Row, call, family, matrix, reals, torch, twin


@family("softmax")
def _() -> Iterator[tuple[str, Maker]]:
    def softmax(columns: int, axis: int, op: str) -> Maker:
        def make(n: int, dtype: str) -> Row:
            x = reals(matrix(n, columns), dtype)
            y, dy, dx = (np.empty_like(x) for _ in range(3))
            if op.endswith("grad"):
                y[...], dy[...] = reals(x.shape, dtype, 0, 1), x
                name = f"_{op[:-5]}_backward_data"
                ours, moved = call(op, [y, dy, dx], axis)
                kind = getattr(torch, dtype, None)
                t = twin(
                    lambda dy, y, dx: lambda: getattr(torch, name)(dy, y, axis, kind), dy, y, dx
                )
            else:
                ours, moved = call(op, [x, y], axis)
                name = f"_{op}"
                t = twin(
                    lambda x, y: lambda: getattr(torch.ops.aten, name).out(x, axis, False, out=y),
                    x,
                    y,
                )
            return Row(op, ours, moved, None, t)

        return make

    for op in ("softmax", "log_softmax", "softmax_grad", "log_softmax_grad"):
        for columns in (2, 10, 32, 100, 1000, 50000):
            yield f"{op}-{columns}", softmax(columns, 1, op)
        yield f"{op}-columns-64", softmax(64, 0, op)
