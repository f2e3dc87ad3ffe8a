"""How a kernel goes over images: stride, padding, dilation and groups, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..precision import allowed_ways
from ..tensor import Tensor, as_tensor
from .copying import contiguous
from .shape import expand_dims, squeeze

__all__: list[str] = []

Places = tuple[int, ...]


class Window(NamedTuple):
    """How a kernel goes over images, as the C ops have it, and in how many groups of channels."""

    numbers: tuple[int, ...]
    groups: int

    def scalars(self) -> tuple[int, ...]:
        """What a launch takes."""
        return (*self.numbers, allowed_ways())


def _window(stride: Places, before: Places, dilation: Places, groups: int) -> Window:
    """Of rows and columns, the rows of a sequence being one."""
    if len(stride) == 1:
        stride, before, dilation = (1, *stride), (0, *before), (1, *dilation)
    return Window((*stride, *before, *dilation, groups), groups)


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
    if any(n >= 2**31 for n in found):
        raise ValueError(f"{name}: {what} must be below 2**31, not {value!r}")
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
    bias = None if bias is None else as_tensor(bias)
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
        if given is not None and given.code != x.code:
            raise TypeError(
                f"{name}: {what} is {given.dtype} and x {x.dtype}; convert one with "
                f'x.astype("{given.dtype}")'
            )
    if 0 in weight.shape:
        raise ValueError(f"{name}: weight of shape {weight.shape} has no elements")
    return x, weight, None if bias is None else contiguous(bias)


def over_batch(run: Callable[[Tensor], Any], x: Tensor, axes: int) -> Any:
    """What run makes of a batch x; of a single image, what it makes of a batch of one."""
    if x.ndim == axes + 2:
        return run(x)
    made = run(expand_dims(x, 0))
    return tuple([squeeze(y, 0) for y in made]) if isinstance(made, tuple) else squeeze(made, 0)


def _checked_groups(
    name: str, x: Places, weight: Places, bias: Places | None, groups: Any, turned: bool
) -> int:
    """The groups, where x has the channels that weight takes; turned is a transposed convolution's way.

    x may be the shape of a batch or of one image.
    """
    (groups,) = numbers(name, "groups", groups, 1, 1)
    first, second = weight[:2]
    taken = first if turned else second * groups
    made = second * groups if turned else first
    if first % groups:
        raise ValueError(
            f"{name}: groups ({groups}) must divide weight's first axis (weight: {weight})"
        )
    given = x[1 - len(weight)]
    if given != taken:
        grouped = f" in {groups} groups" if groups > 1 else ""
        hint = ""
        if x[-1] == taken:
            hint = "; channels are axis 1: images (N, H, W, C) enter as x.transpose(0, 3, 1, 2)"
        elif len(x) < len(weight) and taken == 1:
            hint = "; for a batch of images without channels give x[:, None]"
        raise ValueError(
            f"{name}: x has {given} channels but weight expects {taken}{grouped} "
            f"(x: {x}, weight: {weight}){hint}"
        )
    if bias is not None and bias != (made,):
        raise ValueError(f"{name}: bias must be {(made,)}, got {bias}")
    return groups


@lru_cache(
    maxsize=1024, typed=True
)  # of shapes and small numbers; they would take half of a small call
def convolution(
    name: str, x: Places, weight: Places, bias: Places | None, stride: Any, padding: Any,
    dilation: Any, groups: Any,
) -> tuple[Window, Places]:  # fmt: skip
    """The window of a convolution of operands of these shapes, and the height and width that it makes."""
    axes = len(weight) - 2
    steps = numbers(name, "stride", stride, axes, 1)
    wide = numbers(name, "dilation", dilation, axes, 1)
    groups = _checked_groups(name, x, weight, bias, groups, turned=False)
    spans = [d * (k - 1) + 1 for d, k in zip(wide, weight[2:], strict=True)]
    before, after = padding_of(name, padding, steps, spans)
    padded = [b + n + a for b, n, a in zip(before, x[-axes:], after, strict=True)]
    if any(n < span for n, span in zip(padded, spans, strict=True)):
        raise ValueError(
            f"{name}: the kernel is larger than the padded image: it spans {_by(spans)} of "
            f"{_by(padded)} (x: {x}, weight: {weight}, padding: {padding!r}, dilation: {dilation})"
        )
    places = tuple([(n - k) // s + 1 for n, k, s in zip(padded, spans, steps, strict=True)])
    return _window(steps, before, wide, groups), places


@lru_cache(maxsize=1024, typed=True)
def transposed(
    name: str, x: Places, weight: Places, bias: Places | None, stride: Any, padding: Any,
    output_padding: Any, groups: Any, dilation: Any,
) -> tuple[Window, Places]:  # fmt: skip
    """The same for a transposed convolution."""
    axes = len(weight) - 2
    steps = numbers(name, "stride", stride, axes, 1)
    wide = numbers(name, "dilation", dilation, axes, 1)
    cut = numbers(name, "padding", padding, axes, 0)
    more = numbers(name, "output_padding", output_padding, axes, 0)
    groups = _checked_groups(name, x, weight, bias, groups, turned=True)
    if any(m >= max(s, d) for m, s, d in zip(more, steps, wide, strict=True)):
        raise ValueError(
            f"{name}: output_padding ({output_padding}) must be below the stride ({stride}) or "
            f"the dilation ({dilation})"
        )
    lengths = zip(x[-axes:], steps, cut, wide, weight[2:], more, strict=True)
    places = tuple([(n - 1) * s - 2 * p + d * (k - 1) + m + 1 for n, s, p, d, k, m in lengths])
    if any(n < 1 for n in places):
        raise ValueError(
            f"{name}: nothing is left of the image: padding {padding!r} cuts it down to "
            f"{_by(places)} (x: {x}, weight: {weight})"
        )
    return _window(steps, cut, wide, groups), places


def hashable(value: Any) -> Any:
    """A list as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _by(lengths: Sequence[int]) -> str:
    return " x ".join(map(str, lengths))
