"""TabM: members that share kernels and are trained side by side, one answer in the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.errors import ConfigError
from penstock.estimators.backend import keras
from penstock.estimators.losses import mean_loss, members_loss, sigmoid_cross_entropy
from penstock.estimators.tabm import TabMClassifier, TabMRegressor
from penstock.estimators.tabular_layers import Combine, EnsembleDense, bin_edges
from penstock.runtime.model import load_model

InputOf = Callable[[Any], Callable[[], Any]]


def test_a_member_is_a_dense_layer_with_scaled_inputs_and_outputs() -> None:
    layer = EnsembleDense(5, members=3, sections=[2, 2], seed=1)
    rows = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    answers = np.asarray(layer(rows))
    parts = {v.name: np.asarray(v.value) for v in layer.trainable_variables}
    assert np.array_equal(parts["input_scale"][:, 0], parts["input_scale"][:, 1])
    for member in range(3):
        kernel = parts["input_scale"][member][:, None] * parts["kernel"] * parts["output_scale"][member]
        assert answers[:, member] == pytest.approx(rows @ kernel + parts["bias"][member], abs=1e-5)


def test_the_loss_is_the_mean_of_the_members_losses() -> None:
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(20, 4, 1)).astype(np.float32), rng.integers(0, 2, 20).astype(np.int32)
    weights = rng.uniform(size=20).astype(np.float32)
    for loss in (sigmoid_cross_entropy, mean_loss(lambda out, target: keras.ops.square(out - target))):
        target = labels if loss is sigmoid_cross_entropy else labels[:, None].astype(np.float32)
        each = [float(loss(outputs[:, member], target, weights)) for member in range(4)]
        assert float(members_loss(loss)(outputs, target, weights)) == pytest.approx(np.mean(each), rel=1e-5)


def test_answers_of_a_classifier_are_the_mean_probabilities() -> None:
    logits = np.array([[[0.0], [30.0]], [[-40.0], [-50.0]]], np.float32)
    chances = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    mean = chances.mean(axis=1)[:, 0]
    combined = np.asarray(Combine("chance")(logits))[:, 0]
    assert combined == pytest.approx(np.log(mean / (1.0 - mean)), rel=1e-4)
    several = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    softmax = np.exp(several) / np.exp(several).sum(axis=2, keepdims=True)
    assert np.exp(np.asarray(Combine("chance")(several))) == pytest.approx(softmax.mean(axis=1), rel=1e-4)


def test_bins_have_equal_shares_of_a_bell_curve() -> None:
    edges = bin_edges(4)
    assert edges == pytest.approx([-3.0, -0.6745, 0.0, 0.6745, 3.0], abs=1e-3)


def test_it_learns_and_is_served_as_trained(houses: Any, input_of: InputOf, tmp_path: Path) -> None:
    regressor = TabMRegressor(4, [32], model_dir=tmp_path, learning_rate=0.005)
    regressor.train(input_of(houses), max_steps=600)
    assert regressor.evaluate(input_of(houses))["rmse"] < 0.15 * houses[1].std()
    instances = [{"rooms": 6.0, "distance": 2.0, "town": town} for town in ("Brno", "Ålesund", "never seen")]
    features = {key: np.array([instance[key] for instance in instances]) for key in instances[0]}
    ours = [answer["predictions"] for answer in regressor.predict(lambda: features)]
    model = load_model(regressor.export_saved_model(tmp_path / "export"))
    assert model.predict(model.decode(instances))["predictions"] == pytest.approx(np.array(ours), rel=1e-4)
    # A town never seen is between those that were.
    assert min(ours[:2]) < ours[2] < max(ours[:2])


def test_counts_are_served_behind_the_exponential(houses: Any, tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(np.exp(houses[0]["rooms"] / 3.0))
    regressor = TabMRegressor(2, [16], model_dir=tmp_path, loss="poisson")
    regressor.train(lambda: (houses[0], counts), max_steps=300)
    model = load_model(regressor.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{"rooms": 6.0, "distance": 2.0, "town": "Brno"}]))["predictions"]
    assert served[0, 0] == pytest.approx(np.exp(2.0), rel=0.2)


def test_arguments_that_cannot_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="members is 0; expected at least 1"):
        TabMClassifier(0, [8], model_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"hidden_units is \[0\]"):
        TabMRegressor(2, [0], model_dir=tmp_path)
