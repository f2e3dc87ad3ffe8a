"""The rows of cases.py for normalisation; images are drawn as they lie, with their channels last."""

import numpy as np

import fastnn as F
import references as ref
from case import ODD, Case, nonzero, real

IMAGES = {"m": (2, 1, 5), "h": (3, 1, 8), "k": (5, 2, 9), "n": (4, 1, 2, 3, 7, 16, 17, 33, 65)}


def images(x, back=False):
    """(N, H, W, C) as (N, C, H, W), or back."""
    return F.permute(x, (0, 2, 3, 1) if back else (0, 3, 1, 2))


def groups(weight):
    """Three groups of channels where there can be."""
    return 1 if len(weight) % 3 else 3


ROWS_ODD = {"n": tuple(s for s in ODD if s > 1), "m": ODD}
NORM = [
    Case(
        "layer_norm",
        lambda x, w, b: F.layer_norm(x, x.shape[-1], w, b),
        ref.layer_norm,
        (real("m n"), real("n"), real("n")),
        torch=lambda t, x, w, b: t.nn.functional.layer_norm(x, x.shape[-1:], w, b),
        sizes=ROWS_ODD,
        tolerance=200,
    ),
    Case(
        "layer_norm-plain",
        lambda x: F.layer_norm(x, x.shape[-1]),
        ref.layer_norm,
        (real("l m n"),),
        torch=lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:]),
        sizes=ROWS_ODD,
        tolerance=200,
    ),
    Case(
        "rms_norm",
        lambda x, w: F.rms_norm(x, x.shape[-1], w, 1e-5),
        ref.rms_norm,
        (nonzero("m n"), real("n")),
        torch=lambda t, x, w: t.nn.functional.rms_norm(x, x.shape[-1:], w, eps=1e-5),
        sizes=ROWS_ODD,
        tolerance=64,
    ),
    Case(
        "batch_norm",
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        ref.batch_norm,
        (real("m n"), real("n"), real("n")),
        torch=lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
        sizes={"m": tuple(s for s in ODD if s > 1), "n": tuple(s for s in ODD if s > 0)},
        tolerance=400,
    ),
    Case(
        "batch_norm-image",
        lambda x, w, b: images(F.batch_norm(images(x), None, None, w, b, training=True), True),
        ref.batch_norm,
        (real("m h k n"), real("n"), real("n")),
        torch=lambda t, x, w, b: t.nn.functional.batch_norm(
            x.permute(0, 3, 1, 2), None, None, w, b, training=True
        ).permute(0, 2, 3, 1),
        sizes=IMAGES,
        large={"m": 33, "h": 17, "k": 15, "n": 48},
        tolerance=400,
    ),
    Case(
        "batch_norm-relu",
        lambda x, w, b: images(
            F.batch_norm(images(x), None, None, w, b, True, activation="relu"), True
        ),
        lambda x, w, b: ref.batch_norm(x, w, b, high=np.inf),
        (real("m h k n"), real("n"), real("n")),
        torch=lambda t, x, w, b: (
            t.nn.functional.batch_norm(x.permute(0, 3, 1, 2), None, None, w, b, training=True)
            .relu()
            .permute(0, 2, 3, 1)
        ),
        sizes=IMAGES,
        large={"m": 33, "h": 17, "k": 15, "n": 48},
        tolerance=400,
    ),
    Case(
        "batch_norm-residual-relu6",
        lambda x, w, b, r: F.batch_norm(
            x, None, None, w, b, training=True, residual=r, activation="relu6"
        ),
        lambda x, w, b, r: ref.batch_norm(x, w, b, residual=r, high=6),
        (real("m n"), real("n"), real("n"), real("m n", -9, 9)),
        torch=lambda t, x, w, b, r: t.nn.functional.relu6(
            t.nn.functional.batch_norm(x, None, None, w, b, training=True) + r
        ),
        sizes={"m": tuple(s for s in ODD if s > 1), "n": tuple(s for s in ODD if s > 0)},
        tolerance=400,
    ),
    Case(
        "group_norm",
        lambda x, w, b: F.permute(
            F.group_norm(F.permute(x, (0, 2, 1)), groups(w), w, b), (0, 2, 1)
        ),
        lambda x, w, b: ref.group_norm(x, groups(w), w, b),
        (real("m k n"), real("n"), real("n")),
        torch=lambda t, x, w, b: t.nn.functional.group_norm(
            x.permute(0, 2, 1), groups(w), w, b
        ).permute(0, 2, 1),
        sizes={"m": (2, 1, 5), "k": (5, 1, 2, 17, 70), "n": (6, 3, 4, 9, 48, 99)},
        large={"m": 33, "k": 257, "n": 48},
        tolerance=400,
    ),
    Case(
        "group_norm-rows",
        lambda x, w, b: F.group_norm(x, groups(w), w, b),
        lambda x, w, b: ref.group_norm(x.transpose(0, 2, 1), groups(w), w, b).transpose(0, 2, 1),
        (real("m n k"), real("n"), real("n")),
        torch=lambda t, x, w, b: t.nn.functional.group_norm(x, groups(w), w, b),
        sizes={"m": (2, 1, 5), "k": (5, 2, 17, 70, 300), "n": (6, 3, 4, 9)},
        large={"m": 33, "k": 257, "n": 48},
        tolerance=400,
    ),
    Case(
        "instance_norm",
        lambda x, w, b: images(F.instance_norm(images(x), None, None, w, b), True),
        lambda x, w, b: ref.group_norm(x.reshape(len(x), -1, len(w)), len(w), w, b).reshape(
            x.shape
        ),
        (real("m h k n"), real("n"), real("n")),
        sizes={"m": (2, 1, 3), "h": (3, 1, 8), "k": (5, 2, 9), "n": (4, 1, 3, 16, 33)},
        large={"m": 33, "h": 17, "k": 15, "n": 48},
        tolerance=400,
    ),
]
