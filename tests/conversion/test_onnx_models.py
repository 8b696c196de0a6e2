"""ONNX files of other tools as bundles."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from penstock.data.schema import DataType
from penstock.errors import BundleError, NotFoundError, UsageError
from penstock.flows.import_model import import_file
from penstock.runtime.model import load_model

FLOAT = TensorProto.FLOAT


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]) -> str:
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


def linear(path: Path, *, batch: Any = "batch") -> str:
    return save(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", FLOAT, [batch, 1])],
        {"w": np.array([[1], [10], [100]], np.float32)},
    )


def test_one_packed_input_takes_lists_objects_and_columns(tmp_path: Path) -> None:
    import_file(linear(tmp_path / "m.onnx"), output=str(tmp_path / "plain"))
    plain = load_model(str(tmp_path / "plain"))
    assert plain.predict(plain.decode([[1, 2, 3]]))["y"].tolist() == [[321.0]]
    assert plain.predict(plain.decode([{"x": [1, 2, 3]}]))["y"].tolist() == [[321.0]]
    assert plain.predict(plain.decode_columns({"x": [[1, 2, 3], [0, 0, 1]]}))["y"].tolist() == [[321.0], [100.0]]
    import_file(linear(tmp_path / "m.onnx"), output=str(tmp_path / "named"), columns=["a", "b", "c"])
    named = load_model(str(tmp_path / "named"))
    assert named.predict(named.decode([{"a": 1, "b": 2, "c": 3}]))["y"].tolist() == [[321.0]]
    assert named.predict(named.decode([[1, 2, 3]]))["y"].tolist() == [[321.0]]
    assert named.manifest.signature.positional


def test_a_batch_fixed_at_one_is_freed(tmp_path: Path) -> None:
    path = save(
        tmp_path / "fixed.onnx",
        [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])],
        [helper.make_tensor_value_info("x", FLOAT, [1, 2, 2])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 1])],
        {"s": np.array([1, 4]), "w": np.array([[1], [2], [3], [4]], np.float32)},
    )
    import_file(path, output=str(tmp_path / "bundle"))
    model = load_model(str(tmp_path / "bundle"))
    rows = [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
    assert model.predict(model.decode(rows))["y"].tolist() == [[1.0], [4.0]]


def test_a_graph_that_mixes_its_rows_is_refused(tmp_path: Path) -> None:
    path = save(
        tmp_path / "mixes.onnx",
        [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1), helper.make_node("Sub", ["x", "m"], ["y"])],
        [helper.make_tensor_value_info("x", FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 3])],
        {},
    )
    with pytest.raises(BundleError, match="one row at a time"):
        import_file(path, output=str(tmp_path / "bundle"))
    four = linear(tmp_path / "four.onnx", batch=4)
    with pytest.raises(BundleError, match="4 rows at a time"):
        import_file(four, output=str(tmp_path / "bundle"))


def test_maps_become_probabilities_with_their_classes(tmp_path: Path) -> None:
    path = save(
        tmp_path / "zip.onnx",
        [
            helper.make_node("Softmax", ["x"], ["p"], axis=1),
            helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["ant", "bee"]),
        ],
        [helper.make_tensor_value_info("x", FLOAT, [None, 2])],
        [
            helper.make_value_info(
                "maps",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
                ),
            )
        ],
        {},
    )
    manifest = import_file(path, output=str(tmp_path / "bundle"))
    assert manifest.classes == ("ant", "bee")
    model = load_model(str(tmp_path / "bundle"))
    assert model.predict(model.decode([[0.0, 0.0]]))["maps"].tolist() == [[0.5, 0.5]]


def test_several_inputs_keep_their_names_and_types(tmp_path: Path) -> None:
    path = save(
        tmp_path / "several.onnx",
        [
            helper.make_node("Cast", ["count"], ["f"], to=FLOAT),
            helper.make_node("Add", ["f", "price"], ["total"]),
            helper.make_node("Identity", ["town"], ["said"]),
        ],
        [
            helper.make_tensor_value_info("count", TensorProto.INT64, ["N", 1]),
            helper.make_tensor_value_info("price", FLOAT, ["N", 1]),
            helper.make_tensor_value_info("town", TensorProto.STRING, ["N"]),
        ],
        [
            helper.make_tensor_value_info("total", FLOAT, ["N", 1]),
            helper.make_tensor_value_info("said", TensorProto.STRING, ["N"]),
        ],
        {},
    )
    manifest = import_file(path, output=str(tmp_path / "bundle"))
    assert [column.type for column in manifest.signature.inputs] == [DataType.INTEGER, DataType.FLOAT, DataType.STRING]
    model = load_model(str(tmp_path / "bundle"))
    answers = model.predict(model.decode([{"count": 2, "price": 0.5, "town": "Rome"}]))
    assert (answers["total"].tolist(), answers["said"].tolist()) == ([[2.5]], ["Rome"])


def test_what_cannot_be_imported_is_named(tmp_path: Path) -> None:
    target = str(tmp_path / "bundle")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    for source, error, said in [
        (tmp_path / "bad.onnx", BundleError, "is not an ONNX model"),
        (tmp_path / "none.onnx", NotFoundError, "there is no file"),
        (tmp_path, UsageError, "holds no saved_model.pb"),
        ("gs://bucket/model.onnx", UsageError, "is not on this machine"),
    ]:
        with pytest.raises(error, match=said):
            import_file(str(source), output=target)
    (tmp_path / "model.xyz").write_text("")
    with pytest.raises(UsageError, match="expected one of"):
        import_file(str(tmp_path / "model.xyz"), output=target)
    source = linear(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="named twice"):
        import_file(source, output=target, columns=["a", "a", "b"])
    two = save(
        tmp_path / "two.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 3])],
        {},
    )
    with pytest.raises(UsageError, match="classes are named"):
        import_file(two, output=target, classes=["a", "b"])
    assert not Path(target).exists()
