"""fastnn: a compiled step, replayed many at a time in C or called one at a time from Python; Trainer.fit."""

from __future__ import annotations

from dataclasses import replace

import fastnn
from fastnn import losses, nn, optimizers


def build(net, weights):
    """The module with these weights."""
    layers = []
    for i, (w, b) in enumerate(weights):
        linear = nn.Linear(w.shape[1], w.shape[0])
        linear.load_state_dict({"weight": w, "bias": b})
        layers.append(linear)
        if i < len(weights) - 1:
            layers.append({"relu": nn.ReLU, "gelu": nn.GELU}[net.activation]())
            if net.dropout:
                layers.append(nn.Dropout(net.dropout))
    return nn.Sequential(*layers)


def rule(net, model):
    """Its optimizer."""
    params = model.parameters()
    if net.rule == "sgd":
        return optimizers.SGD(params, lr=net.lr, momentum=0.9)
    if net.rule == "adam":
        return optimizers.Adam(params, lr=net.lr)
    return optimizers.AdamW(params, lr=net.lr, weight_decay=0.01)


class Fastnn:
    """Steps replayed in C, as Trainer.fit does it."""

    version = fastnn.__version__

    def __init__(self, threads):
        fastnn.set_num_threads(threads)

    def compiled(self, net, weights):
        model = build(net, weights)
        optimizer = rule(net, model)
        loss_of = getattr(losses, net.loss)

        @fastnn.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def losses(self, net, weights, x, y, n):
        step = self.compiled(replace(net, dropout=0.0), weights)
        x, y = fastnn.as_tensor(x), fastnn.as_tensor(y)
        return [step(x, y).item() for _ in range(n)]

    def step(self, net, weights, x, y):
        step = self.compiled(net, weights)
        step(fastnn.as_tensor(x), fastnn.as_tensor(y))
        steps = max(1, min(1000, 2_000_000 // x.size))
        return lambda: step.latest.run_many(steps), steps

    def epoch(self, net, weights, x, y, batch):
        model = build(net, weights)
        trainer = fastnn.Trainer(model, optimizer=rule(net, model), loss=net.loss)
        x, y = fastnn.as_tensor(x), fastnn.as_tensor(y)
        return lambda: trainer.fit(x, y, epochs=1, batch_size=batch, verbose=0), 1

    def inference(self, net, weights, x):
        model = fastnn.compile(build(net, weights).eval())
        x = fastnn.as_tensor(x)

        def run():
            return model(x)

        with fastnn.no_grad():
            run()
        return run, 1

    def gemm(self, a, b):
        a, b = fastnn.as_tensor(a), fastnn.as_tensor(b)
        return lambda: a @ b, 1


class FastnnCalls(Fastnn):
    """The same step called from a Python loop."""

    inference = epoch = gemm = None  # as above

    def step(self, net, weights, x, y):
        step = self.compiled(net, weights)
        x, y = fastnn.as_tensor(x), fastnn.as_tensor(y)
        return lambda: step(x, y), 1
