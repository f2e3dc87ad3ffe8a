"""The table of a model's layers: output shapes, parameters, flops and memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..autograd import no_grad
from ..tensor import Tensor, as_tensor, zeros
from ..units import quantity, size

if TYPE_CHECKING:
    from .module import Module


@dataclass
class Row:
    """One module. The parameters are its own, without its children's or those listed further up."""

    name: str
    kind: str
    depth: int
    parameters: int = 0
    shared: bool = False  # holds parameters that were counted further up
    calls: int = 0
    output_shape: tuple[int, ...] | None = None
    flops: int = 0
    output_bytes: int = 0  # of all calls, but for outputs that a child or the caller holds


@dataclass
class Summary:
    """What a model consists of, and costs for one input; `print` it for the table.

    Attributes
    ----------
    rows : list of Row
        One a module, parents first; the first is the model itself.
    parameters, trainable, buffers : int
        Numbers of elements; shared ones count once.
    parameter_bytes, buffer_bytes, activation_bytes : int
        Memory of the parameters, of the buffers, and of the outputs of all layers for this input.
    flops : int
        Of one forward pass; a multiply-add is two, any function of one element one or a few. Work
        that a `forward` does without a layer is not seen.
    """

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    buffers: int = 0
    parameter_bytes: int = 0
    buffer_bytes: int = 0
    ran: bool = False

    @property
    def flops(self) -> int:
        return sum(row.flops for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        return sum(row.output_bytes for row in self.rows)

    def __str__(self) -> str:
        table = [("layer", "output", "parameters", "flops", "memory")]
        for row in self.rows:
            label = f"{row.name} ({row.kind})" if row.name else row.kind
            calls = f" x{row.calls}" if row.calls > 1 else ""
            count = f"{row.parameters:,}" if row.parameters else "shared" if row.shared else "-"
            table.append(
                (
                    "  " * row.depth + label + calls,
                    "-" if row.output_shape is None else str(row.output_shape),
                    count,
                    quantity(row.flops) if row.flops else "-",
                    size(row.output_bytes) if row.output_bytes else "-",
                )
            )
        if not self.ran:
            table = [(line[0], line[2]) for line in table]  # type: ignore[misc]
        text = _align(table)
        rule = "-" * len(text[0])
        return "\n".join([text[0], rule, *text[1:], rule, *self._totals()])

    def _totals(self) -> list[str]:
        lines = [f"parameters  {self.parameters:,} ({size(self.parameter_bytes)})"]
        if self.trainable != self.parameters:
            lines[0] += f", of which {self.parameters - self.trainable:,} are frozen"
        if self.buffers:
            lines.append(f"buffers     {self.buffers:,} ({size(self.buffer_bytes)})")
        if self.ran:
            lines.append(
                f"forward     {quantity(self.flops)}flop, outputs {size(self.activation_bytes)}"
            )
        return lines

    __repr__ = __str__


def _align(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for line in table:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return lines


def summarize(model: Module, example: Any, dtype: Any) -> Summary:
    """Run the model once in evaluation mode, watched by hooks, and add up."""
    result = Summary()
    rows: dict[int, Row] = {}
    counted: set[int] = set()
    for path, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        new = [parameter for parameter in own if id(parameter) not in counted]
        counted.update(map(id, new))
        rows[id(module)] = Row(
            name=path.rpartition(".")[2],
            kind=type(module).__name__,
            depth=path.count(".") + 1 if path else 0,
            parameters=sum(parameter.size for parameter in new),
            shared=len(new) < len(own),
        )
        result.parameters += sum(parameter.size for parameter in new)
        result.trainable += sum(parameter.size for parameter in new if parameter.requires_grad)
        result.parameter_bytes += sum(parameter.nbytes for parameter in new)
    result.rows = list(rows.values())
    result.buffers = sum(buffer.size for buffer in model.buffers())
    result.buffer_bytes = sum(buffer.nbytes for buffer in model.buffers())
    if example is not None:
        inputs = _inputs(example, dtype)
        with _watched(model, rows), no_grad():
            model(*inputs)
        result.ran = True
    return result


def _inputs(example: Any, dtype: Any) -> tuple[Any, ...]:
    """What to call the model with: zeros of a shape, an array, or a tuple of arrays."""
    if isinstance(example, int):
        example = (1, example)
    if isinstance(example, (tuple, list)) and all(isinstance(item, int) for item in example):
        return (zeros(tuple(example), dtype),)
    if isinstance(example, (tuple, list)):
        return tuple(
            zeros(tuple(item), dtype) if isinstance(item, (tuple, list)) else as_tensor(item)
            for item in example
        )
    return (as_tensor(example),)


@contextmanager
def _watched(model: Module, rows: dict[int, Row]) -> Iterator[None]:
    """Hooks that fill in the rows, and evaluation mode; both undone at the end."""
    known: dict[int, weakref.ref[Tensor]] = {}  # outputs that a row has counted

    def watch(module: Module, args: tuple[Any, ...], output: Any) -> None:
        row = rows[id(module)]
        several = output if isinstance(output, (tuple, list)) else (output,)
        outputs = [y for y in several if isinstance(y, Tensor)]
        inputs = [x for x in args if isinstance(x, Tensor)]
        row.calls += 1
        row.output_shape = outputs[0].shape if outputs else None
        row.flops += module.count_flops(args, output)
        for y in outputs:
            seen = known.get(id(y))
            known[id(y)] = weakref.ref(y)
            if not (seen and seen() is y) and not any(y._shares_memory_with(x) for x in inputs):
                row.output_bytes += y.nbytes

    modes = [(module, module.training) for module in model.modules()]
    handles = [module.register_forward_hook(watch) for module, _ in modes]
    try:
        model.eval()
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.__dict__["training"] = mode
