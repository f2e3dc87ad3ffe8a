"""Training: the Trainer, its callbacks and History, and checkpoints."""

from .callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    Lambda,
    ScheduleLR,
    TerminateOnNonFinite,
)  # fmt: skip
from .checkpoint import load_checkpoint, save_checkpoint
from .history import History
from .nonfinite import NonFiniteError
from .trainer import Trainer

__all__ = [
    "CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "History", "Lambda", "NonFiniteError",
    "ScheduleLR", "TerminateOnNonFinite", "Trainer", "load_checkpoint", "save_checkpoint",
]  # fmt: skip
