"""Tensor: an array and where it came from.

The memory, shape and strides are `_core.Array`'s; this file adds how tensors are made from other data, given
back as numpy, read by a person, and asked for gradients. Arithmetic and the other functions are in
`fastnn.ops`, which hangs them onto the class (ops/methods.py); their signatures are in tensor.pyi.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from .dtypes import BY_CODE, DType, as_dtype, bool_, float32, float64, int32, int64, uint8

__all__ = [
    "Tensor", "arange", "as_tensor", "empty", "empty_like", "from_dlpack", "full", "full_like", "ones",
    "ones_like", "tensor", "zeros", "zeros_like",
]  # fmt: skip

# What numpy types without an equal here become: the narrowest of ours that holds every value.
_WIDER = {
    "float16": float32, "int8": int32, "int16": int32, "uint16": int32, "uint32": int64,
}  # fmt: skip


class Tensor(_core.Array):
    """A multidimensional array that remembers how it was computed.

    Parameters
    ----------
    data : array-like
        A numpy array, anything with the buffer protocol or ``__array__``, a number, or nested sequences.
        A numpy array of one of the six dtypes, aligned and in native byte order, is shared, not copied.
        Python floats become float32, Python integers int64.
    dtype : DType or str, optional
        The element type to convert to.
    requires_grad : bool, default False
        Whether `backward` should compute a gradient for this tensor.

    Raises
    ------
    TypeError
        If the data is not numeric, or gradients are asked of an integer tensor.

    Examples
    --------
    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([[2., 4.],
            [6., 8.]])
    """

    __slots__ = ()

    # numpy's operators must leave `array * tensor` to Tensor.__rmul__.
    __array_priority__ = 1000
    __array_ufunc__ = None

    def __new__(cls, data: Any = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
        made = _convert(cls, data, None if dtype is None else as_dtype(dtype))
        if requires_grad:
            made.requires_grad = True
        return made

    if TYPE_CHECKING:  # hung on by ops/methods.py; see each function in fastnn.ops

        def abs(self) -> Tensor: ...
        def clone(self) -> Tensor: ...
        def contiguous(self) -> Tensor: ...
        def cos(self) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def reciprocal(self) -> Tensor: ...
        def relu(self) -> Tensor: ...
        def rsqrt(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def sign(self) -> Tensor: ...
        def sin(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def square(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def zero_(self) -> Tensor: ...
        def all(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def any(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmin(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def std(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def astype(self, dtype: Any) -> Tensor: ...
        def broadcast_to(self, shape: Sequence[int]) -> Tensor: ...
        def chunk(self, chunks: int, axis: int = 0) -> list[Tensor]: ...
        def clip(self, low: Any = None, high: Any = None) -> Tensor: ...
        def copy_(self, source: Any) -> Tensor: ...
        def dot(self, other: Any) -> Tensor: ...
        def expand_dims(self, axis: Any) -> Tensor: ...
        def fill_(self, value: float) -> Tensor: ...
        def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor: ...
        def flip(self, axis: Any = None) -> Tensor: ...
        def log_softmax(self, axis: int = -1) -> Tensor: ...
        def masked_fill(self, mask: Any, value: float) -> Tensor: ...
        def matmul(self, other: Any) -> Tensor: ...
        def maximum(self, other: Any) -> Tensor: ...
        def minimum(self, other: Any) -> Tensor: ...
        def permute(self, *axes: Any) -> Tensor: ...
        def pow(self, exponent: Any) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def softmax(self, axis: int = -1) -> Tensor: ...
        def split(self, sections: Any, axis: int = 0) -> list[Tensor]: ...
        def squeeze(self, axis: Any = None) -> Tensor: ...
        def swapaxes(self, axis1: int, axis2: int) -> Tensor: ...
        def take(self, indices: Any, axis: int = 0) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def unsqueeze(self, axis: int) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...

    # --- what it is ---

    @property
    def dtype(self) -> DType:
        """The element type."""
        return BY_CODE[self.code]

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded for `backward`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not BY_CODE[self.code].is_float:
            raise TypeError(
                f"requires_grad: only float tensors have gradients, this one is {self.dtype}"
            )
        if self._node is not None and not value:
            raise RuntimeError(
                "requires_grad: this tensor was computed from others; use detach() for one that was not"
            )
        if self._requires_grad != bool(value):
            _core.note_change()
        self._requires_grad = bool(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = value
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user rather than computed by a recorded operation."""
        return self._node is None

    # --- out to numpy and others ---

    def numpy(self) -> np.ndarray:
        """A numpy array that shares this tensor's memory.

        Writing to it after a forward pass and before its `backward` changes the gradient unseen.
        """
        return np.asarray(memoryview(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != np.dtype(dtype):
            if copy is False:
                raise ValueError(f"cannot convert {self.dtype} to {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> float | int | bool:
        """The value of a tensor of one element, as a Python number."""
        if self.size != 1:
            raise ValueError(
                f"item: the tensor has {self.size} elements (shape {self.shape}), not one"
            )
        return self.numpy().item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.numpy().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_float or self.dtype is bool_:
            raise TypeError(f"a {self.dtype} tensor cannot be an index; use int(...) to round it")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor with {self.size} elements is ambiguous; use .any() or .all()"
            )
        return bool(self.item())

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("a tensor without axes cannot be iterated over; item() gives its value")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return _represent(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(repr(self), spec)

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        if self._node is not None:
            raise TypeError("a tensor computed from others cannot be pickled; call detach() first")
        values, axes = _as_it_lies(self)
        return (_restore, (type(self), values.copy(), self._requires_grad, axes))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError(
                "a tensor computed from others cannot be deep-copied; call detach() first"
            )
        copied = _restore(type(self), self.numpy().copy(order="K"), self._requires_grad)
        copied.name = self.name
        memo[id(self)] = copied
        return copied

    # --- views and in-place writes ---

    def _as_view(self, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Tensor:
        """A tensor on the same memory, outside any graph."""
        return _core.view(Tensor, self, shape, strides, offset)

    def detach(self) -> Tensor:
        """A tensor on the same memory that does not remember where it came from."""
        return _core.view(Tensor, self, self.shape, self.strides)

    @property
    def data(self) -> Tensor:
        """The same as ``detach()``."""
        return self.detach()

    # --- gradients ---

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf that requires one.

        Parameters
        ----------
        gradient : Tensor, optional
            The gradient of the final result with respect to this tensor, of its shape. May be left out for
            a tensor of one element, where it is 1.
        retain_graph : bool, default False
            Keep what was saved for the backward pass, so that it can be run again.
        create_graph : bool, default False
            Record the backward pass itself, for gradients of gradients.

        Raises
        ------
        RuntimeError
            If nothing here requires a gradient, if the graph was freed by an earlier `backward`, or if a
            tensor needed for it was changed since.
        """
        from .autograd import backward

        backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def retain_grad(self) -> None:
        """Keep ``.grad`` of this tensor in `backward` though it is not a leaf."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this tensor does not require a gradient")
        if self._node is not None:
            self._node.retained = self


def _as_it_lies(x: Tensor) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """The values with the axes in the order of memory, and where each axis of x is among them.

    pickle writes numpy's arrays row by row (or column by column), and other orders as if they were that.
    """
    strides = _core.memory_order(x)
    if strides is None:
        return x.numpy(), None
    order = sorted(range(x.ndim), key=lambda axis: -strides[axis])
    return x.numpy().transpose(order), tuple([order.index(axis) for axis in range(x.ndim)])


def _restore(
    cls: type[Tensor],
    array: np.ndarray,
    requires_grad: bool,
    axes: tuple[int, ...] | None = None,
) -> Tensor:
    made = _from_numpy(cls, array if axes is None else array.transpose(axes))
    made._requires_grad = requires_grad
    return made


def _convert(cls: type[Tensor], data: Any, dtype: DType | None) -> Tensor:
    """A new tensor over data's memory if its type, alignment and byte order allow, else over a copy."""
    if data is None:
        raise TypeError("Tensor() needs data; for one to be filled later use empty(shape)")
    if isinstance(data, _core.Array):
        if dtype is not None and data.code != dtype.code:
            if not _core.recording():
                return _from_numpy(cls, np.asarray(data), dtype)
            made = _core.empty_for(cls, data.shape, dtype.code, data)
            _core.launch(_core.ops.copy, (data, made))
            return made
        return _core.view(cls, data, data.shape, data.strides)
    if isinstance(data, (bool, int, float)):
        kind = bool_ if isinstance(data, bool) else int64 if isinstance(data, int) else float32
        return _from_numpy(cls, np.asarray(data, (dtype or kind).numpy))
    if isinstance(data, (list, tuple)) and any(isinstance(x, _core.Array) for x in data):
        raise TypeError("Tensor: a list of tensors; use stack(...) or concat(...) to join them")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"Tensor: the data has no regular shape ({error})") from None
    if (
        dtype is None
        and not isinstance(data, np.ndarray | np.generic)
        and array.dtype == np.float64
    ):
        if not hasattr(data, "__array__") and not hasattr(data, "__buffer__"):
            dtype = float32  # Python floats
        elif isinstance(data, (list, tuple)):
            dtype = float32
    return _from_numpy(cls, array, dtype)


def _from_numpy(cls: type[Tensor], array: np.ndarray, dtype: DType | None = None) -> Tensor:
    if dtype is None:
        dtype = _our_dtype(array.dtype)
    elif array.dtype.kind not in "biuf":
        _our_dtype(array.dtype)
    if array.dtype != dtype.numpy or not array.dtype.isnative:
        if not dtype.is_float and array.size and array.dtype.kind != "b":
            _check_whole(array, dtype)
        array = array.astype(dtype.numpy)
    if array.ndim > 8:
        raise ValueError(f"a tensor has at most 8 axes, got {array.ndim}: {array.shape}")
    made = _core.from_buffer(cls, array)
    if made is None:  # misaligned, or strides that are no multiple of an element
        made = _core.from_buffer(cls, np.array(array, order="K"))
    assert made is not None
    return made


def _check_whole(array: np.ndarray, dtype: DType) -> None:
    """Refuse values that an integer type lacks, which numpy would wrap around."""
    least, most = array.min(), array.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError(f"Tensor: NaN or infinity cannot become {dtype}")
    if dtype is not bool_:
        limits = np.iinfo(dtype.numpy)
        if int(least) < limits.min or int(most) > limits.max:
            wrong = int(least) if int(least) < limits.min else int(most)
            raise ValueError(
                f"Tensor: {wrong} is out of range for {dtype} ({limits.min} to {limits.max})"
            )


def _our_dtype(numpy_dtype: np.dtype) -> DType:
    name = numpy_dtype.name if numpy_dtype.isnative else numpy_dtype.newbyteorder("=").name
    for ours in BY_CODE:
        if ours.name == name:
            return ours
    if name in _WIDER:
        return _WIDER[name]
    if numpy_dtype.kind == "f":  # longdouble
        return float64
    if name == "uint64":
        raise TypeError(
            "Tensor: uint64 has values that int64 lacks; convert it with astype('int64') first"
        )
    raise TypeError(
        f"Tensor: data of type {numpy_dtype} is not numeric; tensors hold "
        + ", ".join(d.name for d in BY_CODE)
    )


_PLAIN = (float32.code, int64.code, bool_.code)  # dtypes that the values themselves show


def _represent(x: Tensor) -> str:
    prefix = f"{type(x).__name__}("
    values = np.array2string(
        x.numpy(), separator=", ", prefix=prefix, threshold=1000, max_line_width=100
    )
    notes = []
    if x.size == 0 or x.size > 1000:
        notes.append(f"shape={x.shape}")
    if x.code not in _PLAIN:
        notes.append(f"dtype={x.dtype}")
    if x._node is not None:
        notes.append(f"from={x._node.name}")
    elif x._requires_grad:
        notes.append("requires_grad=True")
    return prefix + ", ".join([values, *notes]) + ")"


# --- making tensors ---


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ``data``; see `Tensor`."""
    return Tensor(data, dtype, requires_grad)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """``data`` itself if it is a tensor (of that dtype), else a tensor of it, not copied if possible."""
    if isinstance(data, Tensor) and (dtype is None or data.dtype == as_dtype(dtype)):
        return data
    return Tensor(data, dtype)


def _shape(shape: int | Sequence[int]) -> Sequence[int]:
    return shape if isinstance(shape, (tuple, list, Sequence)) else (index(shape),)


def empty(shape: int | Sequence[int], dtype: Any = float32) -> Tensor:
    """A tensor whose values are not set."""
    return _core.empty(
        Tensor, _shape(shape), dtype.code if type(dtype) is DType else as_dtype(dtype).code
    )


def empty_like(x: Tensor, dtype: Any = None) -> Tensor:
    """A tensor like x, its values not set: the shape, the order in memory, and the dtype if none is given."""
    return _core.empty_for(Tensor, x.shape, x.code if dtype is None else as_dtype(dtype).code, x)


def full(
    shape: int | Sequence[int], value: float, dtype: Any = float32, requires_grad: bool = False
) -> Tensor:
    """A tensor with every element set to ``value``."""
    y = empty(shape, dtype)
    y.numpy()[...] = value
    if requires_grad:
        y.requires_grad = True
    return y


def zeros(shape: int | Sequence[int], dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype, requires_grad)


def ones(shape: int | Sequence[int], dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype, requires_grad)


def full_like(x: Tensor, value: float, dtype: Any = None) -> Tensor:
    """A tensor like x (see `empty_like`) with every element set to ``value``."""
    y = empty_like(x, dtype)
    y.numpy()[...] = value
    return y


def zeros_like(x: Tensor, dtype: Any = None) -> Tensor:
    """A tensor of zeros like x."""
    return full_like(x, 0, dtype)


def ones_like(x: Tensor, dtype: Any = None) -> Tensor:
    """A tensor of ones like x."""
    return full_like(x, 1, dtype)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """Evenly spaced values in [start, stop); int64 for integer arguments, else float32.

    Examples
    --------
    >>> arange(3)
    Tensor([0, 1, 2])
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueError("arange: step must not be 0")
    if not all(math.isfinite(v) for v in (start, stop, step)):
        raise ValueError(
            f"arange: start, stop and step must be finite, got {start}, {stop}, {step}"
        )
    whole = all(isinstance(v, int) for v in (start, stop, step))
    kind = as_dtype(dtype) if dtype is not None else int64 if whole else float32
    return Tensor(np.arange(start, stop, step).astype(kind.numpy))


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of another library's CPU tensor.

    Parameters
    ----------
    source : object with ``__dlpack__``
        For example a torch or numpy array.
    """
    if isinstance(source, Tensor):
        return source.detach()
    if not hasattr(source, "__dlpack__"):
        raise TypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__ method")
    return _core.from_capsule(Tensor, source.__dlpack__())


__all__ += ["bool_", "float32", "float64", "int32", "int64", "uint8"]
