"""Starting values of parameters.

Every initializer is a function `init(where, ..., *, dtype="float32", generator=None) -> Tensor`.
`where` is a shape, for a new tensor, or a tensor (a parameter, say) that is filled in place and
returned. A layer takes such a function as it is, or with options set:
`nn.Linear(3, 4, weight_init=partial(normal, std=0.02))`.

The fans of a weight are those of PyTorch's layouts, (out, in) and (out, in, *kernel): `fan_in` is
what one output sums over, `fan_out` what one input goes into.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops, random
from .autograd import no_grad
from .dtypes import as_dtype
from .tensor import Tensor, empty, full

if TYPE_CHECKING:
    from .random import Generator

__all__ = [
    "calculate_gain", "constant", "fans", "glorot_normal", "glorot_uniform", "he_normal",
    "he_uniform", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal",
    "ones", "orthogonal", "truncated_normal", "uniform", "xavier_normal", "xavier_uniform",
    "zeros",
]  # fmt: skip

Where = Tensor | int | Sequence[int]


# --- plain ---


def zeros(where: Where, *, dtype: Any = "float32", generator: Generator | None = None) -> Tensor:
    """All 0."""
    return constant(where, 0.0, dtype=dtype)


def ones(where: Where, *, dtype: Any = "float32", generator: Generator | None = None) -> Tensor:
    """All 1."""
    return constant(where, 1.0, dtype=dtype)


def constant(
    where: Where, value: float = 0.0, *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """All `value`.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.constant((3,), 0.5)
    Tensor([0.5, 0.5, 0.5])
    """
    shape, kind = _target("constant", where, dtype)
    return _place(where, full(shape, value, kind))


def uniform(
    where: Where,
    low: float = 0.0,
    high: float = 1.0,
    *,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """From the uniform distribution over [low, high)."""
    shape, kind = _target("uniform", where, dtype)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"uniform: low ({low}) must not be above high ({high}), both finite")
    return _place(where, random.uniform(shape, low, high, dtype=kind, generator=generator))


def normal(
    where: Where,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """From the normal distribution of that mean and standard deviation."""
    shape, kind = _target("normal", where, dtype)
    _check_std("normal", mean, std)
    return _place(where, random.normal(shape, mean, std, dtype=kind, generator=generator))


def truncated_normal(
    where: Where,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    *,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """From the normal distribution, but only within [low, high] (these are values, as in PyTorch).

    Examples
    --------
    >>> from fastnn import initializers
    >>> values = initializers.truncated_normal((1000,), std=0.5, low=-1.0, high=1.0).numpy()
    >>> bool((abs(values) <= 1).all())
    True
    """
    shape, kind = _target("truncated_normal", where, dtype)
    _check_std("truncated_normal", mean, std)
    if not low < high:
        raise ValueError(f"truncated_normal: low ({low}) must be below high ({high})")
    if std == 0:
        return _place(where, full(shape, min(max(mean, low), high), kind))
    a, b = (low - mean) / std, (high - mean) / std
    # Mirror the interval into the lower tail, where the distribution function does not round to 1.
    sign = -1.0 if a > 0 else 1.0
    if sign < 0:
        a, b = -b, -a
    p, q = _normal_cdf(a), _normal_cdf(b)
    if q <= 0:
        raise ValueError(
            f"truncated_normal: [{low}, {high}] is too far from mean {mean} for std {std}"
        )
    u = random.uniform(shape, 0.0, 1.0, dtype="float64", generator=generator).numpy()
    standard = np.clip(_normal_quantile(np.maximum(p + u * (q - p), 1e-300)), a, b)
    values = standard * (sign * std) + mean
    rounded = values.astype(kind.numpy)
    return _place(where, Tensor(np.clip(rounded, kind.numpy.type(low), kind.numpy.type(high))))


# --- scaled by the fans ---


def glorot_uniform(
    where: Where, gain: float = 1.0, *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """U(-a, a) with `a = gain * sqrt(6 / (fan_in + fan_out))`; PyTorch's xavier_uniform.

    Glorot and Bengio 2010: keeps the variance of activations and gradients in tanh networks.
    """
    shape, kind = _target("glorot_uniform", where, dtype)
    bound = gain * math.sqrt(6 / sum(_fans("glorot_uniform", shape)))
    return _place(where, random.uniform(shape, -bound, bound, dtype=kind, generator=generator))


def glorot_normal(
    where: Where, gain: float = 1.0, *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """N(0, std^2) with `std = gain * sqrt(2 / (fan_in + fan_out))`; PyTorch's xavier_normal."""
    shape, kind = _target("glorot_normal", where, dtype)
    std = gain * math.sqrt(2 / sum(_fans("glorot_normal", shape)))
    return _place(where, random.normal(shape, 0.0, std, dtype=kind, generator=generator))


