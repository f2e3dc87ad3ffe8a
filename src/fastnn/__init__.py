"""fastnn: neural networks on ordinary CPUs, at the speed the processor allows.

Tensors, their functions and automatic differentiation are here; layers, losses, optimizers, training, data
and model files are in modules that load on first use:

    nn  initializers  losses  optimizers  schedules  regularizers  metrics
    models  data  training (Trainer)  io (save, load)  compiler (compile)  profiler (profile)  plot
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ._core import get_num_threads, set_num_threads
from ._version import __version__
from .autograd import Function, enable_grad, grad, gradcheck, is_grad_enabled, no_grad
from .dtypes import DType, bool_, float32, float64, int32, int64, uint8
from .ops import *
from .ops import methods as _methods
from .precision import (
    deterministic_precision,
    is_deterministic_precision,
    set_deterministic_precision,
)
from .scope import scope
from .tensor import (
    Tensor,
    arange,
    as_tensor,
    empty,
    empty_like,
    from_dlpack,
    full,
    full_like,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)  # fmt: skip

_methods.install()

_MODULES = {
    "compiler", "data", "initializers", "io", "losses", "metrics", "models", "nn", "optimizers", "plot",
    "profiler", "random", "regularizers", "schedules", "training",
}  # fmt: skip
_NAMES = {
    "Trainer": "training", "History": "training", "save": "io", "load": "io",
    "compile": "compiler", "RecordingError": "compiler",
    "profile": "profiler",
    "manual_seed": "random", "Generator": "random",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})
