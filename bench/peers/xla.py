"""JAX with optax: a jitted step with donated buffers, and steps or whole epochs inside lax.scan."""

from __future__ import annotations

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp
from layers import (
    Activation,
    Conv,
    Dropout,
    Flatten,
    GlobalMean,
    Linear,
    MaxPool,
    Norm,
    Residual,
)  # fmt: skip
from networks import Net

from . import NotOffered

# The random bits of the hardware's rate, not of the cryptographer's: the faster for dropout.
jax.config.update("jax_default_prng_impl", "unsafe_rbg")


def conv(x, w, layer):
    """Channels innermost, in x (N, H, W, C) and in w (height, width, inputs, outputs)."""
    return lax.conv_general_dilated(
        x, w, (layer.stride,) * 2, [(layer.padding,) * 2] * 2, rhs_dilation=(layer.dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=layer.groups,
    )  # fmt: skip


def norm(x, weight, bias, mean, var, training):
    if training:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * (lax.rsqrt(var + 1e-5) * weight) + bias


def dropout(x, p, key):
    return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def through(layers, params, x, key):
    """The layers' result; `params` gives the weights of the next one, no key means no training."""
    for layer in layers:
        match layer:
            case Linear():
                w, b = next(params)
                x = x @ w.T + b
            case Conv(axes=2):
                w, *b = next(params)
                x = conv(x, w, layer)
                x = x + b[0] if b else x
            case Norm(axes=2):
                x = norm(x, *next(params), key is not None)
            case Activation("gelu"):
                x = jax.nn.gelu(x, approximate=False)
            case Activation("relu"):
                x = jax.nn.relu(x)
            case Dropout(p):
                if key is not None:
                    key, now = jax.random.split(key)
                    x = dropout(x, p, now)
            case MaxPool(n, stride, 0, 2) if n == stride:
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, n, n, 1), (1, n, n, 1), "VALID")
            case GlobalMean(2):
                x = x.mean((1, 2))
            case Flatten():  # in PyTorch's order, as the weights after it have it
                x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
            case Residual(body, shortcut, True):
                made = through(body, params, x, key)
                x = jax.nn.relu(made + through(shortcut, params, x, key))
            case _:
                raise NotOffered(f"{layer} is not told to JAX")
    return x


def innermost(x):
    """Images with their channels innermost."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x


class Jax:
    """A call a step."""

    version = jax.__version__

    def __init__(self, threads):
        """XLA takes as many threads as its environment tells, or as there are cores."""

    def network(self, net, params, x, key=None):
        return through(net.layers, iter(params), x, key)

    def update(self, net):
        """(carry, x, y) -> (carry, loss), where carry is parameters, the rule's state and a key."""
        rules = {
            "sgd": lambda: optax.sgd(net.lr, 0.9),
            "adam": lambda: optax.adam(net.lr),
            "adamw": lambda: optax.adamw(net.lr, weight_decay=0.01),
        }
        rule = rules[net.rule]()

        def loss_of(params, x, y, key):
            out = self.network(net, params, x, key)
            if net.loss == "mse":
                return ((out - y) ** 2).mean()
            return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

        def update(carry, x, y):
            params, state, key = carry
            key, now = jax.random.split(key)
            loss, grads = jax.value_and_grad(loss_of)(params, x, y, now)
            updates, state = rule.update(grads, state, params)
            return (optax.apply_updates(params, updates), state, key), loss

        return rule, update

    def start(self, net, weights):
        rule, update = self.update(net)
        params = self.params(weights)
        return (params, rule.init(params), jax.random.key(0)), update

    def params(self, weights):
        turned = [
            tuple(a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for a in some) for some in weights
        ]
        return jax.device_put(turned)

    def put(self, x, y):
        return jax.device_put((innermost(x), y if y.dtype.kind == "f" else y.astype("int32")))

    def trainer(self, net, weights):
        carry, update = self.start(net, weights)
        held = [carry]
        compiled = jax.jit(update, donate_argnums=0)

        def step(x, y):
            held[0], loss = compiled(held[0], x, y)
            return loss

        return step

    def losses(self, net, weights, x, y, n):
        step = self.trainer(net.without_dropout(), weights)
        x, y = self.put(x, y)
        return [float(step(x, y)) for _ in range(n)]

    def step(self, net, weights, x, y):
        step = self.trainer(net, weights)
        x, y = self.put(x, y)
        return lambda: step(x, y).block_until_ready(), 1

    def epoch(self, net, weights, x, y, batch):
        step = self.trainer(net, weights)
        x, y = self.put(x, y)
        take = jax.jit(lambda x, y, index: (x[index], y[index]))
        rng = np.random.default_rng(0)

        def run():
            order = rng.permutation(len(x))
            for at in range(0, len(order), batch):
                loss = step(*take(x, y, order[at : at + batch]))
            return loss.block_until_ready()

        return run, 1

    def inference(self, net, weights, x):
        run = jax.jit(lambda params, x: self.network(net, params, x))
        params, x = self.params(weights), jax.device_put(innermost(x))
        return lambda: run(params, x).block_until_ready(), 1

    def gemm(self, a, b):
        a, b = jax.device_put((a, b))
        product = jax.jit(lambda a, b: a @ b)
        return lambda: product(a, b).block_until_ready(), 1

    def conv(self, net, weights, direction, x, dy):
        (layer,), ((w, *_),) = net.layers, self.params(weights)
        x, dy = jax.device_put((innermost(x), innermost(dy)))

        def work(x, w, dy):
            if direction == "forward":
                return conv(x, w, layer)
            if direction == "data gradient":
                return jax.vjp(lambda x: conv(x, w, layer), x)[1](dy)
            return jax.vjp(lambda w: conv(x, w, layer), w)[1](dy)

        run = jax.jit(work)
        return lambda: jax.block_until_ready(run(x, w, dy)), 1


class JaxScan(Jax):
    """Many steps, or an epoch, in one call; not of convolutions, 5 to 50 times slower in XLA's loops."""

    nets = (Net,)
    inference = gemm = conv = None  # as above

    def step(self, net, weights, x, y):
        carry, update = self.start(net, weights)
        held = [carry]
        steps = max(1, min(1000, 2_000_000 // x.size))
        x, y = self.put(x, y)

        @jax.jit(donate_argnums=0)
        def many(carry, x, y):
            return lax.scan(lambda c, _: update(c, x, y), carry, None, length=steps)

        def run():
            held[0], losses = many(held[0], x, y)
            return losses.block_until_ready()

        return run, steps

    def epoch(self, net, weights, x, y, batch):
        carry, update = self.start(net, weights)
        held = [carry]
        whole = len(x) // batch * batch
        x, y = self.put(x, y)
        rng = np.random.default_rng(0)

        @jax.jit(donate_argnums=0)
        def all_of(carry, x, y, order):
            carry, _ = lax.scan(
                lambda c, index: update(c, x[index], y[index]),
                carry,
                order[:whole].reshape(-1, batch),
            )
            rest = order[whole:]
            return update(carry, x[rest], y[rest]) if len(rest) else (carry, 0.0)

        def run():
            held[0], loss = all_of(held[0], x, y, rng.permutation(len(x)))
            return jax.block_until_ready(loss)

        return run, 1
