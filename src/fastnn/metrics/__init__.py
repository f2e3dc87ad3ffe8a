"""Metrics: numbers for people. Each streams: `update` batch by batch, `result` any time, `reset`.

Predictions come first, targets second, as in the losses; both may be tensors or numpy arrays.
What a prediction means is read off its shape:

- `(n, C)` scores with whole-number targets `(n,)`, or one-hot targets `(n, C)`: C classes, the
  largest wins;
- `(n,)` or `(n, 1)` scores with targets of the same number: two classes, cut at `threshold`;
- whole numbers `(n,)`: the classes themselves;
- with `multilabel=True`, `(n, C)` scores and 0/1 targets: C questions with two answers each.

Definitions are scikit-learn's. A NaN score counts as a wrong answer, never as a lucky right one.
"""

from __future__ import annotations

from typing import Any

from .base import Mean, Metric
from .classification import F1, ROCAUC, Accuracy, Precision, Recall, TopK
from .labels import Classifying
from .regression import MAE, MSE, R2, RMSE

__all__ = [
    "F1", "MAE", "MSE", "R2", "RMSE", "ROCAUC", "Accuracy", "Mean", "Metric",
    "Precision", "Recall", "TopK", "get",
]  # fmt: skip

_NAMED: dict[str, type[Metric]] = {
    cls.name: cls for cls in (Accuracy, Precision, Recall, F1, ROCAUC, MSE, MAE, RMSE, R2)
}


def get(metric: Any, **options: Any) -> Metric:
    """A metric from its name, a Metric, or a function of (prediction, target) that gives a number.

    Names are accuracy, top_5 (any k), precision, recall, f1, roc_auc, mse, mae, rmse and r2.

    Parameters
    ----------
    metric : str, Metric or callable
        What to make a metric of.
    **options
        `from_logits` and `multilabel` for the classification metrics made from a name.

    Raises
    ------
    ValueError
        There is no metric of this name.

    Examples
    --------
    >>> get("top_3").k
    3
    """
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        made = metric() if isinstance(metric, type) else Mean(metric)
        if isinstance(made, Metric):
            return made
    elif isinstance(metric, str):
        if metric.startswith("top_") and metric[4:].isdigit():
            return TopK(int(metric[4:]))
        if metric in _NAMED:
            cls = _NAMED[metric]
            return cls(**options) if issubclass(cls, Classifying) else cls()
        raise ValueError(
            f"no metric is named {metric!r}; known are {', '.join(_NAMED)} and top_<k>"
        )
    raise TypeError(f"a metric is a name, a Metric or a function, not {type(metric).__name__}")
