"""The libraries that compare.py times, each written the way its own guide has it, at its best.

A peer is a class whose objects have `version`, perhaps `nets` (the kinds of network that it is for, where
not all) and some of the methods

    losses(net, weights, x, y, n)   the losses of the first n steps, without dropout
    step(net, weights, x, y)        a training step on one batch
    epoch(net, weights, x, y, batch)
    inference(net, weights, x)      a forward pass
    gemm(a, b)
    conv(net, weights, direction, x, dy)  one direction of net's only layer

All but `losses` return (run, count): a function of no arguments that does the work `count` times and waits
for it. A method that a peer lacks, or that raises `NotOffered`, leaves its place in the table empty. Images
come as (N, C, H, W), and each library gets them in the order of memory that suits it best.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

# Name -> (module that must be installed, file here, class).
PEERS = {
    "fastnn": ("fastnn", "ours", "Fastnn"),
    "fastnn call": ("fastnn", "ours", "FastnnCalls"),
    "torch": ("torch", "pytorch", "Torch"),
    "torch channels last": ("torch", "pytorch", "TorchChannelsLast"),
    "torch.compile": ("torch", "pytorch", "TorchCompile"),
    "jax jit": ("optax", "xla", "Jax"),
    "jax scan": ("optax", "xla", "JaxScan"),
    "onnxruntime": ("onnxruntime", "onnx_runtime", "OnnxRuntime"),
    "OpenVINO": ("openvino", "open_vino", "OpenVino"),
    "numpy": ("numpy", "plain_numpy", "Numpy"),
    "scikit-learn": ("sklearn", "scikit", "Sklearn"),
}


class NotOffered(Exception):
    """The library has nothing for this workload."""


def installed() -> list[str]:
    """The peers whose modules are there."""
    return [name for name, (module, _, _) in PEERS.items() if importlib.util.find_spec(module)]


def make(name: str, threads: int) -> Any:
    """A peer, in the process that it has to itself."""
    _, file, kind = PEERS[name]
    return getattr(importlib.import_module(f"peers.{file}"), kind)(threads)
