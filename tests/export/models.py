"""A model small enough to be right by inspection: a weighted sum over fitted feature columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput, ServableModel
from penstock.features.arrays import batch_of_arrays
from penstock.features.column import FeatureColumn
from penstock.features.fitted import FittedFeatures, fit_features
from penstock.features.statistics import gather_statistics


@dataclass(frozen=True)
class WeightedSum:
    """`predictions` = the sum of all dense values and a tenth of all ids, times `factor`."""

    features: FittedFeatures
    factor: float = 1.0
    served_factor: float = 1.0
    output: str = "predictions"

    @property
    def graph_inputs(self) -> tuple[Column, ...]:
        return self.features.raw_schema.columns

    def emit(self, graph: GraphBuilder, inputs: Mapping[str, str]) -> dict[str, EmittedOutput]:
        tensors = self.features.emit(graph, inputs)
        parts = []
        for block in self.features.blocks:
            tensor = graph.cast(tensors[block.name], int(TensorProto.FLOAT))
            if block.kind == "ids":
                tensor = graph.node("Mul", [tensor, graph.constant(0.1, np.float32)])
            parts.append(tensor)
        together = parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1)
        total = graph.node("ReduceSum", [together, graph.constant([1], np.int64)], keepdims=1)
        scaled = graph.node("Mul", [total, graph.constant(self.factor * self.served_factor, np.float32)])
        return {self.output: EmittedOutput(scaled, int(TensorProto.FLOAT), (None, 1))}

    def predict(self, batch: ColumnBatch) -> dict[str, NDArray[Any]]:
        blocks = self.features.encode(batch)
        parts = [
            blocks[block.name] if block.kind == "dense" else blocks[block.name].astype(np.float32) * np.float32(0.1)
            for block in self.features.blocks
        ]
        total = np.concatenate(parts, axis=1).sum(axis=1, keepdims=True, dtype=np.float32)
        return {self.output: total * np.float32(self.factor)}

    def undecided(self, answers: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        return np.zeros(len(answers[self.output]), bool)


def weighted_sum(columns: Sequence[FeatureColumn], table: Mapping[str, Any], **facts: Any) -> WeightedSum:
    """The model fitted to a table given as arrays."""
    return WeightedSum(fit_features(columns, gather_statistics([batch_of_arrays(table)])), **facts)


def _conforms(model: WeightedSum) -> ServableModel:
    return model
