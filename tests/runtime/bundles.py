"""Small real bundles, written node by node, for tests of what loads and serves them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import BundleKind, Manifest, OutputTensor, Signature, Task
from penstock.data.schema import MISSING_STRING, Column, DataType
from penstock.export.graph import GraphBuilder

__all__ = ["LINEAR_COLUMNS", "linear_bundle", "mixed_bundle", "slow_bundle", "write"]

LINEAR_COLUMNS = ("A", "B", "C")


def linear_bundle(
    folder: Path,
    weights: Sequence[float] = (1.0, 10.0, 100.0),
    *,
    offset: float = 0.0,
    columns: Sequence[Column] | None = None,
    ignored: tuple[str, ...] = (),
    files: Mapping[str, bytes] | None = None,
) -> str:
    """A regression: `predictions` = weights · columns + offset, float32 `[N,1]`. Missing numbers count as -1."""
    inputs = tuple(columns or [Column(name=name, type=DataType.FLOAT) for name in LINEAR_COLUMNS[: len(weights)]])
    graph = GraphBuilder()
    names = [graph.input(column.name, column.type) for column in inputs]
    wide = graph.node("Concat", names, axis=1) if len(names) > 1 else names[0]
    known = graph.node("Where", [graph.node("IsNaN", [wide]), graph.constant([[-1.0]], np.float64), wide])
    product = graph.node("MatMul", [known, graph.constant(np.array(weights, dtype=np.float64)[:, None])])
    total = graph.cast(graph.node("Add", [product, graph.constant([[offset]], np.float64)]), TensorProto.FLOAT)
    graph.output("predictions", total, TensorProto.FLOAT, (None, 1))
    signature = Signature(
        inputs=inputs, outputs=(OutputTensor(name="predictions", dtype="float32", shape=(None, 1)),), ignored=ignored
    )
    return write(folder, graph, signature, files=files)


def mixed_bundle(folder: Path) -> str:
    """All types in, several outputs out: what reached the graph comes back as it arrived there.

    `age` float nullable, `rooms` integer, `owner` boolean nullable, `town` string nullable (null mark "?"), `zone`
    string, `sold` timestamp nullable in day/month/year. Outputs: `numbers` float64 [N,3], `class_ids` int64 [N,1] (the
    timestamp), `classes` str [N,2] (missing as "MISSING").
    """
    inputs = (
        Column(name="age", type=DataType.FLOAT, nullable=True),
        Column(name="town", type=DataType.STRING, nullable=True, null_marks=("?",)),
        Column(name="rooms", type=DataType.INTEGER),
        Column(name="sold", type=DataType.TIMESTAMP, nullable=True, formats=("%d/%m/%Y",)),
        Column(name="owner", type=DataType.BOOLEAN, nullable=True),
        Column(name="zone", type=DataType.STRING),
    )
    graph = GraphBuilder()
    for column in inputs:
        graph.input(column.name, column.type)
    numbers = graph.node("Concat", ["age", "rooms", "owner"], axis=1)
    texts = graph.node("Concat", ["town", "zone"], axis=1)
    missing = graph.node("Equal", [texts, graph.constant([[MISSING_STRING]])])
    shown = graph.node("Where", [missing, graph.constant([["MISSING"]]), texts])
    graph.output("numbers", numbers, TensorProto.DOUBLE, (None, 3))
    graph.output("class_ids", "sold", TensorProto.INT64, (None, 1))
    graph.output("classes", shown, TensorProto.STRING, (None, 2))
    outputs = (
        OutputTensor(name="numbers", dtype="float64", shape=(None, 3)),
        OutputTensor(name="class_ids", dtype="int64", shape=(None, 1)),
        OutputTensor(name="classes", dtype="str", shape=(None, 2)),
    )
    return write(folder, graph, Signature(inputs=inputs, outputs=outputs, ignored=("price",)))


def write(
    folder: Path,
    graph: GraphBuilder,
    signature: Signature,
    *,
    graph_inputs: tuple[Column, ...] | None = None,
    files: Mapping[str, bytes] | None = None,
    **facts: Any,
) -> str:
    """Publishes a bundle of this graph; returns its path. files: further files by name."""
    manifest = Manifest(
        format_version=1,
        kind=BundleKind.GRAPH,
        task=Task.REGRESSION,
        signature=signature,
        graph_inputs=graph_inputs or signature.inputs,
        created="2026-01-01T00:00:00Z",
        operator_domains=graph.operator_domains,
        **facts,
    )
    with BundleWriter(str(folder)) as writer:
        writer.write("model.onnx", graph.build().SerializeToString())
        for name, content in (files or {}).items():
            writer.write(name, content)
        writer.publish(manifest)
    return str(folder)


def slow_bundle(folder: Path, *, size: int = 1500, products: int = 10) -> str:
    """A regression of one column that takes about a second a call, whatever the number of rows; answers 2 x."""
    graph = GraphBuilder()
    x = graph.input("x", DataType.FLOAT)
    total = graph.node("ReduceSum", [x], keepdims=0)
    square = graph.node("Expand", [graph.cast(total, TensorProto.FLOAT), graph.constant([size, size], np.int64)])
    for _ in range(products):
        square = graph.node("Tanh", [graph.node("MatMul", [square, square])])
    bound = graph.node(
        "Clip",
        [
            graph.node("ReduceMax", [square], keepdims=0),
            graph.constant(0.0, np.float32),
            graph.constant(0.0, np.float32),
        ],
    )
    doubled = graph.node("Add", [x, x])
    graph.output(
        "predictions",
        graph.node("Add", [doubled, graph.cast(bound, TensorProto.DOUBLE)]),
        TensorProto.DOUBLE,
        (None, 1),
    )
    output = OutputTensor(name="predictions", dtype="float64", shape=(None, 1))
    return write(folder, graph, Signature(inputs=(Column(name="x", type=DataType.FLOAT),), outputs=(output,)))
