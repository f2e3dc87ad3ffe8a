"""JAX with optax: a jitted step with donated buffers, and steps or whole epochs inside lax.scan."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp

# The random bits of the hardware's rate, not of the cryptographer's: the faster for dropout.
jax.config.update("jax_default_prng_impl", "unsafe_rbg")


class Jax:
    """A call a step."""

    version = jax.__version__

    def __init__(self, threads):
        """XLA takes as many threads as its environment tells, or as there are cores."""

    def network(self, net, params, x, key=None):
        activation = {"relu": jax.nn.relu, "gelu": lambda v: jax.nn.gelu(v, approximate=False)}
        for i, (w, b) in enumerate(params):
            x = x @ w.T + b
            if i < len(params) - 1:
                x = activation[net.activation](x)
                if net.dropout and key is not None:
                    key, now = jax.random.split(key)
                    keep = jax.random.bernoulli(now, 1 - net.dropout, x.shape)
                    x = jnp.where(keep, x / (1 - net.dropout), 0)
        return x

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
            now = key
            if net.dropout:
                key, now = jax.random.split(key)
            loss, grads = jax.value_and_grad(loss_of)(params, x, y, now)
            updates, state = rule.update(grads, state, params)
            return (optax.apply_updates(params, updates), state, key), loss

        return rule, update

    def start(self, net, weights):
        rule, update = self.update(net)
        params = jax.device_put(weights)
        return (params, rule.init(params), jax.random.key(0)), update

    def put(self, x, y):
        return jax.device_put((x, y if y.dtype.kind == "f" else y.astype("int32")))

    def trainer(self, net, weights):
        carry, update = self.start(net, weights)
        held = [carry]
        compiled = jax.jit(update, donate_argnums=0)

        def step(x, y):
            held[0], loss = compiled(held[0], x, y)
            return loss

        return step

    def losses(self, net, weights, x, y, n):
        step = self.trainer(replace(net, dropout=0.0), weights)
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
        params, x = jax.device_put((weights, x))
        return lambda: run(params, x).block_until_ready(), 1

    def gemm(self, a, b):
        a, b = jax.device_put((a, b))
        product = jax.jit(lambda a, b: a @ b)
        return lambda: product(a, b).block_until_ready(), 1


class JaxScan(Jax):
    """Many steps, or an epoch, in one call."""

    inference = gemm = None  # as above

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
