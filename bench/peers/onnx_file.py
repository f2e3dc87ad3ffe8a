"""A network as an ONNX file, for those who only run them."""

from __future__ import annotations

import onnx
from networks import (
    Activation,
    Conv,
    Flatten,
    GlobalMean,
    Linear,
    MaxPool,
    Norm,
    Residual,
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

    def layer(self, layer, weights, name):
        match layer:
            case Linear():
                return self.node("Gemm", [name, *map(self.constant, next(weights))], transB=1)
            case Conv():
                inputs = [name, *map(self.constant, next(weights))]
                sides = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
                sides["dilations"] = [layer.dilation] * 2
                return self.node("Conv", inputs, group=layer.groups, **sides)
            case Norm():
                return self.node("BatchNormalization", [name, *map(self.constant, next(weights))])
            case Activation("relu"):
                return self.node("Relu", [name])
            case MaxPool(n):
                return self.node("MaxPool", [name], kernel_shape=[n, n], strides=[n, n])
            case GlobalMean():
                return self.node("Flatten", [self.node("GlobalAveragePool", [name])])
            case Flatten():
                return self.node("Flatten", [name])
            case Residual(body, shortcut):
                parts = [self.through(part, weights, name) for part in (body, shortcut)]
                return self.node("Relu", [self.node("Add", parts)])
        raise NotOffered(f"no node for {layer}")


def onnx_file(net, weights, x):
    """The bytes of a file that takes an array like x, as `x`."""
    graph = Graph()
    result = graph.through(net.layers, iter(weights), "x")
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))
    end = helper.make_tensor_value_info(result, TensorProto.FLOAT, [len(x), None])
    made = helper.make_graph(graph.nodes, "net", [start], [end], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()
