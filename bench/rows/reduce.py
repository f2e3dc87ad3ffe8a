"""Sums, means, extremes and the like, over all and along axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import RNG, Maker, Row, call, family, matrix, reals, torch, twin


def reduction(
    op: str, columns: int | None, axis: int | None, np_f: Any, t_f: Any, kind: str = ""
) -> Maker:
    """Over all, or along an axis of (rows, columns); an axis of 1 of 3 is a middle one."""

    def make(n: int, dtype: str) -> Row:
        shape: tuple[int, ...] = (n,) if columns is None else matrix(n, columns)
        if axis == -2:
            shape = (max(1, n // (columns * 32)), 32, columns)
        x = RNG.integers(0, 2, shape).astype(kind) if kind else reals(shape, dtype)
        if kind == "bool":
            x[...] = op == "all"
        kept = tuple(
            1 if axis is None or d == axis % len(shape) else s for d, s in enumerate(shape)
        )
        kinds = {"argmax": "i8", "any": "?", "all": "?"}
        result = kinds.get(op, "i8" if x.dtype.kind in "iu" and op == "sum" else x.dtype)
        y = np.empty(kept, result)
        ours, moved = call(op, [x, y], *((0.0,) if op == "var" else ()))
        t = t_f and twin(lambda x: lambda: t_f(x, axis), x)
        return Row(op, ours, moved, np_f and (lambda: np_f(x, axis=axis)), t)

    return make


def along(name: str, **more: Any) -> Any:
    """torch.<name> along an axis or over all."""

    def f(x: Any, axis: int | None) -> Any:
        if name == "logsumexp":
            return torch.logsumexp(x, 0 if axis is None else axis)
        if axis is None:
            return getattr(torch, name)(x, **more)
        return getattr(torch, name)(x, axis, **more)

    return f


@family("reduce")
def _() -> Iterator[tuple[str, Maker]]:
    places = {
        "all": (None, None), "rows-2": (2, 1), "rows-10": (10, 1), "rows-64": (64, 1), "rows-1000": (1000, 1),
        "rows-50000": (50000, 1), "columns-10": (10, 0), "columns-256": (256, 0), "middle-64": (64, -2),
    }  # fmt: skip
    functions = {
        "sum": (np.sum, along("sum")), "max": (np.max, along("amax")), "argmax": (np.argmax, along("argmax")),
        "var": (np.var, along("var", correction=0)), "logsumexp": (None, along("logsumexp")),
    }  # fmt: skip
    for name, (np_f, t_f) in functions.items():
        for place, (columns, axis) in places.items():
            yield f"{name}-{place}", reduction(name, columns, axis, np_f, t_f)
    for name in ("mean", "prod"):
        yield name, reduction(name, None, None, getattr(np, name), along(name))
    for kind in ("int64", "int32", "uint8"):
        for name, t_f in (("sum", along("sum")), ("max", along("amax"))):
            np_f = getattr(np, name)
            yield f"{name}-{kind}", reduction(name, None, None, np_f, t_f, kind)
            yield f"{name}-rows-64-{kind}", reduction(name, 64, 1, np_f, t_f, kind)
            yield f"{name}-columns-64-{kind}", reduction(name, 64, 0, np_f, t_f, kind)
        yield f"argmax-{kind}", reduction("argmax", None, None, np.argmax, along("argmax"), kind)
    for name in ("any", "all"):
        yield f"{name}-bool", reduction(name, None, None, getattr(np, name), along(name), "bool")
        yield f"{name}-rows-64", reduction(name, 64, 1, getattr(np, name), along(name), "bool")

    def cumsum(columns: int, axis: int) -> Maker:
        def make(n: int, dtype: str) -> Row:
            x = reals(matrix(n, columns), dtype)
            y = np.empty_like(x)
            ours, moved = call("cumsum", [x, y], axis, 0)
            t = twin(lambda x, y: lambda: torch.cumsum(x, axis, out=y), x, y)
            return Row("cumsum", ours, moved, lambda: np.cumsum(x, axis, out=y), t)

        return make

    yield "cumsum-rows-1000", cumsum(1000, 1)
    yield "cumsum-columns-64", cumsum(64, 0)
