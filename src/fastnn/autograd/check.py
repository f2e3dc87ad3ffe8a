"""Gradients held against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..tensor import Tensor
from .walk import grad

__all__ = ["gradcheck"]


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """Compare a function's gradients with central differences.

    Parameters
    ----------
    function : callable
        Takes the inputs and returns a tensor; the gradient of its elements' weighted sum is checked.
    inputs : sequence of Tensor
        float64 (differences in float32 are too coarse); those that require a gradient are checked.
    eps, atol, rtol : float
        The step of the differences, and the tolerances: ``|a - n| <= atol + rtol * |n|``.

    Returns
    -------
    bool
        True. A mismatch is an error.

    Raises
    ------
    ValueError
        If an input to check is not float64.
    AssertionError
        Naming the input, the element and both figures, if the gradients differ.

    Examples
    --------
    >>> gradcheck(lambda x: x * x, [Tensor([1.0, 2.0], "float64", requires_grad=True)])
    True
    """
    checked = [i for i, x in enumerate(inputs) if x._requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient")
    for i in checked:
        if inputs[i].dtype != "float64":
            raise ValueError(f"gradcheck: input {i} is {inputs[i].dtype}; use float64")
    y = function(*inputs)
    weights = (
        np.cos(np.arange(y.size, dtype=np.float64)).reshape(y.shape) + 1.5
    )  # no element cancels another
    xs = [inputs[i] for i in checked]
    gradients = grad(y, xs, Tensor(weights, y.dtype), allow_unused=True)
    for i, x, analytic in zip(checked, xs, gradients, strict=True):
        numeric = np.zeros(x.shape)
        values = x.numpy().copy()
        for at in np.ndindex(*x.shape):
            sides = []
            for side in (eps, -eps):
                moved = values.copy()
                moved[at] += side
                trial = list(inputs)
                trial[i] = Tensor(moved, requires_grad=True)  # the function may itself call grad
                sides.append(float((function(*trial).numpy() * weights).sum()))
            numeric[at] = (sides[0] - sides[1]) / (2 * eps)
        ours = np.zeros(x.shape) if analytic is None else analytic.numpy()
        wrong = ~(np.abs(ours - numeric) <= atol + rtol * np.abs(numeric))
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise AssertionError(
                f"gradcheck: input {i} at {at}: backward gives {ours[at]:.9g}, differences give "
                f"{numeric[at]:.9g} ({int(wrong.sum())} of {wrong.size} elements differ)"
            )
    return True
