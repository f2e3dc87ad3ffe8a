"""A program as text that a person reads: a line a call, and what it all takes."""

from __future__ import annotations

from collections.abc import Sequence

from .. import _core
from ..units import quantity, size
from .chaincode import INPUTS, OUTPUT, code_of, decode, spell
from .names import Names
from .program import Call, Program, View

__all__ = ["Step", "listing"]

# Of a call that is ready to run: threads, whether they meet before it, flops, bytes, bytes of workspace.
Step = tuple[int, bool, float, float, int]

_HEAD = ("", "threads", "flop", "bytes", "arena", "layer")


def listing(
    program: Program, steps: Sequence[Step] | None = None, names: Names | None = None
) -> str:
    """The calls, a line each.

    Parameters
    ----------
    program : Program
    steps : sequence of Step, optional
        What the executor made of the calls.
    names : Names, optional
        What their memory is called; by default it has numbers.
    """
    names = names or Names(program)
    rows: list[tuple[str, ...]] = [_HEAD] if steps is not None else [("", "arena", "layer")]
    expressions = ["call"]
    blank = ("",) * (0 if steps is None else 3)
    for call in program.prologue:
        rows.append(("once", *blank, "", call.layer))
        expressions.append(_spelled(call, names))
    for i, call in enumerate(program.calls):
        costs = () if steps is None else _costs(steps[i])
        rows.append((str(i), *costs, _places(program, call), call.layer))
        expressions.append(_spelled(call, names))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_summary(program, steps)]
    for row, expression in zip(rows, expressions, strict=True):
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("  ".join([*cells, row[-1].ljust(widths[-1]), expression]))
    return "\n".join(lines)


def _summary(program: Program, steps: Sequence[Step] | None) -> str:
    count, work = len(program.calls), sum(map(_ops, program.calls))
    text = f"{count} calls" + (f", {work} before fusion," if work > count else "")
    if steps is None:
        return f"{text}; arena {size(program.arena)}"
    threads = max((step[0] for step in steps), default=1)
    meetings = sum(step[1] for step in steps)
    flops, moved = (sum(step[k] for step in steps) for k in (2, 3))
    text += f" on {threads} thread{'s' * (threads > 1)}"
    if meetings:
        text += f" that meet {meetings} time{'s' * (meetings > 1)}"
    return f"{text}; {quantity(flops)}flop, {size(moved)} read and written"


def _ops(call: Call) -> int:
    """How many recorded calls it does the work of."""
    found = code_of(call)
    if found is not None:
        return len(decode(found[1])) + (call.op in (_core.ops.matmul_chain, _core.ops.conv_chain))
    return 1 + (call.op == _core.ops.matmul and call.scalars[1] != 0)


def _costs(step: Step) -> tuple[str, ...]:
    threads, meets, flops, moved, _ = step
    return (f"{'meet, ' * meets}{threads}", quantity(flops).strip(), size(moved))


def _places(program: Program, call: Call) -> str:
    """Where in the arena the temporaries that a call writes begin."""
    found = [program.places.get(id(view.buffer)) for view in call.split()[1]]
    return " ".join(str(at) for at in found if at is not None)


def _spelled(call: Call, names: Names) -> str:
    """A call as an expression."""
    inputs, outputs = call.split()
    left = ", ".join(names.view(view) for view in outputs)
    found = code_of(call)
    if found is not None:
        return f"{left} = {_chain(call, *found, names)}"
    if call.op == _core.ops.matmul:
        return f"{left} {'+' * bool(call.scalars[0])}= {_product(call, names)}"
    return f"{left} = {_plain(call.name, call, inputs, names)}"


def _plain(name: str, call: Call, inputs: list[View], names: Names) -> str:
    """A call by its name, with its inputs and scalars."""
    _, _, _, scalars = _core.op_info(call.op)
    said = [names.view(view) for view in inputs]
    said += [
        f"{word.split(':')[0]}={value:g}"
        for word, value in zip(scalars.split(), call.scalars, strict=True)
    ]
    return f"{name}({', '.join(said)})"


def _chain(call: Call, at: int, code: _core.Array, names: Names) -> str:
    """The expressions of a chain; at the end of a product that is its output to begin with."""
    said = ["" if view is None else names.view(view) for view in call.views[at + 1 :]]
    if call.op == _core.ops.chain:
        return f"chain: {spell(code, dict(enumerate(said[:INPUTS])), said[INPUTS:])}"
    *operands, c = said
    if call.op == _core.ops.conv_chain:
        first = _plain("conv", call, [v for v in call.views[:3] if v is not None], names)
    else:
        first = _product(call, names)
    return spell(code, {**dict(enumerate(operands)), OUTPUT: first}, (c,))


def _product(call: Call, names: Names) -> str:
    a, b, bias = call.views[:3]
    assert a is not None and b is not None
    text = f"{names.view(a)} @ {names.view(b)}"
    if bias is not None:
        text += f" + {names.view(bias)}"
    ending = int(call.scalars[1]) if call.op == _core.ops.matmul else 0
    return f"{_core.op_info(ending)[0]}({text})" if ending else text
