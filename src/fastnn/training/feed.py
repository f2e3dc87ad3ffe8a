"""From what a user calls data to a stream of batches: inputs, targets, weights; all checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..data import Batches, permutation
from ..dtypes import DType
from ..tensor import Tensor, as_tensor

__all__ = ["Feed", "split"]

Batch = tuple[tuple[Tensor, ...], Any, Any]  # inputs, targets or None, weights or None


class Feed:
    """A source of batches that can be entered in the middle of any epoch.

    Parameters
    ----------
    what : str
        How messages call it.
    x, y, sample_weight
        Arrays; or, as `x` alone, Batches or any iterable of (x, y) or (x, y, sample_weight).
    model : Module
        For what its layers take.
    class_weight : mapping, sequence or "balanced", optional
        What a row of each class counts.
    needs_target : bool
        Whether y has to be there.
    pixels : bool
        Whether uint8 becomes the model's dtype on its way.
    """

    def __init__(
        self,
        what: str,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        model: Any = None,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        class_weight: Any = None,
        needs_target: bool = True,
        pixels: bool = False,
    ) -> None:
        self.what, self.class_weight, self.pixels = what, None, pixels
        self.wants, self.takes_numbers = _wants(model)
        if y is None and isinstance(x, tuple) and needs_target:  # one argument with all in it
            if not 2 <= len(x) <= 3:
                raise ValueError(f"{what}: a tuple must be (x, y) or (x, y, sample_weight)")
            x, y, sample_weight = (*x, None)[:3]
        if _is_stream(x):
            if y is not None or sample_weight is not None:
                raise ValueError(f"{what}: {type(x).__name__} gives its own y and sample_weight")
            self.source = x
            for array in x.arrays[: x.inputs or 1] if isinstance(x, Batches) else ():
                self._check_input("x", array)
            self.class_weight = None if class_weight is None else _class_table(class_weight, None)
            return
        if y is None and needs_target:
            raise ValueError(f"{what}: y is missing (to reproduce the input, give it twice: x, x)")
        inputs = tuple(as_tensor(a) for a in x) if isinstance(x, tuple) else as_tensor(x)
        for array in inputs if isinstance(inputs, tuple) else (inputs,):
            self._check_input("x", array)
            check_finite(f"{what}: x", array)
        if y is not None:
            y = as_tensor(y)
            self._check_target(y)
            check_finite(f"{what}: y", y)
            sample_weight = self._weights(y, sample_weight, class_weight)
        self.source = Batches(
            inputs,
            y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
        )

    @property
    def batches(self) -> int | None:
        """Batches in an epoch, if that is known."""
        return len(self.source) if hasattr(self.source, "__len__") else None

    def state_dict(self) -> dict[str, Any]:
        """What must be the same for a resumed run to see the same rows."""
        source = self.source
        if not isinstance(source, Batches):
            return {"stream": True}
        return {
            "rows": source.rows, "batch_size": source.batch_size, "shuffle": source.shuffle,
            "seed": source.seed, "drop_last": source.drop_last,
        }  # fmt: skip

    def columns(self) -> Batch | None:
        """All rows of data in memory as one batch; None for a stream."""
        source = self.source
        if not isinstance(source, Batches) or type(source).from_batch is not Batches.from_batch:
            return None
        n = source.inputs or 1
        y, weight = (*source.arrays[n:], None, None)[:2]
        if self.class_weight is not None:
            weight = self._weighted(y, weight)
        return tuple(source.arrays[:n]), y, weight

    def from_batch(self, first: int, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        if isinstance(self.source, Batches):
            several, targets = (
                self.source.inputs,
                len(self.source.arrays) > (self.source.inputs or 1),
            )
            for batch in self.source.from_batch(first, epoch):
                x, *rest = batch if targets else (batch,)
                y, weight = (*rest, None, None)[:2]
                if self.class_weight is not None:
                    weight = self._weighted(y, weight)
                yield (x if several else (x,)), y, weight
            return
        if hasattr(self.source, "set_epoch"):
            self.source.set_epoch(epoch)
        number = -1
        for number, batch in enumerate(self.source):
            if number >= first:
                yield self._convert(batch)
        if number < 0:
            raise ValueError(
                f"{self.what}: no batches came in epoch {epoch + 1}. A generator can be used "
                "only once: pass an object whose __iter__ starts anew"
            )

    def _convert(self, batch: Any) -> Batch:
        """A batch of a stream, of numpy arrays or tensors."""
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(
                f"{self.what}: a batch is (x, y) or (x, y, sample_weight), got {len(parts)} parts"
            )
        x, y, weight = (*parts, None, None)[:3]
        inputs = tuple(as_tensor(a) for a in x) if isinstance(x, tuple) else (as_tensor(x),)
        for array in inputs:
            self._check_input("x", array)
        y = None if y is None else as_tensor(y)
        rows = [a.shape[:1] for a in (*inputs, y) if a is not None]
        if len(set(rows)) > 1 or rows[0] == () or rows[0] == (0,):
            shapes = ", ".join(str(a.shape) for a in (*inputs, y) if a is not None)
            raise ValueError(
                f"{self.what}: a batch is empty or its numbers of rows differ: {shapes}"
            )
        if weight is not None:
            weight = self._as_weight(weight)
        if self.class_weight is not None:
            weight = self._weighted(y, weight)
        return inputs, y, weight

    # --- weights ---

    def _as_weight(self, weight: Any) -> Tensor:
        dtype = self.wants.numpy if self.wants else np.float32
        return as_tensor(np.asarray(_numpy(weight), dtype=dtype))

    def _weights(self, y: Tensor, sample_weight: Any, class_weight: Any) -> Tensor | None:
        """Sample and class weights of all rows, multiplied."""
        weight = None if sample_weight is None else self._as_weight(sample_weight)
        if class_weight is None:
            return weight
        self.class_weight = _class_table(class_weight, y)
        weight = self._weighted(y, weight)
        self.class_weight = None  # it is in the weights of the rows now
        return weight

    def _weighted(self, y: Any, weight: Tensor | None) -> Tensor:
        labels = None if y is None else _numpy(y)
        if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iub":
            raise ValueError(
                f"{self.what}: class_weight needs targets that are one class index a row"
            )
        table = self.class_weight
        assert table is not None
        if labels.size and (labels.min() < 0 or labels.max() >= len(table)):
            raise ValueError(
                f"{self.what}: class_weight is for classes 0 to {len(table) - 1}, a target is "
                f"{labels.max() if labels.max() >= len(table) else labels.min()}"
            )
        chosen = table[labels]
        if np.isnan(chosen).any():
            raise ValueError(f"{self.what}: class_weight lacks class {labels[np.isnan(chosen)][0]}")
        return self._as_weight(chosen if weight is None else chosen * weight.numpy())

    # --- checks ---

    def _check_input(self, name: str, x: Tensor) -> None:
        wants = self.wants
        if wants is None or (self.takes_numbers and not x.dtype.is_float) or x.dtype == wants:
            return
        scaled = ""
        if x.dtype.name == "uint8":
            if self.pixels:
                return
            scaled = " / 255, or leave images as they are with fit(..., augment=augment.ToFloat())"
        raise TypeError(
            f"{self.what}: {name} is {x.dtype.name} but the model computes in {wants.name}: "
            f"give {name}.astype('{wants.name}'){scaled}"
            + (f", or make the model {x.dtype.name}" if x.dtype.is_float else "")
        )

    def _check_target(self, y: Tensor) -> None:
        wants = self.wants
        if wants is not None and y.dtype.is_float and y.dtype != wants:
            raise TypeError(
                f"{self.what}: y is {y.dtype.name} but the model computes in {wants.name}: "
                f"give y.astype('{wants.name}'), or class indices as int64"
            )


def split(fraction: float, x: Any, y: Any, sample_weight: Any, seed: int) -> tuple[Any, Any]:
    """Hold out a share of the rows: ((x, y, weight) to train on, (x, y, weight) held out)."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation is {fraction}; as a share of the rows it is between 0 and 1")
    if y is None or _is_stream(x):
        raise ValueError("validation as a share of the rows needs x and y as arrays")
    inputs = x if isinstance(x, tuple) else (x,)
    arrays = [_numpy(a) for a in (*inputs, y, *([] if sample_weight is None else [sample_weight]))]
    if len({a.shape[:1] for a in arrays}) > 1 or arrays[0].ndim == 0:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(f"the numbers of rows of x, y and sample_weight differ: {shapes}")
    rows = len(arrays[0])
    held = round(fraction * rows)
    if not 0 < held < rows:
        raise ValueError(f"validation={fraction} of {rows} rows leaves nothing on one side")
    order = permutation(rows, seed, -1)  # no epoch has this number
    parts = []
    for chosen in (order[held:], order[:held]):
        picked = [a[chosen] for a in arrays]
        first = tuple(picked[: len(inputs)]) if isinstance(x, tuple) else picked[0]
        weight = picked[-1] if sample_weight is not None else None
        parts.append((first, picked[len(inputs)], weight))
    return parts[0], parts[1]


