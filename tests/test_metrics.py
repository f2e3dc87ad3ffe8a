"""Metrics against definitions by hand, and against scikit-learn where it is installed."""

import math

import numpy as np
import pytest

from fastnn import metrics
from fastnn.metrics import F1, MAE, MSE, R2, RMSE, ROCAUC, Accuracy, Mean, Precision, Recall, TopK

rng = np.random.default_rng(3)
SCORES = rng.normal(size=(203, 5)).astype(np.float32)
LABELS = rng.integers(0, 5, 203)
SCORES[np.arange(203), LABELS] += 1
LOGITS = rng.normal(size=203).astype(np.float32).round(1)  # rounded: there are ties
YES = (LOGITS + rng.normal(size=203) > 0.3).astype(np.int64)
WEIGHT = rng.uniform(0.1, 2, 203)


def softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def streamed(metric, *arrays, sizes=(1, 0, 64, 100, 38)):
    """The value after the same rows in several batches, with a stored state on the way."""
    metric.update(*(a[:50] for a in arrays))
    metric.reset()
    start = 0
    for size in sizes:
        metric.update(*(a[start : start + size] for a in arrays))
        state = metric.state_dict()
        metric.reset()
        metric.load_state_dict(state)
        start += size
    assert start == len(arrays[0])
    return metric.result()


def test_by_hand():
    scores = np.array([[3.0, 1, 2], [0, 5, 1], [2, 1, 0], [1, 0, 4]])
    labels = np.array([0, 1, 1, 0])
    assert Accuracy()(scores, labels) == 0.5
    assert TopK(2)(scores, labels) == 1.0
    # class 0: given 2, right 1, true 2; class 1: given 1, right 1, true 2; class 2: given 1,
    # never true
    assert Precision()(scores, labels) == pytest.approx((0.5 + 1 + 0) / 3)
    assert Recall()(scores, labels) == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert F1(average=None)(scores, labels) == pytest.approx([0.5, 2 / 3, 0])
    assert F1(average="micro")(scores, labels) == 0.5
    assert Recall(average="weighted")(scores, labels) == 0.5
    yes = np.array([0.9, 0.6, 0.4, 0.2])
    assert Precision()(yes, np.array([1, 0, 1, 0])) == 0.5
    assert ROCAUC()(yes, np.array([1, 0, 1, 0])) == 0.75
    assert ROCAUC()(np.ones(4), np.array([1, 0, 1, 0])) == 0.5
    a, b = np.array([1.0, 2, 3]), np.array([1.0, 4, 0])
    assert MAE()(a, b) == pytest.approx(5 / 3)
    assert MSE()(a, b) == pytest.approx(13 / 3)
    assert RMSE()(a, b) == pytest.approx(math.sqrt(13 / 3))
    assert R2()(a, b) == pytest.approx(1 - 13 / np.square(b - b.mean()).sum())
    assert Mean(lambda p, t: np.mean(p))(a, b) == 2.0


@pytest.mark.parametrize("weights", [(), (WEIGHT,)], ids=["plain", "weighted"])
def test_multiclass_against_sklearn(weights):
    sk = pytest.importorskip("sklearn.metrics")
    best, kw = SCORES.argmax(1), {"sample_weight": weights[0] if weights else None}
    close = lambda value, wanted: np.testing.assert_allclose(value, wanted, rtol=1e-9)  # noqa: E731
    close(streamed(Accuracy(), SCORES, LABELS, *weights), sk.accuracy_score(LABELS, best, **kw))
    for k in (1, 2, 5):
        wanted = sk.top_k_accuracy_score(LABELS, SCORES, k=k, labels=range(5), **kw) if k < 5 else 1
        close(streamed(TopK(k), SCORES, LABELS, *weights), wanted)
    for average in ("macro", "micro", "weighted", None):
        for mine, theirs in (
            (Precision, sk.precision_score), (Recall, sk.recall_score), (F1, sk.f1_score),
        ):  # fmt: skip
            close(
                streamed(mine(average), SCORES, LABELS, *weights),
                theirs(LABELS, best, average=average, zero_division=0, **kw),
            )
    for average in ("macro", "weighted"):
        wanted = sk.roc_auc_score(LABELS, softmax(SCORES), multi_class="ovr", average=average, **kw)
        close(streamed(ROCAUC(average, from_logits=True), SCORES, LABELS, *weights), wanted)
        close(streamed(ROCAUC(average), softmax(SCORES), LABELS, *weights), wanted)


