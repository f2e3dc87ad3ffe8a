"""onnxruntime: inference only. The fastest number of threads is taken, as its guide advises."""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def onnx_file(net, weights, rows):
    """The network as a model of Gemm and Relu nodes."""
    nodes, constants, name = [], [], "x"
    for i, (w, b) in enumerate(weights):
        constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"h{i}"], transB=1))
        name = f"h{i}"
        if i < len(weights) - 1:
            nodes.append(helper.make_node("Relu", [name], [f"r{i}"]))
            name = f"r{i}"
    ends = [
        helper.make_tensor_value_info(label, TensorProto.FLOAT, [rows, width])
        for label, width in (("x", net.sizes[0]), (name, net.sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class OnnxRuntime:
    """A session; its input and output bound once."""

    version = onnxruntime.__version__

    def __init__(self, threads):
        self.threads = threads

    def session(self, file, x, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        bound = session.io_binding()
        bound.bind_cpu_input("x", x)
        bound.bind_output(session.get_outputs()[0].name, "cpu")
        return lambda: session.run_with_iobinding(bound)

    def inference(self, net, weights, x):
        file = onnx_file(net, weights, len(x))
        runs = [self.session(file, x, n) for n in range(1, self.threads + 1)]
        return min(runs, key=median_time), 1


def median_time(run):
    """Of a hundred calls."""
    times = []
    for _ in range(100):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return np.median(times)
