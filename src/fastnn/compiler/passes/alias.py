"""Which calls may write their result onto an input that nobody needs afterwards.

An op is listed where its contract in csrc/ops allows an output to be exactly an input: it reads each
element (or row) before it writes it. tests/test_memory_plan.py runs every entry both ways.
"""

from __future__ import annotations

from ..program import Call, View, inputs_of

__all__ = ["onto"]

# By op: (input, output) by their places in the row of ops.def. Pointwise ops and chains take any input.
_PAIRS: dict[str, tuple[tuple[int, int], ...]] = {
    "dropout": ((0, 2),),
    "chain": tuple((i, j) for i in range(1, 8) for j in range(8, 11)),
    "softmax": ((0, 1),),
    "log_softmax": ((0, 1),),
    "softmax_grad": ((1, 2),),
    "log_softmax_grad": ((1, 2),),
    "layer_norm": ((0, 3),),
    "rms_norm": ((0, 2),),
    "batch_norm": ((0, 7), (6, 7)),
    "batch_norm_eval": ((0, 6), (5, 6)),
    "group_norm": ((0, 4), (3, 4)),
    "layer_norm_grad": ((4, 5),),
    "rms_norm_grad": ((3, 4),),
    "batch_norm_grad": tuple((i, j) for i in (5, 6, 7) for j in (8, 11)),
    "group_norm_grad": tuple((i, j) for i in (5, 6, 7) for j in (8, 11)),
    "cross_entropy_grad": ((0, 7),),
    "cross_entropy_soft_grad": ((0, 7), (1, 7)),
    **{
        f"{name}_loss_grad": ((0, 5), (1, 5))
        for name in ("mse", "mae", "huber", "bce", "bce_logits")
    },
}


def onto(call: Call) -> list[tuple[View, View]]:
    """The pairs of an input and an output of a call that may be the same memory, laid out alike.

    That the input's values are not needed later is for the caller to know.
    """
    n_inputs = inputs_of(call.op)
    pointwise = call.family in ("map", "chain")
    pairs = _PAIRS.get(call.name, ())
    if pointwise:
        outputs = range(n_inputs, len(call.views))
        pairs = tuple((i, j) for j in outputs for i in range(n_inputs))
    found = []
    for i, j in pairs:
        x, y = call.views[i], call.views[j]
        if x is None or y is None or not _alike(x, y):
            continue
        others = [(k, v) for k, v in enumerate(call.views) if k != i and v is not None]
        if all(
            v.buffer is not x.buffer
            or (pointwise and k < n_inputs and v.offset == x.offset and _alike(v, x))
            for k, v in others
        ):
            found.append((x, y))
    return found


def _alike(x: View, y: View) -> bool:
    """Whether two views go through their memory in the same order, element by element."""
    if x.code != y.code or x.elements != y.elements:
        return False
    return (x.contiguous and y.contiguous) or (x.shape, x.strides) == (y.shape, y.strides)
