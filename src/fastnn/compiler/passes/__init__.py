"""Passes: each takes a `Program` and returns another that computes the same.

`PASSES` has them by name, in the order in which `run_passes` applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..program import Program
from .chain import fuse_chains
from .constants import fold_constants
from .copies import drop_copies
from .dead import drop_dead_calls
from .epilogue import fuse_epilogues
from .fold import fold_norms
from .memory import plan_memory
from .norms import fuse_norms
from .order import in_memory_order
from .pools import mask_pools
from .prologue import hoist_constants, pack_weights
from .recompute import recompute_norms
from .spread import shrink_repeated

__all__ = ["PASSES", "check_passes", "run_passes"]

PASSES: dict[str, Callable[[Program], Program]] = {
    "dead": drop_dead_calls,
    "order": in_memory_order,
    "repeated": shrink_repeated,
    "constants": fold_constants,
    "copies": drop_copies,
    "fold": fold_norms,
    "norm": fuse_norms,
    "pools": mask_pools,
    "epilogue": fuse_epilogues,
    "chain": fuse_chains,
    "recompute": recompute_norms,
    "hoist": hoist_constants,
    "pack": pack_weights,
}


def check_passes(names: Collection[str]) -> tuple[str, ...]:
    """The names of passes, or an error where there is none of such a name."""
    if isinstance(names, str) or not isinstance(names, Collection):
        raise TypeError(f'without is a collection of names of passes, as ("chain",); got {names!r}')
    unknown = [name for name in names if name not in tuple(PASSES)]
    if unknown:
        raise ValueError(
            f"without: no pass is named {', '.join(map(repr, unknown))}; there are {', '.join(PASSES)}"
        )
    return tuple(names)


def run_passes(program: Program, without: Collection[str] = ()) -> Program:
    """All passes but some, and the plan of the memory, which no program can do without."""
    without = check_passes(without)
    for name, transform in PASSES.items():
        if name not in without:
            program = transform(program)
    return plan_memory(program)
