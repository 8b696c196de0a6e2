import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import graph_pb2

from penstock import feature_column
from penstock.errors import ConfigError, MissingExtraError
from penstock.estimators.backend import keras
from penstock.estimators.keras_model import KerasClassifier, KerasRegressor
from penstock.runtime.model import load_model


class Gated(keras.Model):  # type: ignore[misc]
    """A subclassed model."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.gate = keras.layers.Dense(16, activation="sigmoid")
        self.value = keras.layers.Dense(16)
        self.norm = keras.layers.LayerNormalization()
        self.answer = keras.layers.Dense(outputs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.answer(self.norm(self.gate(inputs) * self.value(inputs)))


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(1),
        ]
    )


@pytest.mark.parametrize(
    "model", [sequential(), lambda _width, outputs: Gated(outputs)], ids=["sequential", "subclassed"]
)
def test_a_model_of_the_users_trains_and_serves(model: Any, houses: Any, tmp_path: Path) -> None:
    town = feature_column.categorical_column_with_vocabulary_list("town", ["Ålesund", "Brno", "Ávila"])
    columns = [
        feature_column.numeric_column("rooms"),
        feature_column.numeric_column("distance"),
        feature_column.embedding_column(town, 3),
    ]
    estimator = KerasRegressor(model, columns, tmp_path).train(lambda: houses, max_steps=1000)
    assert estimator.evaluate(lambda: houses)["rmse"] < 0.3 * houses[1].std()
    served = load_model(estimator.export_saved_model(tmp_path / "export"))
    ours = next(iter(estimator.predict(lambda: houses[0], yield_single_examples=False)))["predictions"]
    instances = [{name: values[i] for name, values in houses[0].items()} for i in range(20)]
    assert served.predict(served.decode(instances))["predictions"] == pytest.approx(ours[:20], rel=1e-4)


def test_a_classifier_of_the_users_answers_classes(species: Any) -> None:
    def model_fn(width: int, outputs: int) -> Any:
        inputs = keras.Input((width,))
        return keras.Model(inputs, keras.layers.Dense(outputs)(keras.layers.Dense(16, activation="tanh")(inputs)))

    estimator = KerasClassifier(model_fn).train(lambda: species, max_steps=600)
    assert estimator.evaluate(lambda: species)["accuracy"] > 0.9
    (answer,) = estimator.predict(lambda: {"length": np.array([3.0]), "width": np.array([0.0])})
    assert answer["classes"].tolist() == ["virginica"]


def test_training_needs_no_translation_and_shows_columns_and_layers(
    houses: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    estimator = KerasRegressor(sequential(), [feature_column.numeric_column("rooms")], tmp_path)
    estimator.train(lambda: houses, max_steps=5)
    events = EventAccumulator(str(tmp_path)).Reload()
    graph = graph_pb2.GraphDef.FromString(events.Graph().SerializeToString())
    assert {"column/rooms", "feature/rooms"} < {node.name for node in graph.node}
    assert {"Dense", "BatchNormalization", "Dropout"} <= {node.op for node in graph.node}
    with pytest.raises(MissingExtraError, match=r"penstock\[export\]"):
        estimator.export_saved_model(tmp_path / "export")


def test_a_model_of_another_shape_is_refused(houses: Any) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(ConfigError, match=r"answers with shape \(None, 3\); expected \(rows, 1\)"):
        KerasRegressor(model, [feature_column.numeric_column("rooms")]).train(lambda: houses, max_steps=1)
    with pytest.raises(ConfigError, match="model is a str; expected a Keras model"):
        KerasRegressor("dense")


def test_a_function_lives_as_long_as_its_compiled_steps_are_kept(houses: Any) -> None:
    """They are found by its address, which Python would give to another function."""

    def build(width: int, outputs: int) -> Any:
        return keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(outputs)])

    KerasRegressor(build).train(lambda: houses, max_steps=1)
    held = weakref.ref(build)
    del build
    gc.collect()
    assert held() is not None