@pytest.mark.parametrize("weights", [(), (WEIGHT,)], ids=["plain", "weighted"])
@pytest.mark.parametrize("column", [False, True])
def test_binary_against_sklearn(weights, column):
    sk = pytest.importorskip("sklearn.metrics")
    kw = {"sample_weight": weights[0] if weights else None}
    probability = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    for scores, logits in ((LOGITS, True), (probability, False)):
        shown = scores[:, None] if column else scores
        target = YES[:, None].astype(np.float32) if column and logits else YES
        for metric, theirs in (
            (Accuracy, sk.accuracy_score), (Precision, sk.precision_score),
            (Recall, sk.recall_score), (F1, sk.f1_score),
        ):  # fmt: skip
            wanted = theirs(YES, probability > 0.5, **kw)
            got = streamed(metric(from_logits=logits), shown, target, *weights)
            assert got == pytest.approx(wanted, rel=1e-9)
        macro = streamed(F1("macro", from_logits=logits), shown, target, *weights)
        assert macro == pytest.approx(sk.f1_score(YES, probability > 0.5, average="macro", **kw))
        got = streamed(ROCAUC(from_logits=logits), shown, target, *weights)
        assert got == pytest.approx(sk.roc_auc_score(YES, LOGITS, **kw), rel=1e-9)


def test_multilabel_against_sklearn():
    sk = pytest.importorskip("sklearn.metrics")
    target = (SCORES + rng.normal(size=SCORES.shape) > 0).astype(np.float32)
    answer = SCORES > 0
    for average in ("macro", "micro", "weighted"):
        got = streamed(F1(average, from_logits=True, multilabel=True), SCORES, target, WEIGHT)
        assert got == pytest.approx(
            sk.f1_score(target, answer, average=average, sample_weight=WEIGHT)
        )
    got = streamed(ROCAUC(from_logits=True, multilabel=True), SCORES, target)
    assert got == pytest.approx(sk.roc_auc_score(target, SCORES))
    got = streamed(Accuracy(from_logits=True, multilabel=True), SCORES, target, WEIGHT)
    assert got == pytest.approx(np.average((target == answer).mean(axis=1), weights=WEIGHT))


@pytest.mark.parametrize("shape", [(203,), (203, 1), (203, 3)])
@pytest.mark.parametrize("weights", [(), (WEIGHT,)], ids=["plain", "weighted"])
def test_regression_against_sklearn(shape, weights):
    sk = pytest.importorskip("sklearn.metrics")
    kw = {"sample_weight": weights[0] if weights else None}
    target = 1e4 + rng.normal(size=shape)  # far from zero: a naive sum of squares would lose R2
    guess = target + 0.3 * rng.normal(size=shape)
    for metric, theirs in (
        (MAE, sk.mean_absolute_error), (MSE, sk.mean_squared_error), (R2, sk.r2_score),
        (RMSE, sk.root_mean_squared_error),
    ):  # fmt: skip
        wanted = theirs(target, guess, **kw)
        assert streamed(metric(), guess, target, *weights) == pytest.approx(wanted, rel=1e-9)


def test_layouts_of_the_same_answer():
    wanted = Accuracy()(SCORES[:200], LABELS[:200])
    one_hot = np.eye(5, dtype=np.float32)[LABELS[:200]]
    assert Accuracy()(SCORES[:200], one_hot) == wanted
    assert Accuracy()(SCORES[:200].argmax(1), LABELS[:200]) == wanted
    assert Accuracy()(SCORES[:200], LABELS[:200, None]) == wanted
    assert Accuracy()(SCORES[:200].reshape(20, 10, 5), LABELS[:200].reshape(20, 10)) == wanted
    by_channel = SCORES[:200].reshape(20, 10, 5).transpose(0, 2, 1)
    assert Accuracy()(by_channel, LABELS[:200].reshape(20, 10)) == wanted
    ignored = np.where(np.arange(200) < 100, LABELS[:200], -100)
    assert Accuracy(ignore_index=-100)(SCORES[:200], ignored) == Accuracy()(
        SCORES[:100], LABELS[:100]
    )
    assert Accuracy(from_logits=True)(LOGITS, 2 * YES - 1) == Accuracy(from_logits=True)(
        LOGITS, YES
    )


