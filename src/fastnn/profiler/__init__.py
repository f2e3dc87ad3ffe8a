"""Where the time of a computation goes, against what this machine can do."""

from .machine import Limits, limits

__all__ = ["Limits", "limits"]
