"""Before training: a repeatable order of rows, a held-out part, features of equal scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import random

__all__ = ["Standardizer", "permutation", "train_test_split"]


def permutation(n: int, seed: int = 0, stream: int = 0) -> np.ndarray:
    """The numbers 0 to n - 1 in an order that depends on `seed` and `stream` alone.

    The order of epoch 7 is known without that of epoch 6, and is the same on every machine.

    Parameters
    ----------
    n : int
        How many.
    seed, stream : int
        Which order: a data set's seed and, say, the epoch.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> sorted(permutation(5, seed=1).tolist())
    [0, 1, 2, 3, 4]
    """
    generator = random.Generator(0)
    # Streams lie 2**40 numbers apart; the constant keeps them away from manual_seed's (the golden
    # ratio in 64 bits, Knuth, The Art of Computer Programming 3, 6.4).
    generator.set_state((seed ^ 0x9E3779B97F4A7C15, (stream & 0xFFFFFF) << 40))
    return random.permutation(n, generator=generator).numpy()


def train_test_split(
    *arrays: Any, test_size: float = 0.25, seed: int = 0, stratify: Any = None
) -> list[np.ndarray]:
    """Split arrays of equal length into a training and a test part, at random but repeatably.

    Parameters
    ----------
    *arrays : array-like
        Arrays with the same number of rows.
    test_size : float or int
        The share of the rows, or their number, that goes to the test part.
    seed : int
        Another seed gives another split.
    stratify : array-like of shape (n,), optional
        Labels whose shares are kept equal in both parts.

    Returns
    -------
    list of ndarray
        For each array its training part and its test part, as in scikit-learn:
        `x_train, x_test, y_train, y_test`.

    Raises
    ------
    ValueError
        The lengths differ, or a part would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = train_test_split(np.arange(8))
    >>> len(a), len(b)
    (6, 2)
    """
    if not arrays:
        raise ValueError("train_test_split: nothing to split")
    parts = [np.asarray(a) for a in arrays]
    lengths = {len(p) if p.ndim else 0 for p in parts}
    if len(lengths) > 1:
        raise ValueError(
            f"train_test_split: lengths differ: {', '.join(str(len(p)) for p in parts)}"
        )
    n = lengths.pop()
    share = test_size / n if isinstance(test_size, int) and n else test_size
    held = test_size if isinstance(test_size, int) else round(test_size * n)
    if not 0 < held < n:
        raise ValueError(f"train_test_split: test_size {test_size} of {n} rows leaves a part empty")
    order = permutation(n, seed)
    if stratify is None:
        test, train = order[:held], order[held:]
    else:
        labels = np.asarray(stratify)
        if labels.shape != (n,):
            raise ValueError(f"train_test_split: stratify has shape {labels.shape}, wanted ({n},)")
        labels, chosen = labels[order], np.zeros(n, bool)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            chosen[rows[: round(share * len(rows))]] = True
        test, train = order[chosen], order[~chosen]
    return [part for p in parts for part in (p[train], p[test])]


class Standardizer:
    """Bring each feature to mean 0 and standard deviation 1; constant features become 0.

    Fit on the training part only, then transform both.

    Parameters
    ----------
    dtype : str
        The float type of what `transform` returns.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> scale = Standardizer().fit(x)
    >>> scale.transform(x).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> scale.inverse_transform(scale.transform(x)).tolist()
    [[1.0, 5.0], [3.0, 5.0]]
    """

    def __init__(self, dtype: str = "float32") -> None:
        self.dtype = dtype
        self.mean: np.ndarray | None = None
        self.scale: np.ndarray | None = None

    def fit(self, x: Any) -> Standardizer:
        """Measure the mean and spread of each column of `x` (n, ...)."""
        x = np.asarray(x, dtype=np.float64)
        if x.ndim == 0 or len(x) == 0:
            raise ValueError(f"Standardizer: no rows to fit (x: {x.shape})")
        if not np.isfinite(x).all():
            raise ValueError("Standardizer: x holds NaN or infinity")
        self.mean, spread = x.mean(axis=0), x.std(axis=0)
        # A column of equal numbers has a spread of rounding errors, not of zero.
        tiny = 10 * np.finfo(np.float64).eps * np.abs(self.mean)
        self.scale = np.where(spread <= tiny, 1.0, spread)
        return self

    def transform(self, x: Any) -> np.ndarray:
        """Scale `x` by what `fit` measured."""
        mean, scale = self._measured(x)
        return ((np.asarray(x, np.float64) - mean) / scale).astype(self.dtype)

    def fit_transform(self, x: Any) -> np.ndarray:
        """`fit`, then `transform`."""
        return self.fit(x).transform(x)

    def inverse_transform(self, x: Any) -> np.ndarray:
        """Undo `transform`."""
        mean, scale = self._measured(x)
        return (np.asarray(x, np.float64) * scale + mean).astype(self.dtype)

    def _measured(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        if self.mean is None or self.scale is None:
            raise ValueError("Standardizer: call fit first")
        if np.shape(x)[1:] != self.mean.shape:
            raise ValueError(
                f"Standardizer: fitted on rows of shape {self.mean.shape}, got {np.shape(x)[1:]}"
            )
        return self.mean, self.scale
