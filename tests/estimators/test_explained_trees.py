"""Boosted trees are explained exactly where each of their features comes from one column, and sampled elsewhere."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from penstock import feature_column
from penstock.estimators.boosted_trees import BoostedTreesClassifier, BoostedTreesRegressor
from penstock.runtime.explanation import load_explainer
from penstock.runtime.model import load_model, read_file


def never() -> None:
    pass


def grown(houses: Any, folder: Path) -> tuple[str, Any]:
    features = {name: houses[0][name] for name in ("rooms", "distance")}
    columns = [feature_column.numeric_column(name) for name in features]
    estimator = BoostedTreesRegressor(columns, model_dir=folder, n_trees=40).train(lambda: (features, houses[1]))
    return estimator.export_saved_model(folder / "export"), features


def test_boosted_trees_are_explained_exactly(houses: Any, tmp_path: Path) -> None:
    uri, features = grown(houses, tmp_path)
    model = load_model(uri)
    rows = [{name: float(values[index]) for name, values in features.items()} for index in range(20)]
    found = load_explainer(uri).explain(model.decode(rows), paths=1, check=never)
    booster = lightgbm.Booster(model_str=read_file(uri, model.manifest, "trainer/model.lgb.txt").decode())
    matrix = np.array([list(row.values()) for row in rows], dtype=np.float32)
    expected = booster.predict(matrix, pred_contrib=True)
    scale = (found[0].example_score - found[0].baseline_score) / expected[0, :-1].sum()
    for one, values in zip(found, expected, strict=True):
        assert one.approx_error == 0
        assert list(one.attributions.values()) == pytest.approx(list(scale * values[:-1]), rel=1e-3, abs=1e-3)
        assert sum(one.attributions.values()) == pytest.approx(one.example_score - one.baseline_score, rel=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_trees_that_classify_name_the_class(classes: int, species: Any, tmp_path: Path) -> None:
    features, kind = species
    if classes == 2:
        kind = np.where(kind == "setosa", "setosa", "other").astype(object)
    estimator = BoostedTreesClassifier(model_dir=tmp_path, n_trees=20).train(lambda: (features, kind))
    uri = estimator.export_saved_model(tmp_path / "export")
    model = load_model(uri)
    rows = [{key: values[index] for key, values in features.items()} for index in range(0, 150, 30)]
    found = load_explainer(uri).explain(model.decode(rows), paths=5, check=never)
    for one in found:
        assert (one.output_name, one.approx_error) == ("logits", 0)
        assert one.label in model.manifest.classes
        assert sum(one.attributions.values()) == pytest.approx(one.example_score - one.baseline_score, abs=1e-3)


def test_a_crossed_column_is_sampled(houses: Any, tmp_path: Path) -> None:
    features = {"rooms": houses[0]["rooms"], "town": houses[0]["town"]}
    columns = [
        feature_column.numeric_column("rooms"),
        feature_column.crossed_column(
            [feature_column.bucketized_column(feature_column.numeric_column("rooms"), [5.0, 6.0]), "town"], 20
        ),
    ]
    estimator = BoostedTreesRegressor(columns, model_dir=tmp_path, n_trees=20).train(lambda: (features, houses[1]))
    uri = estimator.export_saved_model(tmp_path / "export")
    rows = [{name: values[3] for name, values in features.items()}]
    (one,) = load_explainer(uri).explain(load_model(uri).decode(rows), paths=20, check=never)
    assert one.output_name == "predictions"
    assert one.approx_error > 0
