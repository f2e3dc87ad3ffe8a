"""Spam in text messages: a bag of words, unequal classes, precision and recall.

FASTNN_DATA=<folder with SMSSpamCollection> python examples/spam.py
"""

import argparse
import re
from collections import Counter

import numpy as np

import fastnn
from fastnn import nn
from fastnn.data import datasets, train_test_split


def words(text: str) -> set[str]:
    """The words of a message, its numbers as one kind."""
    return set(re.findall(r"[a-z']+|[0-9]+|[£$!?]", re.sub(r"[0-9]+", "0", text.lower())))


def main() -> float:
    """Train and test; returns F1 on the test messages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--limit", type=int, help="use so many messages only")
    options = parser.parse_args()

    fastnn.manual_seed(0)
    texts, labels = datasets.sms_spam()
    first = sorted({text: i for i, text in reversed(list(enumerate(texts)))}.values())
    first = first[: options.limit]  # many messages occur several times: keep one of each
    bags, y = [words(texts[i]) for i in first], labels[first]
    train, test = train_test_split(np.arange(len(bags)), test_size=0.25, stratify=y)

    counts = Counter(word for i in train for word in bags[i])
    place = {word: n for n, (word, count) in enumerate(counts.most_common(3000)) if count > 1}
    x = np.zeros((len(bags), len(place)), np.float32)
    for row, bag in enumerate(bags):
        x[row, [place[word] for word in bag if word in place]] = 1

    model = nn.Sequential(nn.Linear(len(place), 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))
    trainer = fastnn.Trainer(
        model,
        loss="bce_with_logits",
        optimizer=fastnn.optimizers.Adam(model.parameters(), lr=2e-3),
        metrics=["precision", "recall", "f1", "roc_auc"],
    )
    target = y.astype(np.float32)[:, None]
    weight = np.where(y == 1, np.sqrt((y == 0).sum() / max((y == 1).sum(), 1)), 1.0)
    trainer.fit(x[train], target[train], epochs=options.epochs, sample_weight=weight[train])
    found = trainer.evaluate(x[test], target[test])
    print("test: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    return found["f1"]


if __name__ == "__main__":
    main()
