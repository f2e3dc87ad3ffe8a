"""Where random numbers come from: a seed and a counter.

A `Generator` hands out keys {seed, counter}, and every random op is a pure function of a key
(Philox4x32-10, csrc/kernels/random.h). The same seed therefore gives the same bits on every CPU and
at any thread count. The state is a tensor, so that a recorded step draws new numbers each time it
is replayed.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .._core import launch
from .._core import ops as op
from ..dtypes import int64
from ..tensor import Tensor, empty

__all__ = ["Generator", "default_generator", "get_state", "manual_seed", "set_state"]

_MASK = (1 << 64) - 1


class Generator:
    """A stream of random numbers of its own.

    Parameters
    ----------
    seed : int, optional
        Any integer; its low 64 bits count. By default one from the operating system.

    Examples
    --------
    >>> from fastnn import random
    >>> a = random.uniform(2, generator=Generator(1))
    >>> b = random.uniform(2, generator=Generator(1))
    >>> a.tolist() == b.tolist()
    True
    """

    __slots__ = ("state",)

    def __init__(self, seed: int | None = None) -> None:
        self.state = Tensor(np.zeros(2, np.int64))
        self.manual_seed(int.from_bytes(os.urandom(8)) >> 1 if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from a seed."""
        try:
            value = seed.__index__() & _MASK
        except (AttributeError, TypeError):
            raise TypeError(f"manual_seed: the seed must be an integer, got {seed!r}") from None
        self.set_state((value, 0))
        return self

    @property
    def seed(self) -> int:
        """The seed it was started from."""
        return int(self.state.numpy()[0]) & _MASK

    def key(self, elements: int) -> Tensor:
        """A key for that many elements, which no other will get."""
        made = empty(2, int64)
        launch(op.random_reserve, (self.state, made, self.state), (elements,))
        return made

    def get_state(self) -> tuple[int, int]:
        """The seed and the position in its stream."""
        seed, counter = self.state.tolist()
        return seed & _MASK, counter & _MASK

    def set_state(self, state: Any) -> None:
        """Continue from what `get_state` gave."""
        try:
            seed, counter = (int(v) & _MASK for v in state)
        except (TypeError, ValueError):
            raise ValueError(f"set_state: a state is a pair of integers, got {state!r}") from None
        given = Tensor(np.array([seed, counter], np.uint64).view(np.int64))
        launch(op.copy, (given, self.state))  # so that a recorded step seeds at each replay

    def __repr__(self) -> str:
        seed, counter = self.get_state()
        return f"Generator(seed={seed}, counter={counter})"


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the generator that is used where no other is given, and return it."""
    return default_generator.manual_seed(seed)


def get_state() -> tuple[int, int]:
    """The default generator's state."""
    return default_generator.get_state()


def set_state(state: Any) -> None:
    """Set the default generator's state."""
    default_generator.set_state(state)


def key_for(elements: int, generator: Generator | None) -> Tensor:
    """A key from a generator, or from the default one."""
    return (default_generator if generator is None else generator).key(elements)
