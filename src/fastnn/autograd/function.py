"""Functions with a gradient of the user's own."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor, zeros
from .graph import Node, mode, no_grad, record
from .walk import Part, record_parts

__all__ = ["Context", "Function"]


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
        outs = [
            y.detach() if any(y is a for a in args) else y
            for y in (result if several else (result,))
        ]
        for y in outs:
            if not isinstance(y, Tensor):
                raise TypeError(
                    f"{cls.__name__}.forward must return tensors, got {type(y).__name__}"
                )
        if mode.enabled and any(ctx.needs_input_grad):
            saved = (cls, ctx, tuple((y.shape, y.dtype) for y in outs), *ctx.saved_tensors)
            if several:
                outs = record_parts(outs, cls.__name__, _function_backward, inputs, saved)
            else:
                outs = [record(outs[0], cls.__name__, _function_backward, inputs, saved)]
        return tuple(outs) if several else outs[0]


def _function_backward(node: Node, dy: Any) -> Any:
    cls, ctx, shapes = node.saved[:3]
    if isinstance(dy, Part):
        grads = [zeros(*shapes[i]) if g is None else g for i, g in enumerate(dy.gradients)]
    else:
        grads = [dy]
    result = cls.backward(ctx, *grads)
    result = result if isinstance(result, tuple) else (result,)
    edges = node.edges
    assert edges is not None
    if len(result) != len(edges):
        raise RuntimeError(
            f"{cls.__name__}.backward returned {len(result)} gradients for {len(edges)} arguments"
        )
    return result
