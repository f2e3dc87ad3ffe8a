"""Reverse-mode automatic differentiation.

While gradients are wanted, every differentiable function ends with `record`, which hangs a `Node` on its
result: the function's backward rule, what that rule needs, and an edge to where each input came from.
`backward` walks the nodes from a result to the leaves, each node once and after all its users, handing
gradients down the edges.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _core
from ._core import launch
from ._core import ops as op
from .tensor import Tensor, empty_like, ones_like

__all__ = ["Function", "backward", "enable_grad", "grad", "gradcheck", "is_grad_enabled", "no_grad"]

Backward = Callable[["Node", Tensor], Sequence[Tensor | None] | None]


class _Mode(threading.local):
    enabled = True


_mode = _Mode()


class Node:
    """One recorded call: how to turn the gradient of its output into those of its inputs."""

    __slots__ = (
        "__weakref__", "_output", "_versions", "backward", "edges", "name", "retained", "saved", "targets",
    )  # fmt: skip

    def __init__(
        self, name: str, rule: Backward | None, edges: tuple[Node | Tensor | None, ...], saved: tuple[Any, ...]
    ) -> None:
        self.name = name
        self.backward = rule
        self.edges: tuple[Node | Tensor | None, ...] | None = edges
        self.saved = saved
        self._output: Tensor | None = None
        self._versions = [s._version for s in saved if isinstance(s, _core.Array)]
        self.retained: Tensor | None = None
        self.targets: Any = None

    def needs(self, i: int) -> bool:
        """Whether input i wants a gradient."""
        return self.edges is not None and self.edges[i] is not None

    @property
    def output(self) -> Tensor:
        """The call's result, for rules that are written in terms of it (kept by ``keep_output``)."""
        kept = self._output
        assert kept is not None
        if not _mode.enabled:
            return kept
        alias = kept.detach()  # with its history: for gradients of gradients
        alias._requires_grad = True
        alias._node = self
        return alias

    def grad_buffer(self, i: int) -> Tensor | None:
        """Where a rule may write the gradient of input i instead of into a new tensor.

        Not None when the input is a parameter with a place of its own for its gradient (nn.flat) that holds
        none yet, and nobody asks to differentiate the backward pass.
        """
        edge = self.edges[i] if self.edges is not None else None
        if type(edge) is Node or edge is None or _mode.enabled or _mode_collects():
            return None
        return edge._grad_view if edge.grad is None else None

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


class _Collecting(threading.local):
    active = False


_collecting = _Collecting()


def _mode_collects() -> bool:
    return _collecting.active


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
    if not _mode.enabled:
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


# --- modes ---


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return _mode.enabled


class _SetMode:
    """Sets the mode within a ``with`` block, or for the length of a decorated function's call."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_mode.enabled)
        _mode.enabled = self._enabled

    def __exit__(self, *_: object) -> None:
        _mode.enabled = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

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


# --- the backward pass ---


def _order(roots: Sequence[Node]) -> list[Node]:
    """All nodes below the roots, each before the nodes that it came from."""
    order: list[Node] = []
    state: dict[int, int] = {}  # 1: its edges are being walked, 2: done
    stack: list[tuple[Node, int]] = [(root, 0) for root in roots]
    while stack:
        node, i = stack.pop()
        mark = state.get(id(node), 0)
        if mark == 2:
            continue
        if i == 0:
            if mark == 1:
                raise RuntimeError(f"backward: the graph has a cycle through {node.name}")
            state[id(node)] = 1
        edges = node.edges
        if edges is None:
            raise RuntimeError(
                f"backward: the graph was freed by an earlier backward at {node.name}; pass retain_graph=True "
                "to the first one, or compute the result again"
            )
        while i < len(edges) and not (type(edges[i]) is Node and state.get(id(edges[i]), 0) != 2):
            i += 1
        if i < len(edges):
            stack.append((node, i + 1))
            child = edges[i]
            assert isinstance(child, Node)
            if state.get(id(child)) == 1:
                raise RuntimeError(f"backward: the graph has a cycle through {child.name}")
            stack.append((child, 0))
        else:
            state[id(node)] = 2
            order.append(node)
    order.reverse()
    return order


def _accumulate(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    """leaf.grad += gradient, in the leaf's own place for it where it has one."""
    before = leaf.grad
    if gradient.shape != leaf.shape:
        raise RuntimeError(
            f"backward: a gradient of shape {gradient.shape} came for a tensor of shape {leaf.shape}; "
            "the backward rule of the function that used it is wrong"
        )
    if create_graph:
        leaf.grad = gradient if before is None else before + gradient
    elif before is None:
        home = leaf._grad_view
        if home is None:
            leaf.grad = _own(gradient)
        else:
            if gradient is not home:
                launch(op.copy, (gradient, home))
            leaf.grad = home
    elif gradient is not before:
        launch(op.add, (before, gradient, before))