def he_uniform(
    where: Where,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    gain: float | None = None,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b) with `b = gain * sqrt(3 / fan)`; PyTorch's kaiming_uniform.

    He et al. 2015: keeps the variance in networks of (leaky) ReLUs.

    Parameters
    ----------
    where : shape or Tensor
        What to make, or fill.
    a : float
        The slope below zero of leaky ReLU.
    mode : {"fan_in", "fan_out"}
        Whether the variance of activations or of gradients is kept.
    nonlinearity : str
        What follows, as `calculate_gain` knows it.
    gain : float, optional
        In place of the nonlinearity's.
    dtype : DType or str
        Of a new tensor.
    generator : Generator, optional
        Where the random numbers come from; by default the library's, see `fastnn.manual_seed`.

    Examples
    --------
    >>> from fastnn import initializers, nn
    >>> layer = nn.Linear(784, 512)
    >>> initializers.he_uniform(layer.weight, nonlinearity="relu") is layer.weight
    True
    """
    shape, kind = _target("he_uniform", where, dtype)
    bound = _he_std("he_uniform", shape, a, mode, nonlinearity, gain) * math.sqrt(3)
    return _place(where, random.uniform(shape, -bound, bound, dtype=kind, generator=generator))


def he_normal(
    where: Where,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    gain: float | None = None,
    dtype: Any = "float32",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, std^2) with `std = gain / sqrt(fan)`; PyTorch's kaiming_normal. See `he_uniform`."""
    shape, kind = _target("he_normal", where, dtype)
    std = _he_std("he_normal", shape, a, mode, nonlinearity, gain)
    return _place(where, random.normal(shape, 0.0, std, dtype=kind, generator=generator))


