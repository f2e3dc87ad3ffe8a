"""One network in several libraries: what compare.py times, each the way that library's own guide
writes it.

A library gives four things, each a function of no arguments that does its work once and waits
for it: `gemm`, `forward`, `step` (a training step, returning the loss before it) and `epoch`.
All start from the same weights, a list of (weight (out, in), bias (out,)) pairs of float32
arrays.
"""

import itertools
import os

import numpy as np

LAYERS = (784, 512, 512, 10)
BATCH = 128
LR = {"sgd": 0.05, "adam": 1e-3}
MOMENTUM = 0.9


def make_weights(seed=0):
    """He-uniform weights, the same for every library."""
    rng = np.random.default_rng(seed)
    pairs = []
    for n, m in itertools.pairwise(LAYERS):
        bound = (6 / n) ** 0.5
        pairs.append((rng.uniform(-bound, bound, (m, n)).astype("float32"), np.zeros(m, "float32")))
    return pairs


def batches(n, seed=0):
    """The shuffled index batches of one epoch."""
    order = np.random.default_rng(seed).permutation(n)
    return [order[i : i + BATCH] for i in range(0, n - BATCH + 1, BATCH)]


class Fastnn:
    def __init__(self, threads):
        import fastnn

        fastnn.set_num_threads(threads)
        self.f = fastnn
        self.version = fastnn.__version__

    def gemm(self, a, b):
        x, y = self.f.as_tensor(a), self.f.as_tensor(b)

        return lambda: x @ y  # nothing here requires a gradient

    def model(self, weights):
        nn = self.f.nn
        layers = []
        for w, b in weights:
            layers += [nn.Linear(w.shape[1], w.shape[0]), nn.ReLU()]
            with self.f.no_grad():
                layers[-2].weight[...] = self.f.tensor(w)
                layers[-2].bias[...] = self.f.tensor(b)
        return nn.Sequential(*layers[:-1])

    def forward(self, weights, x):
        model, x = self.model(weights).eval(), self.f.as_tensor(x)

        def run():
            with self.f.no_grad():
                return model(x)

        return run

    def trainer(self, weights, kind):
        model = self.model(weights)
        optimizers = self.f.optimizers
        if kind == "sgd":
            optimizer = optimizers.SGD(model.parameters(), lr=LR[kind], momentum=MOMENTUM)
        else:
            optimizer = optimizers.Adam(model.parameters(), lr=LR[kind])
        cross_entropy = self.f.losses.cross_entropy

        def step(x, y):
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def step(self, weights, x, y, kind):
        step = self.trainer(weights, kind)
        x, y = self.f.as_tensor(x), self.f.as_tensor(y)
        return lambda: step(x, y)

    def epoch(self, weights, x, y, kind="sgd"):
        step = self.trainer(weights, kind)
        x, y = self.f.as_tensor(x), self.f.as_tensor(y)

        def run():
            for index in batches(len(x)):
                i = self.f.as_tensor(index)
                loss = step(x[i], y[i])
            return loss

        return run

    value = staticmethod(lambda loss: loss.item())


class Torch(Fastnn):
    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        self.t = torch
        self.version = torch.__version__

    def gemm(self, a, b):
        x, y = self.t.from_numpy(a), self.t.from_numpy(b)

        return lambda: x @ y  # nothing here requires a gradient

    def model(self, weights):
        nn = self.t.nn
        layers = []
        for w, b in weights:
            layers += [nn.Linear(w.shape[1], w.shape[0]), nn.ReLU()]
            with self.t.no_grad():
                layers[-2].weight.copy_(self.t.from_numpy(w))
                layers[-2].bias.copy_(self.t.from_numpy(b))
        return nn.Sequential(*layers[:-1])

    def forward(self, weights, x):
        model, x = self.model(weights).eval(), self.t.from_numpy(x)

        def run():
            with self.t.no_grad():
                return model(x)

        return run

    def trainer(self, weights, kind):
        model = self.model(weights)
        if kind == "sgd":
            optimizer = self.t.optim.SGD(model.parameters(), lr=LR[kind], momentum=MOMENTUM)
        else:
            optimizer = self.t.optim.Adam(model.parameters(), lr=LR[kind])
        cross_entropy = self.t.nn.functional.cross_entropy

        def step(x, y):
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def step(self, weights, x, y, kind):
        step = self.trainer(weights, kind)
        x, y = self.t.from_numpy(x), self.t.from_numpy(y)
        return lambda: step(x, y)

    def epoch(self, weights, x, y, kind="sgd"):
        step = self.trainer(weights, kind)
        x, y = self.t.from_numpy(x), self.t.from_numpy(y)

        def run():
            for index in batches(len(x)):
                i = self.t.from_numpy(index)
                loss = step(x[i], y[i])
            return loss

        return run


