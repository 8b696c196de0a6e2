"""Which columns a model goes by: permutation importance of any, SHAP values of trees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.errors import UsageError
from penstock.estimators.boosted_trees import BoostedTreesClassifier, BoostedTreesRegressor
from penstock.estimators.linear import LinearRegressor


def test_a_column_that_decides_is_first_and_one_that_says_nothing_counts_for_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=600) for name in ("noise", "weak", "strong")}
    price = 100.0 * table["strong"] + 20.0 * table["weak"]
    model = LinearRegressor(model_dir=tmp_path, learning_rate=0.05).train(lambda: (table, price), max_steps=400)
    rises = model.permutation_importance(lambda: (table, price), repeats=3)
    assert list(rises) == ["strong", "weak", "noise"]
    # Shuffling a column of deviation 100 makes errors of deviation 100 times the root of 2.
    assert rises["strong"] == pytest.approx(141.0, rel=0.1)
    assert abs(rises["noise"]) < 1.0
    assert model.permutation_importance(lambda: (table, price), repeats=3) == rises
    with pytest.raises(UsageError, match="repeats is 0"):
        model.permutation_importance(lambda: (table, price), repeats=0)


def test_shap_values_add_up_to_the_prediction(houses: Any, tmp_path: Path) -> None:
    trees = BoostedTreesRegressor(model_dir=tmp_path, n_trees=40).train(lambda: houses)
    values = trees.shap_values(lambda: houses[0])
    assert list(values) == ["rooms", "distance", "town_indicator", "expected_value"]
    answers = next(iter(trees.predict(lambda: houses[0], yield_single_examples=False)))["predictions"][:, 0]
    assert sum(values.values()) == pytest.approx(answers, rel=1e-4)
    assert values["expected_value"][0] == pytest.approx(houses[1].mean(), rel=0.05)
    assert np.corrcoef(values["rooms"], houses[0]["rooms"])[0, 1] > 0.9


def test_shap_values_of_several_classes_are_those_of_each(species: Any, tmp_path: Path) -> None:
    trees = BoostedTreesClassifier(model_dir=tmp_path, n_trees=20, calibrate="temperature").train(lambda: species)
    values = trees.shap_values(lambda: species[0])
    assert {array.shape for array in values.values()} == {(500, 3)}
