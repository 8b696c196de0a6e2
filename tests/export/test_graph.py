"""Graphs are written with names that never meet, operator sets that every runtime loads, and constants shared."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from penstock.data.schema import DataType
from penstock.export.graph import GraphBuilder
from penstock.export.tensor import Tensor

FLOAT = int(TensorProto.FLOAT)


def test_inner_names_never_meet_inputs_or_outputs() -> None:
    graph = GraphBuilder()
    value = graph.input("Add", DataType.FLOAT)
    total = graph.node("Add", [value, graph.constant(1.0, np.float64, hint="Add")])
    total = graph.node("Add", [total, total])
    graph.output("Add_1", total, int(TensorProto.DOUBLE), (None, 1))
    names = [output for node in graph.build().graph.node for output in node.output]
    assert len(set(names)) == len(names)
    assert all(name.startswith("/") for name in names[:-1])


def test_equal_small_constants_are_one() -> None:
    graph = GraphBuilder()
    assert graph.constant(1.0, np.float32) == graph.constant(1.0, np.float32)
    assert graph.constant(1.0, np.float32) != graph.constant(1.0, np.float64)
    assert graph.constant([1.0], np.float32) != graph.constant(1.0, np.float32)
    assert graph.constant(0.0, np.float64) != graph.constant(-0.0, np.float64)


def test_only_operator_sets_in_use_are_declared() -> None:
    graph = GraphBuilder()
    text = graph.input("text", DataType.STRING)
    assert graph.operator_domains == {"ai.onnx": 21}
    graph.ml_node("LabelEncoder", [text], keys_strings=["a"], values_int64s=[1])
    graph.contrib_node("MurmurHash3", [text])
    assert graph.operator_domains == {"ai.onnx": 21, "ai.onnx.ml": 5, "com.microsoft": 1}


def test_foreign_nodes_are_taken_over(plain_session: Callable[[bytes], Any]) -> None:
    graph = GraphBuilder()
    value = graph.cast(graph.input("x", DataType.FLOAT), FLOAT)
    graph.splice([helper.make_node("Neg", [value], ["theirs/negative"])], [])
    graph.output("y", "theirs/negative", FLOAT, (None, 1))
    (answer,) = plain_session(graph.build().SerializeToString()).run(None, {"x": np.array([[2.0]])})
    assert answer.tolist() == [[-2.0]]


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: x + 1.0,
        lambda x: 1.0 + x,
        lambda x: x - 2.5,
        lambda x: 2.5 - x,
        lambda x: x * 3.0,
        lambda x: 3.0 * x,
        lambda x: x / 4.0,
        lambda x: 4.0 / x,
        lambda x: -x,
        lambda x: x == 2.0,
        lambda x: x != 2.0,
        lambda x: x < 2.0,
        lambda x: x <= 2.0,
        lambda x: x > 2.0,
        lambda x: x >= 2.0,
        lambda x: (x > 1.0) & (x < 3.0),
        lambda x: (x < 1.5) | ~(x < 3.0),
    ],
)
def test_a_tensor_knows_pythons_operators(formula: Callable[[Any], Any], plain_session: Callable[[bytes], Any]) -> None:
    rows = np.array([[1.0], [2.0], [-7.5], [3.0]])
    graph = GraphBuilder()
    result = formula(Tensor(graph, graph.input("x", DataType.FLOAT), "float64")).cast("float64")
    graph.output("y", result.name, int(TensorProto.DOUBLE), (None, 1))
    (answer,) = plain_session(graph.build().SerializeToString()).run(None, {"x": rows})
    np.testing.assert_array_equal(answer, np.asarray(formula(rows), dtype=np.float64))


@pytest.mark.parametrize("formula", [lambda x: x // 7, lambda x: x % 7, lambda x: x * 3 // 2 % 5])
def test_whole_numbers_divide_as_in_python(
    formula: Callable[[Any], Any], plain_session: Callable[[bytes], Any]
) -> None:
    rows = np.array([[0], [6], [7], [2**60]])
    graph = GraphBuilder()
    result = formula(Tensor(graph, graph.input("x", DataType.TIMESTAMP), "int64"))
    graph.output("y", result.name, int(TensorProto.INT64), (None, 1))
    (answer,) = plain_session(graph.build().SerializeToString()).run(None, {"x": rows})
    np.testing.assert_array_equal(answer, formula(rows))
