"""Parameter: a tensor that a module trains."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module trains: as an attribute of a `Module` it is one of its parameters.

    It is a leaf of the gradient graph. An optimizer moves the parameters of a model into one flat
    buffer; the object stays the same, its memory becomes a view of that buffer.

    Parameters
    ----------
    data : array-like
        What a Tensor is made of; its memory is shared where a Tensor's would be.
    dtype : DType or str, optional
        float32 or float64.
    requires_grad : bool
        Whether it is trained; `False` freezes it.

    Raises
    ------
    TypeError
        If the data are not real numbers.

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.Parameter([1.0, 2.0])
    Parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, dtype: Any = None, requires_grad: bool = True) -> Parameter:
        made = super().__new__(cls, data, dtype, requires_grad=False)
        if not made.dtype.is_float:
            raise TypeError(f"Parameter: only real numbers can be trained, not {made.dtype.name}")
        made.requires_grad = requires_grad
        return made  # type: ignore[return-value]
