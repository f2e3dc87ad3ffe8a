"""Layers: `Module`, its parts, and what is made of it. Names, defaults and states are PyTorch's."""

from .activation import (
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    activation,
)
from .batch_norm import BatchNorm1d, BatchNorm2d
from .container import Identity, Lambda, ModuleDict, ModuleList, Residual, Sequential
from .conv import Conv1d, Conv2d, SeparableConv2d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d
from .dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, GaussianNoise
from .embedding import Embedding
from .excite import SqueezeExcite
from .group_norm import GroupNorm, InstanceNorm1d, InstanceNorm2d
from .hooks import HookHandle
from .linear import Linear
from .module import Module
from .norm import LayerNorm, RMSNorm
from .padding import (
    CircularPad1d,
    CircularPad2d,
    ConstantPad1d,
    ConstantPad2d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReplicationPad1d,
    ReplicationPad2d,
    ZeroPad1d,
    ZeroPad2d,
)
from .parameter import Parameter
from .pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    MaxPool1d,
    MaxPool2d,
)
from .resize import PixelShuffle, PixelUnshuffle, Upsample
from .shape import Flatten, Unflatten
from .state import LoadResult
from .summary import Summary

__all__ = [
    "ELU", "GELU", "SELU", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d", "AlphaDropout", "AvgPool1d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d",
    "CircularPad1d", "CircularPad2d", "ConstantPad1d", "ConstantPad2d", "Conv1d", "Conv2d",
    "ConvTranspose1d", "ConvTranspose2d", "Dropout", "Dropout1d", "Dropout2d", "Embedding",
    "Flatten", "GaussianNoise", "GlobalAvgPool1d", "GlobalAvgPool2d", "GlobalMaxPool1d",
    "GlobalMaxPool2d", "GroupNorm", "Hardsigmoid", "Hardswish", "Hardtanh", "HookHandle",
    "Identity", "InstanceNorm1d", "InstanceNorm2d", "Lambda", "LayerNorm", "LeakyReLU", "Linear",
    "LoadResult", "LogSoftmax", "MaxPool1d", "MaxPool2d", "Mish", "Module", "ModuleDict",
    "ModuleList", "Parameter", "PixelShuffle", "PixelUnshuffle", "RMSNorm", "ReLU", "ReLU6",
    "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d", "ReplicationPad2d", "Residual",
    "SeparableConv2d", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "SqueezeExcite",
    "Summary", "Tanh", "Unflatten", "Upsample", "ZeroPad1d", "ZeroPad2d", "activation",
]  # fmt: skip
