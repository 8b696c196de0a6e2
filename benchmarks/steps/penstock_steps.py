"""Penstock's own loop, with the program that an estimator compiles: `canned` (DNNRegressor) or `keras` (KerasRegressor
with a subclassed model).
"""

import sys
from collections.abc import Callable

import numpy as np
from problem import order_of, rows_of, time_runs

from penstock.estimators.backend import keras
from penstock.estimators.front import Front
from penstock.estimators.jax_loop import JaxLoop
from penstock.estimators.keras_model import KerasNetwork
from penstock.estimators.loop import Hyperparameters, Program, Rows, Updates
from penstock.estimators.networks import DNNNetwork
from penstock.estimators.regression_head import RegressionHead
from penstock.features.block import Block

KIND = sys.argv[1]


class OwnModel(keras.Model):
    """What a user writes, who knows Keras and not Penstock."""

    def __init__(self, hidden: list[int], outputs: int) -> None:
        super().__init__()
        self.hidden = [keras.layers.Dense(units, activation="relu") for units in hidden]
        self.answer = keras.layers.Dense(outputs)

    def call(self, inputs):
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.answer(inputs)


def make(problem: dict) -> Callable[[], float]:
    front = Front((Block(name="x", kind="dense", columns=("x",), width=9),))
    head = RegressionHead(label="y", center=(0.0,), scale=(1.0,))
    if KIND == "keras":
        network = KerasNetwork(lambda _width, outputs: OwnModel(problem["hidden"], outputs))
    else:
        network = DNNNetwork(tuple(problem["hidden"]))
    model = network.build(front, 1, seed=0)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    program = Program(
        model=model,
        updates=(Updates(optimizer, tuple(range(len(model.trainable_variables)))),),
        loss=head.loss(),
        decayed=tuple(i for i, variable in enumerate(model.trainable_variables) if variable.path.endswith("kernel")),
        has_decay=True,
        has_penalty=False,
    )
    loop = JaxLoop(program)
    features, labels = rows_of(problem)
    placed, order = loop.place(Rows((features,), labels)), order_of(problem)
    start, rates = program.state(), np.full(problem["steps"], 1e-3, np.float32)

    def run() -> float:
        _, losses = loop.run(
            loop.start(start),
            placed,
            order=order,
            learning_rates=rates,
            hyperparameters=Hyperparameters(weight_decay=0.01),
        )
        return float(np.asarray(losses)[-1])

    return run


of = "KerasRegressor, with a subclassed Keras model" if KIND == "keras" else "DNNRegressor"
time_runs(f"the compiled loop of {of}: Adam, decoupled weight decay, learning rate by step", make)
