"""A trained model: raw rows in, answers out, and the same as nodes of a graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column
from penstock.estimators.adjustment import Adjustment
from penstock.estimators.heads import Answers
from penstock.estimators.setup import AnyHead
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput, ServableModel
from penstock.features.fitted import FittedFeatures

__all__ = ["Body", "FittedModel"]


class Body(Protocol):
    """What stands between blocks and head, trained: a network, an ensemble of trees."""

    def outputs(self, encoded: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Of encoded blocks, `[rows, outputs]`."""

    def emit(self, graph: GraphBuilder, blocks: Mapping[str, str]) -> str:
        """The same in a graph, from the blocks' tensors: float32 `[N, outputs]`."""

    def trainer_files(self) -> dict[str, bytes]:
        """Native weights, for the bundle's `trainer/` folder."""


@dataclass(frozen=True)
class FittedModel:
    """Features, body and head at one step. adjustment: what was fitted to them afterwards."""

    features: FittedFeatures
    body: Body
    head: AnyHead
    step: int
    folder: Path | None = None
    adjustment: Adjustment = field(default_factory=Adjustment)

    @property
    def graph_inputs(self) -> tuple[Column, ...]:
        return self.features.raw_schema.columns

    def outputs(self, batch: ColumnBatch) -> NDArray[np.float32]:
        """What the head makes answers of: calibrated, where that was asked for."""
        return self.adjustment.calibrated(self.body.outputs(self.features.encode(batch)))

    def answers(self, outputs: NDArray[np.float32]) -> Answers:
        """What a caller gets for `outputs`."""
        return self.adjustment.completed(self.head.answers(outputs))

    def predict(self, batch: ColumnBatch) -> Answers:
        return self.answers(self.outputs(batch))

    def emit(self, graph: GraphBuilder, inputs: Mapping[str, str]) -> dict[str, EmittedOutput]:
        outputs = self.body.emit(graph, self.features.emit(graph, inputs))
        outputs = self.adjustment.emit_calibrated(graph, outputs, width=self.head.outputs)
        return self.adjustment.emit_completed(graph, self.head.emit(graph, outputs))

    def undecided(self, answers: Answers) -> NDArray[np.bool_]:
        return self.adjustment.undecided(answers)


def _proves_protocol(model: FittedModel) -> ServableModel:
    return model
