"""Groups of pointwise calls that may run as one, tile by tile.

A group grows along the program. Its calls are run where the last of them stands, so a group is closed by the
first call that is not part of it and needs what it writes, or writes what it touches. A matrix product can be
a group's head: the calls then run on pieces of its result while they are in cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..chaincode import INPUTS, REGISTER, REGISTERS, STEPS, Step
from ..program import Call, Program, View
from .part import (
    Operand,
    Part,
    Region,
    Strides,
    collapse,
    kind_of,
    part_of,
    plain,
    region,
    reshaped,
)

__all__ = ["Group", "regroup"]

OPEN = 8  # groups that may grow at once: a bound on the time that this takes


class Group:
    """Calls that may run as one.

    Attributes
    ----------
    members : list of int
        The calls' places in the program; the head is the first if there is one.
    head : Call or None
        A matrix product, whose result is value 0.
    operands : list of Operand
        What is read.
    values : list of View
        What is made, in order, as it would be written.
    """

    def __init__(self, room: int = INPUTS) -> None:
        self.members: list[int] = []
        self.head: Call | None = None
        self.room = room
        self.shape: tuple[int, ...] = ()
        self.code = -1
        self.operands: list[Operand] = []
        self.values: list[View] = []
        self.steps: list[tuple[Call, list[int]]] = []  # operands by number, values by ~number
        self._head_reads: list[Region] = []
        self._reads: list[Region] = []
        self._writes: dict[Region, int] = {}  # the value that is there now

    @classmethod
    def headed(cls, i: int, call: Call, room: int) -> Group:
        """A group that begins with a product of two matrices."""
        group = cls(room)
        product = call.views[3]
        assert product is not None
        group.members, group.head = [i], call
        group.shape = tuple(n for n in product.shape if n != 1)
        group.code = product.code
        group.values = [product]
        group._head_reads = [region(v) for v in call.views[:3] if v is not None]
        group._reads = group._head_reads
        group._writes = {region(product): 0}
        return group

    def needs_order(self, reads: Iterable[Region], writes: Iterable[Region]) -> bool:
        """Whether a call that is not part of the group has to come after it."""
        return any(r.overlaps(w) for r in reads for w in self._writes) or any(
            w.overlaps(mine) for w in writes for mine in (*self._writes, *self._reads)
        )

    def admit(self, i: int, call: Call, part: Part) -> bool:
        """Add a call, if it fits and has something in common with the group."""
        if len(self.steps) == STEPS or (
            self.code != part.code and -1 not in (self.code, part.code)
        ):
            return False
        shape, strides, operands = self.shape, part.strides, self.operands
        if not self.members:
            shape = part.shape
        elif part.shape != shape:
            if math.prod(part.shape) != math.prod(shape):
                return False
            if part.flat:
                strides = [reshaped(s, shape) for s in strides]
            elif self.head is None and self._flat():
                shape = part.shape
                operands = [o._replace(strides=reshaped(o.strides, shape)) for o in operands]
            else:
                return False
        found = self._find(part, shape, strides, operands)
        if found is None:
            return False
        refs, operands, linked = found
        if self.members and not linked:
            return False
        written = region(part.output)
        if not self._may_write(written, part.output, shape, operands):
            return False
        spread = [o.strides for o in operands if o.strides is not None]
        if len(collapse(shape, [*spread, plain(shape)])[0]) > 2:
            return False
        self.members.append(i)
        self.steps.append((call, refs))
        self.shape, self.operands = shape, operands
        self.code = max(self.code, part.code)
        self._reads = self._head_reads + [o.place for o in operands]
        self._writes[written] = len(self.values)
        self.values.append(part.output)
        return True

    def _flat(self) -> bool:
        return all(s is None or s == plain(self.shape) or not any(s) for _, s, _ in self.operands)

    def _find(
        self,
        part: Part,
        shape: tuple[int, ...],
        strides: Sequence[Strides | None],
        operands: list[Operand],
    ) -> tuple[list[int], list[Operand], bool] | None:
        """Where a call's inputs come from, all operands then, and whether some are shared with the group."""
        operands, refs, linked = list(operands), [], False
        for view, along, place in zip(part.inputs, strides, part.places, strict=True):
            value = self._writes.get(place)
            if value is not None and along == plain(shape) and view.code == self.values[value].code:
                refs.append(~value)
                linked = True
                continue
            if any(place.overlaps(w) for w in self._writes):
                return None
            for k, (known, its, there) in enumerate(operands):
                if there == place and its == along and known.code == view.code:
                    linked |= self.head is None and along == plain(shape)
                    refs.append(k)
                    break
            else:
                refs.append(len(operands))
                operands.append(Operand(view, along, place))
        return (refs, operands, linked) if len(operands) <= self.room else None

    def _may_write(
        self,
        written: Region,
        view: View,
        shape: tuple[int, ...],
        operands: list[Operand],
    ) -> bool:
        """Memory that is touched already may only be written as it was touched, element by element."""
        for other, value in self._writes.items():
            if other != written and other.overlaps(written):
                return False
            if other == written and self.values[value].code != view.code:
                return False
        for operand, along, place in operands:
            if place.overlaps(written) and (
                place != written or along != plain(shape) or operand.code != view.code
            ):
                return False
        return not any(r.overlaps(written) for r in self._head_reads)

    def needed(self, readers: dict[int, set[int]]) -> list[int]:
        """The values that are read outside the group, or whose memory is not the program's own."""
        mine = set(self.members)
        return sorted(
            value
            for value in self._writes.values()
            if self.values[value].buffer.array is not None
            or readers.get(id(self.values[value].buffer), set()) - mine
        )

    def coded(
        self, outputs: dict[int, int], start: dict[int, int], scratch: Sequence[int] = ()
    ) -> list[Step] | None:
        """The steps, or None if there are not enough registers.

        Parameters
        ----------
        outputs, start : dict of int to int
            The places, by value, of those that are outputs, and of those that are there from the start.
        scratch : sequence of int
            Outputs that may serve as registers for real numbers, until the last value is written there.
        """
        first = len(self.values) - len(self.steps)  # values before it are the head's
        last = {~ref: k for k, (_, refs) in enumerate(self.steps) for ref in refs if ref < 0}
        registers = (*scratch, *range(REGISTER, REGISTER + REGISTERS))
        places = dict(start)
        free = [r for r in registers if r not in start.values()]
        steps = []
        for k, (call, refs) in enumerate(self.steps):
            value, operands = first + k, [~ref for ref in refs if ref < 0]
            read = tuple(ref if ref >= 0 else places[~ref] for ref in refs)
            done = {places[v] for v in operands if last[v] == k} & set(registers)
            kinds = {kind_of(self.values[v]) for v in (*operands, value)}
            if kinds == {"r"}:  # a result may take the place of an operand of the same size
                free, done = sorted({*free, *done}, key=registers.index), set()
            fitting = [r for r in free if kind_of(self.values[value]) == "r" or r not in scratch]
            if value not in outputs and not fitting:
                return None
            place = outputs.get(value, fitting[0] if fitting else -1)
            if value in outputs or value in last:
                free = [r for r in free if r != place]
            free = sorted({*free, *done}, key=registers.index)
            places[value] = place
            steps.append(Step(call.op, place, read, call.scalars))
        return steps

    @property
    def layer(self) -> str:
        calls = [call for call, _ in self.steps]
        return next((call.layer for call in [self.head, *calls] if call and call.layer), "")


