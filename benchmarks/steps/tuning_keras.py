"""The peer: the study as one writes it with Optuna and Keras on JAX. Argument: trials."""

import csv
import json
import sys
import time
from importlib.resources import files

import keras
import numpy as np
import optuna

STEPS, EVERY = 500, 50
FEATURES = ["CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO"]

with (files("penstock.data") / "packaged" / "housing_lab.csv").open() as file:
    rows = list(csv.DictReader(file))
x = np.array([[float(row[name]) for name in FEATURES] for row in rows], np.float32)
y = np.array([[float(row["MEDV"])] for row in rows], np.float32)
order = np.random.default_rng(0).permutation(len(x))
held, kept = order[: round(len(x) * 0.2)], order[round(len(x) * 0.2) :]
mean, scale = x[kept].mean(axis=0), x[kept].std(axis=0)
x = (x - mean) / scale
center, spread = y[kept].mean(), y[kept].std()
targets = (y - center) / spread


class Report(keras.callbacks.Callback):
    """An epoch is 50 steps."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial
        self.value = float("inf")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.value = float((logs or {})["val_loss"]) * float(spread) ** 2
        self.trial.report(self.value, (epoch + 1) * EVERY)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("learning_rate", 0.001, 0.1, log=True)
    decay = trial.suggest_float("weight_decay", 0.001, 1.0, log=True)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((len(FEATURES),)), *(keras.layers.Dense(10, "relu") for _ in range(2)), keras.layers.Dense(1)]
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=decay), loss="mean_squared_error", steps_per_execution=EVERY
    )
    # Full-batch steps: an epoch of 50 batches, each of which is all rows.
    repeated = np.tile(x[kept], (EVERY, 1)), np.tile(targets[kept], (EVERY, 1))
    report = Report(trial)
    model.fit(
        *repeated,
        batch_size=len(kept),
        epochs=STEPS // EVERY,
        shuffle=False,
        verbose=0,
        validation_data=(x[held], targets[held]),
        validation_batch_size=len(held),
        callbacks=[report],
    )
    return report.value


optuna.logging.set_verbosity(optuna.logging.WARNING)
began = time.perf_counter()
study = optuna.create_study(
    direction="minimize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=EVERY, reduction_factor=4),
)
study.optimize(objective, n_trials=int(sys.argv[1]))
pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
print(json.dumps({"study_s": time.perf_counter() - began, "stopped": pruned, "best": study.best_value}))
