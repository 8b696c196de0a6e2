"""The served model of the benchmarks: the lab's network with weights drawn at random, its rows and its answers."""

from pathlib import Path

import numpy as np
from onnx import TensorProto

from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import BundleKind, Manifest, OutputTensor, Signature, Task
from penstock.data.profile import ColumnProfile, TableProfile
from penstock.data.schema import Column, DataType
from penstock.export.graph import GraphBuilder
from penstock.runtime.model import load_model

__all__ = ["COLUMNS", "HIGHEST", "ROWS", "expected_answers", "make_bundle", "make_rows"]

COLUMNS = ("CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO")
HIGHEST = np.array([90, 100, 28, 0.9, 8.8, 100, 12.1, 711, 22])
ROWS = 1000


def make_bundle(folder: Path) -> str:
    """The bundle, with a profile to watch drift against."""
    rng = np.random.default_rng(7)
    columns = tuple(Column(name=name, type=DataType.FLOAT) for name in COLUMNS)
    graph = GraphBuilder()
    inputs = [graph.input(column.name, column.type) for column in columns]
    value = graph.cast(graph.node("Concat", inputs, axis=1), TensorProto.FLOAT)
    value = graph.node("Div", [value, graph.constant(HIGHEST[None, :], np.float32)])
    for size_in, size_out in ((9, 10), (10, 10), (10, 1)):
        weights = graph.constant(rng.normal(size=(size_in, size_out)), np.float32)
        value = graph.node("MatMul", [value, weights])
        value = graph.node("Add", [value, graph.constant(rng.normal(size=(size_out,)), np.float32)])
        if size_out > 1:
            value = graph.node("Relu", [value])
    dollars = graph.node(
        "Add", [graph.node("Mul", [value, graph.constant(1000.0, np.float32)]), graph.constant(22500.0, np.float32)]
    )
    graph.output("predictions", dollars, TensorProto.FLOAT, (None, 1))
    output = OutputTensor(name="predictions", dtype="float32", shape=(None, 1))
    manifest = Manifest(
        format_version=1,
        kind=BundleKind.GRAPH,
        task=Task.REGRESSION,
        signature=Signature(inputs=columns, outputs=(output,), ignored=("CHAS", "RAD", "MEDV")),
        graph_inputs=columns,
        created="2026-01-01T00:00:00Z",
        operator_domains=graph.operator_domains,
    )
    profiles = tuple(
        ColumnProfile(
            name=name, type=DataType.FLOAT, rows=506, missing=0, quantiles=tuple(np.linspace(0, top, 129).tolist())
        )
        for name, top in zip(COLUMNS, HIGHEST, strict=True)
    )
    with BundleWriter(str(folder)) as writer:
        writer.write("model.onnx", graph.build().SerializeToString())
        writer.write("profile.json", TableProfile(rows=506, columns=profiles).to_json())
        writer.publish(manifest)
    return str(folder)


def make_rows() -> list[dict[str, float]]:
    values = np.random.default_rng(1).uniform(0, HIGHEST, size=(ROWS, len(COLUMNS))).round(4)
    return [dict(zip(COLUMNS, row, strict=True)) for row in values.tolist()]


def expected_answers(bundle: str, rows: list[dict[str, float]]) -> list[float]:
    model = load_model(bundle)
    return list(model.predict(model.decode(rows))["predictions"][:, 0].tolist())
