"""Fashion-MNIST with three convolutions: over 92 % test accuracy.

FASTNN_DATA=<folder with the four IDX files> python examples/fashion_cnn.py
"""

import argparse
import time

import fastnn
from fastnn import nn
from fastnn.data import augment, datasets
from fastnn.training import ScheduleLR


def main() -> float:
    """Train and test; returns the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="use so many images of each part only")
    parser.add_argument("--preview", help="save a picture of the augmentation (needs matplotlib)")
    options = parser.parse_args()

    started = time.perf_counter()
    fastnn.manual_seed(0)
    (x, y), (x_test, y_test) = (
        (a[: options.limit], b[: options.limit])
        for a, b in datasets.fashion_mnist(scale=False, channels=True)
    )
    change = augment.Compose([
        augment.RandomCrop(28, padding=1),
        augment.RandomHorizontalFlip(),
        augment.Normalize(0.2860, 0.3530),
    ])  # fmt: skip
    if options.preview:
        augment.preview(x, change, path=options.preview)

    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(1152, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = fastnn.optimizers.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    steps = options.epochs * -(-len(x) // 64)
    cycle = fastnn.schedules.OneCycleSchedule(optimizer, max_lr=3e-3, total_steps=steps)
    trainer = fastnn.Trainer(model, loss="cross_entropy", optimizer=optimizer, metrics=["accuracy"])
    trainer.fit(
        x, y, epochs=options.epochs, batch_size=64, augment=change, validation=(x_test, y_test),
        callbacks=[ScheduleLR(cycle, every="step")],
    )  # fmt: skip
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]
    print(f"test accuracy {accuracy:.2%}, all in {time.perf_counter() - started:.1f} s")
    return accuracy


if __name__ == "__main__":
    main()
