"""What follows on batch and group normalisation: a residual and ReLU become part of it, and their gradients.

The kernels add, limit and take limits away in the passes over memory that they make anyway, element by
element as the separate calls do: the bits do not change.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from ... import _core
from ..._core import ops as op
from ..program import Call, Program, View
from .uses import Uses

__all__ = ["fuse_norms"]


class Forward(NamedTuple):
    """Places in a normalisation's arrays and, of the lower limit, in its scalars."""

    residual: int
    y: int
    limits: int


FORWARD = {
    op.batch_norm: Forward(6, 7, 2),
    op.batch_norm_eval: Forward(5, 6, 1),
    op.group_norm: Forward(3, 4, 1),
}
# Statistics among the arrays of a forward call that makes them.
STATISTICS = {op.batch_norm: (8, 9), op.group_norm: (5, 6)}
GRADIENTS = {op.batch_norm: op.batch_norm_grad, op.group_norm: op.group_norm_grad}
GRADIENTS[op.batch_norm_eval] = op.batch_norm_grad
MEAN, RSTD, DY, MORE, Y, DRESIDUAL = 3, 4, 5, 6, 7, 11
FREE = (-math.inf, math.inf)
# The gradients of the activations that a normalisation can end with: 0 at the limits and beyond.
LIMITED = {op.relu: op.relu_grad, op.clip: op.hardtanh_grad}


def fuse_norms(program: Program) -> Program:
    """With additions and ReLUs that follow on a normalisation, and their gradients, made part of it."""
    fusing = _Fusing(program)
    for i in range(len(program.calls)):
        if program.calls[i].op in FORWARD:
            fusing.forward(i)
    for i, call in enumerate(program.calls):
        if call.op in LIMITED.values():
            fusing.backward(i)
    return replace(program, calls=[call for call in fusing.calls if call is not None])


