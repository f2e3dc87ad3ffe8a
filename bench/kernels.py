"""Times every row of tests/cases.py: the forward call, and forward with backward where there is
a gradient.

    make bench                                             all
    python -m pytest bench/kernels.py -k "gelu or matmul"  some

Sizes are each row's `large`; the table at the end has GFLOP/s for rows that count their flops
and GB/s, of inputs and outputs once each, for the others.
"""

import pytest

import fastnn
from cases import CASES

forward = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
backward = pytest.mark.parametrize("case", [c for c in CASES if c.gradient], ids=lambda c: c.name)


def prepare(case, gradient):
    arrays = case.make(case.large_dims(), "float32")
    return [fastnn.Tensor(a, requires_grad=gradient and a.dtype.kind == "f") for a in arrays]


def as_list(y):
    return list(y) if isinstance(y, (tuple, list)) else [y]


def tell(benchmark, case, inputs, outputs, times):
    """What a run does, for the summary; times says how often the forward's work is done in all."""
    flops = case.count_flops(case.large_dims())
    moved = sum(x.nbytes for x in [*inputs, *outputs])
    benchmark.extra_info["amount"] = times * (flops or moved)
    benchmark.extra_info["unit"] = "GFLOP/s" if flops else "GB/s"


@forward
def test_forward(benchmark, case):
    inputs = prepare(case, gradient=False)
    tell(benchmark, case, inputs, as_list(case.call(*inputs)), 1)
    benchmark(case.call, *inputs)


@backward
def test_forward_and_backward(benchmark, case):
    inputs = prepare(case, gradient=True)
    outputs = as_list(case.call(*inputs))
    dys = [fastnn.ones_like(y) for y in outputs]
    wanted = [x for x in inputs if x.requires_grad]
    times = 3 if case.flops else 2  # a product has two gradients that cost as much as itself
    tell(benchmark, case, inputs, outputs, times)

    def run():
        fastnn.grad(as_list(case.call(*inputs)), wanted, dys, allow_unused=True)

    benchmark(run)
