"""mlp: the multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from .. import nn
from ..initializers import lecun_normal, zeros
from ._parts import layer_of

_NORMS: dict[str, Callable[..., nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}


def mlp(
    *sizes: int | Sequence[int],
    activation: str | Callable[[], nn.Module] = "relu",
    dropout: float = 0.0,
    norm: str | None = None,
    bias: bool = True,
    flatten: bool = False,
    output_activation: str | Callable[[], nn.Module] | None = None,
    weight_init: Callable[..., Any] | None = None,
    bias_init: Callable[..., Any] | None = None,
    dtype: Any = "float32",
) -> nn.Sequential:
    """A multilayer perceptron: dense layers with an activation after each but the last.

    Parameters
    ----------
    *sizes : int
        Features of the input, of each hidden layer, and of the output; sequences are joined.
    activation : str or callable
        A name as in `nn.activation`, or what makes a layer.
    dropout : float
        The probability after each hidden layer; it is AlphaDropout when the activation is `"selu"`.
    norm : {"batch", "layer", "rms"}, optional
        A normalisation before each activation.
    bias : bool
        Whether the dense layers have one.
    flatten : bool
        Whether to begin with a Flatten, for images.
    output_activation : str or callable, optional
        After the last layer. A classifier trained with `cross_entropy` needs none.
    weight_init, bias_init : callable, optional
        Functions of `fastnn.initializers`, in place of PyTorch's defaults (for `"selu"`: LeCun's,
        zeros).
    dtype
        float32 or float64.

    Examples
    --------
    >>> from fastnn.models import mlp
    >>> mlp(784, 512, 10, dropout=0.2)
    Sequential(
      (0): Linear(in_features=784, out_features=512, bias=True)
      (1): ReLU()
      (2): Dropout(p=0.2)
      (3): Linear(in_features=512, out_features=10, bias=True)
    )
    """
    widths: list[Any] = []
    for item in sizes:
        widths += item if isinstance(item, Sequence) else [item]
    if len(widths) < 2:
        raise ValueError(
            f"mlp needs the features of the input and of the output: mlp(784, 10), not {widths}"
        )
    if norm is not None and norm not in _NORMS:
        raise ValueError(f"mlp: there is no norm {norm!r}; there are {', '.join(_NORMS)}")
    if activation == "selu":
        weight_init, bias_init = weight_init or lecun_normal, bias_init or zeros
    drop = nn.AlphaDropout if activation == "selu" else nn.Dropout
    layers: list[nn.Module] = [nn.Flatten()] if flatten else []
    for i, (before, after) in enumerate(pairwise(widths)):
        dense = nn.Linear(
            before, after, bias, weight_init=weight_init, bias_init=bias_init, dtype=dtype
        )
        layers.append(dense)
        if i == len(widths) - 2:
            break
        if norm is not None:
            layers.append(_NORMS[norm](after, dtype=dtype))
        layers.append(layer_of("mlp", activation))
        if dropout:
            layers.append(drop(dropout))
    if output_activation is not None:
        layers.append(layer_of("mlp", output_activation))
    return nn.Sequential(*layers)
