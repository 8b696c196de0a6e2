"""Keras' own fit, on the backend and with the settings named on the command line."""

import os
import sys

backend, per_execution = sys.argv[1], int(sys.argv[2])
os.environ["KERAS_BACKEND"] = backend
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from collections.abc import Callable  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
from problem import order_of, rows_of, time_runs  # noqa: E402


def make(problem: dict) -> Callable[[], float]:
    features, labels = rows_of(problem)
    layers = [keras.layers.Dense(units, activation="relu") for units in problem["hidden"]]
    model = keras.Sequential([keras.Input((9,)), *layers, keras.layers.Dense(1)])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3), loss="mse", steps_per_execution=per_execution, jit_compile="auto"
    )
    order = order_of(problem)
    batch = problem["batch"] or problem["rows"]
    # fit takes rows in order: those of all steps, gathered beforehand.
    x = np.tile(features, (problem["steps"], 1)) if order is None else features[order.reshape(-1)]
    y = np.tile(labels, (problem["steps"], 1)) if order is None else labels[order.reshape(-1)]
    return lambda: float(model.fit(x, y, batch_size=batch, shuffle=False, epochs=1, verbose=0).history["loss"][0])


time_runs(f"Keras {keras.__version__} fit on {backend}, steps_per_execution={per_execution}", make)
