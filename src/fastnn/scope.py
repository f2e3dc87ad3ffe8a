"""Names for parts of a computation, so that a recording knows which layer each of its calls is part of.

Nothing is named while nothing is recorded: eager calls pay for one look at whether there is a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ._core import enter_scope, set_scope

__all__ = ["BACKWARD", "scope"]

P = ParamSpec("P")
R = TypeVar("R")

BACKWARD = "backward"  # the scope of gradients, within that of what they are the gradients of


class scope:
    """Name what is computed within a ``with`` block, or by a decorated function.

    Modules name their own calls; this is for computations outside them, or for parts of a large module. The
    names show in profiles and in the listing of a compiled function.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> import fastnn
    >>> @fastnn.compile
    ... def distance(x, y):
    ...     with fastnn.scope("squares"):
    ...         squares = (x - y) * (x - y)
    ...     return squares.sum()
    >>> distance(fastnn.ones(3), fastnn.zeros(3))
    Tensor(3.)
    >>> [call.layer for call in distance.latest.program.calls][:2]
    ['squares', 'squares']
    """

    __slots__ = ("_name", "_outer")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"scope: name must be a string, not {type(name).__name__}")
        self._name = name
        self._outer: list[tuple[object, ...] | None] = []

    def __enter__(self) -> None:
        self._outer.append(enter_scope(self._name))

    def __exit__(self, *_: object) -> None:
        outer = self._outer.pop()
        if outer is not None:
            set_scope(outer)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        name = self._name

        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            outer = enter_scope(name)
            if outer is None:
                return function(*args, **kwargs)
            try:
                return function(*args, **kwargs)
            finally:
                set_scope(outer)

        return wrapped
