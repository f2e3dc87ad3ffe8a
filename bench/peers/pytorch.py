"""PyTorch: eager with fused optimizers, and with torch.compile."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn


class Torch:
    """Eager."""

    version = torch.__version__

    def __init__(self, threads):
        torch.set_num_threads(threads)

    def made(self, function):
        return function

    def build(self, net, weights):
        layers = []
        for i, (w, b) in enumerate(weights):
            linear = nn.Linear(w.shape[1], w.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(w))
                linear.bias.copy_(torch.from_numpy(b))
            layers.append(linear)
            if i < len(weights) - 1:
                layers.append({"relu": nn.ReLU, "gelu": nn.GELU}[net.activation]())
                if net.dropout:
                    layers.append(nn.Dropout(net.dropout))
        return nn.Sequential(*layers)

    def trainer(self, net, weights):
        model = self.build(net, weights)
        params = list(model.parameters())
        if net.rule == "sgd":
            optimizer = torch.optim.SGD(params, lr=net.lr, momentum=0.9, fused=True)
        elif net.rule == "adam":
            optimizer = torch.optim.Adam(params, lr=net.lr, fused=True)
        else:
            optimizer = torch.optim.AdamW(params, lr=net.lr, weight_decay=0.01, fused=True)
        of = {"mse": nn.functional.mse_loss, "cross_entropy": nn.functional.cross_entropy}[net.loss]
        forward = self.made(lambda x, y: of(model(x), y))

        def step(x, y):
            optimizer.zero_grad()
            loss = forward(x, y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def losses(self, net, weights, x, y, n):
        step = self.trainer(replace(net, dropout=0.0), weights)
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        return [step(x, y).item() for _ in range(n)]

    def step(self, net, weights, x, y):
        step = self.trainer(net, weights)
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        return lambda: step(x, y), 1

    def epoch(self, net, weights, x, y, batch):
        step = self.trainer(net, weights)
        x, y = torch.from_numpy(x), torch.from_numpy(y)

        def run():
            for index in torch.randperm(len(x)).split(batch):
                loss = step(x[index], y[index])
            return loss

        return run, 1

    def inference(self, net, weights, x):
        model = self.made(self.build(net, weights).eval())
        x = torch.from_numpy(x)

        def run():
            with torch.inference_mode():
                return model(x)

        return run, 1

    def gemm(self, a, b):
        a, b = torch.from_numpy(a), torch.from_numpy(b)
        out = torch.empty(a.shape[0], b.shape[1])
        return lambda: torch.mm(a, b, out=out), 1


class TorchCompile(Torch):
    """With the forward and backward passes compiled; a product is no other than eager's."""

    gemm = None

    def made(self, function):
        return torch.compile(function)
