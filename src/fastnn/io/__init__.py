"""Model files: safetensors, written atomically; never pickle."""

from .atomic import atomic_write
from .safetensors import load, load_metadata, read_arrays, save, write_arrays

__all__ = ["atomic_write", "load", "load_metadata", "read_arrays", "save", "write_arrays"]
