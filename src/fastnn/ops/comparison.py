"""Comparisons and logic, element by element, to bool tensors; and the choice between two tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import empty_for, launch
from .._core import ops as op
from ..autograd import Node, record
from ..tensor import Tensor, as_tensor, full
from .broadcast import broadcast_shapes, sum_to
from .operands import BOOL, matched, number, number_as

__all__ = [
    "equal", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "masked_fill", "not_equal", "where",
]  # fmt: skip


def _compare(code: int, name: str, a: Any, b: Any, swapped: bool = False) -> Tensor:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.code == b.code):
        a, b = matched(a, b, name)
    y = empty_for(Tensor, broadcast_shapes(a.shape, b.shape, name), BOOL, a, b)
    launch(code, (b, a, y) if swapped else (a, b, y))
    return y


def equal(a: Any, b: Any) -> Tensor:
    """``a == b``; NaN equals nothing.

    Examples
    --------
    >>> equal(Tensor([1.0, 2.0]), 2)
    Tensor([False,  True])
    """
    return _compare(op.equal, "equal", a, b)


def not_equal(a: Any, b: Any) -> Tensor:
    """``a != b``; true where either is NaN."""
    return _compare(op.not_equal, "not_equal", a, b)


def less(a: Any, b: Any) -> Tensor:
    """``a < b``; like all orderings, false where either is NaN."""
    return _compare(op.less, "less", a, b)


def less_equal(a: Any, b: Any) -> Tensor:
    """``a <= b``."""
    return _compare(op.less_equal, "less_equal", a, b)


def greater(a: Any, b: Any) -> Tensor:
    """``a > b``."""
    return _compare(op.less, "greater", a, b, swapped=True)


def greater_equal(a: Any, b: Any) -> Tensor:
    """``a >= b``."""
    return _compare(op.less_equal, "greater_equal", a, b, swapped=True)


def _test(code: int, name: str, x: Any, otherwise: bool) -> Tensor:
    x = number(x, name)
    if x.code > 1:  # integers are finite
        return full(x.shape, otherwise, "bool")
    y = empty_for(Tensor, x.shape, BOOL, x)
    launch(code, (x, y))
    return y


def isnan(x: Any) -> Tensor:
    """Whether each element is NaN."""
    return _test(op.isnan, "isnan", x, False)


def isinf(x: Any) -> Tensor:
    """Whether each element is infinite."""
    return _test(op.isinf, "isinf", x, False)


def isfinite(x: Any) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    return _test(op.isfinite, "isfinite", x, True)


def _truth(x: Any, name: str) -> Tensor:
    x = as_tensor(x)
    if x.code != BOOL:
        raise TypeError(
            f'{name}: expected bool, got {x.dtype}; compare (x != 0) or x.astype("bool")'
        )
    return x


def _logic(code: int, name: str, a: Any, b: Any) -> Tensor:
    a, b = _truth(a, name), _truth(b, name)
    y = empty_for(Tensor, broadcast_shapes(a.shape, b.shape, name), BOOL, a, b)
    launch(code, (a, b, y))
    return y


def logical_and(a: Any, b: Any) -> Tensor:
    """``a & b`` of bool tensors."""
    return _logic(op.logical_and, "logical_and", a, b)


def logical_or(a: Any, b: Any) -> Tensor:
    """``a | b`` of bool tensors."""
    return _logic(op.logical_or, "logical_or", a, b)


def logical_xor(a: Any, b: Any) -> Tensor:
    """``a ^ b`` of bool tensors."""
    return _logic(op.logical_xor, "logical_xor", a, b)


def logical_not(x: Any) -> Tensor:
    """``~x`` of a bool tensor."""
    x = _truth(x, "logical_not")
    y = empty_for(Tensor, x.shape, BOOL, x)
    launch(op.logical_not, (x, y))
    return y


def _choices(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Two values to choose from; bool is as good as any dtype."""
    if isinstance(a, (bool, np.bool_)) and isinstance(b, (bool, np.bool_)):
        return number_as(bool(a), BOOL, "where"), number_as(bool(b), BOOL, "where")
    return matched(a, b, "where")


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b.

    Parameters
    ----------
    condition : bool Tensor
    a, b : Tensor or number
        Of one dtype; all three broadcast together.

    Raises
    ------
    TypeError
        If the condition is not bool, or the dtypes of a and b differ.

    Examples
    --------
    >>> where(Tensor([True, False]), Tensor([1.0, 2.0]), 0)
    Tensor([1., 0.])
    """
    condition = _truth(condition, "where")
    a, b = _choices(a, b)
    shape = a.shape if a.shape == b.shape else broadcast_shapes(a.shape, b.shape, "where")
    if shape != condition.shape:
        shape = broadcast_shapes(condition.shape, shape, "where")
    y = empty_for(Tensor, shape, a.code, a, b, condition)
    launch(op.where, (condition, a, b, y))
    return record(y, "where", _where_backward, (condition, a, b), (condition, a.shape, b.shape))


def _where_backward(node: Node, dy: Tensor) -> tuple[Tensor | None, ...]:
    condition, a, b = node.saved
    return (
        None,
        sum_to(where(condition, dy, 0.0), a) if node.needs(1) else None,
        sum_to(where(condition, 0.0, dy), b) if node.needs(2) else None,
    )


def masked_fill(x: Any, mask: Any, value: float) -> Tensor:
    """x with ``value`` where the mask holds.

    Examples
    --------
    >>> masked_fill(Tensor([1.0, 2.0]), Tensor([True, False]), 0.0)
    Tensor([0., 2.])
    """
    return where(mask, value, x)
