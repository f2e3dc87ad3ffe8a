"""Optimizers with running averages of gradients: Adam, AdamW, NAdam, Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._core import ops as op
from .base import Optimizer
from .group import H0, H1, H2, H3, H4, ParamGroup

__all__ = ["Adam", "AdamW", "Lion", "NAdam"]


class Adam(Optimizer):
    """Running averages of the gradient and of its square.

    ``m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g g;``
    ``w -= lr m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)``

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float, default 1e-3
    betas : (float, float), default (0.9, 0.999)
    eps : float, default 1e-8
    weight_decay : float, default 0
        Times w, added to the gradient; see `AdamW` for the decoupled kind.
    amsgrad : bool, default False
        Divide by the largest v so far.
    maximize : bool, default False
        Climb instead.
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015; amsgrad: Reddi et al., "On
    the convergence of Adam and beyond", 2018.

    Examples
    --------
    >>> from fastnn import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.5)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.detach()
    Tensor([0.5])
    """

    _op = op.adam
    _rule = 1
    _fields: ClassVar = {"betas": (H0, H1), "eps": H2, "decoupled_weight_decay": H3}
    _states = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad":
            amsgrad,
            "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, options, clip_norm=clip_norm, clip_value=clip_value)

    def _uses(self, name: str, group: ParamGroup) -> bool:
        return name != "max_exp_avg_sq" or bool(group["amsgrad"])


class AdamW(Adam):
    """Adam with decoupled weight decay: ``w *= 1 - lr weight_decay`` before the step.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, clip_norm, clip_value
        As `Adam`.
    weight_decay : float, default 1e-2

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize,
            decoupled_weight_decay=True, clip_norm=clip_norm, clip_value=clip_value,
        )  # fmt: skip


class NAdam(Optimizer):
    """Adam with Nesterov's momentum.

    With ``mu_t = beta1 (1 - 0.96**(t momentum_decay) / 2)`` and ``M_t`` the product of all mu so
    far, ``w -= lr ((1 - mu_t) g / (1 - M_t) + mu_(t+1) m / (1 - M_(t+1))) / (sqrt(v / (1 -
    beta2**t)) + eps)``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float, default 2e-3
    betas : (float, float), default (0.9, 0.999)
    eps : float, default 1e-8
    weight_decay : float, default 0
    momentum_decay : float, default 4e-3
    decoupled_weight_decay : bool, default False
        Decay as in `AdamW`.
    maximize : bool, default False
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", 2016.
    """

    _op = op.nadam
    _rule = 2
    _fields: ClassVar = {
        "betas": (H0, H1), "eps": H2, "decoupled_weight_decay": H3, "momentum_decay": H4,
    }  # fmt: skip
    _states = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options, clip_norm=clip_norm, clip_value=clip_value)


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of a momentum.

    ``w -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay w);  m = beta2 m + (1 - beta2) g``

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float, default 1e-4
    betas : (float, float), default (0.9, 0.99)
    weight_decay : float, default 0
        Decoupled.
    maximize : bool, default False
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", 2023.
    """

    _op = op.lion
    _rule = 5
    _fields: ClassVar = {"betas": (H0, H1)}
    _states = ("exp_avg",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options = {
            "lr": lr,
            "betas": tuple(betas),
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options, clip_norm=clip_norm, clip_value=clip_value)
