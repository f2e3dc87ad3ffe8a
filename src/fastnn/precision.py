"""How convolutions may round: the one setting on which their numbers depend besides their arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ._core import note_change, note_use, refuse

__all__ = [
    "allowed_ways", "deterministic_precision", "is_deterministic_precision", "set_deterministic_precision",
]  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")

_WINOGRAD = 1  # the bit of the ops' scalar `ways`


class _Setting:
    """The setting; recordings that met it compare its attributes before they are used again."""

    deterministic: bool

    def __init__(self) -> None:
        self.deterministic = False


_setting = _Setting()


def allowed_ways() -> int:
    """The scalar `ways` of a convolution's op, on which a recording under way then depends."""
    note_use(_setting)
    return 0 if _setting.deterministic else _WINOGRAD


def is_deterministic_precision() -> bool:
    """Whether convolutions are direct sums of products: see `deterministic_precision`."""
    return _setting.deterministic


def _change(enabled: bool) -> None:
    if enabled != _setting.deterministic:
        _setting.deterministic = enabled
        note_change()


def _checked(enabled: bool) -> bool:
    if not isinstance(enabled, bool):
        raise TypeError(
            f"deterministic precision is on or off: expected True or False, got {enabled!r}"
        )
    return enabled


def set_deterministic_precision(enabled: bool = True) -> None:
    """Turn deterministic precision on or off, for all threads, until it is set again.

    Parameters
    ----------
    enabled : bool, default True

    See Also
    --------
    deterministic_precision : The same within a ``with`` block, and what it means.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.set_deterministic_precision(True)
    >>> fastnn.is_deterministic_precision()
    True
    >>> fastnn.set_deterministic_precision(False)
    """
    refuse(
        "set_deterministic_precision within a recorded function would not be repeated by a replay; set it "
        "outside, or use `with deterministic_precision():`"
    )
    _change(_checked(enabled))


class deterministic_precision:
    """Compute convolutions as direct sums of products, in a ``with`` block or a decorated function.

    By default a 3x3 convolution of stride 1 may be computed by Winograd's short convolutions, where that is
    faster: 2.25 or 4 times fewer multiplications, for sums that are rounded differently. An element of its
    result is then typically off by ``eps / 2`` (float32: 6e-8) of the sum of its products' magnitudes, twice
    as much as in a direct sum. Which convolutions these are follows from their shapes alone; they have the
    same bits at any thread count, and whether compiled or not.

    With deterministic precision no such choice is made: each element of every convolution, and of its
    gradients, is a plain sum of products. Nor is batch normalisation in evaluation folded into the
    weights of the convolution before it, as compiled functions else do (an error of a few ``eps`` of the
    sum of the products' magnitudes): they give the bits of eager calls.

    Parameters
    ----------
    enabled : bool, default True
        False allows Winograd again within.

    Notes
    -----
    The setting is one for all threads. Compiled functions and trainers record anew where it has changed.

    Examples
    --------
    >>> import fastnn
    >>> with fastnn.deterministic_precision():
    ...     fastnn.is_deterministic_precision()
    True
    >>> fastnn.is_deterministic_precision()
    False
    """

    __slots__ = ("_before", "_enabled")

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = _checked(enabled)
        self._before: list[bool] = []

    def __enter__(self) -> None:
        note_use(_setting)  # with what it was before: a recording may go on after the block
        self._before.append(_setting.deterministic)
        _change(self._enabled)

    def __exit__(self, *_: object) -> None:
        _change(self._before.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            with deterministic_precision(self._enabled):
                return function(*args, **kwargs)

        return wrapped