class Numpy:
    """The textbook's formulas over numpy's BLAS."""

    def __init__(self, threads):
        from threadpoolctl import threadpool_limits

        self.limit = threadpool_limits(threads)
        self.version = np.__version__

    def gemm(self, a, b):
        return lambda: a @ b

    def forward(self, weights, x):
        def run():
            h = x
            for i, (w, b) in enumerate(weights):
                h = h @ w.T + b
                if i < len(weights) - 1:
                    h = np.maximum(h, 0)
            return h

        return run

    def trainer(self, weights, kind):
        params = [p.copy() for pair in weights for p in pair]
        first = [np.zeros_like(p) for p in params]
        second = [np.zeros_like(p) for p in params]
        state = {"t": 0}

        def update(i, g):
            if kind == "sgd":
                first[i] = MOMENTUM * first[i] + g
                params[i] -= np.float32(LR[kind]) * first[i]
                return
            t = state["t"]
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g * g
            rate = LR[kind] / (1 - 0.9**t)
            params[i] -= np.float32(rate) * first[i] / (np.sqrt(second[i] / (1 - 0.999**t)) + 1e-8)

        def step(x, y):
            inputs, h = [], x
            depth = len(params) // 2
            for i in range(depth):
                inputs.append(h)
                h = h @ params[2 * i].T + params[2 * i + 1]
                if i < depth - 1:
                    h = np.maximum(h, 0)
            shifted = h - h.max(1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            rows = np.arange(len(y))
            loss = -log_p[rows, y].mean()
            d = np.exp(log_p)
            d[rows, y] -= 1
            d /= np.float32(len(y))
            state["t"] += 1
            grads = {}
            for i in reversed(range(depth)):
                grads[2 * i], grads[2 * i + 1] = d.T @ inputs[i], d.sum(0)
                if i:
                    d = (d @ params[2 * i]) * (inputs[i] > 0)
            for i, g in grads.items():
                update(i, g)
            return loss

        return step

    def step(self, weights, x, y, kind):
        step = self.trainer(weights, kind)
        return lambda: step(x, y)

    def epoch(self, weights, x, y, kind="sgd"):
        step = self.trainer(weights, kind)

        def run():
            for i in batches(len(x)):
                loss = step(x[i], y[i])
            return loss

        return run

    value = staticmethod(float)


class Jax:
    """jit-compiled steps; optimizers as optax writes them."""

    def __init__(self, threads):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        if threads == 1:
            os.environ["XLA_FLAGS"] = (
                "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            )
        import jax
        import optax

        self.jax, self.optax = jax, optax
        self.version = jax.__version__

    def gemm(self, a, b):
        product = self.jax.jit(lambda x, y: x @ y)
        x, y = self.jax.device_put(a), self.jax.device_put(b)
        return lambda: product(x, y).block_until_ready()

    def network(self, params, x):
        for i, (w, b) in enumerate(params):
            x = x @ w.T + b
            if i < len(params) - 1:
                x = self.jax.nn.relu(x)
        return x

    def forward(self, weights, x):
        run = self.jax.jit(self.network)
        params, x = self.jax.device_put((weights, x))
        return lambda: run(params, x).block_until_ready()

    def trainer(self, weights, kind):
        rule = self.optax.sgd(LR[kind], MOMENTUM) if kind == "sgd" else self.optax.adam(LR[kind])
        params = self.jax.device_put(weights)
        state = {"params": params, "rule": rule.init(params)}

        def loss_of(params, x, y):
            rows = self.optax.softmax_cross_entropy_with_integer_labels(self.network(params, x), y)
            return rows.mean()

        def update(params, rule_state, x, y):
            loss, grads = self.jax.value_and_grad(loss_of)(params, x, y)
            updates, rule_state = rule.update(grads, rule_state, params)
            return self.optax.apply_updates(params, updates), rule_state, loss

        compiled = self.jax.jit(update, donate_argnums=(0, 1))

        def step(x, y):
            state["params"], state["rule"], loss = compiled(state["params"], state["rule"], x, y)
            return loss

        return step

    def step(self, weights, x, y, kind):
        step = self.trainer(weights, kind)
        x, y = self.jax.device_put((x, y.astype("int32")))
        return lambda: step(x, y).block_until_ready()

    def epoch(self, weights, x, y, kind="sgd"):
        step = self.trainer(weights, kind)
        y = y.astype("int32")

        def run():
            for i in batches(len(x)):
                loss = step(x[i], y[i])
            return loss.block_until_ready()

        return run

    value = staticmethod(float)


class Sklearn:
    """MLPClassifier.partial_fit, which does one step a call on one batch."""

    def __init__(self, threads):
        import sklearn
        from threadpoolctl import threadpool_limits

        self.version = sklearn.__version__
        import sklearn.neural_network

        self.kind_of = sklearn.neural_network.MLPClassifier
        self.limit = threadpool_limits(threads)

    def classifier(self, weights, kind):
        made = self.kind_of(
            LAYERS[1:-1],
            solver=kind,
            learning_rate_init=LR[kind],
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            alpha=0.0,
            batch_size=BATCH,
            shuffle=False,
        )
        zeros = np.zeros((BATCH, LAYERS[0]), "float32")
        made.partial_fit(zeros, np.arange(BATCH) % LAYERS[-1], classes=np.arange(LAYERS[-1]))
        for i, (w, b) in enumerate(weights):
            made.coefs_[i][...] = w.T
            made.intercepts_[i][...] = b
        del made._optimizer  # it has momentum of the step on zeros
        made.t_ = 0
        return made

    def forward(self, weights, x):
        made = self.classifier(weights, "sgd")
        return lambda: made.predict_proba(x)

    def step(self, weights, x, y, kind):
        made = self.classifier(weights, kind)

        def run():
            made.partial_fit(x, y)
            return made.loss_

        return run

    def epoch(self, weights, x, y, kind="sgd"):
        made = self.classifier(weights, kind)

        def run():
            order = np.random.default_rng(0).permutation(len(x))
            made.partial_fit(x[order], y[order])
            return made.loss_

        return run

    value = staticmethod(float)


LIBRARIES = {"fastnn": Fastnn, "torch": Torch, "jax": Jax, "numpy": Numpy, "scikit-learn": Sklearn}
