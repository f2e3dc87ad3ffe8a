"""From scores and targets of any shape to rows of classes; what classification metrics share."""

from __future__ import annotations

import math

import numpy as np

from .base import Metric


class Classifying(Metric):
    """Options that all classification metrics share; see the head of this file for the shapes.

    Parameters
    ----------
    from_logits : bool
        Scores are logits, not probabilities: the threshold applies to their sigmoid.
    threshold : float
        With two classes (or multilabel): the probability above which the answer is yes.
    multilabel : bool or None
        Columns are yes-or-no questions of their own; None: where the targets have as many.
    ignore_index : int, optional
        Targets of this value are left out.
    """

    def __init__(
        self,
        *,
        from_logits: bool = False,
        threshold: float = 0.5,
        multilabel: bool | None = False,
        ignore_index: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"{self.name}: threshold {threshold} is not between 0 and 1")
        self.name = name or self.name
        self.from_logits, self.threshold = from_logits, threshold
        self.multilabel, self.ignore_index = multilabel, ignore_index

    def _scores(
        self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scores (n, C), or (n,) for two classes; targets (n,), or (n, C) if multilabel."""
        if self._is_multilabel(prediction, target):
            if prediction.shape != target.shape or prediction.ndim < 2:
                raise self._mismatch(prediction, target)
            width = prediction.shape[-1]
            weight = _repeat(weight, target[..., 0])
            return prediction.reshape(-1, width), self._zero_one(target.reshape(-1, width)), weight
        scores, target = self._class_scores(prediction, target)
        weight = _repeat(weight, target)
        target = target.reshape(-1)
        if self.ignore_index is not None:
            keep = target != self.ignore_index
            scores, target = scores[keep], target[keep]
            weight = weight[keep] if weight is not None else None
        if scores.ndim == 1 and scores.dtype.kind == "f":
            return scores, self._zero_one(target), weight
        target = self._whole(target)
        classes = scores.shape[1] if scores.ndim == 2 else None
        if target.size and (target.min() < 0 or (classes and target.max() >= classes)):
            row = int(np.argmax((target < 0) | (target >= (classes or np.inf))))
            known = (
                f"the prediction has classes 0 to {classes - 1}" if classes else "labels start at 0"
            )
            raise ValueError(f"{self.name}: target {target[row]} in row {row}, but {known}")
        return scores, target, weight

    def _is_multilabel(self, prediction: np.ndarray, target: np.ndarray) -> bool:
        if self.multilabel is not None:
            return self.multilabel
        return prediction.shape == target.shape and prediction.ndim > 1 < prediction.shape[-1]

    def _class_scores(
        self, prediction: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bring scores to (n, C) or (n,), whatever the layout; targets keep their shape."""
        if prediction.ndim == target.ndim + 1 and prediction.shape[-1] == 1:
            prediction = prediction[..., 0]
        elif target.ndim > 1 and target.shape[-1] == 1 != prediction.shape[-1]:
            target = target[..., 0]
        if prediction.ndim == target.ndim + 1:
            if prediction.shape[:-1] == target.shape:
                return prediction.reshape(-1, prediction.shape[-1]), target
            if prediction.shape[2:] == target.shape[1:]:  # PyTorch's (n, C, ...)
                return np.moveaxis(prediction, 1, -1).reshape(-1, prediction.shape[1]), target
        if prediction.shape != target.shape:
            raise self._mismatch(prediction, target)
        if prediction.ndim > 1 and prediction.shape[-1] > 1 and prediction.dtype.kind == "f":
            width = prediction.shape[-1]  # one-hot or probabilities as targets
            return prediction.reshape(-1, width), np.argmax(target, axis=-1)
        return prediction.reshape(-1), target

    def _answers(self, scores: np.ndarray, multilabel: bool) -> np.ndarray:
        """The chosen class of each row (or cell, if multilabel); -1 where the scores hold a NaN."""
        if scores.dtype.kind != "f":
            return scores.astype(np.int64)
        if scores.ndim == 2 and not multilabel:
            best = scores.argmax(axis=1)  # a NaN is taken for the largest
            if np.isnan(scores.min(initial=np.inf)):
                best[np.isnan(scores).any(axis=1)] = -1
            return best
        logit = math.log(self.threshold / (1.0 - self.threshold))
        cut = logit if self.from_logits else self.threshold
        return np.where(np.isnan(scores), -1, scores > cut).astype(np.int64)

    def _zero_one(self, target: np.ndarray) -> np.ndarray:
        positive = target == 1
        if not np.all(positive | (target == 0) | (target == -1)):
            raise ValueError(
                f"{self.name}: with one score a row (or multilabel) targets are 0 or 1 (or -1 and "
                f"1), got {target[~(positive | (target == 0) | (target == -1))].reshape(-1)[0]}"
            )
        return positive.astype(np.int64)

    def _whole(self, target: np.ndarray) -> np.ndarray:
        if target.dtype.kind == "f":
            raise TypeError(
                f"{self.name}: targets are {target.dtype}; class indices are whole numbers, "
                "use target.astype('int64')"
            )
        return target.astype(np.int64, copy=False)

    def _mismatch(self, prediction: np.ndarray, target: np.ndarray) -> ValueError:
        return ValueError(
            f"{self.name}: the shapes of prediction {prediction.shape} and target {target.shape} "
            "do not go together"
        )


def _repeat(weight: np.ndarray | None, target: np.ndarray) -> np.ndarray | None:
    """A weight for each target where a row has several."""
    if weight is None or target.ndim == 1:
        return weight
    return np.repeat(weight, target[0].size)
