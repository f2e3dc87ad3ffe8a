"""Ready-made networks."""

from .mlp import mlp

__all__ = ["mlp"]
