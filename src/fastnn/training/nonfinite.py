"""Where a NaN or an infinity came from: the batch is run again, with every layer watched."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import random
from ..autograd import no_grad
from ..tensor import Tensor

__all__ = ["NonFiniteError", "explain"]


class NonFiniteError(FloatingPointError):
    """The loss became NaN or infinite.

    Attributes
    ----------
    epoch, step : int
        Where: the epoch and the batch in it, from 0.
    layer : str or None
        The first layer whose output was not finite.
    """

    def __init__(self, message: str, epoch: int, step: int, layer: str | None) -> None:
        super().__init__(message)
        self.epoch, self.step, self.layer = epoch, step, layer


def explain(
    model: Any, inputs: tuple[Any, ...], loss: float, epoch: int, step: int
) -> NonFiniteError:
    """The error for a batch with such a loss; the model is left as it is."""
    layer, cause = None, ""
    for i, x in enumerate(inputs):
        if not _finite(x):
            which = f"input {i}" if len(inputs) > 1 else "the input"
            cause = f"{which} of this batch holds {_what(x)}"
    if not cause:
        layer, cause = _first_layer(model, inputs)
    message = (
        f"the loss is {loss} in epoch {epoch + 1}, step {step + 1}: {cause}. "
        "The weights are those from before this step"
    )
    return NonFiniteError(message, epoch, step, layer)


def _first_layer(model: Any, inputs: tuple[Any, ...]) -> tuple[str | None, str]:
    """Run the model with a hook on every layer: (name of the first bad one, what is wrong)."""
    found: list[tuple[str, Any, Any, Any]] = []
    handles = []
    if not hasattr(model, "named_modules"):
        return None, "the model is a plain function, so its layers cannot be watched"

    def watch(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            if not found and not _finite(output):
                found.append((name, module, args, output))

        return hook

    buffers = [(buffer, buffer.numpy().copy()) for buffer in model.buffers()]
    state = random.get_state()
    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_hook(watch(name)))
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for buffer, values in buffers:  # running means have seen the batch twice
            buffer.numpy()[...] = values
        random.set_state(state)
    if not found:
        return None, "every layer's output is finite, so it is the loss itself (or the targets)"
    name, module, args, output = found[0]
    layer = f"{name!r} ({type(module).__name__})" if name else type(module).__name__
    text = (
        f"the first output that is not finite is that of layer {layer}, which holds {_what(output)}"
    )
    bad = [n for n, p in module.named_parameters() if not _finite(p)]
    if bad:
        text += (
            f"; its {bad[0]} already holds {_what(dict(module.named_parameters())[bad[0]])}: an "
            "earlier step overflowed. A lower learning rate or clipping the gradients may help"
        )
    elif _finite(args):
        text += "; its inputs and parameters are finite, so it overflowed here"
    return name, text


def _finite(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_finite(v) for v in value)
    if isinstance(value, Tensor):
        return not value.dtype.is_float or bool(np.isfinite(value.detach().numpy()).all())
    return True


def _what(value: Any) -> str:
    """How many of which: "3 NaN and 1 infinite of 20 numbers"."""
    values = value if isinstance(value, tuple | list) else (value,)
    arrays = [v.detach().numpy() for v in values if isinstance(v, Tensor) and v.dtype.is_float]
    nan = sum(int(np.isnan(a).sum()) for a in arrays)
    infinite = sum(int(np.isinf(a).sum()) for a in arrays)
    counts = [f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n]
    return f"{' and '.join(counts)} of {sum(a.size for a in arrays)} numbers"
