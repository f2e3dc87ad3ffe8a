"""Functions of each element, and casts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import RNG, Maker, Row, Thunk, call, family, matrix, reals, torch, twin


def unary(
    op: str, np_f: Any, t_f: Any, low: float = -3.0, high: float = 3.0, *scalars: float
) -> Maker:
    def make(n: int, dtype: str) -> Row:
        x = reals(n, dtype, low, high)
        y = np.empty(n, bool if op.startswith("is") else dtype)
        ours, moved = call(op, [x, y], *scalars)
        return Row(op, ours, moved, np_f and (lambda: np_f(x, out=y)), t_f and twin(t_f, x, y))

    return make


def out(name: str, *more: Any) -> Any:
    """torch.<name>(x, ..., out=y)"""
    return lambda *a: lambda: getattr(torch, name)(*a[:-1], *more, out=a[-1])


def aten(name: str, *more: Any) -> Any:
    """torch.ops.aten.<name>.out or .grad_input, the last array being what is written."""

    def make(*a: Any) -> Thunk:
        op = getattr(torch.ops.aten, name)
        if "out" in op.overloads():
            return lambda: op.out(*a[:-1], *more, out=a[-1])
        return lambda: op.grad_input(*a[:-1], *more, grad_input=a[-1])

    return make


def backward(name: str, *more: Any) -> Any:
    """PyTorch's gradient functions take dy first, ours last."""
    return lambda x, dy, dx: aten(name, *more)(dy, x, dx)


@family("unary")
def _() -> Iterator[tuple[str, Maker]]:
    for name, np_f in {
        "neg": np.negative, "abs": np.absolute, "square": np.square, "floor": np.floor, "exp": np.exp,
        "expm1": np.expm1, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "erf": None, "sigmoid": None,
        "isnan": np.isnan, "isfinite": np.isfinite, "sign": np.sign,
    }.items():  # fmt: skip
        yield name, unary(name, np_f, out(name))
    for name, np_f in {
        "sqrt": np.sqrt, "rsqrt": None, "log": np.log, "log1p": np.log1p, "reciprocal": np.reciprocal,
    }.items():  # fmt: skip
        yield name, unary(name, np_f, out(name), 0.1, 9.0)
    yield "round", unary("round", np.rint, out("round"))
    relu = unary("relu", lambda x, out: np.maximum(x, 0, out=out), aten("clamp_min", 0))
    yield "relu", relu
    yield (
        "clip",
        unary(
            "clip", lambda x, out: np.clip(x, -1, 1, out=out), out("clamp", -1, 1), -3, 3, -1.0, 1.0
        ),
    )
    for name in ("gelu", "silu", "mish", "softplus", "elu", "hardswish"):
        scalars = {"softplus": (1.0, 20.0), "elu": (1.0,)}.get(name, ())
        yield name, unary(name, None, aten(name), -3, 3, *scalars)


def binary(
    op: str, np_f: Any, t_f: Any, low: float = -3.0, dtypes: str = "", *scalars: float
) -> Maker:
    def make(n: int, dtype: str) -> Row:
        kind = dtypes or dtype
        if np.dtype(kind).kind == "f":
            a, b = reals(n, kind, low), reals(n, kind, low)
        elif kind == "bool":
            a, b = RNG.random(n) < 0.5, RNG.random(n) < 0.5
        else:
            a, b = RNG.integers(1, 99, n).astype(kind), RNG.integers(1, 99, n).astype(kind)
        truth = op in ("less", "equal", "less_equal", "logical_and")
        y = np.empty(n, bool if truth else kind)
        ours, moved = call(op, [a, b, y], *scalars)
        return Row(
            op, ours, moved, np_f and (lambda: np_f(a, b, out=y)), t_f and twin(t_f, a, b, y)
        )

    return make


@family("binary")
def _() -> Iterator[tuple[str, Maker]]:
    for name, np_f in {
        "add": np.add, "mul": np.multiply, "div": np.divide, "minimum": np.minimum, "maximum": np.maximum,
    }.items():  # fmt: skip
        yield name, binary(name, np_f, out(name))
    yield "pow", binary("pow", np.power, out("pow"), 0.1)
    yield "less", binary("less", np.less, out("lt"))
    yield "equal", binary("equal", np.equal, out("eq"))
    for name in ("relu", "gelu", "silu", "tanh", "sigmoid"):
        more = {"relu": ("threshold", 0)}.get(name, (name,))
        yield (
            f"{name}_grad",
            binary(f"{name}_grad", None, backward(f"{more[0]}_backward", *more[1:])),
        )

    def where(n: int, dtype: str) -> Row:
        c, a, b = RNG.random(n) < 0.5, reals(n, dtype), reals(n, dtype)
        y = np.empty_like(a)
        ours, moved = call("where", [c, a, b, y])
        return Row("where", ours, moved, lambda: np.where(c, a, b), twin(out("where"), c, a, b, y))

    yield "where", where


@family("integer")
def _() -> Iterator[tuple[str, Maker]]:
    for kind in ("int64", "int32", "uint8"):
        for name, np_f in {"add": np.add, "mul": np.multiply, "maximum": np.maximum}.items():
            yield f"{name}-{kind}", binary(name, np_f, out(name), 0, kind)
        yield f"less-{kind}", binary("less", np.less, out("lt"), 0, kind)
    yield "mod-int64", binary("mod", np.mod, out("remainder"), 0, "int64")
    yield (
        "floor_divide-int64",
        binary("floor_divide", np.floor_divide, out("floor_divide"), 0, "int64"),
    )
    yield "logical_and", binary("logical_and", np.logical_and, out("logical_and"), 0, "bool")


@family("broadcast")
def _() -> Iterator[tuple[str, Maker]]:
    def add(columns: int, which: str) -> Maker:
        def make(n: int, dtype: str) -> Row:
            m, c = matrix(n, columns)
            a = reals((m, c), dtype)
            b = reals({"row": (c,), "column": (m, 1), "number": ()}[which], dtype)
            y = np.empty_like(a)
            ours, moved = call("add", [a, b, y])
            return Row("add", ours, moved, lambda: np.add(a, b, out=y), twin(out("add"), a, b, y))

        return make

    for columns in (2, 10, 64, 256, 1024):
        yield f"add-row-{columns}", add(columns, "row")
        yield f"add-column-{columns}", add(columns, "column")
    yield "add-number", add(256, "number")


@family("cast")
def _() -> Iterator[tuple[str, Maker]]:
    def cast(source: str, target: str) -> Maker:
        def make(n: int, dtype: str) -> Row:
            x, y = RNG.integers(0, 100, n).astype(source), np.empty(n, target)
            ours, moved = call("copy", [x, y])
            t = twin(lambda x, y: lambda: y.copy_(x), x, y)
            return Row("copy", ours, moved, lambda: np.copyto(y, x, casting="unsafe"), t)

        return make

    for source, target in [
        ("f4", "f8"), ("f8", "f4"), ("u1", "f4"), ("i8", "f4"), ("f4", "i8"), ("f4", "i4"), ("f4", "?"),
        ("f4", "u1"), ("i4", "f4"), ("i8", "i4"), ("u1", "i8"), ("i4", "i8"), ("i8", "f8"), ("u1", "f8"),
        ("f8", "i8"), ("?", "f4"), ("i8", "?"), ("f4", "f4"),
    ]:  # fmt: skip
        yield f"{source}-{target}", cast(source, target)
