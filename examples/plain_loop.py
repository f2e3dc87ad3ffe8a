"""The same digits without a Trainer: a model, a loss, an optimizer and a loop of your own.

python examples/plain_loop.py
"""

import argparse

import fastnn
from fastnn import losses, nn, optimizers
from fastnn.data import Batches, datasets


def main() -> float:
    """Train and test; returns the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--limit", type=int, help="train on so many images only")
    options = parser.parse_args()

    fastnn.manual_seed(0)
    (x, y), (x_test, y_test) = datasets.digits(flatten=True)
    x, y = x[: options.limit], y[: options.limit]

    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = optimizers.Adam(model.parameters(), lr=2e-3)
    batches = Batches(x, y, batch_size=32, shuffle=True)

    for epoch in range(options.epochs):
        total = 0.0
        for images, labels in batches:
            loss = losses.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(batches):.4f}")

    model.eval()
    with fastnn.no_grad():
        guesses = model(fastnn.as_tensor(x_test)).argmax(axis=1)
    accuracy = (guesses.numpy() == y_test).mean().item()
    print(f"test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main()
