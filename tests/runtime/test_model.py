from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tests.runtime.bundles import linear_bundle, mixed_bundle, write

from penstock.bundle.manifest import OutputTensor, Signature
from penstock.data.recipe.projection import filtered, with_columns
from penstock.data.recipe.row_program import RowProgram
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import BundleError, NotFoundError
from penstock.export.graph import GraphBuilder
from penstock.runtime.model import load_model


def test_a_bundle_predicts(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle", offset=0.5))
    outputs = model.predict(model.decode([{"A": 1, "B": 2, "C": 3}, {"C": 0, "B": 0, "A": "4"}]))
    assert list(outputs) == ["predictions"]
    assert outputs["predictions"].dtype == np.float32
    assert outputs["predictions"].tolist() == [[321.5], [4.5]]


def test_row_form_and_column_form_agree(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle"))
    by_row = model.predict(model.decode([{"A": 1, "B": 2, "C": 3}, {"A": 4, "B": 5, "C": 6}]))
    by_column = model.predict(model.decode_columns({"A": [1, 4], "B": [2, 5], "C": [3, 6]}))
    np.testing.assert_array_equal(by_row["predictions"], by_column["predictions"])


def test_every_type_reaches_the_graph_as_it_was_sent(tmp_path: Path) -> None:
    model = load_model(mixed_bundle(tmp_path / "bundle"))
    outputs = model.predict(
        model.decode(
            [
                {"age": 1.5, "town": "Zu\u0308rich", "rooms": 3, "sold": "02/01/1970", "owner": True, "zone": ""},
                {"zone": "b", "town": "?", "rooms": "4", "owner": None},
            ]
        )
    )
    np.testing.assert_array_equal(outputs["numbers"], [[1.5, 3.0, 1.0], [np.nan, 4.0, np.nan]])
    assert outputs["class_ids"].tolist() == [[86_400_000_000], [-(2**63)]]
    assert outputs["classes"].tolist() == [["Zürich", ""], ["MISSING", "b"]]


def test_one_column_needs_no_packing(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle", (3.0,)))
    assert model.predict(model.decode([2, 3]))["predictions"].tolist() == [[6.0], [9.0]]


def test_missing_numbers_reach_the_graph_as_nan(tmp_path: Path) -> None:
    columns = [Column(name=name, type=DataType.FLOAT, nullable=True) for name in "AB"]
    model = load_model(linear_bundle(tmp_path / "bundle", (1.0, 10.0), columns=columns))
    assert model.predict(model.decode([{"A": None}, {}]))["predictions"].tolist() == [[-11.0], [-11.0]]


def test_threads_may_share_a_model(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle"))

    def ask(number: int) -> bool:
        rows = [{"A": number, "B": row, "C": 0} for row in range(number % 5 + 1)]
        found = model.predict(model.decode(rows))["predictions"]
        expected = [[number + 10 * row] for row in range(number % 5 + 1)]
        return bool(found.tolist() == expected)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(500)))


def test_an_altered_graph_is_refused(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path / "bundle")
    path = Path(folder) / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"altered: model\.onnx"):
        load_model(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        load_model(str(tmp_path / "nowhere"))


def test_a_recipe_is_applied_before_the_graph(tmp_path: Path) -> None:
    sent = Schema((Column(name="metres", type=DataType.FLOAT),))
    program = RowProgram(sent, [with_columns(sent, {"feet": "metres * 3.28084"})]).narrowed(["feet"])
    bundle = feet_bundle(tmp_path / "bundle", program)
    model = load_model(bundle)
    assert model.predict(model.decode([{"metres": 100.0}]))["predictions"].tolist() == [[pytest.approx(656.168)]]
    rows = model.rows.read(b'{"instances": [{"metres": 100}, {"metres": 0}]}')
    assert model.predict_rows(rows)["predictions"].tolist() == [[pytest.approx(656.168)], [0.0]]


def test_a_recipe_that_drops_rows_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    sent = Schema((Column(name="metres", type=DataType.FLOAT),))
    feet = RowProgram(sent, [with_columns(sent, {"feet": "metres * 3.28084"})])
    dropping = RowProgram(sent, [filtered(sent, "metres > 0"), with_columns(sent, {"feet": "metres * 3.28084"})])
    with pytest.raises(BundleError, match="drops rows"):
        load_model(feet_bundle(tmp_path / "dropping", dropping))
    with pytest.raises(BundleError, match="does not yield 'feet'"):
        load_model(feet_bundle(tmp_path / "other", feet.narrowed(["metres"])))


def feet_bundle(folder: Path, program: RowProgram) -> str:
    """Doubles `feet`, behind this recipe."""
    graph = GraphBuilder()
    doubled = graph.node("Mul", [graph.input("feet", DataType.FLOAT), graph.constant(2.0)])
    graph.output("predictions", doubled, TensorProto.DOUBLE, (None, 1))
    output = OutputTensor(name="predictions", dtype="float64", shape=(None, 1))
    return write(
        folder,
        graph,
        Signature(inputs=program.input_schema.columns, outputs=(output,)),
        graph_inputs=(Column(name="feet", type=DataType.FLOAT),),
        files={"recipe.json": program.to_json()},
    )


def test_an_output_without_rows_is_refused(tmp_path: Path) -> None:
    graph = GraphBuilder()
    total = graph.node("ReduceSum", [graph.input("x", DataType.FLOAT)], keepdims=0)
    graph.output("predictions", total, TensorProto.DOUBLE, ())
    output = OutputTensor(name="predictions", dtype="float64", shape=())
    signature = Signature(inputs=(Column(name="x", type=DataType.FLOAT),), outputs=(output,))
    with pytest.raises(BundleError, match=r"output 'predictions' .* has the shape \[\] for one row"):
        load_model(write(tmp_path / "bundle", graph, signature))
