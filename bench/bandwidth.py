"""Everything but matrix products beside numpy and PyTorch, in turns, at the sizes of the levels of cache.

    python bench/bandwidth.py                          every family, 1e3 to 1e7 elements, one thread
    python bench/bandwidth.py reduce cast --sizes 1e5  some families or rows, some sizes
    python bench/bandwidth.py --dtype float64 --threads 2 --worst 20

Each row writes into memory that is there (out=, where the other library has it). Printed are the time, GB/s
of what the op must read and write, the share of what a plain copy of as many bytes reaches here, and the time
of numpy and of PyTorch divided by ours (below 1 they are faster). PyTorch is left out where it is missing.

With more than one thread libraries disturb one another: PyTorch's idle threads spin for a while on the cores
that ours want. --only times one library in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn import _core

try:
    import torch
except ImportError:
    torch = None

Thunk = Callable[[], Any]
twins_wanted = True  # --only of another library sets it to False: PyTorch is not even called
RNG = np.random.default_rng(0)


@dataclass
class Row:
    """One op on one size; peers do the same work or are None."""

    name: str
    ours: Thunk
    moved: int  # bytes that must be read and written
    numpy: Thunk | None = None
    torch: Thunk | None = None


Maker = Callable[[int, str], Row]
FAMILIES: dict[str, dict[str, Maker]] = {}


def family(name: str) -> Callable[[Callable[[], Iterator[tuple[str, Maker]]]], None]:
    """Put the rows that the decorated generator yields under a family's name."""

    def put(rows: Callable[[], Iterator[tuple[str, Maker]]]) -> None:
        FAMILIES[name] = dict(rows())

    return put


def call(op: str, arrays: list[np.ndarray | None], *scalars: float) -> tuple[Thunk, int]:
    """A launch of one of our ops on numpy arrays, and the bytes of these."""
    number = getattr(_core.ops, op)
    ours = tuple(None if a is None else fastnn.Tensor(a) for a in arrays)
    values = tuple(scalars)
    moved = sum(a.nbytes for a in arrays if a is not None)
    return lambda: _core.launch(number, ours, values), moved


def reals(shape: Any, dtype: str, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(dtype)


def twin(make: Callable[..., Thunk], *arrays: np.ndarray) -> Thunk | None:
    """What PyTorch does on the same memory, None without PyTorch or without such a function."""
    if torch is None or not twins_wanted:
        return None
    try:
        thunk = make(*(torch.from_numpy(a) for a in arrays))
        thunk()
        return thunk
    except (AttributeError, TypeError, RuntimeError, NotImplementedError):
        return None


def matrix(n: int, columns: int) -> tuple[int, int]:
    """A shape of about n elements in rows of so many."""
    return max(1, n // columns), columns


# --- pointwise -------------------------------------------------------------------------------------------


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


# --- reductions ------------------------------------------------------------------------------------------


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


# --- rows: softmax, losses, norms ------------------------------------------------------------------------


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


@family("loss")
def _() -> Iterator[tuple[str, Maker]]:
    def point(name: str, t_name: str) -> Iterator[tuple[str, Maker]]:
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
                        lambda: torch.ops.aten.mse_loss_backward.grad_input(
                            dy, x, t, 1, grad_input=dx
                        )
                    ),
                    dy,
                    x,
                    t,
                    dx,
                )
            return Row(name, ours, moved, None, f)

        yield name, forward
        yield f"{name}_grad", grad

    for name, t_name in (
        ("mse_loss", "mse_loss"), ("mae_loss", "l1_loss"), ("huber_loss", "huber_loss"),
        ("bce_logits_loss", "binary_cross_entropy_with_logits"),
    ):  # fmt: skip
        yield from point(name, t_name)

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

    for columns in (2, 10, 32, 100, 1000, 50000):
        yield f"cross_entropy-{columns}", cross(columns, False)
        yield f"cross_entropy_grad-{columns}", cross(columns, True)


