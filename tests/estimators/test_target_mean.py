"""Columns made of the labels, in estimators: they help, are served, and do not give a row its own label away."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import feature_column
from penstock.estimators.boosted_trees import BoostedTreesRegressor
from penstock.estimators.dnn import DNNClassifier, DNNRegressor
from penstock.runtime.model import load_model


def columns(size: int) -> list[feature_column.FeatureColumn]:
    word = feature_column.categorical_column_with_vocabulary_list("word", [f"w{i}" for i in range(size)])
    return [feature_column.target_mean_column(word)]


def words(rows: int, size: int, *, effect: float) -> Any:
    rng = np.random.default_rng(0)
    word = rng.integers(0, size, rows)
    price = 100 + effect * np.random.default_rng(1).normal(0, 10, size)[word] + rng.normal(0, 3, rows)
    return {"word": np.array([f"w{i}" for i in word], object)}, price


@pytest.mark.parametrize(
    "make", [lambda **k: DNNRegressor([8], **k), lambda **k: BoostedTreesRegressor(n_trees=50, **k)]
)
def test_a_word_stands_for_the_mean_label_of_its_rows(make: Any, tmp_path: Path) -> None:
    data = words(2000, 40, effect=1.0)
    estimator = make(feature_columns=columns(40), model_dir=tmp_path).train(lambda: data, max_steps=400)
    assert estimator.evaluate(lambda: data)["rmse"] < 0.5 * data[1].std()
    model = load_model(estimator.export_saved_model(tmp_path / "export"))
    ours = next(iter(estimator.predict(lambda: data[0], yield_single_examples=False)))["predictions"][:20]
    rows = [{"word": value} for value in data[0]["word"][:20]]
    assert model.predict(model.decode(rows))["predictions"] == pytest.approx(ours, rel=1e-4)


def test_words_that_say_nothing_are_not_learned_by_heart(tmp_path: Path) -> None:
    # Two rows a word: with its own label in it, a row's encoding would give half of the label away.
    features, price = words(600, 300, effect=0.0)
    estimator = DNNRegressor([16], columns(300), tmp_path).train(lambda: (features, price), max_steps=1000)
    fresh = words(600, 300, effect=0.0)[1][::-1].copy()
    held_out = estimator.evaluate(lambda: (features, fresh))["rmse"]
    assert held_out < 1.25 * price.std()


def test_three_classes_have_a_mean_each() -> None:
    rng = np.random.default_rng(0)
    word = rng.integers(0, 9, 900)
    label = np.array(["a", "b", "c"], object)[(word + (rng.uniform(size=900) < 0.1)) % 3]
    features = {"word": np.array([f"w{i}" for i in word], object)}
    estimator = DNNClassifier([16], columns(9)).train(lambda: (features, label), max_steps=600)
    assert estimator.fitted_model().features.blocks[0].width == 3
    assert estimator.evaluate(lambda: (features, label))["accuracy"] > 0.8
