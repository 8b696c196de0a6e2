"""The trainer of the 2017 lab: house prices from nine numeric columns, with a canned network."""

import argparse
import csv
import json
import os
from importlib.resources import files
from pathlib import Path

import numpy as np

from penstock import estimator, feature_column, serving_input

COLUMNS = ["CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "MEDV"]
FEATURES = ["CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO"]
LABEL = "MEDV"


def read_dataset(share=0.8, seed=0):
    """Rows to train on and rows to evaluate on."""
    with files("penstock.data").joinpath("packaged/housing_lab.csv").open() as file:
        rows = list(csv.DictReader(file, fieldnames=COLUMNS))[1:]
    order = np.random.default_rng(seed).permutation(len(rows))
    cut = int(len(rows) * share)
    return [rows[i] for i in order[:cut]], [rows[i] for i in order[cut:]]


def make_input_fn(rows):
    def input_fn():
        features = {name: np.array([float(row[name]) for row in rows]) for name in FEATURES}
        labels = np.array([float(row[LABEL]) for row in rows])
        return features, labels

    return input_fn


def serving_input_fn():
    inputs = {name: serving_input.placeholder("float32", [None]) for name in FEATURES}
    features = {name: serving_input.expand_dims(tensor, -1) for name, tensor in inputs.items()}
    return estimator.export.ServingInputReceiver(features, inputs)


def train_and_evaluate(output_dir, hidden_units):
    training, evaluation = read_dataset()
    regressor = estimator.DNNRegressor(
        feature_columns=[feature_column.numeric_column(name) for name in FEATURES],
        hidden_units=hidden_units,
        model_dir=output_dir,
    )
    train_spec = estimator.TrainSpec(input_fn=make_input_fn(training), max_steps=3000)
    exporter = estimator.LatestExporter("Servo", serving_input_fn)
    eval_spec = estimator.EvalSpec(input_fn=make_input_fn(evaluation), steps=1, exporters=exporter)
    return estimator.train_and_evaluate(regressor, train_spec, eval_spec)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", required=True, help="folder of checkpoints, summaries and exports")
    parser.add_argument("--job-dir", help="given by the training service; not used")
    parser.add_argument("--hidden_units_1", type=int, default=10)
    parser.add_argument("--hidden_units_2", type=int, default=10)
    arguments = parser.parse_args()
    # In a tuning job every trial writes to a folder of its own.
    trial = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("trial", "")
    output_dir = Path(arguments.output_dir) / trial
    metrics, _ = train_and_evaluate(output_dir, [arguments.hidden_units_1, arguments.hidden_units_2])
    print(f"loss {metrics['loss']:.4g}, rmse {metrics['rmse']:,.0f} dollars")
