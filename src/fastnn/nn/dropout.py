"""Layers that add noise in training only: Dropout, whole channels of it, AlphaDropout, GaussianNoise."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..random import Generator
from ..tensor import Tensor, as_tensor
from ._check import real
from .module import Module


class _Noise(Module):
    """Draws from `generator`, or from the library's (`fastnn.manual_seed`) where that is None."""

    def __init__(self, generator: Generator | None) -> None:
        super().__init__()
        self.generator = generator

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return 2 * int(output.size) if self.training else 0


class Dropout(_Noise):
    """In training sets each element to zero with probability `p` and divides the rest by `1 - p`.

    Srivastava et al. 2014. The same elements are dropped at any number of threads.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> layer = nn.Dropout(0.5)
    >>> layer.eval()(fastnn.ones((3,)))
    Tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.p = real("Dropout", "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if not self.training or self.p == 0:
            return x
        return ops.dropout(x, self.p, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _ChannelDropout(_Noise):
    _axes: int

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.p = real(type(self).__name__, "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in (self._axes + 1, self._axes + 2):
            places = ", H, W" if self._axes == 2 else ", L"
            raise ValueError(
                f"{type(self).__name__}: x must be (N, C{places}) or (C{places}), not {x.shape}"
            )
        if not self.training or self.p == 0:
            return x
        lead = x.shape[: -self._axes]
        return ops.dropout(
            x, self.p, noise_shape=(*lead, *(1,) * self._axes), generator=self.generator
        )

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(_ChannelDropout):
    """In training sets whole channels of (N, C, L) to zero with probability `p`, and divides the rest by
    `1 - p`.

    Neighbours in a sequence know each other's values, so that single ones that are missing teach little
    (Tompson et al. 2015).

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Dropout1d(0.5)(fastnn.ones((2, 4, 8))).shape
    (2, 4, 8)
    """

    _axes = 1


class Dropout2d(_ChannelDropout):
    """In training sets whole channels of images (N, C, H, W) to zero with probability `p`, and divides
    the rest by `1 - p`.

    Tompson et al. 2015; see `Dropout1d`.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Dropout2d(0.5)(fastnn.ones((2, 4, 8, 8))).shape
    (2, 4, 8, 8)
    """

    _axes = 2


class AlphaDropout(_Noise):
    """Dropout for SELU networks: to SELU's lower limit, with mean and variance kept.

    `a (x m + a' (1 - m)) + b`, where a' = -1.7581 is the limit, m is 1 with probability `1 - p`,
    `a = (1 - p + p (1 - p) a'^2)^(-1/2)` and `b = -a p a'` (Klambauer et al. 2017).
    """

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.p = real("AlphaDropout", "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if not self.training or self.p == 0:
            return x
        return ops.alpha_dropout(x, self.p, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class GaussianNoise(_Noise):
    """In training adds noise from N(0, std^2).

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.GaussianNoise(0.1)(fastnn.zeros((3,))).shape
    (3,)
    """

    def __init__(self, std: float = 0.1, *, generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.std = real("GaussianNoise", "std", std, 0, math.inf)

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if not self.training or self.std == 0:
            return x
        return ops.gaussian_noise(x, self.std, generator=self.generator)

    def extra_repr(self) -> str:
        return f"std={self.std}"
