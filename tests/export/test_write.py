"""A bundle holds what training hands on, appears whole, and only when trainer and graph agree."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from penstock.bundle.folder import read_manifest, verify
from penstock.bundle.manifest import Label, Task
from penstock.data.columns import ColumnBatch
from penstock.data.profile import TableProfile
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.serving_input import ServingInputReceiver, placeholder, program_of_function
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import AlreadyExistsError, ExportError, ParityError
from penstock.export.model import assemble
from penstock.export.write import BundleFacts, write_bundle
from penstock.feature_column import (
    categorical_column_with_vocabulary_list,
    embedding_column,
    indicator_column,
    numeric_column,
)
from penstock.features.arrays import batch_of_arrays
from penstock.runtime.model import load_model

from .models import WeightedSum, weighted_sum

TABLE: dict[str, Any] = {
    "rooms": [6.5, 7.1, np.nan, 5.0],
    "town": ["São Paulo", "x", None, ""],
    "floors": [1, 2, 3, 2],
    "sold": [datetime(2020, 1, 31, 10, 30), None, datetime(1969, 12, 31), datetime(2021, 5, 5)],
}

FACTS = BundleFacts(task=Task.REGRESSION, estimator="WeightedSum", label=Label(name="price", unit="dollars"))


@pytest.fixture
def model() -> WeightedSum:
    town = categorical_column_with_vocabulary_list("town", ["São Paulo", "x"])
    return weighted_sum(
        [
            numeric_column("rooms"),
            indicator_column(town),
            embedding_column(categorical_column_with_vocabulary_list("floors", [1, 2]), 2),
        ],
        TABLE,
    )


def test_a_bundle_answers_as_the_trainer_does(tmp_path: Path, model: WeightedSum) -> None:
    rows = batch_of_arrays(TABLE)
    manifest = write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=rows)
    loaded = load_model(str(tmp_path / "bundle"))
    instances = [{"rooms": None, "town": "Sa\u0303o Paulo", "floors": 2}, {"floors": 7}]
    served = loaded.predict(loaded.decode(instances))["predictions"]
    own = model.predict(
        batch_of_arrays({"rooms": [np.nan, np.nan], "town": ["São Paulo", None], "floors": [2.0, 7.0]})
    )["predictions"]
    np.testing.assert_allclose(served, own, rtol=1e-6)
    assert [column.name for column in manifest.signature.inputs] == ["rooms", "town", "floors"]
    assert [column.nullable for column in manifest.signature.inputs] == [True, True, False]
    assert manifest.graph_inputs == manifest.signature.inputs


def test_a_bundle_lists_its_files_with_digests_and_verifies(tmp_path: Path, model: WeightedSum) -> None:
    weights = tmp_path / "weights.keras"
    weights.write_bytes(b"weights")
    uri = str(tmp_path / "bundle")
    written = write_bundle(
        model,
        uri=uri,
        facts=replace(FACTS, ignored=("price", "rooms"), metrics={"rmse": 3.5}, global_step=7),
        samples=batch_of_arrays(TABLE),
        profile=TableProfile(rows=24, columns=()).to_json(),
        trainer_files={"model.keras": weights, "features.json": model.features.to_json()},
    )
    assert verify(uri) == written == read_manifest(uri)
    assert sorted(written.files) == [
        "model.onnx",
        "parity.json",
        "profile.json",
        "samples.jsonl",
        "trainer/features.json",
        "trainer/model.keras",
    ]
    assert written.signature.ignored == ("price",)
    assert written.operator_domains == {"ai.onnx": 21, "ai.onnx.ml": 5}
    assert {"penstock", "python", "onnx", "onnxruntime"} <= set(written.versions)
    assert written.global_step == 7


def test_samples_are_instances_that_a_caller_can_send(tmp_path: Path, model: WeightedSum) -> None:
    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(TABLE))
    lines = (tmp_path / "bundle" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"rooms": 6.5, "town": "São Paulo", "floors": 1},
        {"rooms": 7.1, "town": "x", "floors": 2},
        {"rooms": None, "town": None, "floors": 3},
        {"rooms": 5.0, "town": "", "floors": 2},
    ]


def test_parity_is_recorded(tmp_path: Path, model: WeightedSum) -> None:
    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(TABLE))
    report = json.loads((tmp_path / "bundle" / "parity.json").read_text())
    assert report["real_rows"] == report["sent_rows"] == 4
    assert report["hostile_rows"] > 40
    assert report["outputs"][0]["name"] == "predictions"
    assert report["outputs"][0]["max_absolute_difference"] < 1e-2


def test_a_graph_that_answers_otherwise_than_the_trainer_is_not_published(tmp_path: Path, model: WeightedSum) -> None:
    wrong = replace(model, served_factor=1.001)
    with pytest.raises(ParityError, match=r"output 'predictions' of real row \d+ is .*rooms=.*town='São Paulo'"):
        write_bundle(wrong, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(TABLE))
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_model_is_not_published(tmp_path: Path, model: WeightedSum) -> None:
    with pytest.raises(ExportError, match="diverged"):
        write_bundle(
            replace(model, factor=float("nan")), uri=str(tmp_path / "b"), facts=FACTS, samples=batch_of_arrays(TABLE)
        )
    assert list(tmp_path.iterdir()) == []


def test_without_rows_there_is_nothing_to_prove(tmp_path: Path, model: WeightedSum) -> None:
    with pytest.raises(ExportError, match="no sample rows"):
        write_bundle(model, uri=str(tmp_path / "b"), facts=FACTS, samples=batch_of_arrays(TABLE).take(slice(0, 0)))


def test_a_bundle_is_never_overwritten(tmp_path: Path, model: WeightedSum) -> None:
    def write() -> None:
        write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(TABLE))

    write()
    before = (tmp_path / "bundle" / "bundle.json").read_bytes()
    with pytest.raises(AlreadyExistsError):
        write()
    assert (tmp_path / "bundle" / "bundle.json").read_bytes() == before


def test_a_column_named_as_an_output_is_refused(model: WeightedSum) -> None:
    with pytest.raises(ExportError, match="'rooms' has the name of an output"):
        assemble(replace(model, output="rooms"))


@pytest.mark.parametrize("name", ["Add", "/Add", "output/predictions", "logits_1", "Ω column, with: signs"])
def test_any_column_name_may_be_an_input(tmp_path: Path, name: str) -> None:
    table = {name: [1.0, 2.0, np.nan]}
    model = weighted_sum([numeric_column(name)], table)
    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(table))
    loaded = load_model(str(tmp_path / "bundle"))
    served = loaded.predict(loaded.decode([{name: 1.5}]))["predictions"]
    np.testing.assert_allclose(served, [[0.0]], atol=1e-6)


def test_the_file_runs_in_a_plain_onnx_runtime(
    tmp_path: Path, model: WeightedSum, plain_session: Callable[..., Any]
) -> None:
    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(TABLE))
    proto = onnx.load(tmp_path / "bundle" / "model.onnx")
    assert proto.ir_version == 10
    assert {opset.domain: opset.version for opset in proto.opset_import} == {"": 21, "ai.onnx.ml": 5}
    rows = batch_of_arrays(TABLE).select(("rooms", "town", "floors"))
    feed = {name: rows[name].reshape(-1, 1) for name in rows.schema.names}
    answer = plain_session(proto.SerializeToString()).run(None, feed)[0]
    np.testing.assert_allclose(answer, model.predict(rows)["predictions"], rtol=1e-6, atol=1e-7)


def test_callers_may_send_renamed_and_rescaled_columns(tmp_path: Path) -> None:
    table = {"RM": [6.5, 7.0, 5.25, 6.0], "town": ["x", "y", "x", None], "AGE": [10.0, 20.0, 30.0, 40.0]}
    town = categorical_column_with_vocabulary_list("town", ["x", "y"])
    model = weighted_sum([numeric_column("RM"), numeric_column("AGE"), indicator_column(town)], table)

    def serving_input_fn() -> ServingInputReceiver:
        rooms, place, built = placeholder("float"), placeholder("string"), placeholder("int")
        return ServingInputReceiver(
            {"RM": rooms / 10, "town": place, "AGE": 2017 - built}, {"ROOMS": rooms, "PLACE": place, "BUILT": built}
        )

    recipe = program_of_function(serving_input_fn, Schema(model.graph_inputs))
    manifest = write_bundle(
        model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(table), recipe=recipe
    )
    assert sorted(column.name for column in manifest.signature.inputs) == ["BUILT", "PLACE", "ROOMS"]
    assert [column.name for column in manifest.graph_inputs] == ["RM", "town", "AGE"]
    loaded = load_model(str(tmp_path / "bundle"))
    served = loaded.predict(loaded.decode([{"ROOMS": 65, "PLACE": "y", "BUILT": 1990}]))["predictions"]
    own = model.predict(batch_of_arrays({"RM": [6.5], "town": ["y"], "AGE": [27.0]}))["predictions"]
    np.testing.assert_allclose(served, own, rtol=1e-6)
    samples = [json.loads(line) for line in (tmp_path / "bundle" / "samples.jsonl").read_text().splitlines()]
    assert [sample["ROOMS"] for sample in samples[:3]] == pytest.approx([65.0, 70.0, 52.5])
    assert [sample["PLACE"] for sample in samples[:2]] == ["x", "y"]
    assert [sample["BUILT"] for sample in samples[:2]] == [2007, 1997]


def test_a_recipe_that_lacks_a_column_is_refused(tmp_path: Path, model: WeightedSum) -> None:
    program = RowProgram(Schema((Column(name="rooms", type=DataType.FLOAT),)))
    with pytest.raises(ExportError, match="does not yield 'town', which the model reads; it yields rooms"):
        write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=batch_of_arrays(TABLE), recipe=program)
    assert list(tmp_path.iterdir()) == []


def test_files_may_hold_decomposed_texts(tmp_path: Path) -> None:
    rows = batch_of_arrays({"town": ["x", "y"]})
    decomposed = np.array(["Sa\u0303o Paulo", "x"], dtype=object)
    model = weighted_sum([indicator_column(categorical_column_with_vocabulary_list("town", ["x", "São Paulo"]))], TABLE)
    as_in_file = ColumnBatch(rows.schema, {"town": decomposed})
    assert model.predict(as_in_file)["predictions"].ravel().tolist() == pytest.approx([0.1, 0.0])
    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=as_in_file)
    first = (tmp_path / "bundle" / "samples.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == {"town": "São Paulo"}
