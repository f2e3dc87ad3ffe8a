"""Batches of arrays in memory, in an order that is known for every epoch in advance.

The order of an epoch is a function of the seed and the epoch's number, so a run that stops in the
middle of an epoch goes on with exactly the rows that it had not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..tensor import Tensor, as_tensor
from ..units import whole
from .preparation import permutation

__all__ = ["Batches"]


class Batches:
    """Rows of one or more arrays, some at a time.

    Parameters
    ----------
    x : array-like of shape (n, ...), or a tuple of them
        The inputs. Tensors and numpy arrays of a known dtype are not copied.
    y : array-like of shape (n, ...), optional
        The targets.
    sample_weight : array-like of shape (n,), optional
        What each row counts.
    batch_size : int
        Rows in a batch; the last one may have fewer.
    shuffle : bool
        Another order in every epoch; otherwise the order of the arrays.
    seed : int
        Which orders.
    drop_last : bool
        Leave out the last batch if it has fewer rows.

    Attributes
    ----------
    arrays : list of Tensor
        All of x, then y and sample_weight where given.
    inputs : int
        How many of them are the tuple `x`; 0 if x is one array.

    Raises
    ------
    ValueError
        No rows, different numbers of rows, or a batch size below 1.

    Notes
    -----
    Iterating gives `x`, `(x, y)` or `(x, y, sample_weight)` as tensors (`x` a tuple of them if it
    was given as one) and moves on to the next epoch.

    Examples
    --------
    >>> import numpy as np
    >>> for x, y in Batches(np.arange(5.0), np.arange(5), batch_size=2):
    ...     print(x.numpy(), y.numpy())
    [0. 1.] [0 1]
    [2. 3.] [2 3]
    [4.] [4]
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        inputs = x if isinstance(x, tuple) else (x,)
        named = [(f"x[{i}]" if isinstance(x, tuple) else "x", a) for i, a in enumerate(inputs)]
        named += [("y", y)] if y is not None else []
        named += [("sample_weight", sample_weight)] if sample_weight is not None else []
        if sample_weight is not None and y is None:
            raise ValueError("Batches: sample_weight needs y")
        arrays = [as_tensor(a).detach() for _, a in named]
        _check_rows([name for name, _ in named], arrays)
        self.batch_size = whole("batch_size", batch_size, 1)
        self.rows, self.epoch = len_of(arrays[0]), 0
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.arrays, self.inputs = arrays, len(inputs) if isinstance(x, tuple) else 0
        if len(self) == 0:
            raise ValueError(f"Batches: {self.rows} rows make no whole batch of {self.batch_size}")

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return (self.rows + (0 if self.drop_last else self.batch_size - 1)) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        self.epoch += 1
        return self.from_batch(0, epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order that the next iteration follows."""
        self.epoch = whole("epoch", epoch, 0)

    def order(self, epoch: int) -> Tensor | None:
        """The row that comes at each place in an epoch; None where that is the row of that number."""
        return as_tensor(permutation(self.rows, self.seed, epoch)) if self.shuffle else None

    def from_batch(self, first: int, epoch: int) -> Iterator[Any]:
        """The batches of an epoch from number `first` on."""
        order = self.order(epoch)
        for batch in range(first, len(self)):
            start = batch * self.batch_size
            end = min(start + self.batch_size, self.rows)
            if order is None:
                parts: list[Any] = [a[start:end] for a in self.arrays]
            else:
                chosen = order[start:end]
                parts = [a.take(chosen) for a in self.arrays]
            if self.inputs:
                parts[: self.inputs] = [tuple(parts[: self.inputs])]
            yield tuple(parts) if len(parts) > 1 else parts[0]

    def __repr__(self) -> str:
        return f"Batches({self.rows} rows, {len(self)} batches of {self.batch_size})"


def len_of(array: Tensor) -> int:
    """The number of rows."""
    return int(array.shape[0])


def _check_rows(names: list[str], arrays: list[Tensor]) -> None:
    for name, array in zip(names, arrays, strict=True):
        if array.ndim == 0:
            raise ValueError(f"{name} is a single number; it needs a row for each sample")
        if len_of(array) == 0:
            raise ValueError(f"{name} is empty (shape {array.shape}): there is nothing to do")
    if len({len_of(a) for a in arrays}) > 1:
        seen = ", ".join(f"{n}: {a.shape}" for n, a in zip(names, arrays, strict=True))
        raise ValueError(f"the numbers of rows differ ({seen})")
    if names[-1] == "sample_weight":
        _check_weights(arrays[-1])


def _check_weights(weight: Tensor) -> None:
    values = weight.numpy()
    if values.ndim != 1:
        raise ValueError(f"sample_weight has shape {values.shape}; it needs one number a row")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("sample_weight holds a number that is negative or not finite")
