"""OpenVINO: inference only, with the hint for latency."""

from __future__ import annotations

import openvino

from .onnx_file import onnx_file


class OpenVino:
    """A compiled model and one request, its input set once."""

    version = openvino.__version__.split("-")[0]

    def __init__(self, threads):
        self.settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def inference(self, net, weights, x):
        core = openvino.Core()
        model = core.read_model(onnx_file(net, weights, x), b"")
        request = core.compile_model(model, "CPU", self.settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        return request.infer, 1
