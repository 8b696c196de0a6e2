"""Training steps on TensorFlow, one after the other: what runs with KERAS_BACKEND=tensorflow.

The same variables, losses and optimizers as on JAX; slower, since nothing is fused over steps.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from penstock.estimators.backend import value_of
from penstock.estimators.loop import Array, Hyperparameters, Program, Rows, TrainLoop, TrainState

__all__ = ["TensorFlowLoop"]

_PREDICTION_ROWS = 8192


class TensorFlowLoop:
    """The loop on TensorFlow. While steps run, the state lies in the program's own variables."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._step = tf.function(self._one_step, autograph=False, reduce_retracing=True)
        self._answer = tf.function(
            lambda inputs: program.model(list(inputs), training=False), autograph=False, reduce_retracing=True
        )

    def place(self, rows: Rows) -> Rows:
        return rows

    def start(self, state: TrainState) -> None:
        for variable, value in zip(self._variables(), _values(state), strict=True):
            variable.assign(value)

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
        hyper = hyperparameters.array()
        shares = np.ones(len(learning_rates), np.float32) if regularization is None else regularization
        losses = np.zeros(len(learning_rates), np.float32)
        for step, rate in enumerate(learning_rates):
            batch: Rows = rows if order is None else rows.take(order[step])
            inputs = tuple(tf.constant(array) for array in batch.inputs)
            weights = None if batch.weights is None else tf.constant(batch.weights)
            for position in self._program.scheduled:
                self._program.model.non_trainable_variables[position].assign(shares[step])
            of_step = tf.constant(hyper * np.array([shares[step], 1.0, 1.0], np.float32))
            losses[step] = self._step(inputs, tf.constant(batch.labels), weights, tf.constant(rate), of_step)
        return state, losses

    def fetch(self, state: Any, step: int) -> TrainState:
        return self._program.state().at(step)

    def outputs(self, state: TrainState, rows: Rows) -> Array:
        model = self._program.model
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        kept = [value_of(variable) for variable in variables]
        try:
            for variable, value in zip(variables, (*state.trainable, *state.non_trainable), strict=True):
                variable.assign(value)
            parts = [rows.take(slice(i, i + _PREDICTION_ROWS)) for i in range(0, rows.count, _PREDICTION_ROWS)]
            return np.concatenate([np.asarray(self._answer(part.inputs)) for part in parts])
        finally:
            for variable, value in zip(variables, kept, strict=True):
                variable.assign(value)

    def _one_step(self, inputs: Any, labels: Any, weights: Any, rate: Any, hyper: Any) -> Any:
        program = self._program
        variables = program.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = program.loss(program.model(list(inputs), training=True), labels, weights)
            penalized = loss
            if program.has_penalty:
                for position in program.decayed:
                    penalized += hyper[1] * tf.reduce_sum(tf.abs(variables[position].value))
                    penalized += hyper[2] * tf.reduce_sum(tf.square(variables[position].value))
        gradients = tape.gradient(penalized, [variable.value for variable in variables])
        if program.has_decay:
            for position in program.decayed:
                scale = program.decay_scales.get(position, 1.0)
                variables[position].assign(variables[position] * (1.0 - rate * hyper[0] * scale))
        for update in program.updates:
            if update.follows_schedule:
                update.optimizer.learning_rate.assign(rate * update.scale)
            update.optimizer.apply([gradients[i] for i in update.positions], [variables[i] for i in update.positions])
        return loss

    def _variables(self) -> list[Any]:
        model = self._program.model
        own = [variable for update in self._program.updates for variable in update.optimizer.variables]
        return [*model.trainable_variables, *model.non_trainable_variables, *own]


def _values(state: TrainState) -> tuple[Array, ...]:
    return (*state.trainable, *state.non_trainable, *state.optimizer)


def _proves_protocol(loop: TensorFlowLoop) -> TrainLoop:
    return loop