def lecun_uniform(
    where: Where, *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """U(-a, a) with `a = sqrt(3 / fan_in)` (LeCun et al. 1998)."""
    return he_uniform(where, gain=1.0, dtype=dtype, generator=generator)


def lecun_normal(
    where: Where, *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """N(0, 1 / fan_in) (LeCun et al. 1998); the one for SELU networks."""
    return he_normal(where, gain=1.0, dtype=dtype, generator=generator)


def orthogonal(
    where: Where, gain: float = 1.0, *, dtype: Any = "float32", generator: Generator | None = None
) -> Tensor:
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    Saxe et al. 2013. A weight of more than two axes is taken as (out, everything else).

    Examples
    --------
    >>> from fastnn import initializers
    >>> q = initializers.orthogonal((3, 5)).numpy()
    >>> bool(abs(q @ q.T - [[1, 0, 0], [0, 1, 0], [0, 0, 1]]).max() < 1e-6)
    True
    """
    shape, kind = _target("orthogonal", where, dtype)
    if len(shape) < 2:
        raise ValueError(f"orthogonal: the shape must have at least two axes, not {shape}")
    rows, columns = shape[0], math.prod(shape[1:])
    short, long = min(rows, columns), max(rows, columns)
    q = _orthonormal_rows(random.normal((short, long), dtype="float64", generator=generator))
    matrix = (q if rows <= columns else q.T) * gain
    return _place(where, Tensor(np.ascontiguousarray(matrix.reshape(shape)), kind))


xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal

_GAINS = {
    "linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2),
    "selu": 0.75,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity shrinks the standard deviation, undone: PyTorch's table.

    Examples
    --------
    >>> from fastnn import initializers
    >>> round(initializers.calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"there is no gain for {nonlinearity!r}; there are leaky_relu, {', '.join(_GAINS)}"
        )
    return _GAINS[nonlinearity]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """`(fan_in, fan_out)` of a weight (out, in, *kernel).

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.fans((64, 32, 3, 3))
    (288, 576)
    """
    return _fans("fans", tuple(shape))


def _fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"{name}: fans need a weight (out, in) or (out, in, *kernel), not {shape}")
    if 0 in shape:
        raise ValueError(f"{name}: a weight of shape {shape} is empty and has no fans")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _he_std(
    name: str, shape: tuple[int, ...], a: float, mode: str, nonlinearity: str, gain: float | None
) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = _fans(name, shape)[mode == "fan_out"]
    return (calculate_gain(nonlinearity, a) if gain is None else gain) / math.sqrt(fan)


def _check_std(name: str, mean: float, std: float) -> None:
    if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
        raise ValueError(
            f"{name}: mean ({mean}) must be finite and std ({std}) finite and not negative"
        )


def _target(name: str, where: Where, dtype: Any) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of what is asked for."""
    if isinstance(where, Tensor):
        if not where.dtype.is_float:
            raise TypeError(f"{name}: the tensor must be of real numbers, not {where.dtype.name}")
        return where.shape, where.dtype
    if not isinstance(where, (int, tuple, list)):
        raise TypeError(f"{name}: takes a shape or a Tensor, not {type(where).__name__}")
    shape = (where,) if isinstance(where, int) else tuple(where)
    if not all(isinstance(n, (int, np.integer)) for n in shape):
        raise TypeError(f"{name}: a shape is of whole numbers, not {shape}")
    kind = as_dtype(dtype)
    if not kind.is_float:
        raise TypeError(f"{name}: parameters are float32 or float64, not {kind.name}")
    return empty(shape, kind).shape, kind


def _place(where: Where, values: Tensor) -> Tensor:
    """`values` as they are, or in the tensor that was given."""
    if not isinstance(where, Tensor):
        return values
    with no_grad():
        where.copy_(values)
    return where


# --- numerics ---


def _orthonormal_rows(a: Tensor) -> np.ndarray:
    """Gram-Schmidt over the rows, each done twice, which is enough (Giraud et al. 2005).

    Not numpy's QR: its last bits depend on the number of threads, and ours must not. The diagonal
    of the triangular factor is positive, so that the result is uniform over all orthogonal
    matrices. Rows are done in blocks, so that most of the work is matrix products.
    """
    q = a.numpy()
    block = 32
    for start in range(0, len(q), block):
        rows = q[start : start + block]
        for _ in range(2):
            if start:
                done = Tensor(q[:start])
                overlap = ops.matmul(Tensor(rows), ops.transpose(done))
                rows -= ops.matmul(overlap, done).numpy()
            for i, row in enumerate(rows):
                if i:
                    overlaps = np.einsum("jk,k->j", rows[:i], row)
                    row -= np.einsum("j,jk->k", overlaps, rows[:i])
                row /= math.sqrt(float(np.einsum("k,k->", row, row)))
    return q


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


# Wichura 1988, algorithm AS 241 (PPND16), relative error 1e-16: numerators and denominators near
# the middle, further out, and in the tails; highest power first.
_MIDDLE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_OUTER = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959,
     1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187,
     1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
     0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699,
     6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
     7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
     0.59983220655588793769, 1.0),
)  # fmt: skip


def _normal_quantile(p: np.ndarray) -> np.ndarray:
    """Inverse of the normal distribution function, for p in (0, 1)."""
    q = p - 0.5
    r = np.sqrt(-np.log(np.minimum(p, 1 - p)))
    middle = 0.180625 - q * q
    tails = np.where(r <= 5, _ratio(_OUTER, r - 1.6), _ratio(_TAIL, r - 5))
    return np.where(np.abs(q) <= 0.425, q * _ratio(_MIDDLE, middle), np.copysign(tails, q))


def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: np.ndarray) -> np.ndarray:
    return np.polyval(polynomials[0], x) / np.polyval(polynomials[1], x)
