"""Gradient descent with momentum, and with a rate for each weight: SGD, RMSprop, Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._core import ops as op
from .base import Optimizer
from .group import H0, H1, H2, ParamGroup

__all__ = ["SGD", "Adagrad", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent.

    ``m = momentum m + (1 - dampening) g;  w -= lr (m, or g + momentum m with nesterov)``

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float, default 1e-3
    momentum : float, default 0
    dampening : float, default 0
    weight_decay : float, default 0
        Times w, added to the gradient.
    nesterov : bool, default False
    maximize : bool, default False
        Climb instead.
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> from fastnn import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.detach()
    Tensor([0.8])
    """

    _op = op.sgd
    _rule = 0
    _fields: ClassVar = {"momentum": H0, "dampening": H1, "nesterov": H2}
    _states = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options, clip_norm=clip_norm, clip_value=clip_value)

    def _validate(self, group: ParamGroup) -> None:
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum and no dampening")

    def _uses(self, name: str, group: ParamGroup) -> bool:
        return bool(group["momentum"] != 0)


class RMSprop(Optimizer):
    """Gradients divided by a running average of their size.

    ``v = alpha v + (1 - alpha) g g;  w -= lr g / (sqrt(v) + eps)``; centered subtracts the square
    of a running average of g from v; momentum averages the steps.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float, default 1e-2
    alpha : float, default 0.99
    eps : float, default 1e-8
    weight_decay : float, default 0
        Times w, added to the gradient.
    momentum : float, default 0
    centered : bool, default False
    maximize : bool, default False
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: RMSProp", 2012; centered: Graves, "Generating sequences with
    recurrent neural networks", 2013.
    """

    _op = op.rmsprop
    _rule = 3
    _fields: ClassVar = {"alpha": H0, "eps": H1, "momentum": H2}
    _states = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options = {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum":
            momentum,
            "centered": centered, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options, clip_norm=clip_norm, clip_value=clip_value)

    def _uses(self, name: str, group: ParamGroup) -> bool:
        return name == "square_avg" or bool(group["centered" if name == "grad_avg" else "momentum"])


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares so far.

    ``v += g g;  w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(v) + eps)``

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float, default 1e-2
    lr_decay : float, default 0
    weight_decay : float, default 0
        Times w, added to the gradient.
    initial_accumulator_value : float, default 0
        What v starts from.
    eps : float, default 1e-10
    maximize : bool, default False
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization",
    2011.
    """

    _op = op.adagrad
    _rule = 4
    _fields: ClassVar = {"lr_decay": H0, "eps": H1}
    _states = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options = {
            "lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "eps": eps, "maximize":
            maximize,
        }  # fmt: skip
        super().__init__(params, options, clip_norm=clip_norm, clip_value=clip_value)

    def _initial(self, name: str, group: ParamGroup) -> float:
        return float(group["initial_accumulator_value"])
