"""Training steps on JAX: many steps in one compiled loop, state donated, batches gathered inside.

The number of steps is an argument of the compiled loop, not a part of it: one compilation serves every grouping of
steps, and the arithmetic of a step cannot depend on the grouping.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.loop import Array, Hyperparameters, Program, Rows, TrainLoop, TrainState

__all__ = ["STEPS_PER_CALL", "JaxLoop", "apply_updates", "loss_of", "with_share"]

STEPS_PER_CALL = 1024
_PREDICTION_ROWS = 8192
_GATHERED_BYTES = 512 << 10
_GATHERED_STEPS = 64


@dataclass(frozen=True, eq=False)
class _Placed:
    inputs: tuple[Any, ...]
    labels: Any
    weights: Any


@dataclass(frozen=True, eq=False)
class _Losses:
    """Losses that may still be being computed, each call's with how many of them count.

    They are cut when they are asked for: a slice of a JAX array is a compilation for every length.
    """

    calls: tuple[tuple[Any, int], ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.concatenate([np.asarray(losses)[:count] for losses, count in self.calls], dtype=dtype)


class JaxLoop:
    """The loop on JAX."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._run = jax.jit(partial(_run_steps, program), donate_argnums=(0,))
        self._outputs = jax.jit(partial(_answer, program))

    def place(self, rows: Rows) -> _Placed:
        return _Placed(
            tuple(jnp.asarray(array) for array in rows.inputs),
            jnp.asarray(rows.labels),
            None if rows.weights is None else jnp.asarray(rows.weights),
        )

    def start(self, state: TrainState) -> Any:
        # Copies: the loop donates its state, and on CPU an array may share the caller's memory. NumPy makes them:
        # a copy by JAX is a compilation for every shape.
        return tuple(
            [jax.device_put(np.array(array)) for array in part]
            for part in (state.trainable, state.non_trainable, state.optimizer)
        )

    def run(
        self,
        state: Any,
        rows: Any,
        *,
        order: NDArray[np.int32] | None,
        learning_rates: NDArray[np.float32],
        hyperparameters: Hyperparameters,
        regularization: NDArray[np.float32] | None = None,
    ) -> tuple[Any, Any]:
        count = len(learning_rates)
        shares = np.ones(count, np.float32) if regularization is None else regularization
        losses = []
        for first in range(0, count, STEPS_PER_CALL):
            steps = slice(first, min(count, first + STEPS_PER_CALL))
            size = steps.stop - steps.start
            state, loss = self._run(
                state,
                (rows.inputs, rows.labels, rows.weights),
                None if order is None else _padded(order[steps]),
                _padded(learning_rates[steps]),
                _padded(shares[steps]),
                np.int32(size),
                hyperparameters.array(),
            )
            losses.append((loss, size))
        return state, _Losses(tuple(losses))

    def fetch(self, state: Any, step: int) -> TrainState:
        trainable, non_trainable, optimizer = (tuple(np.array(array) for array in part) for part in state)
        return TrainState(step, trainable, non_trainable, optimizer)

    def outputs(self, state: TrainState, rows: Rows) -> Array:
        chunk = min(_PREDICTION_ROWS, 1 << max(0, rows.count - 1).bit_length())
        answers = []
        for first in range(0, rows.count, chunk):
            part = rows.take(slice(first, first + chunk))
            padded = tuple(_padded(array, chunk) for array in part.inputs)
            answers.append(np.asarray(self._outputs(state.trainable, state.non_trainable, padded))[: part.count])
        return np.concatenate(answers)


def _run_steps(
    program: Program,
    state: Any,
    data: Any,
    order: Any,
    learning_rates: Any,
    shares: Any,
    count: Any,
    hyperparameters: Any,
) -> tuple[Any, Any]:
    def step(index: Any, batch: Any, carry: Any) -> Any:
        trainable, non_trainable, optimizer, losses = carry
        inputs, labels, weights = batch
        non_trainable = with_share(program, non_trainable, shares[index])
        gradient_of = jax.value_and_grad(partial(loss_of, program), has_aux=True)
        (_, (loss, non_trainable)), gradients = gradient_of(
            trainable, non_trainable, inputs, labels, weights, hyperparameters
        )
        trainable, optimizer = apply_updates(
            program, trainable, optimizer, gradients, learning_rates[index], hyperparameters[0] * shares[index]
        )
        return trainable, non_trainable, optimizer, losses.at[index].set(loss)

    carry = (*state, jnp.zeros(learning_rates.shape[0], jnp.float32))
    if order is None:
        carry = jax.lax.fori_loop(0, count, lambda index, carry: step(index, data, carry), carry)
    else:
        carry = _over_batches(step, data, order, count, carry)
    *state, losses = carry
    return tuple(state), losses


