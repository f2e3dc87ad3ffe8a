"""Recording a function of tensors and replaying it in C: trace -> passes -> program."""

from .._core import RecordingError
from .compiled import Compiled, Recording, compile, record

__all__ = ["Compiled", "Recording", "RecordingError", "compile", "record"]