def test_integer_predictions_may_bring_new_classes():
    metric = F1("micro")
    metric.update(np.array([0, 1]), np.array([0, 1]))
    metric.update(np.array([4, 2]), np.array([4, 3]))
    assert metric.result() == 0.75


def test_nan_is_never_right():
    scores = np.full((2, 3), np.nan)
    labels = np.array([0, 1])
    assert Accuracy()(scores, labels) == TopK(3)(scores, labels) == F1()(scores, labels) == 0
    assert Accuracy()(np.array([np.nan, np.nan]), np.array([0, 1])) == 0
    assert math.isnan(MAE()(np.array([np.nan]), np.array([0.0])))
    with pytest.raises(ValueError, match="roc_auc: a score is NaN"):
        ROCAUC()(np.array([np.nan, 0.5]), np.array([0, 1]))


def test_nothing_seen_is_nan_and_a_call_leaves_the_stream_alone():
    for metric in map(metrics.get, ("accuracy", "top_2", "f1", "roc_auc", "mae", "rmse", "r2")):
        assert math.isnan(metric.result())
    metric = Accuracy()
    metric.update(SCORES, LABELS)
    before = metric.result()
    assert metric(SCORES[:1], LABELS[:1]) in (0, 1)
    assert metric.result() == before
    assert math.isnan(R2()(np.ones(1), np.ones(1)))
    assert R2()(np.ones(3), np.ones(3)) == 1
    assert R2()(np.zeros(3), np.ones(3)) == 0
    assert math.isnan(ROCAUC()(LOGITS, np.ones(203, int)))


def test_get():
    assert metrics.get("top_3").k == 3
    assert metrics.get("top_3").name == "top_3"
    assert metrics.get("accuracy", from_logits=True).from_logits
    assert isinstance(metrics.get(F1), F1)
    assert isinstance(metrics.get(len), Mean)
    metric = Accuracy()
    assert metrics.get(metric) is metric
    assert "accuracy" in repr(metric)
    with pytest.raises(ValueError, match="no metric is named 'acuracy'; known are accuracy"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match="not int"):
        metrics.get(3)


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "message"),
    [
        (Accuracy(), SCORES, LABELS[:-1], "accuracy: 203 predictions for 202 targets"),
        (Accuracy(), SCORES, LABELS + 1, "target 5 in row .*classes 0 to 4"),
        (Accuracy(), SCORES, -LABELS - 1, "target -"),
        (Accuracy(), SCORES, np.zeros((203, 4)), "do not go together"),
        (Accuracy(), LOGITS, np.full(203, 2), "targets are 0 or 1 .*got 2"),
        (Accuracy(), np.float32(1), np.float32(1), "predictions"),
        (Accuracy(multilabel=True), SCORES, LABELS, "do not go together"),
        (TopK(6), SCORES, LABELS, "top_6: wants scores"),
        (MAE(), np.zeros((3, 2)), np.zeros((3, 3)), "mae: .*differ in shape"),
    ],
)
def test_bad_input(metric, prediction, target, message):
    with pytest.raises(ValueError, match=message):
        metric.update(prediction, target)


def test_bad_options():
    with pytest.raises(TypeError, match="class indices are whole numbers"):
        Accuracy()(SCORES, LABELS.astype(float))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        Accuracy().update(SCORES, LABELS, np.ones(3))
    with pytest.raises(ValueError, match="average is 'mean'"):
        F1("mean")
    with pytest.raises(ValueError, match="k is 0"):
        TopK(0)
    with pytest.raises(ValueError, match="threshold"):
        Accuracy(threshold=1.0)
    with pytest.raises(TypeError, match="wants scores"):
        ROCAUC()(YES, YES)
