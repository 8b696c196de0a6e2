"""A trained classifier of photos: pixels in, answers out, and the same as nodes of a graph; and views of a photo."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column
from penstock.estimators.backbone import Backbone
from penstock.estimators.classification_heads import BinaryHead, MulticlassHead
from penstock.estimators.heads import Answers
from penstock.estimators.logistic import LogisticModel
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput, ServableModel

__all__ = ["PhotoModel", "middle_view", "moved_view"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class PhotoModel:
    """Backbone, weights and head."""

    backbone: Backbone
    weights: LogisticModel
    head: BinaryHead | MulticlassHead

    @property
    def graph_inputs(self) -> tuple[Column, ...]:
        return (self.backbone.column,)

    def predict(self, batch: ColumnBatch) -> Answers:
        return self.head.answers(self.weights.outputs(self.backbone.embed(batch[self.backbone.column.name])))

    def emit(self, graph: GraphBuilder, inputs: Mapping[str, str]) -> dict[str, EmittedOutput]:
        embedding = self.backbone.emit(graph, inputs[self.backbone.column.name])
        kernel = graph.constant(self.weights.kernel, np.float32, hint="head_kernel")
        bias = graph.constant(self.weights.bias, np.float32, hint="head_bias")
        return self.head.emit(graph, graph.node("Add", [graph.node("MatMul", [embedding, kernel]), bias], hint="head"))

    def undecided(self, answers: Answers) -> NDArray[np.bool_]:
        return np.zeros(len(answers["logits"]), bool)


def _proves_protocol(model: PhotoModel) -> ServableModel:
    return model


def middle_view(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The part in the middle, of that size."""
    top, left = (pixels.shape[0] - size[0]) // 2, (pixels.shape[1] - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def moved_view(pixels: Pixels, size: tuple[int, int], random: np.random.Generator) -> Pixels:
    """A random part of that size, mirrored or not."""
    top = int(random.integers(0, pixels.shape[0] - size[0] + 1))
    left = int(random.integers(0, pixels.shape[1] - size[1] + 1))
    part = pixels[top : top + size[0], left : left + size[1]]
    return part[:, ::-1] if random.random() < 0.5 else part
