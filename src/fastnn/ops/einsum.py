"""Contractions: sums of products over named axes, as one stack of matrix products.

Every axis carries a label. A label in both operands and the result counts matrices of the stack; in one
operand and the result, rows or columns; in none but the operands, it is summed over. The gradient of a
contraction is a contraction again, so gradients of any order follow from one rule.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from .._core import launch
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, as_tensor, empty, ones

__all__ = ["einsum"]

Labels = tuple[Hashable, ...]
PLAIN = (0, 0, 0.0, 0.0)  # matmul's scalars: overwrite, no activation
ADDED = (1, 0, 0.0, 0.0)  # the same, added to what is there
_MOST_STACKED = 6  # axes before a matrix: a tensor has at most 8


def float_pair(name: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one float dtype."""
    a, b = as_tensor(a), as_tensor(b)
    if a.code == b.code and a.dtype.is_float:
        return a, b
    for x in (a, b):
        if not x.dtype.is_float:
            raise TypeError(
                f"{name}: products need float32 or float64, got {a.dtype} and {b.dtype}; "
                'convert with x.astype("float32")'
            )
    raise TypeError(
        f'{name}: {a.dtype} and {b.dtype} do not mix; convert one with x.astype("{a.dtype}")'
    )


def _merge(labels: Sequence[Hashable], sizes: dict, strides: dict) -> tuple[int, int] | None:
    """Size and stride of one axis that walks all the labels' axes in order, if there is one."""
    size, stride = 1, 0
    for label in reversed(labels):
        n = sizes[label]
        if n == 1:
            continue
        if size == 1:
            stride = strides[label]
        elif strides[label] != size * stride:
            return None
        size *= n
    return math.prod(sizes[label] for label in labels), stride


def _arrange(
    x: Tensor, labels: Labels, groups: Sequence[Sequence[Hashable]], sizes: dict
) -> Tensor:
    """x with one axis a group of labels; labels that x lacks repeat it. A view, or else a copy."""
    strides = dict.fromkeys((label for group in groups for label in group), 0)
    strides.update(zip(labels, x.strides, strict=True))
    axes = [_merge(group, sizes, strides) for group in groups]
    shape = [math.prod(sizes[label] for label in group) for group in groups]
    if None not in axes:
        return x._as_view(shape, [axis[1] for axis in axes if axis])
    order = [label for group in groups for label in group if label in labels]
    copied = empty([sizes[label] for label in order], x.dtype)
    at = dict(zip(labels, x.strides, strict=True))
    launch(op.copy, (x._as_view(copied.shape, [at[label] for label in order]), copied))
    merged = _arrange_copied(copied, order, groups, sizes)
    return merged


def _arrange_copied(
    x: Tensor, order: Sequence[Hashable], groups: Sequence[Sequence[Hashable]], sizes: dict
) -> Tensor:
    """The same for a copy in the groups' order, whose axes merge unless labels that it lacks lie between."""
    strides = dict.fromkeys((label for group in groups for label in group), 0)
    strides.update(zip(order, x.strides, strict=True))
    axes = [_merge(group, sizes, strides) for group in groups]
    shape = [math.prod(sizes[label] for label in group) for group in groups]
    if None in axes:
        full = [label for group in groups for label in group]
        copied = empty([sizes[label] for label in full], x.dtype)
        launch(op.copy, (x._as_view(copied.shape, [strides[label] for label in full]), copied))
        x, steps = copied, []
        for group in groups:
            full = full[len(group) :]
            steps.append(math.prod(sizes[label] for label in full))
        return x._as_view(shape, steps)
    return x._as_view(shape, [axis[1] for axis in axes if axis])


def contract(
    a: Tensor, la: Labels, b: Tensor, lb: Labels, lo: Labels, sizes: dict[Any, int]
) -> Tensor:
    """The sum of ``a * b`` over every label that is not in ``lo``; one axis a label of ``lo``.

    A label of ``lo`` that neither operand has repeats the result.
    """
    sa, sb, so = set(la), set(lb), set(lo)
    eb = (
        sb | (so - sa) | (sa - so - sb)
    )  # b repeated along what a has alone and sums, or nobody has
    ea = sa | (sb - so - sa)
    stack = [label for label in lo if label in ea and label in eb]
    rows = [label for label in lo if label not in eb]
    cols = [label for label in lo if label not in ea]
    summed = [label for label in (*la, *lb) if label not in so]
    summed = list(dict.fromkeys(summed))
    left, right, first, second = a, b, la, lb
    if rows and cols and list(lo) == stack + cols + rows:  # so that the result is contiguous
        left, right, first, second, rows, cols = b, a, lb, la, cols, rows
    stacked = [[label] for label in stack] if len(stack) <= _MOST_STACKED else [stack]
    left = _arrange(left, first, [*stacked, rows, summed], sizes)
    right = _arrange(right, second, [*stacked, summed, cols], sizes)
    c = empty((*left.shape[:-1], right.shape[-1]), a.dtype)
    launch(op.matmul, (left, right, None, c), PLAIN)
    step, at = 1, {}
    for label in reversed([*stack, *rows, *cols]):
        at[label] = step
        step *= sizes[label]
    y = c._as_view([sizes[label] for label in lo], [at[label] for label in lo])
    return record(y, "einsum", _contract_backward, (a, b), (a, b, la, lb, lo, sizes))


