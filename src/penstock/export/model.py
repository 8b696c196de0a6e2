"""The seam between models and export: a model is what writes its nodes behind raw columns and answers for raw rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.bundle.manifest import OutputTensor
from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column
from penstock.errors import ExportError
from penstock.export.graph import GraphBuilder

__all__ = ["EmittedOutput", "ServableModel", "assemble"]


@dataclass(frozen=True)
class EmittedOutput:
    """A tensor that becomes an output of the graph.

    elem_type: ONNX element type. shape: sizes, None for a free one; the first is the batch.
    """

    tensor: str
    elem_type: int
    shape: tuple[int | None, ...]


class ServableModel(Protocol):
    """A trained model as export sees it."""

    @property
    def graph_inputs(self) -> tuple[Column, ...]:
        """The raw columns it reads, in order."""

    def emit(self, graph: GraphBuilder, inputs: Mapping[str, str]) -> dict[str, EmittedOutput]:
        """Writes its nodes. inputs: the `[N, 1]` tensor of each raw column. Returns outputs by name, in order."""

    def predict(self, batch: ColumnBatch) -> dict[str, NDArray[Any]]:
        """The trainer's own answer for raw rows: the same outputs, as arrays of the same shapes."""

    def undecided(self, answers: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows `[N]` of whose answers, where these are no numbers, rounding may decide, besides ties of two classes."""


def assemble(model: ServableModel) -> tuple[GraphBuilder, tuple[OutputTensor, ...]]:
    """The graph from one named `[N, 1]` input a raw column to the model's outputs, and what these are.

    Raises ExportError where a column has the name of an output: a graph cannot hold both.
    """
    graph = GraphBuilder()
    inputs = {
        column.name: graph.input(column.name, column.type, (None, *(column.shape or (1,))))
        for column in model.graph_inputs
    }
    emitted = model.emit(graph, inputs)
    outputs = []
    for name, output in emitted.items():
        if name in inputs:
            raise ExportError(
                f"column {name!r} has the name of an output of the model; rename the column before training"
            )
        graph.output(name, output.tensor, output.elem_type, output.shape)
        outputs.append(OutputTensor(name=name, dtype=_dtype_name(output.elem_type), shape=output.shape))
    return graph, tuple(outputs)


def _dtype_name(elem_type: int) -> str:
    if elem_type == TensorProto.STRING:
        return "str"
    names = {
        int(TensorProto.FLOAT): np.float32,
        int(TensorProto.DOUBLE): np.float64,
        int(TensorProto.INT64): np.int64,
        int(TensorProto.INT32): np.int32,
        int(TensorProto.BOOL): np.bool_,
    }
    return np.dtype(names[elem_type]).name
