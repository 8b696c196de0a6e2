from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from penstock import feature_column
from penstock.data.profile import TableProfile
from penstock.estimators.linear import LinearClassifier, LinearRegressor
from penstock.runtime.model import load_model


def test_it_finds_least_squares(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(5, 2, 300), rng.exponential(1, 300)
    y = 3 * x - 7 * z + 40 + rng.normal(0, 0.5, 300)
    columns = [feature_column.numeric_column("x"), feature_column.numeric_column("z")]
    estimator = LinearRegressor(columns, tmp_path).train(lambda: ({"x": x, "z": z}, y), max_steps=2000)
    peer = LinearRegression().fit(np.stack([x, z], 1), y)
    answers = next(iter(estimator.predict(lambda: {"x": x, "z": z}, yield_single_examples=False)))
    assert answers["predictions"][:, 0] == pytest.approx(peer.predict(np.stack([x, z], 1)), abs=0.05)
    model = load_model(estimator.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{"x": 5.0, "z": 1.0}]))["predictions"]
    assert served[0, 0] == pytest.approx(peer.predict([[5.0, 1.0]])[0], abs=0.05)


def test_a_bundle_of_arrays_holds_their_profile_and_a_later_process_finds_it(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 50)
    columns = [feature_column.numeric_column("x")]
    estimator = LinearRegressor(columns, tmp_path / "model").train(lambda: ({"x": x}, 2 * x), max_steps=10)
    bundle = Path(estimator.export_saved_model(tmp_path / "export"))
    profile = TableProfile.from_json((bundle / "profile.json").read_bytes())
    assert profile["x"].quantiles[0] == 0.0
    assert profile["x"].mean == pytest.approx(0.5)
    assert profile["label"].max == 2.0
    again = LinearRegressor(columns, tmp_path / "model").export_saved_model(tmp_path / "export")
    assert (Path(again) / "profile.json").read_bytes() == (bundle / "profile.json").read_bytes()


def test_a_categorical_column_needs_no_indicator(houses: Any, tmp_path: Path) -> None:
    town = feature_column.categorical_column_with_vocabulary_list("town", ["Ålesund", "Brno", "Ávila"])
    estimator = LinearRegressor([town], tmp_path).train(lambda: houses, max_steps=2000)
    for name in ("Ålesund", "Brno", "Ávila"):
        mean = houses[1][houses[0]["town"] == name].mean()
        (answer,) = estimator.predict(lambda name=name: {"town": np.array([name])})  # type: ignore[misc]
        assert answer["predictions"][0] == pytest.approx(mean, rel=0.01)


def test_two_classes_are_a_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    label = (rng.uniform(size=500) < 1 / (1 + np.exp(-(2 * x[:, 0] - x[:, 1])))).astype(int)
    features = {"a": x[:, 0], "b": x[:, 1]}
    columns = [feature_column.numeric_column("a"), feature_column.numeric_column("b")]
    estimator = LinearClassifier(columns).train(lambda: (features, label), max_steps=3000)
    peer = LogisticRegression(C=1e6).fit(x, label)
    ours = np.array([answer["probabilities"][1] for answer in estimator.predict(lambda: features)])
    assert ours == pytest.approx(peer.predict_proba(x)[:, 1], abs=0.01)
    assert estimator.evaluate(lambda: (features, label))["auc"] > 0.8


def test_l1_makes_weights_small() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=400), rng.normal(size=400)
    columns = [feature_column.numeric_column("x"), feature_column.numeric_column("noise")]
    kernels = []
    for strength in (0.0, 0.3):
        estimator = LinearRegressor(columns, l1_regularization_strength=strength)
        estimator.train(lambda: ({"x": x, "noise": noise}, x + rng.normal(0, 1, 400)), max_steps=1500)
        body: Any = estimator.fitted_model().body
        kernels.append(np.abs(body.state.trainable[0][:, 0]))
    assert kernels[1][0] < kernels[0][0] - 0.1
    assert kernels[1][1] < 0.01
