"""Optimizers, gradient clipping and averaging of weights, with PyTorch's names, defaults and
formulas.

>>> from fastnn import Tensor, optimizers
>>> w = Tensor([3.0, -2.0], requires_grad=True)
>>> optimizer = optimizers.Adam([w], lr=0.1)
>>> for _ in range(200):
...     optimizer.zero_grad()
...     (w @ w).backward()
...     optimizer.step()
>>> bool(abs(w.numpy()).max() < 0.01)
True
"""

from .adam import Adam, AdamW, Lion, NAdam
from .average import EMA
from .base import Optimizer
from .clipping import clip_grad_norm_, clip_grad_value_
from .descent import SGD, Adagrad, RMSprop
from .group import ParamGroup
from .lbfgs import LBFGS

__all__ = [
    "EMA", "LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "NAdam", "Optimizer", "ParamGroup",
    "RMSprop", "clip_grad_norm_", "clip_grad_value_",
]  # fmt: skip
