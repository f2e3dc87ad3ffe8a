"""fastnn: a compiled step, replayed many at a time in C or called one at a time from Python; Trainer.fit."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import losses, nn, optimizers

from .modules import sequential


def build(net, weights):
    """The module with these weights."""
    return sequential(nn, net.layers, weights, lambda array: array, fastnn.concat)


def rule(net, model):
    """Its optimizer."""
    params = model.parameters()
    if net.rule == "sgd":
        return optimizers.SGD(params, lr=net.lr, momentum=0.9)
    if net.rule == "adam":
        return optimizers.Adam(params, lr=net.lr)
    return optimizers.AdamW(params, lr=net.lr, weight_decay=0.01)


def tensor(x):
    """An array as a tensor; of images the channels are innermost in memory."""
    if x.ndim == 4:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return fastnn.as_tensor(x)


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
        step = self.compiled(net.without_dropout(), weights)
        x, y = tensor(x), tensor(y)
        return [step(x, y).item() for _ in range(n)]

    def step(self, net, weights, x, y):
        step = self.compiled(net, weights)
        step(tensor(x), tensor(y))
        steps = max(1, min(1000, 2_000_000 // x.size))
        return lambda: step.latest.run_many(steps), steps

    def epoch(self, net, weights, x, y, batch):
        model = build(net, weights)
        trainer = fastnn.Trainer(model, optimizer=rule(net, model), loss=net.loss)
        x, y = tensor(x), tensor(y)
        return lambda: trainer.fit(x, y, epochs=1, batch_size=batch, verbose=0), 1

    def inference(self, net, weights, x):
        model = fastnn.compile(build(net, weights).eval())
        x = tensor(x)

        def run():
            return model(x)

        with fastnn.no_grad():
            run()
        return run, 1

    def gemm(self, a, b):
        a, b = tensor(a), tensor(b)
        return lambda: a @ b, 1

    def conv(self, net, weights, direction, x, dy):
        model = build(net, weights)
        x, dy = tensor(x), tensor(dy)
        if direction == "forward":

            @fastnn.no_grad()
            def work(x, dy):
                return model(x)
        else:
            x.requires_grad = direction == "data gradient"

            def work(x, dy):  # nobody reads the forward pass: it is not in the program
                return fastnn.autograd.grad(model(x), x if x.requires_grad else model[0].weight, dy)

        run = fastnn.compile(work)
        return lambda: run(x, dy), 1


class FastnnCalls(Fastnn):
    """The same step called from a Python loop."""

    inference = epoch = gemm = conv = None  # as above

    def step(self, net, weights, x, y):
        step = self.compiled(net, weights)
        x, y = tensor(x), tensor(y)
        return lambda: step(x, y), 1
