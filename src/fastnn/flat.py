"""Flat memory for parameters: many tensors in one buffer, their gradients side by side in another.

An optimizer step, a gradient's norm, an average of the weights or a checkpoint is then one pass
over flat memory. The tensors stay the objects that they were; only where their values lie changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

from ._core import launch, memory_order
from ._core import ops as op
from .tensor import Tensor, empty, zeros

__all__ = ["Flat", "Run", "adopt_gradient", "flatten", "gradients", "runs", "stretches"]

# Each tensor starts at a multiple of this, a cache line of float32; the elements between stay zero.
ALIGN = 16

# Which buffer a tensor lies in, by id. A Flat keeps its tensors alive, so an id here is never
# stale.
_homes: WeakValueDictionary[int, Flat] = WeakValueDictionary()


class Flat:
    """One buffer that holds the values of several tensors, and one for their gradients.

    Each keeps its order in memory there, as convolutions' weights do whose channels come last.

    Attributes
    ----------
    data, grad : Tensor
        All values and all gradients, one axis, padded with zeros.
    params : tuple of Tensor
        The tensors, views of ``data``, in the order of their places.
    offsets : tuple of int
        The element of ``data`` at which each starts.
    """

    __slots__ = ("__weakref__", "_places", "data", "grad", "offsets", "params")

    def __init__(self, params: Sequence[Tensor]) -> None:
        offsets, total = [], 0
        for p in params:
            offsets.append(total)
            total += _padded(p.size)
        dtype = params[0].dtype
        self.params = tuple(params)
        self.offsets = tuple(offsets)
        self.data = zeros(total, dtype)
        self.grad = zeros(total, dtype)
        self._places = dict(zip(map(id, params), offsets, strict=True))
        for p, offset in zip(params, offsets, strict=True):
            home = _view(self.data, p, offset)
            if p.size:
                launch(op.copy, (p.detach(), home))
            p._rebind(home)
            p._grad_view = _view(self.grad, p, offset)
            if p.grad is not None:
                adopt_gradient(p)
            _homes[id(p)] = self

    def offset(self, param: Tensor) -> int:
        """The element of ``data`` at which a tensor starts."""
        return self._places[id(param)]

    def _holds(self, param: Tensor) -> bool:
        offset = self._places.get(id(param))
        if offset is None or param.code != self.data.code:
            return False
        return param.size == 0 or param._pointer == self.data._pointer + offset * param.itemsize


class Run:
    """Tensors of one `Flat` that lie one after another.

    Attributes
    ----------
    data, grad : Tensor
        Their values and gradients, each one axis without a gap.
    params : tuple of Tensor
    """

    __slots__ = ("data", "flat", "grad", "offset", "params")

    def __init__(self, flat: Flat, params: Sequence[Tensor]) -> None:
        self.flat = flat
        self.params = tuple(params)
        self.offset = flat.offset(params[0])
        last = params[-1]
        length = flat.offset(last) + _padded(last.size) - self.offset
        self.data = flat.data._as_view((length,), (1,), self.offset)
        self.grad = flat.grad._as_view((length,), (1,), self.offset)

    def view(self, flat_like: Tensor, param: Tensor) -> Tensor:
        """The part of a buffer laid out as ``data`` that belongs to a tensor, in its shape and order."""
        return _view(flat_like, param, self.flat.offset(param) - self.offset)

    def intact(self) -> bool:
        """Whether the tensors still lie here."""
        return self.flat._holds(self.params[0]) and self.flat._holds(self.params[-1])

    def state(self) -> Tensor:
        """A buffer of zeros laid out as ``data``."""
        return zeros(self.data.size, self.data.dtype)


def _padded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _view(buffer: Tensor, param: Tensor, offset: int) -> Tensor:
    shape = param.shape
    if not param.size:
        return empty(shape, buffer.dtype)
    strides = memory_order(param) or [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return buffer._as_view(shape, strides, offset)


def adopt_gradient(param: Tensor) -> None:
    """Move a tensor's gradient to its place in the flat buffer, if it is elsewhere."""
    home, gradient = param._grad_view, param.grad
    if gradient is None or gradient is home or home is None:
        return
    if gradient.shape != home.shape:
        raise ValueError(f"the gradient has shape {gradient.shape}, its parameter {home.shape}")
    if home.size:
        launch(op.copy, (gradient.detach(), home))
    param.grad = home


