"""L-BFGS: a quasi-Newton method for small problems whose loss is not noisy.

The algorithm and its constants are PyTorch's (after Mark Schmidt's minFunc), so that the steps are
the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._core import launch, refuse
from .._core import ops as op
from ..autograd import enable_grad, no_grad
from ..flat import adopt_gradient
from ..tensor import Tensor, empty, empty_like
from .base import Optimizer

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS.

    Parameters
    ----------
    params : iterable of Tensor
        One group, of one dtype.
    lr : float, default 1
    max_iter : int, default 20
        Iterations a step.
    max_eval : int, optional
        Evaluations of the closure a step, by default ``max_iter * 5 // 4``.
    tolerance_grad : float, default 1e-7
        Stop when the largest gradient is at most this.
    tolerance_change : float, default 1e-9
        Stop when the loss or the parameters change by less.
    history_size : int, default 100
        Pairs of steps and gradients remembered.
    line_search_fn : {None, "strong_wolfe"}
        How the length of a step is found; None takes ``lr``.

    References
    ----------
    Nocedal and Wright, "Numerical optimization", 2006, algorithms 3.5, 3.6 and 7.5.

    Examples
    --------
    >>> w = Tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = w @ w
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> bool(abs(w.numpy()).max() < 1e-6)
    True
    """

    _own: ClassVar = (*Optimizer._own, "_count", "_pairs", "_memory")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(
                f"LBFGS: line_search_fn is None or 'strong_wolfe', got {line_search_fn!r}"
            )
        if max_iter < 1 or history_size < 1:
            raise ValueError("LBFGS: max_iter and history_size must be at least 1")
        options = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else
            max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, options)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS: one group of parameters only")
        if len({run.data.code for run in self.param_groups[0].runs}) != 1:
            raise ValueError("LBFGS: the parameters must have one dtype")
        self._reset()

    def _reset(self) -> None:
        self._count = {"n_iter": 0, "func_evals": 0}
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(
            maxlen=self.param_groups[0]["history_size"]
        )  # (y, s, 1 / ys)
        self._memory: dict[str, Any] = {}  # d, t, previous gradient, scale of the first Hessian

    # --- vectors over all parameters ---

    def _gradient(self) -> Tensor:
        """All gradients as one new vector; those that are absent count as 0."""
        runs = self.param_groups[0].runs
        total = empty(sum(run.data.size for run in runs), runs[0].data.dtype)
        begin = 0
        for run in runs:
            for p in run.params:
                if p.grad is None:
                    p._grad_view.numpy()[...] = 0
                else:
                    adopt_gradient(p)
            launch(op.copy, (run.grad, total._as_view((run.data.size,), (1,), begin)))
            begin += run.data.size
        return total

    def _move(self, t: float, d: Tensor) -> None:
        """parameters += t d"""
        begin = 0
        for run in self.param_groups[0].runs:
            part = d._as_view((run.data.size,), (1,), begin)
            launch(op.add, (run.data, part * t, run.data))
            begin += run.data.size

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[float, Tensor]:
        with enable_grad():
            loss = float(closure())
        self._count["func_evals"] += 1
        return loss, self._gradient()

    # --- the step ---

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run up to ``max_iter`` iterations.

        Parameters
        ----------
        closure : callable
            Sets the gradients to none, computes the loss, calls ``backward`` and returns the loss.

        Returns
        -------
        What the first call of the closure returned.
        """
        refuse(
            "LBFGS.step decides by values how to go on, which a recording does not have; keep it eager"
        )
        if closure is None:
            raise TypeError("LBFGS.step needs a closure that computes the loss and its gradients")
        options, memory = self.param_groups[0], self._memory
        with enable_grad():
            first = closure()
        loss, gradient = float(first), self._gradient()
        self._count["func_evals"] += 1
        evaluations_before = self._count["func_evals"] - 1
        if _largest(gradient) <= options["tolerance_grad"]:
            return first
        for iteration in range(1, options["max_iter"] + 1):
            self._count["n_iter"] += 1
            d = self._direction(gradient)
            memory["gradient"], before = gradient, loss
            t = options["lr"]
            if self._count["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(np.abs(gradient.numpy()).sum()))
            slope = _dot(gradient, d)
            memory["d"], memory["t"] = d, t
            if slope > -options["tolerance_change"]:
                break
            if options["line_search_fn"] is not None:
                loss, gradient, t = self._search(closure, t, d, _Point(0.0, loss, gradient, slope))
                memory["t"] = t
                self._move(t, d)
            else:
                self._move(t, d)
                if iteration != options["max_iter"]:
                    loss, gradient = self._evaluate(closure)
            if (
                iteration == options["max_iter"]
                or self._count["func_evals"] - evaluations_before >= options["max_eval"]
                or _largest(gradient) <= options["tolerance_grad"]
                or _largest(d) * abs(t) <= options["tolerance_change"]
                or abs(loss - before) < options["tolerance_change"]
            ):
                break
        return first

    def _direction(self, gradient: Tensor) -> Tensor:
        """Minus the gradient times the approximate inverse Hessian (the two-loop recursion)."""
        memory = self._memory
        if self._count["n_iter"] == 1:
            self._pairs.clear()
            memory["scale"] = 1.0
            return gradient * -1.0
        y, s = gradient - memory["gradient"], memory["d"] * memory["t"]
        ys = _dot(y, s)
        if ys > 1e-10:
            self._pairs.append((y, s, 1.0 / ys))
            memory["scale"] = ys / _dot(y, y)
        q = gradient * -1.0
        factors = []
        for y, s, rho in reversed(self._pairs):
            a = _dot(s, q) * rho
            factors.append(a)
            q = q - y * a
        d = q * memory["scale"]
        for (y, s, rho), a in zip(self._pairs, reversed(factors), strict=True):
            d = d + s * (a - _dot(y, d) * rho)
        return d

    def _search(
        self, closure: Callable[[], Any], t: float, d: Tensor, start: _Point
    ) -> tuple[float, Tensor, float]:
        """A length along d that meets the strong Wolfe conditions; the parameters are left as they
        were.
        """
        runs = self.param_groups[0].runs
        saved = []
        for run in runs:
            copied = empty_like(run.data)
            launch(op.copy, (run.data, copied))
            saved.append(copied)

        def at(t: float) -> _Point:
            self._move(t, d)
            loss, gradient = self._evaluate(closure)
            for run, values in zip(runs, saved, strict=True):
                launch(op.copy, (values, run.data))
            return _Point(t, loss, gradient, _dot(gradient, d))

        best = strong_wolfe(at, t, start, _largest(d), self.param_groups[0]["tolerance_change"])
        return best.loss, best.gradient, best.t

    # --- state ---

    def state_dict(self) -> dict[str, Any]:
        """The options, the history and the counts."""
        result = super().state_dict()
        result["lbfgs"] = {
            **self._count,
            "pairs": [
                {"y": y.numpy().copy(), "s": s.numpy().copy(), "rho": r} for y, s, r in self._pairs
            ],
            "memory": {
                k: v.numpy().copy() if isinstance(v, Tensor) else v for k, v in self._memory.items()
            },
        }
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state_dict)
        saved = state_dict["lbfgs"]
        self._reset()
        self._count = {"n_iter": int(saved["n_iter"]), "func_evals": int(saved["func_evals"])}
        dtype = self.param_groups[0].runs[0].data.dtype
        for pair in saved["pairs"]:
            y, s = Tensor(np.array(pair["y"]), dtype), Tensor(np.array(pair["s"]), dtype)
            self._pairs.append((y, s, float(pair["rho"])))
        self._memory = {
            k: Tensor(np.array(v), dtype) if np.ndim(v) else float(v)
            for k, v in saved["memory"].items()
        }


def _dot(a: Tensor, b: Tensor) -> float:
    y = empty(1, "float64")
    launch(op.flat_dot, (a, b, y))
    return float(y.item())


def _largest(x: Tensor) -> float:
    return float(np.abs(x.numpy()).max(initial=0))


# --- line search ---


class _Point(NamedTuple):
    """A length along the direction, and the loss, its gradient and its slope there."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    at: Callable[[float], _Point],
    t: float,
    start: _Point,
    largest: float,
    tolerance: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    most: int = 25,
) -> _Point:
    """A point where the loss has fallen enough (c1) and the slope is small enough (c2); Nocedal and
    Wright, algorithms 3.5 (bracketing) and 3.6 (zoom).
    """
    new = at(t)
    before = start
    tries = 0
    while tries < most:
        if new.loss > start.loss + c1 * new.t * start.slope or (
            tries > 1 and new.loss >= before.loss
        ):
            break
        if abs(new.slope) <= -c2 * start.slope:
            return new
        if new.slope >= 0:
            break
        t = _cubic(before, new, (new.t + 0.01 * (new.t - before.t), new.t * 10))
        before, new = new, at(t)
        tries += 1
    bracket = [start if tries == most else before, new]
    stuck = False
    while tries < most:
        low, high = sorted(bracket, key=lambda p: p.loss)
        first, last = sorted((low.t, high.t))
        if (last - first) * largest < tolerance:
            break
        t = _cubic(bracket[0], bracket[1])
        margin = 0.1 * (last - first)
        if min(last - t, t - first) < margin:
            # Too close to an end: once is fine, then move away from it.
            if stuck or t >= last or t <= first:
                t = last - margin if abs(t - last) < abs(t - first) else first + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(t)
        tries += 1
        keep = high
        if new.loss > start.loss + c1 * new.t * start.slope or new.loss >= low.loss:
            bracket = [new if p is high else p for p in bracket]
            continue
        if abs(new.slope) <= -c2 * start.slope:
            return new
        if new.slope * (high.t - low.t) >= 0:
            keep = low
        bracket = [new if p is low else keep for p in bracket]
    return min(bracket, key=lambda p: p.loss)


def _cubic(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points and their slopes is least, within bounds."""
    low, high = bounds if bounds is not None else sorted((a.t, b.t))
    if a.t == b.t:
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    width = b.slope - a.slope + 2 * d2
    if width == 0:
        return (low + high) / 2
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / width)
    return min(max(t, low), high)
