"""Metrics of classifiers: accuracy, top-k, precision, recall, F1, the area under the ROC curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import as_array
from .labels import Classifying


class Accuracy(Classifying):
    """The share of right answers.

    Examples
    --------
    >>> import numpy as np
    >>> Accuracy()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """

    name = "accuracy"

    def _add(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        scores, target, weight = self._scores(prediction, target, weight)
        right = self._answers(scores, target.ndim == 2) == target
        if weight is None:
            self._accumulate(right=np.count_nonzero(right), count=right.size)
        else:
            columns = right.reshape(len(right), -1)
            self._accumulate(
                right=weight @ columns.sum(axis=1), count=weight.sum() * columns.shape[1]
            )

    def result(self) -> float:
        return self._ratio("right", "count")


class TopK(Classifying):
    """The share of rows whose target is among the `k` largest scores; ties go to the lower class.

    Examples
    --------
    >>> import numpy as np
    >>> TopK(2)(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), np.array([1, 2]))
    0.5
    """

    def __init__(self, k: int = 5, **options: Any) -> None:
        if k < 1:
            raise ValueError(f"top-k: k is {k}, wanted at least 1")
        self.k, self.name = k, f"top_{k}"
        super().__init__(**options)

    def _add(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        scores, target, weight = self._scores(prediction, target, weight)
        if scores.ndim != 2 or target.ndim != 1 or scores.shape[1] < self.k:
            raise ValueError(
                f"{self.name}: wants scores (n, C) of at least {self.k} classes, "
                f"got {prediction.shape}"
            )
        own = scores[np.arange(len(target)), target][:, None]
        earlier = np.arange(scores.shape[1]) < target[:, None]
        ahead = (scores > own) | ((scores == own) & earlier)
        hit = (ahead.sum(axis=1) < self.k) & ~np.isnan(scores).any(axis=1)
        weight = np.ones(len(hit)) if weight is None else weight
        self._accumulate(right=weight @ hit, count=weight.sum())

    def result(self) -> float:
        return self._ratio("right", "count")


class _Counting(Classifying):
    """Precision, recall and F1: right, given and true answers are counted for each class.

    Parameters
    ----------
    average : {"auto", "macro", "micro", "weighted"} or None
        "auto": the positive class if there are two, else "macro". "macro": the mean over the
        classes that occur; "micro": of all answers together; "weighted": by how often a class is
        true; None: an array with each class.
    """

    def __init__(self, average: str | None = "auto", **options: Any) -> None:
        super().__init__(**options)
        _check_average(self.name, average, ("auto", "macro", "micro", "weighted", None))
        self.average = average

    def _add(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        scores, target, weight = self._scores(prediction, target, weight)
        multilabel = target.ndim == 2
        answer = self._answers(scores, multilabel)
        binary = scores.ndim == 1 and scores.dtype.kind in "fb"
        if multilabel:
            weight = np.ones(len(target)) if weight is None else weight
            hit, given, true = (weight @ (m == 1) for m in (answer * target, answer, target))
        else:
            seen = len(self._sums.get("true", ()))
            classes = (
                scores.shape[1]
                if scores.ndim == 2
                else int(max(target.max(initial=1), answer.max(initial=1))) + 1
            )
            size = max(seen, classes)

            def count(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
                weights = None if weight is None else weight[chosen]
                return np.bincount(labels[chosen], weights, size).astype(np.float64)

            hit, given = count(target, answer == target), count(answer, answer >= 0)
            true = count(target, target >= 0)
            for key in ("hit", "given", "true") if seen and seen < size else ():
                self._sums[key] = np.pad(self._sums[key], (0, size - seen))
        self._accumulate(hit=hit, given=given, true=true)
        binary = binary or (not multilabel and scores.ndim == 1 and len(true) == 2)
        self._sums.update(binary=np.array(binary), multilabel=np.array(multilabel))

    def result(self) -> Any:
        if not self._sums:
            return math.nan
        hit, given, true = (np.asarray(self._sums[key]) for key in ("hit", "given", "true"))
        average = self.average
        if average == "auto":
            average = "binary" if self._sums["binary"] else "macro"
        if average == "micro":
            return float(self._score(hit.sum(), given.sum(), true.sum()))
        score = self._score(hit, given, true)
        if average is None:
            return score
        if average == "binary":
            return float(score[1])
        occurs = (given + true > 0) | self._sums["multilabel"]
        weights = true if average == "weighted" else occurs
        return float(score @ weights / weights.sum()) if weights.sum() else 0.0

    def _score(self, hit: Any, given: Any, true: Any) -> Any:
        raise NotImplementedError


class Precision(_Counting):
    """Of the answers given for a class, the share that is right; 0 where none was given."""

    name = "precision"

    def _score(self, hit: Any, given: Any, true: Any) -> Any:
        return _divide(hit, given)


class Recall(_Counting):
    """Of the rows of a class, the share that was found; 0 where there are none."""

    name = "recall"

    def _score(self, hit: Any, given: Any, true: Any) -> Any:
        return _divide(hit, true)


class F1(_Counting):
    """The harmonic mean of precision and recall, class by class.

    Examples
    --------
    >>> import numpy as np
    >>> F1()(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 0, 1, 0]))
    0.5
    """

    name = "f1"

    def _score(self, hit: Any, given: Any, true: Any) -> Any:
        return _divide(2 * hit, given + true)


class ROCAUC(Classifying):
    """The area under the ROC curve: the chance that a positive scores above a negative, ties half.

    Exact, not binned, so all scores are kept until `reset`. More than two classes are taken one
    against the rest (after a softmax, `from_logits=True`); a class that is always or never the
    target is left out.

    Parameters
    ----------
    average : {"macro", "weighted"} or None
        Mean over classes, mean weighted by how often a class is the target, or an array with each.
    """

    name = "roc_auc"

    def __init__(self, average: str | None = "macro", **options: Any) -> None:
        super().__init__(**options)
        _check_average(self.name, average, ("macro", "weighted", None))
        self.average = average

    def _add(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        if prediction.dtype.kind != "f":
            raise TypeError(f"{self.name}: wants scores, got {prediction.dtype} predictions")
        scores, target, weight = self._scores(prediction, target, weight)
        if np.isnan(scores).any():
            raise ValueError(f"{self.name}: a score is NaN, so there is no order to judge")
        weight = np.ones(len(target)) if weight is None else weight
        for key, part in (("scores", scores), ("target", target), ("weight", weight)):
            self._sums.setdefault(key, []).append(np.array(part))

    def state_dict(self) -> dict[str, Any]:
        return {key: np.concatenate(parts) for key, parts in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = {key: [np.array(as_array(value))] for key, value in state.items()}

    def result(self) -> Any:
        if not self._sums:
            return math.nan
        scores, target, weight = (
            np.concatenate(self._sums[k]) for k in ("scores", "target", "weight")
        )
        if scores.ndim == 1:
            return _area(scores, target == 1, weight)
        if target.ndim == 1:
            target = target[:, None] == np.arange(scores.shape[1])
            if self.from_logits:
                scores = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
                scores /= scores.sum(axis=1, keepdims=True)
        areas = np.array(
            [_area(scores[:, c], target[:, c] == 1, weight) for c in range(scores.shape[1])]
        )
        if self.average is None:
            return areas
        share = weight @ target if self.average == "weighted" else np.ones(len(areas))
        share = np.where(np.isnan(areas), 0.0, share)
        return float(np.nan_to_num(areas) @ share / share.sum()) if share.sum() else math.nan


def _divide(above: Any, below: Any) -> Any:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def _check_average(name: str, average: str | None, known: tuple[str | None, ...]) -> None:
    if average not in known:
        raise ValueError(f"{name}: average is {average!r}; known are {', '.join(map(repr, known))}")


def _area(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> float:
    """The area under one ROC curve: positives ranked above negatives, a tie counting half."""
    order = np.argsort(scores, kind="stable")
    scores, positive, weight = scores[order], positive[order], weight[order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    yes = np.add.reduceat(weight * positive, starts)
    no = np.add.reduceat(weight * ~positive, starts)
    pairs = yes.sum() * no.sum()
    return float(yes @ (np.cumsum(no) - 0.5 * no) / pairs) if pairs > 0 else math.nan