def flatten(params: Iterable[Tensor]) -> tuple[Flat, ...]:
    """Put tensors into flat memory, one buffer an element type.

    The tensor objects stay the same, and so do their values; their memory becomes part of a buffer.
    Those that lie in one already stay there, so that calling this again returns the same buffers.
    ``backward`` writes gradients into the buffer too. The buffers live as long as what is returned
    (or the tensors' memory) is kept.

    Parameters
    ----------
    params : iterable of Tensor
        Leaves with float elements. A tensor that comes twice (shared weights) has one place.

    Returns
    -------
    tuple of Flat
        The buffers in which they lie, in the order of the first tensor of each.

    Raises
    ------
    TypeError
        For something that is not a float tensor.
    ValueError
        For a tensor that was computed from others.

    Examples
    --------
    >>> from fastnn import Tensor
    >>> w, b = Tensor([[1.0, 2.0]]), Tensor([3.0])
    >>> (flat,) = flatten([w, b])
    >>> flat.data.numpy()[:2], flat.offset(b)
    (array([1., 2.], dtype=float32), 16)
    >>> flatten([w, b])[0] is flat
    True
    """
    loose: dict[str, list[Tensor]] = {}
    seen: set[int] = set()
    order: list[Flat | str] = []
    for i, p in enumerate(params):
        if not isinstance(p, Tensor) or not p.dtype.is_float:
            kind = f"a tensor of {p.dtype}" if isinstance(p, Tensor) else type(p).__name__
            raise TypeError(f"flatten: parameter {i} is {kind}; parameters are float tensors")
        if p._node is not None:
            raise ValueError(
                f"flatten: parameter {i} (shape {p.shape}) was computed from other tensors; "
                "pass the tensors that it came from"
            )
        if id(p) in seen:
            continue
        seen.add(id(p))
        home = _homes.get(id(p))
        if home is not None and home._holds(p):
            if not any(home is other for other in order):
                order.append(home)
        else:
            if p.dtype.name not in loose:
                order.append(p.dtype.name)
            loose.setdefault(p.dtype.name, []).append(p)
    return tuple(Flat(loose[at]) if isinstance(at, str) else at for at in order)


def runs(flats: Iterable[Flat], params: Iterable[Tensor]) -> list[Run]:
    """The fewest stretches of the buffers that hold these tensors and no others."""
    wanted = {id(p) for p in params}
    found: list[Run] = []
    for flat in flats:
        stretch: list[Tensor] = []
        for p in flat.params:
            if id(p) in wanted:
                stretch.append(p)
            elif stretch:
                found.append(Run(flat, stretch))
                stretch = []
        if stretch:
            found.append(Run(flat, stretch))
    return found


def stretches(params: Iterable[Tensor]) -> tuple[list[Run], list[Tensor]]:
    """The stretches of flat memory in which tensors lie, and those that lie elsewhere."""
    homes: dict[int, tuple[Flat, list[Tensor]]] = {}
    loose: list[Tensor] = []
    for p in params:
        home = _homes.get(id(p))
        if home is not None and home._holds(p):
            homes.setdefault(id(home), (home, []))[1].append(p)
        else:
            loose.append(p)
    return [run for home, members in homes.values() for run in runs([home], members)], loose


def gradients(params: Iterable[Tensor]) -> list[Tensor]:
    """The gradients that tensors have, those that lie side by side in flat memory as one."""
    found: list[Tensor] = []
    flat: dict[int, tuple[Flat, list[Tensor]]] = {}
    seen: set[int] = set()
    for p in params:
        if p.grad is None or id(p) in seen:
            continue
        seen.add(id(p))
        home = _homes.get(id(p))
        if home is not None and p.grad is p._grad_view and home._holds(p):
            flat.setdefault(id(home), (home, []))[1].append(p)
        else:
            found.append(p.grad)
    for home, members in flat.values():
        found.extend(run.grad for run in runs([home], members))
    return found
