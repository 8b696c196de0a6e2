"""What an expert would write by hand: one jitted lax.scan over all steps, Adam written out, batches gathered inside."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from problem import order_of, rows_of, time_runs


def make(problem: dict) -> Callable[[], float]:
    features, labels = map(jnp.asarray, rows_of(problem))
    order = order_of(problem)
    sizes = [9, *problem["hidden"], 1]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    start = [
        (jax.random.normal(key, (a, b)) * np.sqrt(2 / a), jnp.zeros(b))
        for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=False)
    ]

    def loss_of(parameters, x, y):
        for kernel, bias in parameters[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = parameters[-1]
        return jnp.mean((x @ kernel + bias - y) ** 2)

    def step(carry, picked):
        parameters, first, second, count = carry
        x, y = (features, labels) if order is None else (features[picked], labels[picked])
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        count += 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), parameters, first, second)
        return (parameters, first, second, count), loss

    zeros = jax.tree.map(jnp.zeros_like, start)
    steps = jnp.arange(problem["steps"]) if order is None else jnp.asarray(order)
    scan = jax.jit(lambda carry, steps: jax.lax.scan(step, carry, steps)[1])
    return lambda: float(scan((start, zeros, zeros, jnp.float32(0)), steps)[-1])


time_runs("jax.lax.scan over all steps, Adam by hand, rows on the device", make)
