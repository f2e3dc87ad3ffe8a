"""PyTorch twins of the networks in fastnn.models, with torchvision's names where it has them."""

from itertools import pairwise

import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + identity)


class ResNet(nn.Module):
    def __init__(self, blocks, widths, classes, large):
        super().__init__()
        before = widths[0]
        if large:
            self.conv1 = nn.Conv2d(3, before, 7, 2, 3, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, before, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.stages = []
        for i, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            layers = []
            for j in range(count):
                layers.append(BasicBlock(before, width, 2 if i > 0 and j == 0 else 1))
                before = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*layers))
            self.stages.append(f"layer{i + 1}")
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


def conv_norm_relu6(before, after, kernel=3, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    def __init__(self, before, after, stride, ratio):
        super().__init__()
        hidden = round(before * ratio)
        self.use_res_connect = stride == 1 and before == after
        layers = [] if ratio == 1 else [conv_norm_relu6(before, hidden, 1)]
        layers += [
            conv_norm_relu6(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, after, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


def divisible(v, by=8):
    new = max(by, int(v + by / 2) // by * by)
    return new + by if new < 0.9 * v else new


class MobileNetV2(nn.Module):
    def __init__(self, classes=1000, width_mult=1.0):
        super().__init__()
        before, last = divisible(32 * width_mult), divisible(1280 * max(1.0, width_mult))
        features = [conv_norm_relu6(3, before, stride=2)]
        for t, c, n, s in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            after = divisible(c * width_mult)
            for i in range(n):
                features.append(InvertedResidual(before, after, s if i == 0 else 1, t))
                before = after
        features.append(conv_norm_relu6(before, last, kernel=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


def vgg_features(plan):
    layers, before = [], 3
    for v in plan:
        if v == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, v, 3, padding=1), nn.BatchNorm2d(v), nn.ReLU(True)]
            before = v
    return nn.Sequential(*layers)


def twice(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, before, after, channels):
        super().__init__()
        self.down = nn.ModuleList(
            [twice(a, b) for a, b in zip([before, *channels], channels, strict=False)]
        )
        pairs = list(pairwise(channels))
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairs])
        self.join = nn.ModuleList([twice(2 * a, a) for a, _ in pairs])
        self.head = nn.Conv2d(channels[0], after, 1)

    def forward(self, x):
        met = []
        for i, convolutions in enumerate(self.down):
            x = convolutions(x if i == 0 else nn.functional.max_pool2d(x, 2))
            met.append(x)
        for i in reversed(range(len(self.up))):
            x = self.up[i](x, output_size=met[i].shape[-2:])
            x = self.join[i](torch.cat([met[i], x], 1))
        return self.head(x)


def scramble(model):
    """Random weights and statistics, so that nothing is 0 or 1 by default."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif name.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
        elif value.ndim == 1 and value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.ndim > 1:
            fan = value[0].numel()
            value.copy_(torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5)
    return model
