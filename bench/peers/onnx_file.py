"""A network as an ONNX file, for those who only run them."""

from __future__ import annotations

import numpy as np
import onnx
from layers import (
    Activation,
    AvgPool,
    Beside,
    ChannelMeans,
    ChannelsLast,
    Conv,
    Flatten,
    Gate,
    GlobalMean,
    LayerNorm,
    Linear,
    MaxPool,
    Norm,
    Residual,
    Transposed,
    Upsample,
    walk,
)  # fmt: skip
from onnx import TensorProto, helper, numpy_helper

from . import NotOffered


class Graph:
    """Nodes and constants, as they come."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def node(self, kind, inputs, **attributes):
        """A node; returns the name of its result."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def through(self, layers, weights, name):
        """The name of what the layers make of `name`; `weights` gives those of the next one."""
        for layer in layers:
            name = self.layer(layer, weights, name)
        return name

    def weighted(self, kind, name, weights, **attributes):
        return self.node(kind, [name, *map(self.constant, next(weights))], **attributes)

    def layer(self, layer, weights, name):
        match layer:
            case Linear():
                w, b = map(self.constant, (a.T if a.ndim > 1 else a for a in next(weights)))
                return self.node("Add", [self.node("MatMul", [name, w]), b])
            case Conv(axes=axes):
                sides = window(layer.stride, layer.padding, axes)
                sides["dilations"] = [layer.dilation] * axes
                return self.weighted("Conv", name, weights, group=layer.groups, **sides)
            case Transposed():
                sides = window(layer.stride, layer.padding)
                return self.weighted("ConvTranspose", name, weights, **sides)
            case Norm():
                return self.weighted("BatchNormalization", name, weights)
            case LayerNorm():
                return self.weighted("LayerNormalization", name, weights)
            case Residual(body, shortcut, relu):
                parts = [self.through(part, weights, name) for part in (body, shortcut)]
                total = self.node("Add", parts)
                return self.node("Relu", [total]) if relu else total
            case Beside(body):
                return self.node("Concat", [name, self.through(body, weights, name)], axis=1)
            case Gate(body):
                return self.node("Mul", [name, self.through(body, weights, name)])
            case ChannelsLast(body):
                turned = self.node("Transpose", [name], perm=[0, 2, 3, 1])
                made = self.through(body, weights, turned)
                return self.node("Transpose", [made], perm=[0, 3, 1, 2])
        return self.weightless(layer, name)

    def weightless(self, layer, name):
        match layer:
            case Activation("relu" | "tanh" | "sigmoid" as kind):
                return self.node(kind.title(), [name])
            case Activation("relu6"):
                ends = [self.constant(np.float32(end)) for end in (0, 6)]
                return self.node("Clip", [name, *ends])
            case Activation("leaky_relu"):
                return self.node("LeakyRelu", [name], alpha=0.2)
            case Activation("gelu"):
                return self.gelu(name)
            case MaxPool(n, stride, padding, axes):
                sides = window(stride, padding, axes)
                return self.node("MaxPool", [name], kernel_shape=[n] * axes, **sides)
            case AvgPool(n):
                return self.node("AveragePool", [name], kernel_shape=[n, n], strides=[n, n])
            case ChannelMeans():
                return self.node("GlobalAveragePool", [name])
            case GlobalMean():
                return self.node("Flatten", [self.node("GlobalAveragePool", [name])])
            case Flatten():
                return self.node("Flatten", [name])
            case Upsample(scale):
                scales = self.constant(np.array([1, 1, scale, scale], "float32"))
                modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                return self.node("Resize", [name, "", scales], mode="nearest", **modes)
        raise NotOffered(f"no node for {layer}")

    def gelu(self, name):
        """In the nodes that runtimes look for."""
        root, one, half = (self.constant(np.float32(c)) for c in (2**0.5, 1, 0.5))
        erf = self.node("Erf", [self.node("Div", [name, root])])
        return self.node("Mul", [self.node("Mul", [name, self.node("Add", [erf, one])]), half])


def window(stride, padding, axes=2):
    """The attributes of whatever slides over an image."""
    return {"strides": [stride] * axes, "pads": [padding] * 2 * axes}


def onnx_file(net, weights, x):
    """The bytes of a file that takes an array like x, as `x`."""
    graph = Graph()
    result = graph.through(net.layers, iter(weights), "x")
    shape = walk(net.layers, x.shape[1:])[1]
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))
    end = helper.make_tensor_value_info(result, TensorProto.FLOAT, [len(x), *shape])
    made = helper.make_graph(graph.nodes, "net", [start], [end], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()
