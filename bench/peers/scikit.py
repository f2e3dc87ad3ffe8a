"""scikit-learn: MLPClassifier.partial_fit, which does one step a call on one batch."""

from __future__ import annotations

import numpy as np
import sklearn
from networks import Net
from sklearn.neural_network import MLPClassifier

from . import NotOffered


class Sklearn:
    """For classifiers of ReLU layers trained by SGD or Adam."""

    nets = (Net,)
    version = sklearn.__version__

    def __init__(self, threads):
        """The number of threads is in OPENBLAS_NUM_THREADS and OMP_NUM_THREADS."""

    def classifier(self, net, weights, batch):
        known = net.loss == "cross_entropy" and net.rule in ("sgd", "adam") and not net.dropout
        if not known or net.activation != "relu" or net.sizes[-1] < 3:
            raise NotOffered("MLPClassifier has no such network")
        made = MLPClassifier(
            net.sizes[1:-1],
            solver=net.rule,
            learning_rate_init=net.lr,
            nesterovs_momentum=False,
            alpha=0.0,
            batch_size=batch,
            shuffle=False,
        )
        rows = max(batch, net.sizes[-1])
        zeros = np.zeros((rows, net.sizes[0]), "float32")
        labels = np.arange(net.sizes[-1])
        made.partial_fit(zeros, np.arange(rows) % len(labels), classes=labels)
        for i, (w, b) in enumerate(weights):
            made.coefs_[i][...] = w.T
            made.intercepts_[i][...] = b
        del made._optimizer  # it has momentum of the step on zeros
        made.t_ = 0
        return made

    def losses(self, net, weights, x, y, n):
        made = self.classifier(net, weights, len(x))
        return [float(made.partial_fit(x, y).loss_) for _ in range(n)]

    def step(self, net, weights, x, y):
        made = self.classifier(net, weights, len(x))
        return lambda: made.partial_fit(x, y), 1

    def epoch(self, net, weights, x, y, batch):
        made = self.classifier(net, weights, batch)
        rng = np.random.default_rng(0)

        def run():
            order = rng.permutation(len(x))
            made.partial_fit(x[order], y[order])

        return run, 1

    def inference(self, net, weights, x):
        made = self.classifier(net, weights, 1)
        return lambda: made.predict_proba(x), 1