class _Fusing:
    """The program while it changes: a call that became part of another is None."""

    def __init__(self, program: Program) -> None:
        self.calls: list[Call | None] = list(program.calls)
        self.uses = Uses(program.calls)
        self.made: dict[int, int] = {}  # the normalisation that made a buffer, by its id

    def call(self, i: int) -> Call:
        call = self.calls[i]
        assert call is not None
        return call

    def change(self, i: int, after: Call | None) -> None:
        self.uses.change(i, self.call(i), after)
        self.calls[i] = after

    # --- forward ---

    def forward(self, i: int) -> None:
        """A normalisation with what follows on it, where the last of that stood."""
        while True:
            call = self.call(i)
            places = FORWARD[call.op]
            y = call.views[places.y]
            assert y is not None
            self.made[id(y.buffer)] = i
            after = self._ended(i, y, places)
            if after is None:
                return
            j, ended = after
            self.change(i, None)
            self.change(j, ended)
            i = j

    def _ended(self, i: int, y: View, places: Forward) -> tuple[int, Call] | None:
        """The call with the next one in it, and that one's place."""
        call, readers = self.call(i), self._readers(i, y)
        follows = [j for j in readers if self.call(j).op in (op.add, *LIMITED)]
        if len(follows) != 1 or not y.contiguous:
            return None
        j = follows[0]
        after = self.call(j)
        result = after.views[-1]
        assert result is not None
        if (
            call.scalars[places.limits :][:2] != FREE
            or not _same_elements(result, y)
            or not result.contiguous
            or not self._may_wait(i, j, y)
        ):
            return None
        views, scalars = list(call.views), list(call.scalars)
        views[places.y] = _laid(result, y)
        if after.op == op.add:
            other = _other(after, y)
            if len(readers) > 1 or other is None or views[places.residual] is not None:
                return None
            views[places.residual] = _laid(other, y)
        else:
            tellers = [k for k in readers if k != j]
            limited = after.views[0]
            if limited is None or not _same_place(limited, y):
                return None
            if not all(self._may_tell(j, k, y) for k in tellers):
                return None
            for k in tellers:
                self.change(k, replace(self.call(k), views=(result, *self.call(k).views[1:])))
            scalars[places.limits : places.limits + 2] = _limits(after)
        return j, replace(call, views=tuple(views), scalars=tuple(scalars))

    def _readers(self, i: int, y: View) -> list[int]:
        """The calls that read what call i alone writes; none where others may see it."""
        touches = self.uses.of(y.buffer)
        if y.buffer.array is not None or [t.call for t in touches if t.writes] != [i]:
            return []
        return sorted({t.call for t in touches if not t.writes})

    def _may_tell(self, j: int, k: int, y: View) -> bool:
        """Whether call k, which reads what activation j limits, may read its result instead: the gradient
        of the activation, which is 0 at the limits and beyond.
        """
        after, call = self.call(j), self.call(k)
        given, dy, *_ = call.views
        result = after.views[-1]
        return (
            call.op == LIMITED[after.op] and call.scalars == after.scalars
            and given is not None and dy is not None and result is not None
            and _same_place(given, y) and given.shape == result.shape
            and dy.buffer is not y.buffer and self._untouched([result], j, k, True)
        )  # fmt: skip

    def _may_wait(self, i: int, j: int, y: View) -> bool:
        """Whether call i, but for its y, can be made at j > i as well."""
        inputs, outputs = self.call(i).split()
        return self._untouched(inputs, i, j, True) and self._untouched(
            [v for v in outputs if v is not y], i, j, False
        )

    def _untouched(self, views: list[View], i: int, j: int, only_writes: bool) -> bool:
        """Whether no call between i and j touches (or writes) memory."""
        return not any(
            i < t.call < j and (t.writes or not only_writes)
            for view in views
            for t in self.uses.near(view)
        )

    # --- backward ---

    def backward(self, i: int) -> None:
        """The gradient of an activation with that of the normalisation before it, where the first stood."""
        if self.calls[i] is None:
            return
        call = self.call(i)
        z, dz, g = call.views
        assert z is not None and dz is not None and g is not None
        maker = self.made.get(id(z.buffer))
        if maker is None or not dz.contiguous or not g.contiguous or dz.code != g.code:
            return
        forward = self.call(maker)
        readers = self._readers(i, g)
        mine = [j for j in readers if self._gradient_of(forward, j, z, g)]
        if len(mine) != 1 or _limits(call) != forward.scalars[FORWARD[forward.op].limits :][:2]:
            return
        j = mine[0]
        x = self.call(j).views[0]
        assert x is not None
        inputs, outputs = self.call(j).split()
        inputs = [v for v in inputs if v.buffer is not g.buffer]
        if not self._untouched(inputs, i, j, True) or not self._untouched(outputs, i, j, False):
            return
        views = list(self.call(j).views)
        views[DY] = _laid(dz, x)
        again = len(readers) == 1 and self._can_repeat(maker, j)
        summed = None if again else self._sum(i, dz)
        if not again:
            views[Y] = _laid(z, x)
            views[DRESIDUAL] = _laid(g, x) if len(readers) > 1 else None
            if summed is not None:
                a, b = (v for v in self.call(summed).views[:2])
                assert a is not None and b is not None
                views[DY], views[MORE] = _laid(a, x), _laid(b, x)
        scalars = (*_limits(call), *self.call(j).scalars[2:])
        fused = replace(self.call(j), views=tuple(views), scalars=scalars)
        if summed is not None:
            self.change(summed, None)
        self.change(j, None)
        self.change(i, fused)

    def _gradient_of(self, forward: Call, j: int, z: View, g: View) -> bool:
        """Whether call j is the gradient of a normalisation that made z, and takes g as it is."""
        call = self.call(j)
        if call.op != GRADIENTS[forward.op]:
            return False
        x, dy, fx = call.views[0], call.views[DY], forward.views[0]
        return (
            x is not None and dy is not None and fx is not None
            and _same_place(x, fx) and _same_place(dy, g) and _same_elements(z, x)
            and call.views[Y] is None and call.views[DRESIDUAL] is None
            and call.scalars[:2] == FREE
            and sum(v is not None and v.buffer is g.buffer for v in call.views) == 1
        )  # fmt: skip

    def _can_repeat(self, maker: int, j: int) -> bool:
        """Whether a gradient has what made y, so that it can tell where y was at its limits without it."""
        forward, call = self.call(maker), self.call(j)
        if forward.op not in STATISTICS or forward.views[FORWARD[forward.op].residual] is not None:
            return False
        mean, rstd = STATISTICS[forward.op]
        pairs = [(0, 0), (1, 1), (2, 2), (mean, MEAN), (rstd, RSTD)]
        for a, b in pairs:
            ours, theirs = forward.views[a], call.views[b]
            if (ours is None) != (theirs is None):
                return False
            if ours is None or theirs is None:
                continue
            if not _same_place(ours, theirs) or not self._untouched([theirs], maker, j, True):
                return False
        return True

    def _sum(self, i: int, dz: View) -> int | None:
        """The call that adds up a gradient which call i alone reads, if it may be part of that."""
        touches = self.uses.of(dz.buffer)
        if dz.buffer.array is not None or len(touches) != 2 or not touches[0].writes:
            return None
        j = touches[0].call
        call = self.call(j)
        views = [v for v in call.views if v is not None]
        if call.op != op.add or not all(v.contiguous and _same_elements(v, dz) for v in views):
            return None
        return j if self._untouched(views[:2], j, i, True) else None


def _limits(call: Call) -> tuple[float, ...]:
    """The limits of an activation, or of the one whose gradient a call is."""
    return call.scalars or (0.0, math.inf)


def _same_place(a: View, b: View) -> bool:
    """Whether two views are of the same elements, in the order of memory."""
    return (
        a.buffer is b.buffer
        and a.offset == b.offset
        and _same_elements(a, b)
        and a.contiguous
        and b.contiguous
    )


def _same_elements(a: View, b: View) -> bool:
    return a.elements == b.elements and a.code == b.code


def _other(call: Call, y: View) -> View | None:
    """What an addition adds to y, if it lies as y does."""
    a, b, result = call.views
    assert a is not None and b is not None and result is not None
    other = b if a.buffer is y.buffer else a
    mine = a if other is b else b
    lies = other.contiguous and other.shape == result.shape and result.contiguous
    if not lies or other.buffer is y.buffer or not _same_place(mine, y):
        return None
    return other if _same_elements(other, y) else None


def _laid(view: View, like: View) -> View:
    """A contiguous view in another's shape."""
    array = view.array
    if array is not None:
        array = _core.view(_core.Array, array, like.shape, like.strides)
    return replace(view, shape=like.shape, strides=like.strides, array=array)
