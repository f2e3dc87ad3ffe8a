"""Runs of a Trainer, and what they leave behind as something to compare by bits."""

import numpy as np

import fastnn
from fastnn import Trainer, nn, optimizers

RNG = np.random.default_rng(1)
X = RNG.normal(size=(300, 6)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1).astype(np.int64)
T = (X @ RNG.normal(size=(6, 2))).astype(np.float32)


def mlp(out=3):
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, out)
    )


def bits(value):
    """Anything that a run leaves behind, as something that == compares by bits."""
    if isinstance(value, fastnn.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {k: bits(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [bits(v) for v in value]
    return np.float64(value).tobytes() if isinstance(value, float) else value


def run(compile, fit, make=mlp, data=(X, Y), seed=0, **options):
    """What is left behind by a Trainer's run."""
    fastnn.manual_seed(seed)
    model = make()
    options = {"loss": "cross_entropy", "metrics": ["accuracy"], **options}
    trainer = Trainer(model, compile=compile, **options)
    history = fit(trainer, *data)
    return trainer, bits(
        [
            model.state_dict(),
            trainer.optimizer.state_dict(),
            fastnn.random.get_state(),
            history.history,
            history.epoch,
            trainer.epochs_done,
        ]
    )


def plain(trainer, x, y, **options):
    options = {"epochs": 3, "batch_size": 32, "verbose": 0, **options}
    return trainer.fit(x, y, **options)


def nn_small():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def both(fit=plain, **options):
    """The two ways are the same to the last bit."""
    trainer, compiled = run(True, fit, **options)
    assert not trainer._learning.plain
    _, eager = run(False, fit, **options)
    assert compiled == eager


OPTIMIZERS = {
    "sgd": lambda p: optimizers.SGD(p, lr=0.1),
    "momentum": lambda p: optimizers.SGD(p, lr=0.1, momentum=0.9, nesterov=True, clip_norm=0.5),
    "adam": "adam",
    "amsgrad": lambda p: optimizers.Adam(p, amsgrad=True, clip_value=0.01),
    "adamw": lambda p: optimizers.AdamW(p, weight_decay=0.1),
    "nadam": lambda p: optimizers.NAdam(p),
    "rmsprop": lambda p: optimizers.RMSprop(p, centered=True, momentum=0.5),
    "adagrad": lambda p: optimizers.Adagrad(p, lr_decay=0.01),
    "lion": lambda p: optimizers.Lion(p),
    "groups": lambda p: optimizers.SGD(
        [{"params": q, "lr": 0.1 / (i + 1)} for i, q in enumerate(p)], lr=0.1, momentum=0.5
    ),
}