def _over_batches(step: Callable[[Any, Any, Any], Any], data: Any, order: Any, count: Any, carry: Any) -> Any:
    """The steps, each on its batch. Batches of several steps are gathered at once: XLA gives a gather from many rows to
    all threads, however few rows it picks, and waking them takes as long as half a step of a small network."""
    together = _gathered_together(data, order.shape[1])

    def group(number: Any, carry: Any) -> Any:
        first = number * together
        picked = jax.lax.dynamic_slice_in_dim(order, first, together)
        batches = jax.tree.map(lambda array: array[picked], data)

        def one(place: Any, carry: Any) -> Any:
            batch = jax.tree.map(lambda array: jax.lax.dynamic_index_in_dim(array, place, keepdims=False), batches)
            return step(first + place, batch, carry)

        return jax.lax.fori_loop(0, jnp.minimum(together, count - first), one, carry)

    return jax.lax.fori_loop(0, -(-count // together), group, carry)


def _gathered_together(data: Any, batch_size: int) -> int:
    """How many steps' rows to gather at once: a power of two, and what a processor's cache holds."""
    row_bytes = sum(array.nbytes // max(1, array.shape[0]) for array in jax.tree.leaves(data))
    fitting = max(1, _GATHERED_BYTES // max(1, row_bytes * batch_size))
    return int(min(_GATHERED_STEPS, 1 << (fitting.bit_length() - 1)))


def with_share(program: Program, non_trainable: Any, share: Any) -> Any:
    """The state of a step, with its share of regularization where layers look for it."""
    if not program.scheduled:
        return non_trainable
    return [share if i in program.scheduled else array for i, array in enumerate(non_trainable)]


def loss_of(
    program: Program, trainable: Any, non_trainable: Any, inputs: Any, labels: Any, weights: Any, hyper: Any
) -> Any:
    outputs, non_trainable = program.model.stateless_call(trainable, non_trainable, list(inputs), training=True)
    loss = program.loss(outputs, labels, weights)
    penalized = loss
    if program.has_penalty:
        for position in program.decayed:
            penalized += hyper[1] * jnp.sum(jnp.abs(trainable[position]))
            penalized += hyper[2] * jnp.sum(jnp.square(trainable[position]))
    return penalized, (loss, non_trainable)


def apply_updates(
    program: Program, trainable: Any, optimizer: Any, gradients: Any, learning_rate: Any, weight_decay: Any
) -> Any:
    trainable, updated, taken = list(trainable), [], 0
    if program.has_decay:
        for position in program.decayed:
            scale = program.decay_scales.get(position, 1.0)
            trainable[position] = trainable[position] * (1.0 - learning_rate * weight_decay * scale)
    for update in program.updates:
        size = len(update.optimizer.variables)
        variables = list(optimizer[taken : taken + size])
        taken += size
        if update.follows_schedule:
            variables[_learning_rate_position(update.optimizer)] = learning_rate * update.scale
        moved, variables = update.optimizer.stateless_apply(
            variables, [gradients[i] for i in update.positions], [trainable[i] for i in update.positions]
        )
        for position, value in zip(update.positions, moved, strict=True):
            trainable[position] = value
        updated.extend(variables)
    return trainable, updated


def _learning_rate_position(optimizer: Any) -> int:
    return next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer.learning_rate)


def _answer(program: Program, trainable: Any, non_trainable: Any, inputs: Any) -> Any:
    outputs, _ = program.model.stateless_call(list(trainable), list(non_trainable), list(inputs), training=False)
    return outputs


def _padded(array: Array, size: int = STEPS_PER_CALL) -> Array:
    if len(array) == size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def _proves_protocol(loop: JaxLoop) -> TrainLoop:
    return loop