def check_finite(name: str, x: Tensor) -> None:
    """Refuse NaN and infinities, naming the first; one pass over the data."""
    if not x.dtype.is_float or np.isfinite(x.detach().sum().item()):
        return
    values = x.detach().numpy()
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} holds {values[place]} at {place} ({len(bad)} such numbers in all)"
        )


def _is_stream(x: Any) -> bool:
    if isinstance(x, Batches):
        return True
    if isinstance(x, Tensor | np.ndarray | np.generic | tuple | str) or hasattr(x, "__array__"):
        return False
    if isinstance(x, list):
        return bool(x) and isinstance(x[0], tuple)
    return isinstance(x, Iterable)


def _wants(model: Any) -> tuple[DType | None, bool]:
    """The float type that the model computes in, and whether it also takes whole numbers."""
    if not hasattr(model, "parameters"):
        return None, True
    dtype = next((p.dtype for p in model.parameters()), None)
    embeds = any("Embedding" in c.__name__ for m in model.modules() for c in type(m).__mro__)
    return dtype, embeds


def _class_table(class_weight: Any, y: Tensor | None) -> np.ndarray:
    """Weights by class index; NaN where a mapping has none."""
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f"class_weight is {class_weight!r}; as a word it can only be 'balanced'"
            )
        if y is None or y.dtype.is_float or y.ndim != 1 or int(y.numpy().min()) < 0:
            raise ValueError("class_weight='balanced' needs y as one class index a row")
        counts = np.bincount(y.numpy())
        seen = np.count_nonzero(counts)
        return np.where(counts > 0, counts.sum() / (seen * np.maximum(counts, 1)), 0.0)
    if isinstance(class_weight, Mapping):
        if not all(isinstance(k, int | np.integer) and k >= 0 for k in class_weight):
            raise TypeError(f"class_weight maps class indices to numbers, got {class_weight!r}")
        table = np.full(max(class_weight, default=-1) + 1, np.nan)
        for label, value in class_weight.items():
            table[label] = value
    else:
        table = np.asarray(_numpy(class_weight), dtype=np.float64)
    values = table[~np.isnan(table)]
    if table.ndim != 1 or not values.size or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"class_weight must be non-negative finite numbers, got {class_weight!r}")
    return table


def _numpy(value: Any) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
