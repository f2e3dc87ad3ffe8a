"""House prices in California: regression on a table, with early stopping and a held-out part.

FASTNN_DATA=<folder with cal_housing.data> python examples/housing.py
"""

import argparse

import numpy as np

import fastnn
from fastnn import nn, regularizers
from fastnn.data import Standardizer, datasets, train_test_split
from fastnn.training import EarlyStopping


def main() -> float:
    """Train and test; returns R2 on the test rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--limit", type=int, help="use so many rows only")
    options = parser.parse_args()

    fastnn.manual_seed(0)
    x, price = datasets.california_housing()
    x, price = x[: options.limit], price[: options.limit]
    x = np.hstack([x[:, :3], np.log(x[:, 3:])])  # counts and incomes span orders of magnitude
    x_train, x_test, y_train, y_test = train_test_split(x, np.log(price)[:, None], test_size=0.2)
    features, target = Standardizer().fit(x_train), Standardizer().fit(y_train)

    model = nn.Sequential(
        nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
    )
    trainer = fastnn.Trainer(
        model,
        loss="mse",
        optimizer=fastnn.optimizers.AdamW(model.parameters(), lr=3e-3),
        regularizers=[regularizers.L2(1e-5, on="*.weight")],
        metrics=["r2"],
    )
    history = trainer.fit(
        features.transform(x_train),
        target.transform(y_train),
        epochs=options.epochs,
        batch_size=128,
        validation=0.1,
        callbacks=[EarlyStopping("val_loss", patience=8)],
    )
    print(history)

    guess = np.exp(target.inverse_transform(trainer.predict(features.transform(x_test)).numpy()))
    error = np.abs(guess - np.exp(y_test)).mean()
    r2 = trainer.evaluate(features.transform(x_test), target.transform(y_test))["r2"]
    print(f"test: R2 {r2:.3f} of the log price, mean absolute error {error:,.0f} dollars")
    return r2


if __name__ == "__main__":
    main()
