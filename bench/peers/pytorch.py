"""PyTorch: eager with fused optimizers, with channels last, and with torch.compile."""

from __future__ import annotations

import torch
from networks import ImageNet, Net
from torch import nn

from .modules import sequential


class Torch:
    """Eager."""

    version = torch.__version__

    def __init__(self, threads):
        torch.set_num_threads(threads)

    def made(self, function):
        return function

    def tensor(self, x):
        return torch.from_numpy(x)

    def build(self, net, weights):
        return sequential(nn, net.layers, weights, torch.from_numpy, torch.cat)

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
        step = self.trainer(net.without_dropout(), weights)
        x, y = self.tensor(x), self.tensor(y)
        return [step(x, y).item() for _ in range(n)]

    def step(self, net, weights, x, y):
        step = self.trainer(net, weights)
        x, y = self.tensor(x), self.tensor(y)
        return lambda: step(x, y), 1

    def epoch(self, net, weights, x, y, batch):
        step = self.trainer(net, weights)
        x, y = self.tensor(x), self.tensor(y)

        def run():
            for index in torch.randperm(len(x)).split(batch):
                loss = step(x[index], y[index])
            return loss

        return run, 1

    def inference(self, net, weights, x):
        model = self.made(self.build(net, weights).eval())
        x = self.tensor(x)

        def run():
            with torch.inference_mode():
                return model(x)

        return run, 1

    def gemm(self, a, b):
        a, b = self.tensor(a), self.tensor(b)
        out = torch.empty(a.shape[0], b.shape[1])
        return lambda: torch.mm(a, b, out=out), 1

    def conv(self, net, weights, direction, x, dy):
        (layer,) = self.build(net, weights)
        x, dy = self.tensor(x), self.tensor(dy)
        if direction == "forward":

            def run():
                with torch.inference_mode():
                    return layer(x)
        else:
            mask = [direction == "data gradient", direction == "weight gradient", False]
            w = layer.weight.detach()
            more = (layer.stride, layer.padding, layer.dilation, False, [0, 0], layer.groups, mask)

            def run():
                return torch.ops.aten.convolution_backward(dy, x, w, None, *more)

        return run, 1


class TorchChannelsLast(Torch):
    """Images and the weights of convolutions with their channels innermost."""

    nets = (ImageNet,)
    gemm = epoch = None

    def tensor(self, x):
        found = torch.from_numpy(x)
        return found.to(memory_format=torch.channels_last) if x.ndim == 4 else found

    def build(self, net, weights):
        return super().build(net, weights).to(memory_format=torch.channels_last)


class TorchCompile(TorchChannelsLast):
    """With the forward and backward passes compiled; a single product or layer is no other than eager's."""

    nets = (Net, ImageNet)
    epoch = Torch.epoch
    conv = None

    def made(self, function):
        return torch.compile(function)
