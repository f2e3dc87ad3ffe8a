"""What a program needs of memory: known before it runs, and refused where it is too much."""

from __future__ import annotations

from dataclasses import dataclass

from ..dtypes import BY_CODE
from ..units import size
from .program import Buffer, Program

__all__ = ["Footprint"]


@dataclass(frozen=True)
class Footprint:
    """Bytes, by what they are for.

    Attributes
    ----------
    arena : int
        Where all temporaries lie.
    workspace : int
        Scratch memory of the calls.
    inputs, constants : int
        What arguments are copied into, and what the function made in Python or is computed only once. Large
        arguments are copied there by the first call alone.
    kept : int
        Results, and what the function stored somewhere: the state of an optimizer, gradients. A call makes
        large results in memory of their own, in place of this.
    yours : int
        What was there before: parameters, gradients in flat memory, data. It is not part of the peak.
    """

    arena: int
    workspace: int
    inputs: int
    constants: int
    kept: int
    yours: int

    @classmethod
    def of(cls, program: Program, workspace: int) -> Footprint:
        """The footprint of a planned program whose calls share so much scratch memory."""
        sizes = dict.fromkeys(("input", "constant", "prologue", "kept", "yours"), 0)
        for buffer in program.buffers():
            if buffer.kind in sizes:
                # Of another library's memory we know what the calls see.
                sizes[buffer.kind] += buffer.size or getattr(buffer.array, "nbytes", 0)
        constants = sizes["constant"] + sizes["prologue"]
        return cls(
            program.arena, workspace, sizes["input"], constants, sizes["kept"], sizes["yours"]
        )

    @property
    def peak(self) -> int:
        """All that the program takes besides what is yours."""
        return self.arena + self.workspace + self.inputs + self.constants + self.kept

    def __str__(self) -> str:
        parts = [
            f"{name} {size(count)}"
            for name, count in (
                ("arena", self.arena), ("workspace", self.workspace), ("inputs", self.inputs),
                ("constants", self.constants), ("results and state", self.kept),
            )
            if count
        ]  # fmt: skip
        text = f"peak memory {size(self.peak)}"
        if parts:
            text += f" ({', '.join(parts)})"
        return f"{text}, besides {size(self.yours)} that were there before"

    def check(self, program: Program, limit: int | None) -> None:
        """Refuse what needs more than the limit.

        Raises
        ------
        MemoryError
            It names the largest temporaries, and the layers that make them.
        """
        if limit is None or self.peak <= limit:
            return
        raise MemoryError(
            f"compile: {self}; the limit is {size(limit)}. Nothing was run. The largest temporaries: "
            f"{'; '.join(_largest(program, 3)) or 'none'}. Use smaller batches, or raise memory_limit"
        )


def _largest(program: Program, count: int) -> list[str]:
    """The largest temporaries, with the first call that writes each."""
    chosen: list[Buffer] = sorted(program.temporaries(), key=lambda b: -b.size)[:count]
    makers: dict[int, str] = {}
    for call in program.calls:
        for view in call.split()[1]:
            dtype = BY_CODE[view.code].name
            layer = f" of {call.layer}" if call.layer else ""
            text = f"{size(view.buffer.size)} for {call.name}{layer}, {view.shape} {dtype}"
            makers.setdefault(id(view.buffer), text)
    return [makers[id(buffer)] for buffer in chosen]
