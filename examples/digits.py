"""Handwritten digits: train, test, save, reload, predict. Needs no files; runs in a few seconds.

python examples/digits.py
"""

import argparse
import os
import tempfile
import time

import numpy as np

import fastnn
from fastnn import nn
from fastnn.data import datasets
from fastnn.training import ScheduleLR


def build() -> nn.Module:
    """A network for 8x8 images; noise and dropout, in training only, keep it from learning by heart."""
    return nn.Sequential(
        nn.Flatten(), nn.GaussianNoise(0.15),
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10),
    )  # fmt: skip


def show(images: np.ndarray, captions: list[str]) -> None:
    """Print 8x8 images side by side."""
    shades = np.array(list(" .:-=+*#%@"))
    pictures = shades[np.minimum((images * 10).astype(int), 9)]
    for row in range(8):
        print("   ".join("".join(c * 2 for c in picture[row]) for picture in pictures))
    print("   ".join(f"{caption:^16}" for caption in captions))


def main() -> float:
    """Run it all; returns the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--limit", type=int, help="train on so many images only")
    parser.add_argument("--save", help="where to write the model (default: a temporary file)")
    options = parser.parse_args()

    started = time.perf_counter()
    fastnn.manual_seed(0)
    (x, y), (x_test, y_test) = datasets.digits()
    x, y = x[: options.limit], y[: options.limit]

    model = build()
    optimizer = fastnn.optimizers.AdamW(model.parameters(), lr=3e-3)
    schedule = fastnn.schedules.CosineSchedule(optimizer, options.epochs)
    trainer = fastnn.Trainer(model, loss="cross_entropy", optimizer=optimizer, metrics=["accuracy"])
    print(f"training on {len(x)} images, testing on {len(x_test)} others")
    trainer.fit(
        x, y, epochs=options.epochs, batch_size=32, validation=(x_test, y_test),
        callbacks=[ScheduleLR(schedule)],
    )  # fmt: skip
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]

    path = options.save or os.path.join(tempfile.mkdtemp(), "digits.safetensors")
    fastnn.save(path, model)
    again = build()
    again.load_state_dict(fastnn.load(path))
    scores = fastnn.Trainer(again, loss="cross_entropy").predict(x_test)
    assert (scores.numpy() == trainer.predict(x_test).numpy()).all(), "the reloaded model differs"
    print(f"saved to {path} and loaded again: the same predictions, bit for bit\n")

    guesses = scores.numpy().argmax(axis=1)
    wrong = np.flatnonzero(guesses != y_test)
    chosen = [*np.flatnonzero(guesses == y_test)[:3], *wrong[:1]]
    captions = [
        f"{guesses[i]}" if i not in wrong else f"{guesses[i]}, is {y_test[i]}" for i in chosen
    ]
    show(x_test[chosen], captions)
    print(f"\ntest accuracy {accuracy:.2%}, all in {time.perf_counter() - started:.1f} s")
    return accuracy


if __name__ == "__main__":
    main()
