"""The table of a model's layers."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.units import parse_size, quantity, size


def test_a_table():
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    summary = net.summary((2, 28, 28))
    assert summary.parameters == 784 * 512 + 512 + 512 * 10 + 10
    assert summary.trainable == summary.parameters
    assert summary.parameter_bytes == 4 * summary.parameters
    assert summary.flops == 2 * (512 * (2 * 784 + 1) + 512 + 10 * (2 * 512 + 1))
    assert [row.output_shape for row in summary.rows] == [
        (2, 10), (2, 784), (2, 512), (2, 512), (2, 10),
    ]  # fmt: skip
    assert summary.activation_bytes == 4 * 2 * (512 + 512 + 10)  # flatten is a view
    assert str(summary) == repr(summary)
    lines = str(summary).splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "flops", "memory"]
    assert lines[4].split() == [
        "1",
        "(Linear)",
        "(2,",
        "512)",
        "401,920",
        "1.61",
        "M",
        "4.0",
        "KiB",
    ]
    assert lines[-2] == "parameters  407,050 (1.6 MiB)"
    assert lines[-1] == "forward     1.63 Mflop, outputs 8.1 KiB"


def test_what_is_counted_once_and_what_is_frozen():
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, layer, nn.Linear(4, 4), nn.BatchNorm1d(4))
    net[2].weight = layer.weight
    net[2].bias.requires_grad = False
    summary = net.summary((3, 4))
    assert summary.parameters == 20 + 4 + 8
    assert summary.trainable == 28
    assert summary.buffers == 9
    assert summary.rows[1].calls == 2
    text = str(summary)
    assert "0 (Linear) x2" in text
    assert "of which 4 are frozen" in text
    assert "buffers     9 (40 B)" in text
    assert net[3].num_batches_tracked.item() == 0  # it ran in evaluation mode
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


def test_what_a_block_adds_is_its_own():
    summary = nn.Sequential(nn.Residual(nn.Linear(4, 4)), nn.Identity()).summary((3, 4))
    assert [row.output_bytes for row in summary.rows] == [0, 48, 48, 0]
    assert [row.flops for row in summary.rows] == [0, 12, 12 * 9, 0]


def test_inputs():
    net = nn.Linear(4, 2)
    assert net.summary(4).rows[0].output_shape == (1, 2)
    assert net.summary(fastnn.ones((5, 4))).rows[0].output_shape == (5, 2)
    assert net.summary(np.ones((5, 4), np.float32)).rows[0].output_shape == (5, 2)
    assert nn.Embedding(9, 3).summary((2, 4), dtype="int64").rows[0].output_shape == (2, 4, 3)

    class Two(nn.Module):
        def forward(self, a, b):
            return a + b

    assert Two().summary((fastnn.ones((2,)), fastnn.ones((2,)))).rows[0].output_shape == (2,)
    assert Two().summary(((2,), (2,))).rows[0].output_shape == (2,)
    without = net.summary()
    assert str(without).splitlines()[0].split() == ["layer", "parameters"]
    assert "forward" not in str(without)


def test_an_error_in_the_model_leaves_it_as_it_was():
    net = nn.Sequential(nn.Linear(4, 2), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="linear"):
        net.summary((1, 4))
    assert net.training
    assert not net[0]._forward_hooks


def test_numbers():
    assert [quantity(n) for n in (0, 999, 1000, 999_600, 1_572_864, 2e12)] == [
        "0 ", "999 ", "1 k", "1 M", "1.57 M", "2 T",
    ]  # fmt: skip
    assert [size(n) for n in (0, 1023, 1536, 2.5 * 2**20, 2**30)] == [
        "0 B", "1023 B", "1.5 KiB", "2.5 MiB", "1.0 GiB",
    ]  # fmt: skip


def test_sizes_are_read():
    texts = ["1000", "512 MB", "0.5GiB", "2 kib", " .5 kB "]
    assert [parse_size("x", t) for t in texts] == [1000, 512_000_000, 2**29, 2048, 500]
    assert parse_size("x", 7.0) == 7
    for bad, error in [
        ("many", ValueError),
        ("5 XB", ValueError),
        (-1, ValueError),
        (None, TypeError),
    ]:
        with pytest.raises(error, match="x"):
            parse_size("x", bad)
