"""The gradient of ReLU before a maximum of windows: taken at the windows instead of at all pixels.

``relu_grad(x, max_pool_grad(dy))`` is dy at the places of the maxima where those are above 0, and what they
are is the pooling's result: ``max_pool_grad(dy, y)``. Both have the same bits, as each window gives to one
pixel only, whose ReLU is the window's y. So a pass over all pixels goes, and ReLU's result need not stay for
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..._core import ops as op
from ..program import Call, Program, View
from .uses import Uses, made_once, writers_of

__all__ = ["mask_pools"]


def mask_pools(program: Program) -> Program:
    """With the gradients of ReLUs that max-pooling follows on made part of the pooling's."""
    calls: list[Call | None] = list(program.calls)
    uses, writers = Uses(program.calls), writers_of(program)
    for i, call in enumerate(program.calls):
        if call.op != op.relu_grad:
            continue
        y, dx, out = call.views
        assert y is not None and dx is not None and out is not None
        if not all(made_once(view, writers) for view in (y, dx, out)):
            continue
        at = uses.of(dx.buffer)[0].call
        masked = _masked(program.calls, uses, at, y, dx, out)
        if masked is None or any(not made_once(v, writers) for v in masked.views if v is not None):
            continue
        if len(uses.of(dx.buffer)) == 2 and uses.of(out.buffer)[0].call == i:
            calls[at], calls[i] = masked, None
    return replace(program, calls=[call for call in calls if call is not None])


def _masked(
    calls: Sequence[Call], uses: Uses, at: int, x: View, dx: View, out: View
) -> Call | None:
    """The max_pool_grad at `at`, whose result is dx, of a pooling of x, masked and with its result in out."""
    grad = calls[at]
    if grad.op != op.max_pool_grad:
        return None
    dy, places, y, made = grad.views
    assert places is not None and made is not None
    pool = calls[uses.of(places.buffer)[0].call]
    if y is not None or pool.op != op.max_pool or pool.views[0] is None:
        return None
    if not (_same_memory(made, dx) and _same_memory(pool.views[0], x) and _dense(out, dx)):
        return None
    target = replace(made, buffer=out.buffer, offset=out.offset)
    return replace(grad, views=(dy, places, pool.views[1], target))


def _same_memory(a: View, b: View) -> bool:
    """Whether two views are all of one dense piece of memory, by whatever names of its axes."""
    return a.buffer is b.buffer and a.offset == b.offset and _dense(a, b)


def _dense(a: View, b: View) -> bool:
    return a.contiguous and b.contiguous and a.elements == b.elements and a.code == b.code