@family("norm")
def _() -> Iterator[tuple[str, Maker]]:
    def layer(columns: int, grad: bool) -> Maker:
        def make(n: int, dtype: str) -> Row:
            m, c = matrix(n, columns)
            x, w, b, dy = (
                reals((m, c), dtype),
                reals(c, dtype),
                reals(c, dtype),
                reals((m, c), dtype),
            )
            y, mean, rstd = np.empty_like(x), np.empty(m, dtype), np.empty(m, dtype)
            forward, moved = call("layer_norm", [x, w, b, y, mean, rstd], 1e-5, c)
            forward()
            if not grad:
                t = twin(
                    lambda x, w, b: lambda: torch.nn.functional.layer_norm(x, (c,), w, b), x, w, b
                )
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

    for columns in (8, 32, 64, 256, 768, 4096):
        yield f"layer_norm-{columns}", layer(columns, False)
        yield f"layer_norm_grad-{columns}", layer(columns, True)

    def batch(columns: int, grad: bool) -> Maker:
        def make(n: int, dtype: str) -> Row:
            m, c = matrix(n, columns)
            x, w, b, dy = (
                reals((m, c), dtype),
                reals(c, dtype),
                reals(c, dtype),
                reals((m, c), dtype),
            )
            y, mean, rstd = np.empty_like(x), np.empty(c, dtype), np.empty(c, dtype)
            rm, rv = np.zeros(c, dtype), np.ones(c, dtype)
            forward, moved = call(
                "batch_norm", [x, w, b, rm, rv, None, y, mean, rstd, rm, rv, None], 1e-5, 0.1
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
            ours, moved = call("batch_norm_grad", [x, w, mean, rstd, dy, dx, dw, db], 1)
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

    for columns in (10, 64, 512):
        yield f"batch_norm-{columns}", batch(columns, False)
        yield f"batch_norm_grad-{columns}", batch(columns, True)


# --- random numbers, optimizers, gathers -----------------------------------------------------------------


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
    yield (
        "uniform",
        fill(
            "uniform", lambda n, d, y: g.random(n, d, y), lambda y: lambda: y.uniform_(), 0.0, 1.0
        ),
    )
    yield (
        "normal",
        fill(
            "normal",
            lambda n, d, y: g.standard_normal(n, d, y),
            lambda y: lambda: y.normal_(),
            0.0,
            1.0,
        ),
    )
    yield "bernoulli", fill("bernoulli", None, lambda y: lambda: y.bernoulli_(0.3), 0.3)
    yield (
        "integers",
        fill(
            "integers",
            lambda n, d, y: g.integers(0, 99, n),
            lambda y: lambda: y.random_(0, 99),
            0,
            99,
        ),
    )
    yield (
        "permutation",
        fill(
            "permutation",
            lambda n, d, y: g.permutation(n),
            lambda y: lambda: torch.randperm(len(y), out=y),
        ),
    )

    def dropout(p: float) -> Maker:
        def make(n: int, dtype: str) -> Row:
            x, y = reals(n, dtype), np.empty(n, dtype)
            ours, moved = call("dropout", [x, key, y], p, 1 / (1 - p), 0.0, 0.0)
            t = twin(lambda x: lambda: torch.nn.functional.dropout(x, p), x)
            return Row("dropout", ours, moved, None, t)

        return make

    yield "dropout-0.2", dropout(0.2)
    yield "dropout-0.5", dropout(0.5)


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


# --- measuring -------------------------------------------------------------------------------------------


def seconds(thunk: Thunk, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        thunk()
    return (time.perf_counter() - start) / count


def in_turns(thunks: list[Thunk | None], rounds: int, least: float) -> list[float]:
    """Median seconds of each, NaN for None; each turn lasts at least `least` seconds."""
    times: list[list[float]] = [[] for _ in thunks]
    counts = [t and (t(), max(1, math.ceil(least / max(seconds(t, 2), 1e-7))))[1] for t in thunks]
    for turn in range(rounds):
        for i in range(len(thunks)):
            i = i if turn % 2 else len(thunks) - 1 - i
            if thunks[i]:
                times[i].append(seconds(thunks[i], counts[i]))
    return [statistics.median(t) if t else math.nan for t in times]


def copy_speed(moved: int, rounds: int, least: float, known: dict[int, float]) -> float:
    """GB/s of a plain copy that moves so many bytes, by one thread."""
    level = 1 << max(moved, 64).bit_length()
    if level not in known:
        a, b = np.zeros(level // 2, np.uint8), np.zeros(level // 2, np.uint8)
        known[level] = level / 1e9 / in_turns([lambda: np.copyto(b, a)], rounds, least)[0]
    return known[level]


def main() -> None:
    """Print a line for each row and size, or the worst of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", help=f"families ({', '.join(FAMILIES)}) or parts of row names"
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e3, 1e4, 1e5, 1e6, 1e7])
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--least", type=float, default=1e-3, help="seconds of a turn")
    parser.add_argument("--only", choices=("fastnn", "numpy", "torch"), help="time this one alone")
    parser.add_argument(
        "--worst", type=int, help="only so many, by how far another library is ahead"
    )
    args = parser.parse_args()
    global twins_wanted
    twins_wanted = args.only in (None, "torch")
    fastnn.set_num_threads(args.threads)
    if torch is not None:
        torch.set_num_threads(args.threads)
        torch.set_grad_enabled(False)
    lines, known = [], {}
    head = f"{'row':28} {'n':>9} {'us':>10} {'GB/s':>7} {'copy':>5} {'numpy':>6} {'torch':>6}"
    print(f"{args.dtype}, {args.threads} thread(s), {_core.isa_name()}\n{head}")
    with np.errstate(all="ignore"):
        for group, makers in FAMILIES.items():
            for name, make in makers.items():
                if args.what and group not in args.what and not any(w in name for w in args.what):
                    continue
                for size in args.sizes:
                    row = make(int(size), args.dtype)
                    if args.only:
                        one = {"fastnn": row.ours, "numpy": row.numpy, "torch": row.torch}[
                            args.only
                        ]
                        (mine,), peers = in_turns([one], args.rounds, args.least), []
                    else:
                        thunks = [row.ours, row.numpy, row.torch]
                        mine, *peers = in_turns(thunks, args.rounds, args.least)
                    speed = row.moved / mine / 1e9
                    share = speed / copy_speed(row.moved, args.rounds, args.least, known)
                    ratios = [peer / mine for peer in peers]
                    line = f"{name:28} {int(size):9} {mine * 1e6:10.2f} {speed:7.1f} {share:5.2f}"
                    line += "".join("      -" if math.isnan(r) else f" {r:6.2f}" for r in ratios)
                    worst = min([r for r in ratios if not math.isnan(r)], default=math.inf)
                    lines.append((worst, line))
                    if args.worst is None:
                        print(line, flush=True)
    for _, line in sorted(lines)[: args.worst or 0]:
        print(line)


if __name__ == "__main__":
    main()
