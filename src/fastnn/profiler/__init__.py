"""Where the time of a computation goes, call by call, against what this machine can do."""

from .machine import Limits, limits
from .measured import watch
from .report import CallTime, LayerTime, Profile
from .run import profile

__all__ = ["CallTime", "LayerTime", "Limits", "Profile", "limits", "profile", "watch"]
