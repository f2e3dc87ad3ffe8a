"""Rows of the table of cases (cases.py): pooling of images (N, C, H, W) and sequences (N, C, L)."""

import fastnn as F
import references as ref
from case import Case, real, spaced

IMAGE = {"n": (1, 0, 3), "c": (2, 1, 17), "h": (5, 1, 2, 9), "w": (4, 1, 3, 19)}
SEQUENCE = {"n": IMAGE["n"], "c": IMAGE["c"], "l": (6, 1, 2, 9, 35)}
LARGE = {"n": 3, "c": 17, "h": 33, "w": 41, "l": 201}


def fixed(kind, name, shape, *options, torch=True):
    """A row of {kind}_pool{axes}d with these options: kernel, stride, padding ..."""
    axes = len(shape.split()) - 2
    function = f"{kind}_pool{axes}d"
    reference = getattr(ref, f"{kind}_pool")
    more = options[-1] if isinstance(options[-1], dict) else {}
    numbers = options[: len(options) - bool(more)]
    include = more.get("count_include_pad", True)
    extra = () if kind == "max" else (include,)

    def windows(n):
        dilation = more.get("dilation", 1)
        return ref.windows(n, *numbers, dilation=dilation, ceil_mode=more.get("ceil_mode", False))

    def expected(x):
        if axes == 1:
            return reference(x[:, :, None], [([0], 1)], windows(x.shape[2]), *extra)[:, :, 0]
        return reference(x, windows(x.shape[2]), windows(x.shape[3]), *extra)

    return Case(
        f"{function}-{name}",
        lambda x: getattr(F, function)(x, *numbers, **more),
        expected,
        ((spaced if kind == "max" else real)(shape),),
        torch=torch and (lambda t, x: getattr(t.nn.functional, function)(x, *numbers, **more)),
        sizes=IMAGE if axes == 2 else SEQUENCE,
        large=LARGE,
    )


def adaptive(kind, count):
    function = f"adaptive_{kind}_pool2d"
    reference = getattr(ref, f"{kind}_pool")
    return Case(
        f"{function}-{count}",
        lambda x: getattr(F, function)(x, count),
        lambda x: reference(
            x, ref.even_windows(x.shape[2], count), ref.even_windows(x.shape[3], count)
        ),
        ((spaced if kind == "max" else real)("n c h w"),),
        torch=lambda t, x: getattr(t.nn.functional, function)(x, count),
        sizes=IMAGE,
        large=LARGE,
    )


PIXELS = "n c h w"
POOL = [
    fixed("max", "2", PIXELS, 2),
    fixed("max", "3-2-1", PIXELS, 3, 2, 1),
    fixed("max", "3-1-1", PIXELS, 3, 1, 1),
    fixed("max", "2-3", PIXELS, 2, 3),
    fixed("max", "dilated", PIXELS, 3, 2, 1, {"dilation": 2}),
    fixed("max", "ceil", PIXELS, 3, 2, 0, {"ceil_mode": True}),
    fixed("max", "2", "n c l", 2),
    fixed("max", "4-3-2", "n c l", 4, 3, 2),
    fixed("avg", "2", PIXELS, 2),
    fixed("avg", "3-2-1", PIXELS, 3, 2, 1),
    fixed("avg", "3-1-1-inside", PIXELS, 3, 1, 1, {"count_include_pad": False}),
    fixed("avg", "ceil", PIXELS, 3, 2, 1, {"ceil_mode": True}),
    fixed("avg", "3-2-1", "n c l", 3, 2, 1),
    adaptive("max", 1),
    adaptive("max", 3),
    adaptive("avg", 1),
    adaptive("avg", 3),
]
