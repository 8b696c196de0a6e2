from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from penstock import feature_column
from penstock.errors import ConfigError, DataError
from penstock.estimators.boosted_trees import BoostedTreesClassifier, BoostedTreesRegressor
from penstock.estimators.run_config import RunConfig
from penstock.runtime.model import load_model
from penstock.training.specs import EvalSpec, TrainSpec
from penstock.training.train_and_evaluate import train_and_evaluate


def with_gaps(pair: Any) -> Any:
    """The same table with missing numbers and words."""
    features, labels = pair
    rng = np.random.default_rng(5)
    gaps = {
        "rooms": np.where(rng.uniform(size=len(labels)) < 0.2, np.nan, features["rooms"]),
        "town": np.where(rng.uniform(size=len(labels)) < 0.2, None, features["town"]),
    }
    return {**features, **gaps}, labels


def served_and_trained(estimator: Any, features: Any, folder: Path, name: str) -> tuple[Any, Any]:
    model = load_model(estimator.export_saved_model(folder / "export"))
    rows = [{key: values[i] for key, values in features.items()} for i in range(100)]
    rows = [{key: None if value != value else value for key, value in row.items()} for row in rows]
    answers = next(iter(estimator.predict(lambda: features, yield_single_examples=False)))
    return model.predict(model.decode(rows))[name], answers[name][:100]


def test_it_learns_a_known_function_and_serves_it_exactly(houses: Any, tmp_path: Path) -> None:
    data = with_gaps(houses)
    estimator = BoostedTreesRegressor(model_dir=tmp_path, n_trees=200, learning_rate=0.1).train(lambda: data)
    assert estimator.evaluate(lambda: data)["rmse"] < 0.35 * data[1].std()
    served, trained = served_and_trained(estimator, data[0], tmp_path, "predictions")
    assert served == pytest.approx(trained, rel=1e-6)
    assert sum(estimator.feature_importances().values()) == pytest.approx(1)
    assert next(iter(estimator.feature_importances())) in ("rooms", "distance")


def test_the_trees_are_lightgbms(houses: Any) -> None:
    features = {name: houses[0][name] for name in ("rooms", "distance")}
    columns = [feature_column.numeric_column(name) for name in features]
    estimator = BoostedTreesRegressor(columns, n_trees=50, learning_rate=0.1).train(lambda: (features, houses[1]))
    answers = next(iter(estimator.predict(lambda: features, yield_single_examples=False)))["predictions"][:, 0]
    matrix = np.stack(list(features.values()), axis=1).astype(np.float32)
    peer = lightgbm.LGBMRegressor(n_estimators=50, learning_rate=0.1, verbosity=-1).fit(matrix, houses[1])
    assert answers == pytest.approx(peer.predict(matrix), rel=1e-4)


def test_of_columns_chosen_automatically_an_age_is_a_number_and_an_hour_is_a_category_as_well() -> None:
    rng = np.random.default_rng(0)
    features = {"age": rng.integers(18, 90, 12_000), "hour": rng.integers(0, 24, 12_000)}
    labels = features["age"] + 10.0 * (features["hour"] % 3)
    chosen = BoostedTreesRegressor(n_trees=5).train(lambda: (features, labels))
    assert set(chosen.feature_importances()) == {"age", "hour", "hour_indicator"}
    number = feature_column.numeric_column("age")
    words = feature_column.categorical_column_with_vocabulary_list("age", list(range(18, 90)))
    given = BoostedTreesRegressor([number, feature_column.indicator_column(words)], n_trees=5)
    given.train(lambda: (features, labels))
    assert set(given.feature_importances()) == {"age", "age_indicator"}


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_told_apart_and_served(classes: int, species: Any, tmp_path: Path) -> None:
    features, kind = species
    if classes == 2:
        kind = np.where(kind == "setosa", "setosa", "other").astype(object)
    estimator = BoostedTreesClassifier(model_dir=tmp_path, n_trees=60).train(lambda: (features, kind))
    assert estimator.evaluate(lambda: (features, kind))["accuracy"] > 0.95
    served, trained = served_and_trained(estimator, features, tmp_path, "probabilities")
    assert served.shape == (100, classes)
    assert served == pytest.approx(trained, abs=1e-6)


