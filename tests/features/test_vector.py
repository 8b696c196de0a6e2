"""Several numbers a row under one name, from the array of a trainer to the list of a request."""

from typing import Any

import numpy as np
import pytest

from penstock import estimator, feature_column
from penstock.errors import DataError, InstanceError, UsageError
from penstock.features.arrays import batch_of_arrays
from penstock.features.numeric import NumericColumn
from penstock.features.vector import NumericVector
from penstock.runtime.model import load_model

X = np.random.default_rng(0).normal(3.0, 2.0, (200, 4))
WEIGHTS = np.array([1.0, -2.0, 0.5, 0.0])


def input_fn() -> Any:
    return {"x": X, "y": X[:, 0] ** 2}, X @ WEIGHTS


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("vector")
    columns = [feature_column.numeric_column("x", shape=[4]), feature_column.numeric_column("y")]
    trained = estimator.DNNRegressor([8], feature_columns=columns, model_dir=str(folder))
    trained.train(input_fn, max_steps=50)
    return trained, load_model(trained.export_saved_model(str(folder / "export")))


def test_a_list_in_a_request_is_answered_as_the_trainer_answers_the_array(exported: tuple[Any, Any]) -> None:
    trained, model = exported
    ours = [row["predictions"] for row in trained.predict(lambda: {"x": X[:5], "y": X[:5, 0] ** 2})]
    names = ["x_0", "x_1", "x_2", "x_3"]
    assert [column.name for column in model.manifest.signature.inputs] == [*names, "y"]
    listed = [{"x": row.tolist(), "y": row[0] ** 2} for row in X[:5]]
    named = [{**dict(zip(names, row.tolist(), strict=True)), "y": row[0] ** 2} for row in X[:5]]
    columns = {"x": X[:5].tolist(), "y": (X[:5, 0] ** 2).tolist()}
    for batch in (model.decode(listed), model.decode(named), model.decode_columns(columns)):
        np.testing.assert_allclose(model.predict(batch)["predictions"], ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [[1.0, 2.0, 3.0], [1.0] * 5, 7.0, "1,2,3,4", None])
def test_a_list_of_another_length_is_refused_by_name(exported: tuple[Any, Any], value: object) -> None:
    with pytest.raises(
        InstanceError, match=r"instance 1: column 'x' is .* expected a list of 4 numbers, .* x_0 to x_3"
    ):
        exported[1].decode([{"x": [1, 2, 3, 4], "y": 0}, {"x": value, "y": 0}])


def test_one_value_in_the_list_is_named_by_its_place(exported: tuple[Any, Any]) -> None:
    with pytest.raises(InstanceError, match="instance 0: column 'x_2' is 'three'"):
        exported[1].decode([{"x": [1, 2, "three", 4], "y": 0}])


def test_shapes_of_one_are_plain_columns_and_others_are_laid_side_by_side() -> None:
    for shape in (1, (1,), [1], (), [1, 1]):
        assert isinstance(feature_column.numeric_column("x", shape), NumericColumn)
    square = feature_column.numeric_column("x", (2, 2), default_value=[1, 2, 3, 4])
    assert isinstance(square, NumericVector)
    assert square.keys == ("x_0", "x_1", "x_2", "x_3")
    assert [column.default_value for column in square.columns] == [1, 2, 3, 4]
    batch = batch_of_arrays({"x": np.arange(8).reshape(2, 2, 2), "z": [[1, 2], [3, 4]]})
    assert batch.schema.names == ("x_0", "x_1", "x_2", "x_3", "z_0", "z_1")
    assert batch["x_1"].tolist() == [1, 5]


@pytest.mark.parametrize(("shape", "default"), [(0, None), ((2, -1), None), ("ab", None), (3, [1.0, 2.0])])
def test_shapes_that_cannot_be_are_refused(shape: Any, default: Any) -> None:
    with pytest.raises(UsageError, match="numeric_column"):
        feature_column.numeric_column("x", shape, default)


def test_a_name_that_a_vector_needs_is_not_given_twice() -> None:
    with pytest.raises(DataError, match="'x_1' beside 'x'"):
        batch_of_arrays({"x": np.zeros((2, 2)), "x_1": np.zeros(2)})
