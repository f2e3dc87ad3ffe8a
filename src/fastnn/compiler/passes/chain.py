"""Pointwise calls that run as one."""

from __future__ import annotations

import math

from ..._core import Array
from ..._core import ops as op
from ..chaincode import INPUTS, OUTPUT, OUTPUTS, encode
from ..program import Buffer, Call, Program, View
from .group import Group, regroup
from .part import collapse, laid_out, part_of, plain

__all__ = ["constant_view", "fuse_chains"]


def fuse_chains(program: Program) -> Program:
    """With pointwise calls that work on the same elements run as one, tile by tile.

    What one call makes and only others of the group read stays in the first level of cache, and what several
    read is fetched once. The same kernels run on the same values: the bits do not change.
    """
    return regroup(program, _begin, _chain)


def _begin(i: int, call: Call) -> Group | None:
    part = part_of(call)
    group = Group()
    return group if part is not None and group.admit(i, call, part) else None


def _chain(group: Group, readers: dict[int, set[int]]) -> Call | None:
    """The group as a call of the chain op, where it pays.

    Readying a chain takes 40 ns more than readying two calls, and less than readying four. What it
    saves grows with the elements: from about a thousand on it pays for two.
    """
    if len(group.members) < 4 and (len(group.members) - 1) * math.prod(group.shape) < 1000:
        return None
    values = group.needed(readers)
    views = [o.view for o in group.operands] + [group.values[v] for v in values]
    if not values or len(values) > OUTPUTS or not any(v.code <= 1 for v in views):
        return None
    steps = group.coded({value: OUTPUT + k for k, value in enumerate(values)}, {})
    if steps is None:
        return None
    spread = [o.strides for o in group.operands if o.strides is not None]
    shape, along = collapse(group.shape, [*spread, plain(group.shape)])
    strides = iter(along)
    inputs = [v if s is None else laid_out(v, shape, next(strides)) for v, s, _ in group.operands]
    outputs = [laid_out(group.values[v], shape, plain(shape)) for v in values]
    return Call(
        op.chain,
        (
            constant_view(encode(steps)),
            *inputs,
            *[None] * (INPUTS - len(inputs)),
            *outputs,
            *[None] * (OUTPUTS - len(outputs)),
        ),
        (),
        group.layer,
    )


def constant_view(array: Array) -> View:
    """A view of an array that a pass made."""
    return View(
        Buffer(array.nbytes, array, kind="constant"),
        0,
        array.shape,
        array.strides,
        array.code,
        array,
    )
