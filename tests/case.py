"""What a row of the table in cases.py is: a function, its reference, and how its inputs are drawn.

Shapes are written in letters, "b i" for (b, i); the drivers choose the numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

ODD = (0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 63, 64, 65, 97)


@dataclass(frozen=True)
class Arg:
    """One input: its shape in letters and how its elements are drawn from rng."""

    shape: str
    draw: Callable = field(default=lambda rng, shape, dims: rng.uniform(-3, 3, shape))
    dtype: str = ""  # "" is the real type of the run

    def make(self, rng, dims, real):
        shape = tuple(dims[s] if s in dims else int(s) for s in self.shape.split())
        return np.asarray(self.draw(rng, shape, dims)).astype(self.dtype or real)


def real(shape, low=-3.0, high=3.0):
    return Arg(shape, lambda rng, s, dims: rng.uniform(low, high, s))


def spaced(shape):
    """Distinct values at least 0.01 apart, for functions with ties (max, sort)."""
    return Arg(
        shape, lambda rng, s, dims: 0.01 * (rng.permutation(int(np.prod(s))).reshape(s) + 1.5)
    )


def nonzero(shape):
    return Arg(shape, lambda rng, s, dims: rng.uniform(0.5, 2, s) * rng.choice([-1.0, 1.0], s))


def integers(shape, below, low=0, dtype="int64"):
    """Integers in low..below-1, where below may be a letter of the shape."""

    def draw(rng, s, dims):
        return rng.integers(low, dims.get(below, below), s) if np.prod(s) else np.zeros(s)

    return Arg(shape, draw, dtype)


def booleans(shape):
    return Arg(shape, lambda rng, s, dims: rng.random(s) < 0.5, "bool")


def simplex(shape):
    """Rows of probabilities that sum to one."""

    def draw(rng, s, dims):
        p = rng.uniform(0.1, 1, s)
        return p / p.sum(-1, keepdims=True)

    return Arg(shape, draw)


@dataclass(frozen=True)
class Case:
    """A row: what is called, on what, and what it should give."""

    name: str
    call: Callable  # of fastnn tensors
    reference: Callable  # the same of float64 (or integer) numpy arrays
    args: tuple
    torch: Callable | None = (
        None  # the same of torch tensors; its first argument is the module torch
    )
    gradient: bool = True
    second: bool = True  # whether gradients of gradients are offered
    tolerance: float = 16  # error allowed, in units of eps * max(1, the largest |reference|)
    sizes: dict = field(default_factory=dict)  # letter: the sizes it takes, where ODD does not suit
    large: dict = field(default_factory=dict)  # letter: its size in thread tests and benchmarks
    flops: str = ""  # in the letters of the shapes; where absent the benchmark gives GB/s

    def letters(self):
        return sorted({s for a in self.args for s in a.shape.split() if s.isalpha()})

    def make(self, dims, real="float64", seed=0):
        rng = np.random.default_rng(seed)
        return [a.make(rng, dims, real) for a in self.args]

    def all_dims(self, odd=ODD):
        """Each letter in turn takes every odd size while the others stay small and unequal."""
        letters = self.letters()
        usual = {x: self.sizes.get(x, (3, 4, 5, 2)[i % 4 :])[0] for i, x in enumerate(letters)}
        seen = []
        for letter in letters:
            for size in self.sizes.get(letter, odd):
                dims = usual | {letter: size}
                if dims not in seen:
                    seen.append(dims)
        return seen or [{}]

    def small_dims(self):
        return self.all_dims(odd=(1, 4, 9))

    def large_dims(self):
        default = {1: 300_007, 2: 521, 3: 71}.get(len(self.letters()), 23)
        return {x: self.large.get(x, default) for x in self.letters()}

    def count_flops(self, dims):
        return float(eval(self.flops, {}, dims)) if self.flops else 0.0  # our own table's text
