"""What compare.py times: families of work, a few sizes each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import zoo
from layers import Conv
from networks import ImageNet, Net, lenet, resnet, separable


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    kind: "step" (forward, backward, update), "epoch" (all of MNIST's size, shuffled), "inference" (single
    calls: median and 99th percentile), "memory" (what a step adds to the peak of the process), "gemm"
    (m, n, k and whether a and b are stored transposed) or "conv" (one layer of net, one of its directions).
    """

    name: str
    kind: str
    net: Net | ImageNet | None = None
    batch: int = 0
    rows: int = 0  # of an epoch
    shape: tuple[int, int, int] = (0, 0, 0)
    layout: str = "nn"
    direction: str = ""  # of a conv: forward, data gradient or weight gradient

    @property
    def flops(self) -> int:
        """Of one run; 0 where the table does not tell it. A step does each product thrice."""
        if isinstance(self.net, ImageNet) and self.kind in ("step", "inference", "conv"):
            return self.net.flops() * self.batch * (3 if self.kind == "step" else 1)
        m, n, k = self.shape
        return 2 * m * n * k


TINY = Net((8, 64, 64, 1), "mse", "adam", 1e-3)
TABULAR = Net((32, 256, 256, 2), "cross_entropy", "adamw", 1e-3, dropout=0.1)
MNIST = Net((784, 512, 512, 10), "cross_entropy", "sgd", 0.01)
WIDE = Net((1024, 4096, 4096, 1024), "mse", "adam", 1e-4, activation="gelu")
AUTOENCODER = Net((784, 256, 64, 256, 784), "mse", "adam", 1e-3)
LENET, RESNET20, SEPARABLE = lenet(), resnet(3), separable()

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
# channels, side, batch of 3x3 convolutions
CONVOLUTIONS = ((16, 56, 16), (16, 32, 128), (32, 28, 64), (64, 56, 16), (64, 8, 128), (128, 28, 16),
                (256, 14, 16), (512, 7, 16))  # fmt: skip
# And others, of 16 images: first layers, strides, kernels of other sizes, groups, odd numbers of channels.
OTHER_CONVOLUTIONS = (
    (Conv(1, 32, padding=0), 28),
    (Conv(3, 16), 32),
    (Conv(3, 32, stride=2), 224),
    (Conv(3, 64, 7, 2, 3), 224),
    (Conv(64, 256, 1, padding=0), 56),
    (Conv(256, 64, 1, padding=0), 56),
    (Conv(64, 128, 1, 2, 0), 56),
    (Conv(512, 512, 1, padding=0), 7),
    (Conv(16, 32, stride=2), 32),
    (Conv(64, 128, stride=2), 56),
    (Conv(256, 512, stride=2), 14),
    (Conv(32, 64, 5, padding=2), 28),
    (Conv(48, 80), 28),
    (Conv(65, 33), 27),
    (Conv(64, 64, padding=2, dilation=2), 28),
    (Conv(32, 32, groups=32), 112),
    (Conv(96, 96, stride=2, groups=96), 112),
    (Conv(192, 192, groups=192), 28),
    (Conv(384, 384, 5, padding=2, groups=384), 14),
    (Conv(128, 128, groups=32), 28),
)
DIRECTIONS = ("forward", "data gradient", "weight gradient")


def dense() -> list[Workload]:
    """Multilayer perceptrons."""
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
        Workload("MNIST epoch (60,000 rows, batch 128, shuffled)", "epoch", MNIST, 128, 60_000),
        Workload("tabular inference, one row", "inference", replace(TABULAR, dropout=0.0), 1),
        Workload("MNIST inference, one row", "inference", MNIST, 1),
    ]
    return found


def convolutional() -> list[Workload]:
    """Networks of convolutions, and their parts."""
    block = "separable block (64 to 128 channels, 56x56, batch 16)"
    found = [
        Workload("LeNet step (1x28x28, 32-64-128-10, batch 64, Adam)", "step", LENET, 64),
        Workload("ResNet-20 step (3x32x32, batch 128, SGD momentum)", "step", RESNET20, 128),
        Workload("ResNet-20 step, peak of memory", "memory", RESNET20, 128),
        Workload("ResNet-20 inference, one image", "inference", RESNET20, 1),
        Workload("ResNet-20 inference, batch 64", "inference", RESNET20, 64),
        Workload(f"{block}, step", "step", SEPARABLE, 16),
    ]
    for channels, side, batch in CONVOLUTIONS:
        found += each_direction(Conv(channels, channels), side, batch)
    return found


def each_direction(layer: Conv, side: int, batch: int) -> list[Workload]:
    """A convolution forward, and its two gradients."""
    net = ImageNet((layer.inputs, side, side), (layer,), "sgd", 0.01)
    told = f"conv {layer.size}x{layer.size}, {layer.inputs} to {layer.outputs} channels"
    more = {"stride": layer.stride, "groups": layer.groups, "dilation": layer.dilation}
    told += "".join(f", {what} {n}" for what, n in more.items() if n > 1)
    told += f", {side}x{side}, batch {batch}"
    return [Workload(f"{told}, {d}", "conv", net, batch, direction=d) for d in DIRECTIONS]


