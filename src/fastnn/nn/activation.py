"""The activations as layers, with PyTorch's names, arguments and defaults."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from ._check import real, whole
from .module import Module


class _Activation(Module):
    """A function of each element, or (softmax) of each row; the shape stays."""

    _flops = 1  # an element; what an exp counts is a convention: 1, as any other function

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size) * self._flops


class ReLU(_Activation):
    """`max(x, 0)`.

    Examples
    --------
    >>> from fastnn import Tensor, nn
    >>> nn.ReLU()(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class ReLU6(_Activation):
    """`min(max(x, 0), 6)`."""

    _flops = 2

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu6(x)


class LeakyReLU(_Activation):
    """`x` where positive, else `negative_slope * x`."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = real("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(_Activation):
    """`x` where positive, else `alpha * (exp(x) - 1)` (Clevert et al. 2015)."""

    _flops = 3

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = real("ELU", "alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        return ops.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(_Activation):
    """`1.0507 * ELU(x)` with alpha 1.6733: keeps mean 0 and variance 1 (Klambauer et al. 2017).

    For it use `initializers.lecun_normal` weights and `AlphaDropout`.
    """

    _flops = 4

    def forward(self, x: Tensor) -> Tensor:
        return ops.selu(x)


class GELU(_Activation):
    """`x * Phi(x)`, Phi the normal distribution's (Hendrycks and Gimpel 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Whether Phi is exact, by erf, or approximated by tanh (GPT-2's).
    """

    _flops = 4

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return ops.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_Activation):
    """`x * sigmoid(x)`, also known as swish."""

    _flops = 4

    def forward(self, x: Tensor) -> Tensor:
        return ops.silu(x)


class Mish(_Activation):
    """`x * tanh(softplus(x))` (Misra 2019)."""

    _flops = 5

    def forward(self, x: Tensor) -> Tensor:
        return ops.mish(x)


class Softplus(_Activation):
    """`log(1 + exp(beta * x)) / beta`; `x` itself where `beta * x` is above `threshold`."""

    _flops = 4

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = real("Softplus", "beta", beta)
        self.threshold = real("Softplus", "threshold", threshold)
        if self.beta == 0:
            raise ValueError("Softplus: beta must not be 0")

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(_Activation):
    """`1 / (1 + exp(-x))`."""

    _flops = 3

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Tanh(_Activation):
    """`tanh(x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Hardtanh(_Activation):
    """`x` clipped to [min_val, max_val]; the gradient is zero at the ends."""

    _flops = 2

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val = real("Hardtanh", "min_val", min_val)
        self.max_val = real("Hardtanh", "max_val", max_val)
        if self.max_val <= self.min_val:
            raise ValueError(f"Hardtanh: max_val ({max_val}) must be above min_val ({min_val})")

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardswish(_Activation):
    """`x * min(max(x + 3, 0), 6) / 6` (Howard et al. 2019)."""

    _flops = 5

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardswish(x)


class Hardsigmoid(_Activation):
    """`min(max(x + 3, 0), 6) / 6`."""

    _flops = 4

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardsigmoid(x)


class Softmax(_Activation):
    """`exp(x) / sum(exp(x))` along the axis `dim`.

    A classifier that is trained with `cross_entropy` must not end in one: that loss takes the
    logits.
    """

    _flops = 4

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = whole("Softmax", "dim", dim)

    def forward(self, x: Tensor) -> Tensor:
        return ops.softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(_Activation):
    """`x - log(sum(exp(x)))` along the axis `dim`."""

    _flops = 4

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = whole("LogSoftmax", "dim", dim)

    def forward(self, x: Tensor) -> Tensor:
        return ops.log_softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


_BY_NAME: dict[str, type[_Activation]] = {
    "relu": ReLU, "relu6": ReLU6, "leaky_relu": LeakyReLU, "elu": ELU, "selu": SELU, "gelu": GELU,
    "silu": SiLU, "swish": SiLU, "mish": Mish, "softplus": Softplus, "sigmoid": Sigmoid,
    "tanh": Tanh, "hardtanh": Hardtanh, "hardswish": Hardswish, "hardsigmoid": Hardsigmoid,
    "softmax": Softmax, "log_softmax": LogSoftmax,
}  # fmt: skip


def activation(name: str) -> Module:
    """A new activation layer by its name: `"relu"`, `"gelu"`, `"log_softmax"`, ...

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.activation("leaky_relu")
    LeakyReLU(negative_slope=0.01)
    """
    if name not in _BY_NAME:
        raise ValueError(f"there is no activation {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]()
