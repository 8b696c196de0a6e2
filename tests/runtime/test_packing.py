import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from penstock.data.schema import DataType
from penstock.errors import BundleError
from penstock.export.graph import GraphBuilder
from penstock.runtime.packing import pack_graph


def mixed_graph() -> GraphBuilder:
    graph = GraphBuilder()
    a = graph.input("a", DataType.FLOAT)
    town = graph.input("town", DataType.STRING)
    b = graph.input("b", DataType.INTEGER)
    when = graph.input("when", DataType.TIMESTAMP)
    zone = graph.input("zone", DataType.STRING)
    graph.output(
        "sum", graph.node("Add", [a, graph.node("Mul", [b, graph.constant(2.0)])]), TensorProto.DOUBLE, (None, 1)
    )
    graph.output("text", graph.node("StringConcat", [town, zone]), TensorProto.STRING, (None, 1))
    graph.output("time", when, TensorProto.INT64, (None, 1))
    return graph


def test_inputs_of_one_type_become_one_and_the_answers_stay() -> None:
    packed = pack_graph(mixed_graph().build().SerializeToString(), ["a", "town", "b", "when", "zone"])
    onnx.checker.check_model(onnx.load_model_from_string(packed.model), full_check=True)
    session = onnxruntime.InferenceSession(packed.model)
    assert {item.name for item in session.get_inputs()} == {pack.tensor for pack in packed.packs} | {"when"}
    assert {pack.names for pack in packed.packs} == {("a", "b"), ("town", "zone")}
    numbers, texts = sorted(packed.packs, key=lambda pack: pack.names)
    total, text, time = session.run(
        ["sum", "text", "time"],
        {
            numbers.tensor: np.array([[1.0, 10.0], [2.0, 20.0]]),
            texts.tensor: np.array([["x", "y"], ["ñ", ""]], dtype=object),
            "when": np.array([[5], [-(2**63)]]),
        },
    )
    assert total.tolist() == [[21.0], [42.0]]
    assert text.tolist() == [["xy"], ["ñ"]]
    assert time.tolist() == [[5], [-(2**63)]]


def test_columns_are_packed_in_the_order_asked_for() -> None:
    packed = pack_graph(mixed_graph().build().SerializeToString(), ["b", "a", "when", "zone", "town"])
    assert {pack.names for pack in packed.packs} == {("b", "a"), ("zone", "town")}


def test_a_single_column_of_its_type_is_left_as_it_is() -> None:
    graph = GraphBuilder()
    graph.output("y", graph.node("Neg", [graph.input("x", DataType.FLOAT)]), TensorProto.DOUBLE, (None, 1))
    model = graph.build().SerializeToString()
    packed = pack_graph(model, ["x"])
    assert packed.packs == ()
    assert packed.model == model
    assert [item.name for item in packed.single] == ["x"]


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_graphs_of_other_opsets_and_types_can_be_packed(opset: int) -> None:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("p", "q")]
    node = helper.make_node("Sub", ["p", "q"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    model = helper.make_model(
        helper.make_graph([node], "imported", inputs, [output]),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    packed = pack_graph(model.SerializeToString(), ["p", "q"])
    (pack,) = packed.packs
    (y,) = onnxruntime.InferenceSession(packed.model).run(None, {pack.tensor: np.array([[3, 1]], dtype=np.float32)})
    assert y.tolist() == [[2.0]]


def test_inputs_of_other_shapes_are_left_alone() -> None:
    graph = GraphBuilder()
    image = graph.input("image", DataType.IMAGE, (None, 4, 4, 3))
    a, b = graph.input("a", DataType.FLOAT), graph.input("b", DataType.FLOAT)
    graph.output("y", graph.node("Add", [a, b]), TensorProto.DOUBLE, (None, 1))
    graph.output("pixels", image, TensorProto.UINT8, (None, 4, 4, 3))
    packed = pack_graph(graph.build().SerializeToString(), ["image", "a", "b"])
    assert [(item.name, item.rank) for item in packed.single] == [("image", 4)]


def test_a_name_the_graph_lacks_is_refused() -> None:
    with pytest.raises(BundleError, match=r"no input 'c', which bundle\.json names; it has a, town, b, when, zone"):
        pack_graph(mixed_graph().build().SerializeToString(), ["a", "c"])


@pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 40, b"\x3a\xff\xff\x01abc"])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="not an ONNX model"):
        pack_graph(content, ["a"])


def test_a_model_cut_anywhere_is_refused_or_not_packed_wrong() -> None:
    model = mixed_graph().build().SerializeToString()
    for size in range(0, len(model), 7):
        with pytest.raises(BundleError):
            pack_graph(model[:size], ["a", "town", "b", "when", "zone"])
