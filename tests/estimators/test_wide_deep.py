from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import feature_column
from penstock.errors import UsageError
from penstock.estimators.wide_deep import DNNLinearCombinedClassifier, DNNLinearCombinedRegressor
from penstock.runtime.model import load_model


def checkerboard(rows: int = 2000) -> Any:
    """The price depends on row and column together, and on the size smoothly."""
    rng = np.random.default_rng(0)
    row, column, size = rng.integers(0, 6, rows), rng.integers(0, 6, rows), rng.uniform(0, 3, rows)
    premium = np.random.default_rng(7).normal(0, 20, (6, 6))[row, column]
    words = {"row": np.array([f"r{i}" for i in row], object), "column": np.array([f"c{i}" for i in column], object)}
    return {**words, "size": size}, premium + 10 * np.sin(2 * size)


def crossed_columns() -> Any:
    row = feature_column.categorical_column_with_vocabulary_list("row", [f"r{i}" for i in range(6)])
    column = feature_column.categorical_column_with_vocabulary_list("column", [f"c{i}" for i in range(6)])
    return row, column, feature_column.crossed_column(["row", "column"], 1000)


def test_a_cross_in_the_wide_part_and_a_curve_in_the_deep_one_are_learned_together(tmp_path: Path) -> None:
    data = checkerboard()
    _, _, crossed = crossed_columns()
    estimator = DNNLinearCombinedRegressor(
        tmp_path,
        linear_feature_columns=[crossed],
        dnn_feature_columns=[feature_column.numeric_column("size")],
        dnn_hidden_units=[16],
    ).train(lambda: data, max_steps=2000)
    assert estimator.evaluate(lambda: data)["rmse"] < 0.15 * data[1].std()
    model = load_model(estimator.export_saved_model(tmp_path / "export"))
    ours = next(iter(estimator.predict(lambda: data[0], yield_single_examples=False)))["predictions"][:30]
    instances = [{name: values[i] for name, values in data[0].items()} for i in range(30)]
    assert model.predict(model.decode(instances))["predictions"] == pytest.approx(ours, rel=1e-4, abs=1e-3)


def test_each_part_alone_is_less() -> None:
    data = checkerboard()
    _, _, crossed = crossed_columns()
    size = feature_column.numeric_column("size")
    rmse = [
        DNNLinearCombinedRegressor(linear_feature_columns=linear, dnn_feature_columns=deep, dnn_hidden_units=[16])
        .train(lambda: data, max_steps=1000)
        .evaluate(lambda: data)["rmse"]
        for linear, deep in (([crossed], []), ([], [size]))
    ]
    assert min(rmse) > 0.25 * data[1].std()


def test_without_columns_both_parts_read_automatic_ones(species: Any, tmp_path: Path) -> None:
    estimator = DNNLinearCombinedClassifier(tmp_path, dnn_hidden_units=[16]).train(lambda: species, max_steps=500)
    assert estimator.evaluate(lambda: species)["accuracy"] > 0.9
    estimator.export_saved_model(tmp_path / "export")


def test_a_column_in_both_parts_is_fitted_once(houses: Any) -> None:
    rooms = feature_column.numeric_column("rooms")
    distance = feature_column.numeric_column("distance")
    estimator = DNNLinearCombinedRegressor(
        linear_feature_columns=[rooms, distance], dnn_feature_columns=[rooms], dnn_hidden_units=[8]
    ).train(lambda: houses, max_steps=50)
    assert [block.name for block in estimator.fitted_model().features.blocks] == ["rooms", "distance"]


def test_a_categorical_column_does_not_go_into_the_deep_part() -> None:
    row, _, _ = crossed_columns()
    with pytest.raises(UsageError, match="'row'; a network takes an indicator_column or embedding_column"):
        DNNLinearCombinedRegressor(dnn_feature_columns=[row])
    with pytest.raises(UsageError, match="both linear_feature_columns and dnn_feature_columns are empty"):
        DNNLinearCombinedRegressor(linear_feature_columns=[], dnn_feature_columns=[])


def test_penalties_and_schedules_are_of_the_deep_part(species: Any) -> None:
    def kernels(**given: Any) -> list[Any]:
        made = DNNLinearCombinedClassifier(dnn_hidden_units=[8], **given).train(lambda: species, max_steps=200)
        body: Any = made.fitted_model().body
        model = body.compiled.program.model
        return [
            value
            for variable, value in zip(model.trainable_variables, body.state.trainable, strict=True)
            if variable.path == "hidden_1/kernel"
        ]

    plain, penalized = kernels()[0], kernels(l2_regularization_strength=1.0, learning_rate_schedule="constant")[0]
    assert np.abs(penalized).mean() < 0.2 * np.abs(plain).mean()