def _contract_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    a, b, la, lb, lo, sizes = node.saved
    da = contract(dy, lo, b, lb, la, sizes) if node.needs(0) else None
    db = contract(dy, lo, a, la, lb, sizes) if node.needs(1) else None
    return da, db


def _parse(spec: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
    """Labels of each operand and of the result; the axes of ``...`` are numbered from the right."""
    text = spec.replace(" ", "")
    inputs, arrow, result = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(shapes):
        raise ValueError(
            f"einsum: {spec!r} names {len(terms)} operands but {len(shapes)} were given"
        )
    labels: list[Labels] = []
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        if not (before + after).isalpha() and before + after:
            raise ValueError(f"einsum: {spec!r} may hold letters, commas, '...' and one '->'")
        rest = len(shape) - len(before) - len(after)
        if rest < 0 or (rest and not dots):
            raise ValueError(
                f"einsum: {term!r} in {spec!r} does not fit an operand of shape {shape}"
            )
        if len(set(before + after)) != len(before + after):
            raise ValueError(
                f"einsum: a label occurs twice in {term!r}; diagonals are not supported"
            )
        labels.append((*before, *range(rest - 1, -1, -1), *after))
    numbers = sorted({x for term in labels for x in term if isinstance(x, int)}, reverse=True)
    letters = [x for term in terms for x in term if x != "."]
    if not arrow:
        once = sorted(x for x in set(letters) if letters.count(x) == 1)
        return labels, (*numbers, *once)
    before, dots, after = result.partition("...")
    for x in before + after:
        if x not in letters or (before + after).count(x) > 1:
            raise ValueError(
                f"einsum: {x!r} in the result of {spec!r} must be in an operand, and there once"
            )
    return labels, (*before, *(numbers if dots else ()), *after)


def einsum(spec: str, *operands: Any) -> Tensor:
    """Sum of products over named axes, of one or two operands.

    Parameters
    ----------
    spec : str
        A letter an axis: ``"bij,bjk->bik"``. ``...`` stands for further axes, broadcast from the right.
        Without ``->`` the result has the letters that occur once, in alphabetical order.
    *operands : Tensor
        One or two, float32 or float64.

    Raises
    ------
    ValueError
        If the spec does not fit the operands' shapes, or a label occurs twice in one operand.

    Examples
    --------
    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> einsum("ij,kj->ik", x, x)
    Tensor([[ 5., 11.],
            [11., 25.]])
    >>> einsum("ij->j", x)
    Tensor([4., 6.])
    """
    if not 1 <= len(operands) <= 2:
        raise ValueError(f"einsum: one or two operands, got {len(operands)}")
    if len(operands) == 1:
        a = as_tensor(operands[0])
        a, b = float_pair("einsum", a, ones((), a.dtype))
    else:
        a, b = float_pair("einsum", *operands)
    shapes = [a.shape, b.shape][: len(operands)]
    labels, result = _parse(spec, shapes)
    la, lb = labels[0], labels[1] if len(labels) == 2 else ()
    la, lb, sizes = align(la, a.shape, lb, b.shape)
    for label, n in (*zip(la, a.shape, strict=True), *zip(lb, b.shape, strict=True)):
        if sizes[label] != n:
            raise ValueError(
                f"einsum: {label!r} in {spec!r} is both {sizes[label]} and {n} long "
                f"(operands: {a.shape}, {b.shape})"
            )
    return contract(a, la, b, lb, result, sizes)


def align(
    la: Labels, a_shape: tuple[int, ...], lb: Labels, b_shape: tuple[int, ...]
) -> tuple[Labels, Labels, dict[Hashable, int]]:
    """The labels with broadcasting: where one operand has a numbered axis of length 1 and the other does
    not, the short axis gets a label of its own, which is then summed over. And every label's length.
    """
    sizes: dict[Hashable, int] = {}
    b_size = dict(zip(lb, b_shape, strict=True))
    a_size = dict(zip(la, a_shape, strict=True))
    la = tuple(
        [
            ("a", x) if isinstance(x, int) and n == 1 != b_size.get(x, 1) else x
            for x, n in a_size.items()
        ]
    )
    lb = tuple(
        [
            ("b", x) if isinstance(x, int) and n == 1 != a_size.get(x, 1) else x
            for x, n in b_size.items()
        ]
    )
    sizes.update(zip(la, a_shape, strict=True))
    sizes.update(zip(lb, b_shape, strict=True))
    return la, lb, sizes
