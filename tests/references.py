"""Float64 references in plain numpy, for functions that numpy itself does not have.

Each is written the way a textbook has it, with no eye to speed, so that a reader can check it."""

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return np.where(
        x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x)))
    )


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x):
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x * sigmoid(x)


def mish(x):
    return x * np.tanh(softplus(x))


def hardswish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def logsumexp(x, axis=None, keepdims=False):
    if x.size == 0:
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))
    top = np.max(x, axis=axis, keepdims=True)
    y = top + np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True))
    return y if keepdims else np.squeeze(y, axis=axis if axis is not None else tuple(range(x.ndim)))


def log_softmax(x, axis=-1):
    if x.size == 0:
        return x.copy()
    return x - logsumexp(x, axis=axis, keepdims=True)


def softmax(x, axis=-1):
    return np.exp(log_softmax(x, axis))


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, weight=None, eps=1e-5):
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return y if weight is None else y * weight


def batch_norm(x, weight=None, bias=None, eps=1e-5, residual=None, high=None):
    """Over all axes but the last; with a limit also the residual and a ramp from 0 to it."""
    axes = tuple(range(x.ndim - 1))
    y = (x - x.mean(axes)) / np.sqrt(x.var(axes) + eps)
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    y = y if residual is None else y + residual
    return y if high is None else np.clip(y, 0, high)


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    """Of (N, L, C), each sample over L and each group of channels."""
    n, length, channels = x.shape
    y = x.reshape(n, length, groups, channels // groups)
    y = (y - y.mean((1, 3), keepdims=True)) / np.sqrt(y.var((1, 3), keepdims=True) + eps)
    y = y.reshape(x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def cross_entropy(x, labels, weight=None, smoothing=0.0):
    """Mean of the smoothed negative log-likelihoods, weighted by class (PyTorch's rule)."""
    classes = x.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    target = one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    total = -(log_softmax(x) * target * weight).sum()
    return total / weight[labels].sum()


def bce_with_logits(x, target, pos_weight=1.0):
    return (1 - target) * softplus(x) + pos_weight * target * softplus(-x)


def huber(x, target, delta=1.0):
    d = np.abs(x - target)
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def scatter_add_rows(rows, index, count):
    y = np.zeros((count, *rows.shape[1:]))
    np.add.at(y, index, rows)
    return y


def distance(a, b, eps=1e-6):
    return np.sqrt(((a - b + eps) ** 2).sum(-1))


def focal(x, target, gamma=2.0, alpha=0.25):
    """Lin et al. 2017, with the logistic loss, as torchvision has it."""
    p = sigmoid(x)
    hit = p * target + (1 - p) * (1 - target)
    share = alpha * target + (1 - alpha) * (1 - target)
    return share * (1 - hit) ** gamma * bce_with_logits(x, target)


def windows(n, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
    """For each window along an axis of n: its elements, and how many it has in the padded axis."""
    stride = stride or kernel
    reach = dilation * (kernel - 1) + 1
    end = n + 2 * padding
    starts = [s for s in range(0, end, stride) if s + reach <= end]
    if ceil_mode:
        starts = [s for s in range(0, n + padding, stride) if s + reach < end + stride]
    if not starts:
        raise ValueError("no window fits")
    found = []
    for start in starts:
        taps = [start - padding + k * dilation for k in range(kernel)]
        found.append(([t for t in taps if 0 <= t < n], sum(t < n + padding for t in taps)))
    return found


def even_windows(n, count):
    """Windows that cover n elements evenly, as PyTorch's adaptive pooling has them."""
    ranges = [range(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
    return [(list(r), len(r)) for r in ranges]


def max_pool(x, rows, columns):
    if x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError("no pixels")
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for i, (r, _) in enumerate(rows):
        for j, (c, _) in enumerate(columns):
            y[:, :, i, j] = x[:, :, r][:, :, :, c].max((2, 3))
    return y


def avg_pool(x, rows, columns, count_include_pad=True):
    if x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError("no pixels")
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for i, (r, high) in enumerate(rows):
        for j, (c, wide) in enumerate(columns):
            count = high * wide if count_include_pad else len(r) * len(c)
            y[:, :, i, j] = x[:, :, r][:, :, :, c].sum((2, 3)) / count
    return y
