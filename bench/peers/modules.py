"""Networks built of modules with PyTorch's names, which fastnn has too."""

from __future__ import annotations

from networks import (
    Activation,
    Conv,
    Dropout,
    Flatten,
    GlobalMean,
    Linear,
    MaxPool,
    Norm,
    Residual,
)  # fmt: skip

NAMES = ("weight", "bias", "running_mean", "running_var")


def sequential(nn, layers, weights, array):
    """A Sequential of nn's modules; `array` makes what load_state_dict takes of numpy's arrays."""

    class Sum(nn.Module):
        """ReLU of the sum of a body and a shortcut."""

        def __init__(self, body, shortcut):
            super().__init__()
            self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

        def forward(self, x):
            return self.relu(self.body(x) + self.shortcut(x))

    rest = iter(weights)

    def made(layers):
        return nn.Sequential(*map(one, layers))

    def loaded(module):
        state = {k: array(v) for k, v in zip(NAMES, next(rest), strict=False)}
        module.load_state_dict(module.state_dict() | state)
        return module

    def one(layer):
        match layer:
            case Linear(n, m):
                return loaded(nn.Linear(n, m))
            case Conv(n, m, size, stride, padding, groups, bias, dilation):
                return loaded(nn.Conv2d(n, m, size, stride, padding, dilation, groups, bias))
            case Norm(n):
                return loaded(nn.BatchNorm2d(n))
            case Activation(name):
                return {"relu": nn.ReLU, "gelu": nn.GELU}[name]()
            case Dropout(p):
                return nn.Dropout(p)
            case MaxPool(size):
                return nn.MaxPool2d(size)
            case GlobalMean():
                return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            case Flatten():
                return nn.Flatten()
            case Residual(body, shortcut):
                body = made(body)  # first: its weights come first
                return Sum(body, made(shortcut) if shortcut else nn.Identity())

    return made(layers)
