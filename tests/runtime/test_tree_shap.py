from typing import Any

import lightgbm
import numpy as np
import pytest

from penstock.errors import BundleError
from penstock.runtime.tree_shap import TreeShap


def table(rows: int = 400, *, seed: int = 3) -> tuple[Any, Any]:
    """Numbers with gaps and zeros, a category, and a label that depends on pairs of them."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 5))
    matrix[rng.uniform(size=rows) < 0.2, 1] = np.nan
    matrix[rng.uniform(size=rows) < 0.3, 2] = 0.0
    matrix[:, 4] = rng.integers(0, 40, rows)
    label = matrix[:, 0] * np.nan_to_num(matrix[:, 1], nan=2.0) + matrix[:, 2] + (matrix[:, 4] % 3)
    return matrix, label


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "regression"},
        {"objective": "regression", "num_leaves": 4, "zero_as_missing": True},
        {"objective": "binary"},
        {"objective": "multiclass", "num_class": 3},
        {"objective": "regression", "use_missing": False, "num_leaves": 63, "min_data_in_leaf": 2},
    ],
    ids=["regression", "zero is missing", "binary", "multiclass", "deep"],
)
def test_values_are_lightgbms(parameters: dict[str, Any]) -> None:
    matrix, label = table()
    if parameters["objective"] == "binary":
        label = label > 0
    if "num_class" in parameters:
        label = np.digitize(label, [-0.5, 1.5])
    data = lightgbm.Dataset(matrix, label, categorical_feature=[4], params={"verbose": -1})
    booster = lightgbm.train({"verbose": -1, "seed": 1, "num_threads": 1, **parameters}, data, num_boost_round=12)
    asked = np.vstack([matrix[:60], [[np.nan, 0.0, -1.0, 2.0, 99.0], [1.0, np.nan, np.nan, 0.0, -1.0]]])
    shap = TreeShap(booster.model_to_string())
    expected = booster.predict(asked, pred_contrib=True).reshape(len(asked), shap.targets, shap.features + 1)
    found = shap.values(asked)
    assert found.transpose(0, 2, 1) == pytest.approx(expected[:, :, :-1], rel=1e-6, abs=1e-9)
    assert shap.baseline == pytest.approx(expected[0, :, -1], rel=1e-9)


def test_a_constant_model_has_no_contributions() -> None:
    booster = lightgbm.train(
        {"verbose": -1, "min_data_in_leaf": 100}, lightgbm.Dataset(np.zeros((20, 2)), np.arange(20.0)), 3
    )
    shap = TreeShap(booster.model_to_string())
    assert shap.values(np.zeros((4, 2))) == pytest.approx(np.zeros((4, 2, 1)))
    assert shap.baseline == pytest.approx(booster.predict(np.zeros((1, 2)), raw_score=True))


def test_another_text_is_refused() -> None:
    with pytest.raises(BundleError, match="not LightGBM's"):
        TreeShap("tree\nversion=v4\n")
