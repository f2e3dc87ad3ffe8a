"""Ready-made networks."""

from .lenet import lenet5, simple_cnn
from .mlp import mlp
from .mobilenet import MobileNetV2, mobilenet_v2
from .resnet import ResNet, resnet18, resnet20, resnet32, resnet34, resnet44, resnet56
from .unet import UNet, unet
from .vgg import vgg, vgg11, vgg13, vgg16

__all__ = [
    "MobileNetV2", "ResNet", "UNet", "lenet5", "mlp", "mobilenet_v2", "resnet18", "resnet20", "resnet32",
    "resnet34", "resnet44", "resnet56", "simple_cnn", "unet", "vgg", "vgg11", "vgg13", "vgg16",
]  # fmt: skip