def _readers_of(program: Program) -> dict[int, set[int]]:
    """The calls that read each buffer, by its id."""
    readers: dict[int, set[int]] = {}
    for i, call in enumerate(program.calls):
        for view in call.split()[0]:
            readers.setdefault(id(view.buffer), set()).add(i)
    return readers


def regroup(
    program: Program,
    begin: Callable[[int, Call], Group | None],
    made_of: Callable[[Group, dict[int, set[int]]], Call | None],
) -> Program:
    """With groups of calls replaced by one call.

    Parameters
    ----------
    program : Program
    begin : function
        The group that a call which belongs to none begins, or None.
    made_of : function
        The one call for a group, given the readers of each buffer; None if that cannot be or does not pay.
    """
    readers = _readers_of(program)
    calls: list[Call | None] = list(program.calls)

    def close(group: Group) -> None:
        """Put the one call where the last of its members stood; of a group that is too large, a part."""
        members = group.members
        while len(members) > 1:
            for n in range(len(members), 1, -1):
                trial = _again(program, members[:n], begin)
                made = trial and made_of(trial, readers)
                if made:
                    break
            else:
                return
            for i in members[:n]:
                calls[i] = None
            calls[members[n - 1]] = made
            if group.head is not None:
                return
            members = members[n:]

    growing: list[Group] = []
    for i, call in enumerate(program.calls):
        joined = None
        if growing:
            part = part_of(call)
            if part is not None:
                joined = next((g for g in reversed(growing) if g.admit(i, call, part)), None)
            inputs, outputs = call.split()
            reads, writes = [region(v) for v in inputs], [region(v) for v in outputs]
            for group in list(growing):
                if group is not joined and group.needs_order(reads, writes):
                    growing.remove(group)
                    close(group)
        begun = begin(i, call) if joined is None else None
        if begun is not None:
            growing.append(begun)
            if len(growing) > OPEN:
                close(growing.pop(0))
    for group in growing:
        close(group)
    return replace(program, calls=[call for call in calls if call is not None])


def _again(
    program: Program, members: list[int], begin: Callable[[int, Call], Group | None]
) -> Group | None:
    """A group of these members alone, None if they have too little in common."""
    group = begin(members[0], program.calls[members[0]])
    for i in members[1:]:
        part = part_of(program.calls[i])
        if group is None or part is None or not group.admit(i, program.calls[i], part):
            return None
    return group
