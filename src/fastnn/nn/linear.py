"""Linear: the dense layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import ops
from ..dtypes import as_dtype
from ..initializers import he_uniform, uniform
from ..tensor import Tensor, empty
from ._check import initializer, positive
from .module import Module
from .parameter import Parameter


class Linear(Module):
    r"""Dense layer: `y = x W^T + b`.

    Parameters
    ----------
    in_features, out_features : int
        The last axis of the input, and of the output.
    bias : bool
        Whether there is a `b`.
    weight_init, bias_init : callable, optional
        Functions of `fastnn.initializers` (or any that fill the tensor they are given), in place of
        PyTorch's default: both from U(-1/sqrt(in_features), 1/sqrt(in_features)).
    dtype
        float32 or float64.

    Attributes
    ----------
    weight : (out_features, in_features)
    bias : (out_features,), or None

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import initializers, nn
    >>> layer = nn.Linear(20, 30, weight_init=initializers.he_normal, bias_init=initializers.zeros)
    >>> layer(fastnn.zeros((128, 20))).shape
    (128, 30)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: Callable[..., Any] | None = None,
        bias_init: Callable[..., Any] | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_features = positive("Linear", "in_features", in_features, zero=True)
        self.out_features = positive("Linear", "out_features", out_features, zero=True)
        self._init = (
            initializer("Linear", "weight_init", weight_init),
            initializer("Linear", "bias_init", bias_init),
        )
        dtype = as_dtype(dtype)
        self.weight = Parameter(empty((self.out_features, self.in_features), dtype))
        self.bias = Parameter(empty((self.out_features,), dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        weight_init, bias_init = self._init
        if weight_init is not None:
            weight_init(self.weight)
        elif self.weight.size:
            he_uniform(self.weight, a=math.sqrt(5))  # U(+-1/sqrt(in_features)), as PyTorch puts it
        if self.bias is None:
            return
        if bias_init is not None:
            bias_init(self.bias)
        else:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            uniform(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return ops.linear(x, self.weight, self.bias)

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * (2 * self.in_features + (self.bias is not None))

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"
