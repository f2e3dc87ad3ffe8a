"""The graph: what is remembered of each call while gradients are wanted, and the modes that decide it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from .. import _core
from ..tensor import Tensor

__all__ = ["Backward", "Node", "enable_grad", "is_grad_enabled", "mode", "no_grad", "record"]

Backward = Callable[["Node", Tensor], Sequence[Tensor | None] | None]


class _Mode(threading.local):
    enabled = True  # whether calls are recorded
    collecting = (
        False  # whether the backward pass under way returns gradients and leaves .grad alone
    )


mode = _Mode()


class Node:
    """One recorded call: how to turn the gradient of its output into those of its inputs."""

    __slots__ = (
        "__weakref__", "_output", "_versions", "backward", "edges", "name", "retained", "saved", "scope",
        "targets",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        rule: Backward | None,
        edges: tuple[Node | Tensor | None, ...],
        saved: tuple[Any, ...],
    ) -> None:
        self.name = name
        self.backward = rule
        self.edges: tuple[Node | Tensor | None, ...] | None = edges
        self.saved = saved
        self._output: Tensor | None = None
        self._versions = [s._version for s in saved if isinstance(s, _core.Array)]
        self.retained: Tensor | None = None
        self.targets: Any = None
        self.scope = _core.current_scope()  # of the recording under way

    def needs(self, i: int) -> bool:
        """Whether input i wants a gradient."""
        return self.edges is not None and self.edges[i] is not None

    @property
    def output(self) -> Tensor:
        """The call's result, for rules that are written in terms of it (kept by ``keep_output``)."""
        kept = self._output
        assert kept is not None
        if not mode.enabled:
            return kept
        alias = kept.detach()  # with its history: for gradients of gradients
        alias._requires_grad = True
        alias._node = self
        return alias

    def grad_place(self, i: int) -> tuple[Tensor, bool] | None:
        """Where a rule may put the gradient of input i instead of into a new tensor, and whether to add it
        to what is there.

        Not None when the input is a parameter with a place of its own for its gradient (flat.py), comes
        once in the call, and nobody asks to differentiate the backward pass. A rule that took the place
        returns it.
        """
        edges = self.edges
        edge = edges[i] if edges is not None else None
        if not isinstance(edge, Tensor) or mode.enabled or mode.collecting:
            return None
        home: Tensor | None = edge._grad_view
        if home is None or not (edge.grad is None or edge.grad is home):
            return None
        if sum(other is edge for other in edges or ()) > 1:
            return None
        return home, edge.grad is not None

    def grad_buffer(self, i: int) -> Tensor | None:
        """`grad_place` where that holds no gradient yet, for rules that cannot add."""
        place = self.grad_place(i)
        return None if place is None or place[1] else place[0]

    def _check(self) -> None:
        arrays = (s for s in (*self.saved, self._output) if isinstance(s, _core.Array))
        for array, version in zip(arrays, self._versions, strict=True):
            if array._version != version:
                raise RuntimeError(
                    f"backward: a tensor of shape {array.shape} that {self.name} saved for its gradient was "
                    "changed in place after it was used; change a clone() instead, or call backward first"
                )

    def _free(self) -> None:
        self.saved = ()
        self._versions = []
        self._output = None
        self.edges = None
        self.backward = None


def record(
    out: Tensor,
    name: str,
    rule: Backward | None,
    inputs: Sequence[Tensor | None],
    saved: tuple[Any, ...] = (),
    keep_output: bool = False,
) -> Tensor:
    """Remember that ``out`` was computed from ``inputs`` if any of them requires a gradient.

    Parameters
    ----------
    rule : callable or None
        ``rule(node, dy)`` returns one gradient an input (None where there is none). It must be a
        module-level function: a closure over ``out`` would be a reference cycle, and memory would wait for
        the garbage collector. None says that the function has no derivative, which is an error only when
        it is asked for.
    saved : tuple
        What the rule needs, as ``node.saved``.
    keep_output : bool
        Whether the rule needs the output, as ``node.output``.
    """
    if not mode.enabled:
        return out
    for x in inputs:
        if x is not None and x._requires_grad:
            break
    else:
        return out
    edges = tuple(
        [
            None if x is None or not x._requires_grad else x if x._node is None else x._node
            for x in inputs
        ]
    )
    node = Node(name, rule, edges, saved)
    if keep_output:
        node._output = out.detach()
        node._versions.append(out._version)
    out._node = node
    out._requires_grad = True
    return out


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return mode.enabled


class _SetMode:
    """Sets the mode within a ``with`` block, or for the length of a decorated function's call."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self._enabled

    def __exit__(self, *_: object) -> None:
        mode.enabled = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self._enabled):
                return function(*args, **kwargs)

        return wrapped


def no_grad() -> _SetMode:
    """A context (or decorator) in which nothing is recorded, for evaluation and for changing parameters.

    Examples
    --------
    >>> x = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return _SetMode(False)


def enable_grad() -> _SetMode:
    """A context (or decorator) in which operations are recorded, within `no_grad`."""
    return _SetMode(True)
