"""The walk from results to leaves: each node once, after all that used its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core import current_scope, launch, set_scope
from .._core import ops as op
from ..scope import BACKWARD
from ..tensor import Tensor, empty_like, ones_like
from .graph import Node, mode, record

__all__ = ["Part", "backward", "grad", "record_parts"]


class Part:
    """The gradients of a function's several outputs, gathered until all that will come have come."""

    def __init__(self, count: int, i: int, gradient: Tensor) -> None:
        self.gradients: list[Tensor | None] = [None] * count
        self.gradients[i] = gradient

    def plus(self, other: Part) -> Part:
        for i, g in enumerate(other.gradients):
            if g is not None:
                mine = self.gradients[i]
                self.gradients[i] = g if mine is None else mine + g
        return self


def record_parts(
    outputs: Sequence[Tensor],
    name: str,
    rule: Any,
    inputs: Sequence[Tensor | None],
    saved: tuple[Any, ...] = (),
) -> list[Tensor]:
    """As `record`, for a call with several outputs. The rule is called once, with a `Part`."""
    whole = record(outputs[0].detach(), name, rule, inputs, saved)
    if whole._node is None:
        return list(outputs)
    return [
        record(y, name, _part_backward, (whole,), (i, len(outputs))) if y.dtype.is_float else y
        for i, y in enumerate(outputs)
    ]


def _part_backward(node: Node, dy: Tensor) -> Any:
    i, total = node.saved
    return (Part(total, i, dy),)


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
                f"backward: the graph was freed by an earlier backward at {node.name}; pass "
                "retain_graph=True to the first one, or compute the result again"
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
            leaf.grad = _own(gradient, leaf)
        else:
            if gradient is not home:
                launch(op.copy, (gradient, home))
            leaf.grad = home
    elif gradient is not before:
        launch(op.add, (before, gradient, before))


def _own(gradient: Tensor, leaf: Tensor) -> Tensor:
    """A copy, laid out as the leaf: the same tensor may be the gradient of several inputs, and a leaf's
    is written to.
    """
    y = empty_like(leaf)
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
    before = mode.enabled, mode.collecting
    outer = current_scope()
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
        mode.enabled, mode.collecting = create_graph, targets is not None
        for x, gradient in roots:
            deliver(x if x._node is None else x._node, gradient)
        for node in order:
            dy = gradients.pop(id(node), None)
            if dy is None:
                continue
            if outer is not None:
                set_scope((*(node.scope or ()), BACKWARD))
            if id(node) in wanted:
                found[id(node)] = dy
            if node.retained is not None and targets is None:
                node.retained.grad = dy if node.retained.grad is None else node.retained.grad + dy
            if node.backward is None:
                raise RuntimeError(f"backward: {node.name} has no derivative; detach() its input")
            node._check()
            edges = node.edges
            assert edges is not None
            for edge, dx in zip(
                edges, node.backward(node, dy) or (None,) * len(edges), strict=True
            ):
                if edge is not None and dx is not None:
                    deliver(edge, dx)
            if not retain_graph:
                node._free()
    finally:
        mode.enabled, mode.collecting = before
        if outer is not None:
            set_scope(outer)
    return {target: found[key] for key, ids in wanted.items() if key in found for target in ids}


def _sum(node: Node, a: Any, b: Any) -> Any:
    if isinstance(a, Part):
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
    y: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
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
