"""The two sides of a feature column: its arrays, and what ONNX Runtime computes from its nodes."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.data.columns import ColumnBatch
from penstock.export.graph import GraphBuilder
from penstock.features.arrays import batch_of_arrays
from penstock.features.column import FeatureColumn
from penstock.features.fitted import FittedFeatures, fit_features
from penstock.features.statistics import gather_statistics


def fitted(columns: Sequence[FeatureColumn], table: Mapping[str, Any]) -> FittedFeatures:
    """The columns fitted to a table given as arrays, after a round trip through JSON."""
    features = fit_features(columns, gather_statistics([batch_of_arrays(table)]))
    assert FittedFeatures.from_json(features.to_json()) == features
    return features


@cache
def session_of(features: FittedFeatures) -> onnxruntime.InferenceSession:
    graph = GraphBuilder()
    inputs = {column.name: graph.input(column.name, column.type) for column in features.raw_schema}
    tensors = features.emit(graph, inputs)
    for block in features.blocks:
        elem_type = TensorProto.FLOAT if block.kind == "dense" else TensorProto.INT64
        graph.output(f"block/{block.name}", tensors[block.name], int(elem_type), (None, block.width))
    return onnxruntime.InferenceSession(graph.build().SerializeToString(), providers=["CPUExecutionProvider"])


def served(features: FittedFeatures, batch: ColumnBatch) -> dict[str, NDArray[Any]]:
    """The blocks of these rows as a server computes them."""
    feed = {name: batch[name].reshape(-1, 1) for name in features.raw_schema.names}
    answers = session_of(features).run(None, feed)
    return {block.name: answer for block, answer in zip(features.blocks, answers, strict=True)}


def assert_sides_agree(features: FittedFeatures, batch: ColumnBatch, *, ulps: int = 0) -> dict[str, NDArray[Any]]:
    """Both sides give the same, up to `ulps` float32 roundings, of the shapes and ranges that the blocks promise."""
    encoded, from_graph = features.encode(batch), served(features, batch)
    assert list(encoded) == [block.name for block in features.blocks]
    for block in features.blocks:
        own, other = encoded[block.name], from_graph[block.name]
        assert own.shape == other.shape == (batch.rows, block.width)
        if block.kind == "ids":
            assert own.dtype == np.int32
            assert other.dtype == np.int64
            assert block.num_buckets is not None
            assert ((own >= 0) & (own < block.num_buckets)).all()
            np.testing.assert_array_equal(own, other)
        else:
            assert own.dtype == other.dtype == np.float32
            assert np.isfinite(own).all()
            if ulps:
                np.testing.assert_allclose(own, other, rtol=ulps * 2.0**-23, atol=ulps * 2.0**-23)
            else:
                np.testing.assert_array_equal(own, other)
    return encoded
