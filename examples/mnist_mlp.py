"""MNIST with a plain network, 784-512-512-10: over 98 % test accuracy within 10 epochs.

FASTNN_DATA=<folder with the four IDX files> python examples/mnist_mlp.py
"""

import argparse
import time

import fastnn
from fastnn import nn
from fastnn.data import datasets
from fastnn.training import ScheduleLR


def main() -> float:
    """Train and test; returns the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="use so many images of each part only")
    parser.add_argument("--fashion", action="store_true", help="clothes instead of digits")
    options = parser.parse_args()

    started = time.perf_counter()
    fastnn.manual_seed(0)
    read = datasets.fashion_mnist if options.fashion else datasets.mnist
    (x, y), (x_test, y_test) = (
        (a[: options.limit], b[: options.limit]) for a, b in read(flatten=True)
    )

    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = fastnn.optimizers.Adam(model.parameters(), lr=1e-3)
    steps = options.epochs * -(-len(x) // 128)
    decay = fastnn.schedules.CosineSchedule(optimizer, steps)
    trainer = fastnn.Trainer(model, loss="cross_entropy", optimizer=optimizer, metrics=["accuracy"])
    trainer.fit(
        x, y, epochs=options.epochs, batch_size=128, validation=(x_test, y_test),
        callbacks=[ScheduleLR(decay, every="step")],
    )  # fmt: skip
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]
    print(f"test accuracy {accuracy:.2%}, all in {time.perf_counter() - started:.1f} s")
    return accuracy


if __name__ == "__main__":
    main()
