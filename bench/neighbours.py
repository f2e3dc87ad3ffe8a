"""What it costs to take turns with another library that has threads of its own.

Times fastnn alone, the other alone, and both in alternation, and prints alternation / (fastnn + other).
1 is no cost; a library whose idle threads spin on the cores of the other makes it 2 and (much) more. Needs
numpy; uses scikit-learn and PyTorch where they are installed.

    python bench/neighbours.py [repeats]
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import fastnn

Part = Callable[[], object]
SIZES = (192, 448, 1024)


def seconds(part: Part, calls: int) -> float:
    """The mean time of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        part()
    return (time.perf_counter() - start) / calls


def neighbours() -> dict[str, Callable[[int], Part]]:
    """By name: a function from a size to something to call."""
    rng = np.random.default_rng(0)

    def numpy_matmul(n: int) -> Part:
        a = rng.standard_normal((n, n), dtype="f4")
        return lambda: a @ a

    found: dict[str, Callable[[int], Part]] = {"numpy matmul": numpy_matmul}
    if importlib.util.find_spec("sklearn"):
        from sklearn.metrics import pairwise_distances_argmin

        def nearest(n: int) -> Part:
            x, y = rng.standard_normal((8 * n, 16)), rng.standard_normal((100, 16))
            return lambda: pairwise_distances_argmin(x, y)

        found["sklearn nearest"] = nearest
    if importlib.util.find_spec("torch"):
        import torch

        def torch_mm(n: int) -> Part:
            a = torch.rand(n, n)
            return lambda: torch.mm(a, a)

        def torch_sigmoid(n: int) -> Part:
            a = torch.rand(n, 8 * n)
            return lambda: torch.sigmoid(a)

        found |= {"torch mm": torch_mm, "torch sigmoid": torch_sigmoid}
    return found


def ratio(mine: Part, other: Part, repeats: int) -> tuple[float, float, float]:
    """Medians over the repeats of: alternation / sum of the parts, and the parts in seconds."""

    def both() -> None:
        mine()
        other()

    calls = max(3, int(0.1 / seconds(both, 3)))
    times = [[seconds(part, calls) for part in (mine, other, both)] for _ in range(repeats)]
    return (
        median(b / (m + o) for m, o, b in times),
        median(m for m, _, _ in times),
        median(o for _, o, _ in times),
    )


def main() -> None:
    """Print a row for each neighbour and size."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'neighbour':16} {'n':>5} {'fastnn us':>10} {'other us':>10} {'ratio':>6}")
    for name, make in neighbours().items():
        for n in SIZES:
            a = fastnn.tensor(np.random.default_rng(1).standard_normal((n, n), dtype="f4"))
            value, mine, other = ratio(lambda a=a: fastnn.exp(a @ a), make(n), repeats)
            print(
                f"{name:16} {n:5} {mine * 1e6:10.0f} {other * 1e6:10.0f} {value:6.2f}", flush=True
            )


if __name__ == "__main__":
    main()
