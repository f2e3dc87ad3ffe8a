"""Recording a function of tensors and replaying it in C: trace -> passes -> program."""

from .._core import RecordingError
from .compiled import Compiled, compile

__all__ = ["Compiled", "RecordingError", "compile"]