def _own(gradient: Tensor) -> Tensor:
    """A copy: the same tensor may be the gradient of several inputs, and a leaf's is written to."""
    y = empty_like(gradient)
    launch(op.copy, (gradient, y))
    return y


def _run(
    roots: Sequence[tuple[Tensor, Tensor]],
    retain_graph: bool,
    create_graph: bool,
    targets: Sequence[Tensor] | None,
) -> dict[int, Tensor]:
    """The walk. With targets, gradients are returned by the id of each target instead of accumulated."""
    wanted: dict[int, list[int]] = {}
    for target in targets or ():
        key = id(target) if target._node is None else id(target._node)
        wanted.setdefault(key, []).append(id(target))
    found: dict[int, Tensor] = {}
    gradients: dict[int, Any] = {}
    before = _mode.enabled, _collecting.active
    nodes = [x._node for x, _ in roots if x._node is not None]
    order = _order(nodes)

    def deliver(edge: Node | Tensor, gradient: Tensor) -> None:
        key = id(edge)
        if type(edge) is Node:
            there = gradients.get(key)
            gradients[key] = gradient if there is None else _sum(edge, there, gradient)
        elif targets is None:
            _accumulate(edge, gradient, create_graph)  # type: ignore[arg-type]
        elif key in wanted:
            there = found.get(key)
            found[key] = gradient if there is None else there + gradient

    try:
        _mode.enabled, _collecting.active = create_graph, targets is not None
        for x, gradient in roots:
            deliver(x if x._node is None else x._node, gradient)
        for node in order:
            dy = gradients.pop(id(node), None)
            if dy is None:
                continue
            if id(node) in wanted:
                found[id(node)] = dy
            if node.retained is not None and targets is None:
                node.retained.grad = dy if node.retained.grad is None else node.retained.grad + dy
            if node.backward is None:
                raise RuntimeError(f"backward: {node.name} has no derivative; detach() its input")
            node._check()
            edges = node.edges
            assert edges is not None
            for edge, dx in zip(edges, node.backward(node, dy) or (None,) * len(edges), strict=True):
                if edge is not None and dx is not None:
                    deliver(edge, dx)
            if not retain_graph:
                node._free()
    finally:
        _mode.enabled, _collecting.active = before
    return {target: found[key] for key, ids in wanted.items() if key in found for target in ids}


def _sum(node: Node, a: Any, b: Any) -> Any:
    if isinstance(a, _Part):
        return a.plus(b)
    return a + b


def _seed(y: Tensor, gradient: Tensor | None, name: str) -> Tensor:
    if not isinstance(y, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(y).__name__}")
    if not y._requires_grad:
        raise RuntimeError(
            f"{name}: nothing that this tensor was computed from requires a gradient; set requires_grad=True "
            "on an input, and compute it outside no_grad()"
        )
    if gradient is None:
        if y.size != 1:
            raise RuntimeError(
                f"{name}: a tensor of shape {y.shape} is no scalar; sum() or mean() it, or pass gradient="
            )
        return ones_like(y)
    if not isinstance(gradient, Tensor):
        gradient = Tensor(gradient, y.dtype)
    if gradient.shape != y.shape or gradient.code != y.code:
        raise ValueError(
            f"{name}: the gradient has shape {gradient.shape} and dtype {gradient.dtype}, "
            f"the tensor {y.shape} and {y.dtype}"
        )
    return gradient


