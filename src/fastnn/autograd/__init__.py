"""Reverse-mode automatic differentiation.

While gradients are wanted, every differentiable function ends with `record`, which hangs a `Node` on its
result: the function's backward rule, what that rule needs, and an edge to where each input came from.
`backward` walks the nodes from a result to the leaves, each node once and after all its users, handing
gradients down the edges.
"""

from .check import gradcheck
from .function import Context, Function
from .graph import Node, enable_grad, is_grad_enabled, no_grad, record
from .walk import Part, backward, grad, record_parts

__all__ = [
    "Context", "Function", "Node", "Part", "backward", "enable_grad", "grad", "gradcheck", "is_grad_enabled",
    "no_grad", "record", "record_parts",
]  # fmt: skip
