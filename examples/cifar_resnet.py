"""ResNet-20 on 6,000 photos of CIFAR-10: what closes the gap between training and test accuracy.

The same network by itself, and with early stopping, dropout, weight decay and augmentation: how much of what
it learns of the photos that it sees holds for others. Prints a table; --plot draws it.

FASTNN_DATA=<folder with cifar10_subset.npz> python examples/cifar_resnet.py --plot gap.png
"""

import argparse
import time

import fastnn
from fastnn import models, nn
from fastnn.data import augment, datasets, train_test_split
from fastnn.training import EarlyStopping, ScheduleLR

NORMAL = augment.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CHANGE = augment.Compose(
    [augment.RandomCrop(32, padding=4), augment.RandomHorizontalFlip(), NORMAL]
)

RUNS = {
    "nothing": {},
    "early stopping": {"patience": 4},
    "dropout": {"dropout": 0.5},
    "weight decay": {"weight_decay": 2e-3},
    "augmentation": {"change": CHANGE},
    "augmentation and weight decay": {"change": CHANGE, "weight_decay": 5e-4},
}


def train(data, held, test, epochs, *, patience=None, dropout=0.0, weight_decay=0.0, change=NORMAL):
    """One run: its history, and the accuracies on the training and the test images at its end.

    The learning rate goes up and down once over all epochs. A run that may stop at any of them cannot
    count on its end: its rate stays what it is.
    """
    fastnn.manual_seed(0)
    model = models.resnet20()
    if dropout:
        model.fc = nn.Sequential(nn.Dropout(dropout), model.fc)
    optimizer = fastnn.optimizers.SGD(
        model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=weight_decay
    )
    if patience:
        callback = EarlyStopping("val_loss", patience=patience)
    else:
        steps = epochs * -(-len(data[0]) // 64)
        callback = ScheduleLR(
            fastnn.schedules.OneCycleSchedule(optimizer, 0.1, steps, cycle_momentum=False),
            every="step",
        )
    trainer = fastnn.Trainer(model, loss="cross_entropy", optimizer=optimizer, metrics=["accuracy"])
    history = trainer.fit(
        *data, epochs=epochs, batch_size=64, augment=change, validation=held, callbacks=[callback]
    )
    return history, *(trainer.evaluate(*part)["accuracy"] for part in (data, test))


def draw(results, path):
    """Accuracies at the end of each run, and while it went on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    ends, curves = figure.subplots(1, 2)
    for i, (name, (history, seen, new)) in enumerate(results.items()):
        ends.plot([new, seen], [-i, -i], color=f"C{i}", lw=7, solid_capstyle="butt")
        ends.text(max(seen, new) + 0.005, -i, f"{seen - new:.0%}", va="center")
        curves.plot(history["val_accuracy"], color=f"C{i}", label=name)
        curves.plot(history["accuracy"], color=f"C{i}", ls=":")
    ends.set(title="from test to training accuracy: the gap")
    ends.margins(x=0.15)
    ends.set_yticks([-i for i in range(len(results))], list(results))
    curves.set(title="held-out (line) and training (dots) accuracy", xlabel="epoch")
    curves.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main():
    """Train all; returns for each run its history, training and test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--limit", type=int, help="use so many images of each part only")
    parser.add_argument("--only", help="one of the runs, by its name")
    parser.add_argument("--plot", help="save a picture of the gaps (needs matplotlib)")
    options = parser.parse_args()

    (x, y), (x_test, y_test) = (
        (a[: options.limit], b[: options.limit])
        for a, b in datasets.cifar10(scale=False, subset=True)
    )
    x, x_held, y, y_held = train_test_split(x, y, test_size=0.1, stratify=y)
    results = {}
    for name in [options.only] if options.only else RUNS:
        started = time.perf_counter()
        print(f"--- {name}")
        results[name] = train(
            (x, y), (x_held, y_held), (x_test, y_test), options.epochs, **RUNS[name]
        )
        print(f"{len(results[name][0])} epochs, {time.perf_counter() - started:.0f} s")
    print(f"\n{'with':32} {'training':>9} {'test':>7} {'gap':>7}")
    for name, (_, seen, new) in results.items():
        print(f"{name:32} {seen:9.1%} {new:7.1%} {seen - new:7.1%}")
    if options.plot:
        draw(results, options.plot)
    return results


if __name__ == "__main__":
    main()