def layers() -> list[Workload]:
    """Single convolutions of many kinds and sizes."""
    plain = [Conv(n, n) for n in (16, 32, 64, 128, 256, 512)]
    found = []
    for layer in plain:
        for side, batch in ((56, 4), (28, 16), (14, 32), (7, 64)):
            found += each_direction(layer, side, batch)
    for layer, side in OTHER_CONVOLUTIONS:
        found += each_direction(layer, side, 16)
    return found


def networks() -> list[Workload]:
    """Networks that people train and run: steps, then inference, by the number of images at once."""
    chosen = (
        ("resnet18, 224x224", zoo.resnet18(), (8,), (1, 8)),
        ("resnet18, 64x64", zoo.resnet18(64, 200), (32,), (1,)),
        ("resnet20", RESNET20, (32, 128), (1, 64)),
        ("resnet32", resnet(5), (32, 128), (1, 64)),
        ("resnet56", resnet(9), (32, 128), (1, 64)),
        ("mobilenet_v2, 224x224", zoo.mobilenet_v2(), (16,), (1, 16)),
        ("mobilenet_v2, 96x96", zoo.mobilenet_v2(96), (16,), (1, 16)),
        ("vgg11, 32x32", zoo.vgg11(), (64,), (1, 64)),
        ("unet, 1x128x128", zoo.unet(), (8,), (1,)),
        ("lenet5", zoo.lenet5(), (32, 256), (1,)),
        ("simple_cnn", LENET, (32, 256), (1,)),
        ("series, 6x256", zoo.series(), (64,), (1, 64)),
        ("DCGAN generator", zoo.generator(), (64,), (1, 64)),
        ("DCGAN discriminator", zoo.discriminator(), (64,), (1,)),
        ("autoencoder, 3x32x32", zoo.autoencoder(), (64,), (1, 64)),
        ("ConvNeXt blocks, 96x28x28", zoo.convnext(), (16,), (1, 16)),
        ("squeeze-excite blocks, 64x28x28", zoo.excited(), (16,), (1, 16)),
        ("group norm blocks, 64x28x28", zoo.grouped(), (16,), (1, 16)),
    )
    found = []
    for name, net, trained, run in chosen:
        found += [Workload(f"{name}, step, batch {n}", "step", net, n) for n in trained]
        found += [Workload(f"{name}, inference, batch {n}", "inference", net, n) for n in run]
        found.append(
            Workload(f"{name}, peak of memory, batch {trained[-1]}", "memory", net, trained[-1])
        )
    return found


def products() -> list[Workload]:
    """Matrix products."""
    found = [Workload(f"gemm {n}", "gemm", shape=(n, n, n)) for n in SQUARES]
    found += [
        Workload(f"gemm {m} x {n} x {k} {layout}", "gemm", shape=(m, n, k), layout=layout)
        for m, n, k, layout in SKINNY
    ]
    return found


def workloads() -> list[Workload]:
    """All of them, at the sizes that the results are told for."""
    return dense() + convolutional() + products()


def tiny_workloads() -> list[Workload]:
    """The same kinds, as small as they can be: to see that all of this works."""
    small = [
        Net((3, 5, 2), "cross_entropy", "sgd", 0.1),
        Net((3, 4, 4), "mse", "adam", 0.01, activation="gelu"),
        Net((3, 5, 2), "cross_entropy", "adamw", 0.01, dropout=0.5),
    ]
    found = [Workload(f"step {n.rule}", "step", n, 4) for n in small]
    found.append(Workload("epoch", "epoch", small[0], 16, 40))
    found.append(Workload("inference", "inference", small[0], 1))
    found.append(Workload("gemm 8", "gemm", shape=(8, 8, 8)))
    found.append(Workload("gemm 2 x 3 x 4 tn", "gemm", shape=(2, 3, 4), layout="tn"))
    for net in (lenet(), resnet(1, (2, 4), 8), separable(2, 4, 5)):
        name = "x".join(map(str, net.image))
        found.append(Workload(f"{name} step", "step", net, 4))
        found.append(Workload(f"{name} memory", "memory", net, 4))
        found.append(Workload(f"{name} inference", "inference", net, 2))
    parts = {
        "unet": zoo.unet((2, 3), 4), "series": zoo.series(), "ConvNeXt": zoo.convnext(2, 3),
        "squeeze-excite": zoo.excited(16, 3),
    }  # fmt: skip
    for name, net in parts.items():
        found.append(Workload(f"{name} step", "step", net, 2))
        found.append(Workload(f"{name} inference", "inference", net, 2))
    layer = ImageNet((3, 5, 5), (Conv(3, 3),), "sgd", 0.01)
    found += [Workload(f"conv {d}", "conv", layer, 2, direction=d) for d in DIRECTIONS]
    return found


LISTS = {
    "all": workloads, "images": convolutional, "layers": layers, "networks": networks,
    "tiny": tiny_workloads,
}  # fmt: skip


def operands(shape: tuple[int, int, int], layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Matrices a (m, k) and b (k, n), a letter t of the layout meaning that its memory is transposed."""
    m, n, k = shape
    rng = np.random.default_rng(0)
    a = rng.random((m, k) if layout[0] == "n" else (k, m), "float32")
    b = rng.random((k, n) if layout[1] == "n" else (n, k), "float32")
    return (a if layout[0] == "n" else a.T), (b if layout[1] == "n" else b.T)
