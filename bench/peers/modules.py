"""Networks built of modules with PyTorch's names, which fastnn has too."""

from __future__ import annotations

from layers import (
    Activation,
    AvgPool,
    Beside,
    ChannelMeans,
    ChannelsLast,
    Conv,
    Dropout,
    Flatten,
    Gate,
    GlobalMean,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Norm,
    Residual,
    Transposed,
    Upsample,
)  # fmt: skip

NAMES = ("weight", "bias", "running_mean", "running_var")


def parts(nn, concat):
    """Modules of other modules: the sum, both side by side, the product, and with channels last."""

    class Sum(nn.Module):
        def __init__(self, body, shortcut, relu):
            super().__init__()
            self.body, self.shortcut = body, shortcut
            self.end = nn.ReLU() if relu else nn.Identity()

        def forward(self, x):
            return self.end(self.body(x) + self.shortcut(x))

    class Whole(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

    class Both(Whole):
        def forward(self, x):
            return concat([x, self.body(x)], 1)

    class Product(Whole):
        def forward(self, x):
            return x * self.body(x)

    class Turned(Whole):
        def forward(self, x):
            return self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    return Sum, {Beside: Both, Gate: Product, ChannelsLast: Turned}


def sequential(nn, layers, weights, array, concat):
    """A Sequential of nn's modules; `array` makes what load_state_dict takes of numpy's arrays."""
    total, wholes = parts(nn, concat)
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
            case Conv(n, m, size, stride, padding, groups, bias, dilation, axes):
                kind = nn.Conv1d if axes == 1 else nn.Conv2d
                return loaded(kind(n, m, size, stride, padding, dilation, groups, bias))
            case Transposed(n, m, size, stride, padding, bias):
                return loaded(nn.ConvTranspose2d(n, m, size, stride, padding, bias=bias))
            case Norm(n, axes):
                return loaded(nn.BatchNorm1d(n) if axes == 1 else nn.BatchNorm2d(n))
            case GroupNorm(groups, n):
                return loaded(nn.GroupNorm(groups, n))
            case LayerNorm(n):
                return loaded(nn.LayerNorm(n))
            case Residual(body, shortcut, relu):
                body = made(body)  # first: its weights come first
                return total(body, made(shortcut) if shortcut else nn.Identity(), relu)
            case Beside(body) | Gate(body) | ChannelsLast(body):
                return wholes[type(layer)](made(body))
        return weightless(nn, layer)

    return made(layers)


def weightless(nn, layer):
    """A layer without weights."""
    match layer:
        case Activation("leaky_relu"):
            return nn.LeakyReLU(0.2)
        case Activation(name):
            return getattr(nn, ACTIVATIONS[name])()
        case Dropout(p):
            return nn.Dropout(p)
        case MaxPool(size, stride, padding, axes):
            return (nn.MaxPool1d if axes == 1 else nn.MaxPool2d)(size, stride, padding)
        case AvgPool(size):
            return nn.AvgPool2d(size)
        case ChannelMeans():
            return nn.AdaptiveAvgPool2d(1)
        case GlobalMean(axes):
            pool = nn.AdaptiveAvgPool1d if axes == 1 else nn.AdaptiveAvgPool2d
            return nn.Sequential(pool(1), nn.Flatten())
        case Flatten():
            return nn.Flatten()
        case Upsample(scale):
            return nn.Upsample(scale_factor=scale)
    raise ValueError(f"no module for {layer}")


ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "tanh": "Tanh", "sigmoid": "Sigmoid", "silu": "SiLU", "gelu": "GELU",
}  # fmt: skip
