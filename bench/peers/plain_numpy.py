"""numpy: the textbook's formulas over its BLAS."""

from __future__ import annotations

import numpy as np
from networks import Net

from . import NotOffered


class Numpy:
    """Layers written out."""

    nets = (Net,)
    version = np.__version__

    def __init__(self, threads):
        """The number of threads is in OPENBLAS_NUM_THREADS."""

    def trainer(self, net, weights):
        if net.activation != "relu":
            raise NotOffered("numpy has no erf")
        params = [p.copy() for pair in weights for p in pair]
        first = [np.zeros_like(p) for p in params]
        second = [np.zeros_like(p) for p in params]
        rng, depth, time = np.random.default_rng(0), len(weights), [0]

        def update(i, g):
            if net.rule == "sgd":
                first[i] *= 0.9
                first[i] += g
                params[i] -= np.float32(net.lr) * first[i]
                return
            t = time[0]
            if net.rule == "adamw":
                params[i] *= np.float32(1 - net.lr * 0.01)
            first[i] += np.float32(0.1) * (g - first[i])
            second[i] += np.float32(0.001) * (g * g - second[i])
            root = np.sqrt(second[i]) / np.float32((1 - 0.999**t) ** 0.5)
            params[i] -= np.float32(net.lr / (1 - 0.9**t)) * first[i] / (root + np.float32(1e-8))

        def output_gradient(out, y):
            if net.loss == "mse":
                d = out - y
                return (d * d).mean(), d * np.float32(2 / d.size)
            shifted = out - out.max(1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            rows = np.arange(len(y))
            d = np.exp(log_p)
            d[rows, y] -= 1
            d /= np.float32(len(y))
            return -log_p[rows, y].mean(), d

        def step(x, y):
            inputs, masks, h = [], [], x
            for i in range(depth):
                inputs.append(h)
                h = h @ params[2 * i].T
                h += params[2 * i + 1]
                if i < depth - 1:
                    np.maximum(h, 0, out=h)
                    if net.dropout:
                        mask = rng.random(h.shape, np.float32) >= np.float32(net.dropout)
                        masks.append(mask * np.float32(1 / (1 - net.dropout)))
                        h *= masks[-1]
            loss, d = output_gradient(h, y)
            time[0] += 1
            grads = {}
            for i in reversed(range(depth)):
                grads[2 * i], grads[2 * i + 1] = d.T @ inputs[i], d.sum(0)
                if i:
                    d = (d @ params[2 * i]) * (inputs[i] > 0)
                    if net.dropout:
                        d *= masks[i - 1]
            for i, g in grads.items():
                update(i, g)
            return loss

        return step

    def losses(self, net, weights, x, y, n):
        step = self.trainer(net.without_dropout(), weights)
        return [float(step(x, y)) for _ in range(n)]

    def step(self, net, weights, x, y):
        step = self.trainer(net, weights)
        return lambda: step(x, y), 1

    def epoch(self, net, weights, x, y, batch):
        step = self.trainer(net, weights)
        rng = np.random.default_rng(0)

        def run():
            order = rng.permutation(len(x))
            for at in range(0, len(x), batch):
                i = order[at : at + batch]
                step(x[i], y[i])

        return run, 1

    def inference(self, net, weights, x):
        turned = [(np.ascontiguousarray(w.T), b) for w, b in weights]

        def run():
            h = x
            for i, (w, b) in enumerate(turned):
                h = h @ w
                h += b
                if i < len(turned) - 1:
                    np.maximum(h, 0, out=h)
            return h

        return run, 1

    def gemm(self, a, b):
        out = np.empty((a.shape[0], b.shape[1]), "float32")
        return lambda: np.matmul(a, b, out=out), 1
