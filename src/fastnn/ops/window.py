"""How a kernel goes over images: stride, padding, dilation and groups, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..precision import allowed_ways
from ..tensor import Tensor, as_tensor
from .copying import contiguous

__all__: list[str] = []

Places = tuple[int, ...]


class Window(NamedTuple):
    """How a kernel goes over images: a number an axis, of the padding that before the first element."""

    stride: Places
    padding: Places
    dilation: Places
    groups: int

    def scalars(self) -> tuple[int, ...]:
        """As the C ops have them: for rows and columns, the rows of a sequence being one."""
        if len(self.stride) == 2:
            return (*self.stride, *self.padding, *self.dilation, self.groups, allowed_ways())
        s, p, d = self.stride[0], self.padding[0], self.dilation[0]
        return (1, s, 0, p, 1, d, self.groups, allowed_ways())


def numbers(name: str, what: str, value: Any, axes: int, least: int) -> Places:
    """One number for all axes, or one each."""
    given = value if isinstance(value, (tuple, list)) else (value,) * axes
    try:
        if any(isinstance(n, bool) for n in given):
            raise TypeError
        found = tuple([n.__index__() for n in given])
    except (AttributeError, TypeError):
        raise TypeError(f"{name}: {what} is made of whole numbers, not {value!r}") from None
    if len(found) != axes:
        raise ValueError(f"{name}: {what} has one number or {axes}, not {value!r}")
    if any(n < least for n in found):
        raise ValueError(f"{name}: {what} must be {least} or more, not {value!r}")
    return found


def padding_of(
    name: str, padding: Any, stride: Places, spans: Sequence[int]
) -> tuple[Places, Places]:
    """What is put before and after each axis; spans are the elements that a kernel reaches over."""
    if not isinstance(padding, str):
        both = numbers(name, "padding", padding, len(spans), 0)
        return both, both
    if padding == "valid":
        return (0,) * len(spans), (0,) * len(spans)
    if padding != "same":
        raise ValueError(
            f"{name}: padding is a number, a tuple, 'same' or 'valid', not {padding!r}"
        )
    if any(s != 1 for s in stride):
        raise ValueError(
            f"{name}: padding 'same' is for stride 1, not {stride}; give the padding as numbers"
        )
    before = tuple([(n - 1) // 2 for n in spans])
    return before, tuple([n - 1 - b for n, b in zip(spans, before, strict=True)])


def operands(
    name: str, x: Any, weight: Any, bias: Any, axes: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Float tensors of one dtype and as many axes as there must be; the bias contiguous."""
    x, weight = as_tensor(x), as_tensor(weight)
    shape = ("N, C, L", "N, C, H, W")[axes - 1]
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(f"{name}: x must be ({shape}), or ({shape[3:]}) for one, got {x.shape}")
    if weight.ndim != axes + 2:
        raise ValueError(f"{name}: weight must have {axes + 2} axes, got {weight.shape}")
    if x.code > 1:
        hint = " / 255" if x.dtype.name == "uint8" else ""
        raise TypeError(
            f"{name}: x is {x.dtype}, convolutions are of real numbers; convert it with "
            f'x.astype("float32"){hint}'
        )
    for what, given in (("weight", weight), ("bias", bias)):
        if given is not None and as_tensor(given).code != x.code:
            raise TypeError(
                f"{name}: {what} is {as_tensor(given).dtype} and x {x.dtype}; convert one with "
                f'x.astype("{as_tensor(given).dtype}")'
            )
    if 0 in weight.shape:
        raise ValueError(f"{name}: weight of shape {weight.shape} has no elements")
    return x, weight, None if bias is None else contiguous(as_tensor(bias))


def check_channels(
    name: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, turned: bool
) -> None:
    """That x has the channels that weight takes; turned is a transposed convolution's way."""
    first, second = weight.shape[:2]
    taken = first if turned else second * groups
    made = second * groups if turned else first
    if first % groups:
        raise ValueError(
            f"{name}: groups ({groups}) must divide weight's first axis (weight: {weight.shape})"
        )
    if x.shape[1] != taken:
        grouped = f" in {groups} groups" if groups > 1 else ""
        hint = (
            "; channels are axis 1: images (N, H, W, C) enter as x.transpose(0, 3, 1, 2)"
            if x.shape[-1] == taken
            else ""
        )
        raise ValueError(
            f"{name}: x has {x.shape[1]} channels but weight expects {taken}{grouped} "
            f"(x: {x.shape}, weight: {weight.shape}){hint}"
        )
    if bias is not None and bias.shape != (made,):
        raise ValueError(f"{name}: bias must be {(made,)}, got {bias.shape}")


def by(lengths: Sequence[int]) -> str:
    """3 x 4."""
    return " x ".join(map(str, lengths))