def test_words_are_split_in_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    word = rng.integers(0, 30, 3000)
    value = np.random.default_rng(1).normal(0, 10, 30)[word]
    features = {"word": np.array([f"w{i}" for i in word], object)}
    estimator = BoostedTreesRegressor(model_dir=tmp_path, n_trees=100).train(lambda: (features, value))
    assert estimator.evaluate(lambda: (features, value))["rmse"] < 1.0
    served, trained = served_and_trained(estimator, features, tmp_path, "predictions")
    assert served == pytest.approx(trained, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("loss", ["mean_absolute_error", "huber", "quantile", "poisson"])
def test_other_losses_serve_what_they_train(loss: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 2, 1500)
    y = rng.poisson(np.exp(x)).astype(float) + 0.01
    estimator = BoostedTreesRegressor(model_dir=tmp_path, n_trees=50, loss=loss, quantile=0.9)
    estimator.train(lambda: ({"x": x}, y))
    served, trained = served_and_trained(estimator, {"x": x}, tmp_path, "predictions")
    assert served == pytest.approx(trained, rel=1e-5)
    answers = next(iter(estimator.predict(lambda: {"x": x}, yield_single_examples=False)))["predictions"][:, 0]
    if loss == "quantile":
        assert 0.86 < (y <= answers).mean() < 0.94
    if loss == "poisson":
        assert answers.mean() == pytest.approx(y.mean(), rel=0.02)


def test_without_a_number_of_trees_it_stops_where_held_out_rows_get_no_better(houses: Any, tmp_path: Path) -> None:
    estimator = BoostedTreesRegressor(model_dir=tmp_path, learning_rate=0.3).train(lambda: houses)
    trees = estimator.evaluate(lambda: houses)["global_step"]
    assert 100 < trees < 3000
    reloaded = BoostedTreesRegressor(model_dir=tmp_path, learning_rate=0.3)
    assert reloaded.evaluate(lambda: houses) == estimator.evaluate(lambda: houses)


def test_a_resumed_training_equals_one_at_once(houses: Any, tmp_path: Path) -> None:
    whole = BoostedTreesRegressor(model_dir=tmp_path / "whole", n_trees=60).train(lambda: houses)
    config = RunConfig(save_checkpoints_steps=25)
    BoostedTreesRegressor(model_dir=tmp_path / "killed", n_trees=60, config=config).train(lambda: houses)
    # What a kill between tree 25 and tree 50 leaves behind.
    for step in (50, 60):
        (tmp_path / "killed" / f"checkpoint-{step}.json").unlink()
    resumed = BoostedTreesRegressor(model_dir=tmp_path / "killed", n_trees=60, config=config).train(lambda: houses)
    ours, theirs = (
        next(iter(one.predict(lambda: houses[0], yield_single_examples=False)))["predictions"]
        for one in (whole, resumed)
    )
    assert np.array_equal(ours, theirs)


def test_train_and_evaluate_grows_looks_and_exports(houses: Any, tmp_path: Path) -> None:
    estimator = BoostedTreesRegressor(model_dir=tmp_path)
    metrics, _ = train_and_evaluate(estimator, TrainSpec(lambda: houses, max_steps=50), EvalSpec(lambda: houses))
    assert metrics["global_step"] == 50


def test_row_weights_count(houses: Any) -> None:
    features, price = houses
    trusted = np.arange(400) < 300
    weighted = {**features, "trust": trusted.astype(float)}
    spoiled = np.where(trusted, price, 1e6)
    estimator = BoostedTreesRegressor(weight_column="trust", n_trees=100).train(lambda: (weighted, spoiled))
    assert estimator.evaluate(lambda: (weighted, spoiled))["rmse"] < price.std()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_trees": 0}, "n_trees is 0"),
        ({"learning_rate": 2.0}, "learning_rate is 2.0"),
        ({"label_dimension": 2}, "label_dimension is 2"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"num_leaves": 1}, "num_leaves is 1"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BoostedTreesRegressor(**change)


def test_a_constant_label_is_refused() -> None:
    with pytest.raises(DataError, match="same value in all 5 rows"):
        BoostedTreesRegressor().train(lambda: ({"x": np.arange(5.0)}, np.ones(5)))


def test_a_few_dozen_rows_are_learned_from(tmp_path: Path) -> None:
    x = np.arange(40.0)
    estimator = BoostedTreesRegressor(model_dir=tmp_path, n_trees=60).train(lambda: ({"x": x}, 3 * x))
    assert estimator.evaluate(lambda: ({"x": x}, 3 * x))["rmse"] < 0.3 * (3 * x).std()


def test_trees_without_a_split_are_told_and_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.arange(6.0)
    estimator = BoostedTreesRegressor(model_dir=tmp_path, n_trees=3, min_rows_per_leaf=20)
    estimator.train(lambda: ({"x": x}, x))
    assert "no tree has a split" in capsys.readouterr().err
    model = load_model(estimator.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{"x": 1.0}, {"x": 5.0}]))["predictions"]
    assert served[:, 0] == pytest.approx([2.5, 2.5])
