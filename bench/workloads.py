"""What compare.py times: families of work, a few sizes each, and the data and weights for all libraries."""

from __future__ import annotations

import gzip
import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Net:
    """A multilayer perceptron and how it is trained."""

    sizes: tuple[int, ...]
    loss: str  # "cross_entropy" of class indices, or "mse"
    rule: str  # "sgd" (with momentum 0.9), "adam" or "adamw" (decay 0.01)
    lr: float
    activation: str = "relu"  # or "gelu", with erf
    dropout: float = 0.0

    def weights(self, seed: int = 0) -> Weights:
        """He-uniform weights (out, in) and zero biases, the same for every library."""
        rng = np.random.default_rng(seed)
        pairs = []
        for n, m in itertools.pairwise(self.sizes):
            bound = (6 / n) ** 0.5
            w = rng.uniform(-bound, bound, (m, n)).astype("float32")
            pairs.append((w, np.zeros(m, "float32")))
        return pairs

    def rows(self, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets: MNIST where the net is made for it, else normal noise."""
        rng = np.random.default_rng(seed)
        if (self.sizes[0], self.sizes[-1]) == (784, 10) and mnist() is not None:
            x, y = mnist()
            return np.ascontiguousarray(x[:n]), y[:n].copy()
        x = rng.standard_normal((n, self.sizes[0]), "float32")
        if self.loss == "mse":
            return x, rng.standard_normal((n, self.sizes[-1]), "float32")
        return x, rng.integers(0, self.sizes[-1], n)


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    kind: "step" (forward, backward, update), "epoch" (all of MNIST's size, shuffled), "inference" (one
    row at a time: median and 99th percentile) or "gemm" (m, n, k and whether a and b are stored transposed).
    """

    name: str
    kind: str
    net: Net | None = None
    batch: int = 0
    shape: tuple[int, int, int] = (0, 0, 0)
    layout: str = "nn"

    @property
    def flops(self) -> int:
        """Of one run; 0 where the table does not tell it."""
        m, n, k = self.shape
        return 2 * m * n * k


TINY = Net((8, 64, 64, 1), "mse", "adam", 1e-3)
TABULAR = Net((32, 256, 256, 2), "cross_entropy", "adamw", 1e-3, dropout=0.1)
MNIST = Net((784, 512, 512, 10), "cross_entropy", "sgd", 0.01)
WIDE = Net((1024, 4096, 4096, 1024), "mse", "adam", 1e-4, activation="gelu")
AUTOENCODER = Net((784, 256, 64, 256, 784), "mse", "adam", 1e-3)

SQUARES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# m, n, k, layout: what layers and their gradients ask for besides squares.
SKINNY = (
    (1, 512, 784, "nt"),  # one row through a layer
    (1, 4096, 1024, "nt"),
    (8, 512, 512, "nt"),
    (128, 10, 512, "nt"),  # a last layer, then its two gradients
    (10, 512, 128, "tn"),
    (128, 512, 10, "nn"),
    (4096, 64, 64, "nn"),
    (64, 4096, 64, "nn"),
    (64, 64, 4096, "tn"),
    (512, 784, 128, "tn"),
)


def workloads() -> list[Workload]:
    """All of them, at the sizes that the results are told for."""
    found = [
        Workload("tiny step (8-64-64-1, batch 32, Adam)", "step", TINY, 32),
        Workload("tabular step (32-256-256-2, batch 128, dropout, AdamW)", "step", TABULAR, 128),
    ]
    found += [
        Workload(f"MNIST step (784-512-512-10, batch {n}, SGD momentum)", "step", MNIST, n)
        for n in (1, 16, 128, 1024)
    ]
    found += [
        Workload("wide step (1024-4096-4096-1024, batch 512, GELU, Adam)", "step", WIDE, 512),
        Workload(
            "autoencoder step (784-256-64-256-784, batch 256, Adam)", "step", AUTOENCODER, 256
        ),
        Workload("MNIST epoch (60,000 rows, batch 128, shuffled)", "epoch", MNIST, 128),
        Workload("tabular inference, one row", "inference", replace(TABULAR, dropout=0.0), 1),
        Workload("MNIST inference, one row", "inference", MNIST, 1),
    ]
    found += [Workload(f"gemm {n}", "gemm", shape=(n, n, n)) for n in SQUARES]
    found += [
        Workload(f"gemm {m} x {n} x {k} {layout}", "gemm", shape=(m, n, k), layout=layout)
        for m, n, k, layout in SKINNY
    ]
    return found


def tiny_workloads() -> list[Workload]:
    """The same kinds, as small as they can be: to see that all of this works."""
    small = [
        Net((3, 5, 2), "cross_entropy", "sgd", 0.1),
        Net((3, 4, 4), "mse", "adam", 0.01, activation="gelu"),
        Net((3, 5, 2), "cross_entropy", "adamw", 0.01, dropout=0.5),
    ]
    found = [Workload(f"step {n.rule}", "step", n, 4) for n in small]
    found.append(Workload("epoch", "epoch", small[0], 16))
    found.append(Workload("inference", "inference", small[0], 1))
    found.append(Workload("gemm 8", "gemm", shape=(8, 8, 8)))
    found.append(Workload("gemm 2 x 3 x 4 tn", "gemm", shape=(2, 3, 4), layout="tn"))
    return found


def operands(shape: tuple[int, int, int], layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Matrices a (m, k) and b (k, n), a letter t of the layout meaning that its memory is transposed."""
    m, n, k = shape
    rng = np.random.default_rng(0)
    a = rng.random((m, k) if layout[0] == "n" else (k, m), "float32")
    b = rng.random((k, n) if layout[1] == "n" else (n, k), "float32")
    return (a if layout[0] == "n" else a.T), (b if layout[1] == "n" else b.T)


_mnist: list[tuple[np.ndarray, np.ndarray]] = []


def mnist() -> tuple[np.ndarray, np.ndarray] | None:
    """MNIST's training images if FASTNN_DATA has them."""
    folder = Path(os.environ.get("FASTNN_DATA", "."), "mnist")
    files = [folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    if not _mnist and all(f.exists() for f in files):
        pixels, labels = (np.frombuffer(gzip.decompress(f.read_bytes()), np.uint8) for f in files)
        x = pixels[16:].reshape(-1, 784).astype("float32") / 255
        _mnist.append((x, labels[8:].astype("int64")))
    return _mnist[0] if _mnist else None