def backward(
    y: Tensor, gradient: Tensor | None = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """The same as ``y.backward(...)``; see `Tensor.backward`."""
    seed = _seed(y, gradient, "backward")
    _run([(y, seed)], retain_graph or create_graph, create_graph, None)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """Gradients of ``outputs`` with respect to ``inputs``, without touching any ``.grad``.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        What to differentiate, and with respect to what.
    grad_outputs : Tensor or sequence, optional
        One gradient an output, of its shape; may be left out for outputs of one element.
    retain_graph : bool, optional
        Keep the graph for another pass; by default as ``create_graph``.
    create_graph : bool, default False
        Record the pass itself, so that its results can be differentiated again.
    allow_unused : bool, default False
        Return None for an input that the outputs do not depend on, instead of an error.

    Returns
    -------
    Tensor or tuple of Tensor
        One gradient if ``inputs`` is one tensor, else one an input.

    Examples
    --------
    >>> x = Tensor(3.0, requires_grad=True)
    >>> first = grad(x * x * x, x, create_graph=True)
    >>> first.item(), grad(first, x).item()
    (27.0, 18.0)
    """
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds: list[Tensor | None]
    if grad_outputs is None:
        seeds = [None] * len(ys)
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if len(seeds) != len(ys):
        raise ValueError(f"grad: {len(ys)} outputs but {len(seeds)} grad_outputs")
    for x in xs:
        if not isinstance(x, Tensor) or not x._requires_grad:
            raise RuntimeError("grad: every input must be a tensor with requires_grad=True")
    roots = [(y, _seed(y, seed, "grad")) for y, seed in zip(ys, seeds, strict=True)]
    found = _run(roots, create_graph if retain_graph is None else retain_graph, create_graph, xs)
    if not allow_unused:
        for i, x in enumerate(xs):
            if id(x) not in found:
                raise RuntimeError(
                    f"grad: the outputs do not depend on input {i} (shape {x.shape}); pass allow_unused=True "
                    "to get None for it"
                )
    result = tuple(found.get(id(x)) for x in xs)
    return result[0] if isinstance(inputs, Tensor) else result


# --- functions with their own gradient ---


class _Part:
    """The gradients of a function's several outputs, gathered until all that will come have come."""

    def __init__(self, count: int, i: int, gradient: Tensor) -> None:
        self.gradients: list[Tensor | None] = [None] * count
        self.gradients[i] = gradient

    def plus(self, other: _Part) -> _Part:
        for i, g in enumerate(other.gradients):
            if g is not None:
                mine = self.gradients[i]
                self.gradients[i] = g if mine is None else mine + g
        return self


class Context:
    """What a `Function`'s forward leaves for its backward; any attribute may be set on it."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Tensor, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors; `backward` checks that they were not changed in place since."""
        self.saved_tensors = tensors


class Function:
    """A differentiable function with a gradient of your own.

    Subclass it with two static methods and call ``apply``. ``forward(ctx, *args)`` returns a tensor or a
    tuple of tensors; ``backward(ctx, *grads)`` gets one gradient an output and returns one an argument
    (None for those without). What ``forward`` computes is not recorded.

    Examples
    --------
    >>> class Double(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         return dy * 2
    >>> x = Tensor([1.0], requires_grad=True)
    >>> Double.apply(x).backward()
    >>> x.grad
    Tensor([2.])
    """

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError("a Function defines forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        """Compute the gradients of the arguments."""
        raise NotImplementedError("a Function defines backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the function."""
        ctx = Context()
        inputs = tuple(a if isinstance(a, Tensor) else None for a in args)
        ctx.needs_input_grad = tuple(a is not None and a._requires_grad for a in inputs)
        with no_grad():
            result = cls.forward(ctx, *args)
        several = isinstance(result, tuple)
        outs = [y.detach() if any(y is a for a in args) else y for y in (result if several else (result,))]
        for y in outs:
            if not isinstance(y, Tensor):
                raise TypeError(f"{cls.__name__}.forward must return tensors, got {type(y).__name__}")
        if _mode.enabled and any(ctx.needs_input_grad):
            saved = (cls, ctx, len(outs), *ctx.saved_tensors)
            if not several:
                outs = [record(outs[0], cls.__name__, _function_backward, inputs, saved)]
            else:
                whole = record(empty_like(outs[0]), cls.__name__, _function_backward, inputs, saved)
                shapes = tuple((y.shape, y.dtype) for y in outs)
                whole._node.saved += (shapes,)
                outs = [record(y, cls.__name__, _part_backward, (whole,), (i, len(outs)))
                        if y.dtype.is_float else y for i, y in enumerate(outs)]  # fmt: skip
        return tuple(outs) if several else outs[0]


def _part_backward(node: Node, dy: Tensor) -> Any:
    i, total = node.saved
    return (_Part(total, i, dy),)


def _function_backward(node: Node, dy: Any) -> Any:
    from .tensor import zeros

    cls, ctx, total = node.saved[:3]
    if isinstance(dy, _Part):
        shapes = node.saved[-1]
        grads = [zeros(*shapes[i]) if g is None else g for i, g in enumerate(dy.gradients)]
    else:
        grads = [dy]
    result = cls.backward(ctx, *grads)
    result = result if isinstance(result, tuple) else (result,)
    edges = node.edges
    assert edges is not None
    if len(result) != len(edges):
        raise RuntimeError(f"{cls.__name__}.backward returned {len(result)} gradients for {len(edges)} arguments")
    return result


# --- checking ---


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """Compare a function's gradients with central differences.

    Parameters
    ----------
    function : callable
        Takes the inputs and returns a tensor; the gradient of its elements' weighted sum is checked.
    inputs : sequence of Tensor
        float64 (differences in float32 are too coarse); those that require a gradient are checked.
    eps, atol, rtol : float
        The step of the differences, and the tolerances: ``|a - n| <= atol + rtol * |n|``.

    Returns
    -------
    bool
        True. A mismatch is an error.

    Raises
    ------
    ValueError
        If an input to check is not float64.
    AssertionError
        Naming the input, the element and both figures, if the gradients differ.

    Examples
    --------
    >>> gradcheck(lambda x: x * x, [Tensor([1.0, 2.0], "float64", requires_grad=True)])
    True
    """
    checked = [i for i, x in enumerate(inputs) if x._requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient")
    for i in checked:
        if inputs[i].dtype != "float64":
            raise ValueError(f"gradcheck: input {i} is {inputs[i].dtype}; use float64")
    y = function(*inputs)
    weights = np.cos(np.arange(y.size, dtype=np.float64)).reshape(y.shape) + 1.5  # no element cancels another
    xs = [inputs[i] for i in checked]
    gradients = grad(y, xs, Tensor(weights, y.dtype), allow_unused=True)
    for i, x, analytic in zip(checked, xs, gradients, strict=True):
        numeric = np.zeros(x.shape)
        values = x.numpy().copy()
        for at in np.ndindex(*x.shape):
            sides = []
            for side in (eps, -eps):
                moved = values.copy()
                moved[at] += side
                trial = list(inputs)
                trial[i] = Tensor(moved, requires_grad=True)  # the function may itself call grad
                sides.append(float((function(*trial).numpy() * weights).sum()))
            numeric[at] = (sides[0] - sides[1]) / (2 * eps)
        ours = np.zeros(x.shape) if analytic is None else analytic.numpy()
        wrong = ~(np.abs(ours - numeric) <= atol + rtol * np.abs(numeric))
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise AssertionError(
                f"gradcheck: input {i} at {at}: backward gives {ours[at]:.9g}, differences give "
                f"{numeric[at]:.9g} ({int(wrong.sum())} of {wrong.size} elements differ)"
            )
    return True


