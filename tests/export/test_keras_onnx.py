"""Keras models of the user's own become nodes that give the same answers."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from penstock.data.schema import DataType
from penstock.errors import ExportError, MissingExtraError
from penstock.export.graph import GraphBuilder
from penstock.export.keras_onnx import splice_keras

Specs = list[tuple[tuple[int | None, ...], str]]

DENSE: Specs = [((None, 4), "float32")]
DENSE_AND_IDS: Specs = [((None, 4), "float32"), ((None, 2), "int32")]


def mixed(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="gelu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.LayerNormalization(),
            layers.Dense(1),
        ]
    )


def two_inputs(keras: Any) -> Any:
    layers = keras.layers
    dense, ids = keras.Input((4,)), keras.Input((2,), dtype="int32")
    together = layers.Concatenate()([dense, layers.Flatten()(layers.Embedding(7, 3)(ids))])
    return keras.Model([dense, ids], [layers.Dense(3)(together), layers.Dense(2, activation="softmax")(together)])


def recurrent(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([keras.Input((4,)), layers.Reshape((4, 1)), layers.LSTM(6), layers.Dense(1)])


def attention(keras: Any) -> Any:
    layers = keras.layers
    values = keras.Input((4,))
    steps = layers.Dense(8)(layers.Reshape((4, 1))(values))
    attended = layers.MultiHeadAttention(2, 4)(steps, steps)
    return keras.Model(values, layers.Dense(1)(layers.GlobalAveragePooling1D()(attended)))


def subclassed(keras: Any) -> Any:
    class Residual(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(4, activation="silu")
            self.outer = keras.layers.Dense(1)

        def call(self, values: Any, training: bool = False) -> Any:
            return self.outer(self.inner(values) + values)

    model = Residual()
    model(np.zeros((1, 4), np.float32))
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "specs"),
    [(mixed, DENSE), (two_inputs, DENSE_AND_IDS), (recurrent, DENSE), (attention, DENSE), (subclassed, DENSE)],
)
def test_the_graph_answers_as_the_model(
    make: Callable[[Any], Any], specs: Specs, plain_session: Callable[[bytes], Any]
) -> None:
    from penstock.estimators.backend import keras

    keras.utils.set_random_seed(0)
    model = make(keras)
    graph = GraphBuilder()
    random = np.random.default_rng(0)
    feed, tensors = {}, []
    for i, (shape, dtype) in enumerate(specs):
        name = graph.input(f"input_{i}", DataType.FLOAT, shape)
        tensors.append(graph.cast(name, int(TensorProto.FLOAT if dtype == "float32" else TensorProto.INT32)))
        feed[name] = random.integers(0, 7, (5, shape[1] or 1)).astype(np.float64)
    outputs = splice_keras(graph, model, tensors, specs=specs)
    for i, output in enumerate(outputs):
        graph.output(f"output_{i}", output, int(TensorProto.FLOAT), (None, None))
    assert graph.operator_domains == {"ai.onnx": 21}
    session = plain_session(graph.build().SerializeToString())
    for rows in (5, 1, 0):
        some = {name: values[:rows] for name, values in feed.items()}
        answers = session.run(None, some)
        if not rows:
            assert [len(answer) for answer in answers] == [0] * len(outputs)
            continue
        called = [values.astype(dtype) for values, (_, dtype) in zip(some.values(), specs, strict=True)]
        own = keras.tree.flatten(model(called[0] if len(called) == 1 else called, training=False))
        for expected, found in zip(own, answers, strict=True):
            np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_two_models_fit_into_one_graph(plain_session: Callable[[bytes], Any]) -> None:
    from penstock.estimators.backend import keras

    first, second = mixed(keras), mixed(keras)
    graph = GraphBuilder()
    value = graph.cast(graph.input("x", DataType.FLOAT, (None, 4)), int(TensorProto.FLOAT))
    outputs = [splice_keras(graph, model, [value], specs=DENSE)[0] for model in (first, second)]
    graph.output("y", graph.node("Add", outputs), int(TensorProto.FLOAT), (None, 1))
    rows = np.random.default_rng(0).normal(size=(3, 4))
    (found,) = plain_session(graph.build().SerializeToString()).run(None, {"x": rows})
    expected = np.asarray(first(rows.astype(np.float32))) + np.asarray(second(rows.astype(np.float32)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_what_cannot_be_translated_is_named() -> None:
    from penstock.estimators.backend import keras

    class Impossible(keras.Model):  # type: ignore[misc]
        def call(self, values: Any, training: bool = False) -> Any:
            raise NotImplementedError("fancy_operation is not translated")

    with pytest.raises(ExportError, match=r"'impossible' cannot be translated to ONNX: .*fancy_operation"):
        splice_keras(GraphBuilder(), Impossible(name="impossible"), ["x"], specs=DENSE)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'penstock\[export\]'"):
        splice_keras(GraphBuilder(), object(), ["x"], specs=DENSE)
