"""From what a member answers to what the ensemble averages: predictions in the head's unit, or probabilities."""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.regression_head import RegressionHead
from penstock.estimators.setup import AnyHead
from penstock.export.graph import GraphBuilder

__all__ = ["Link", "emit_logits", "fit_log_link", "logits_of", "plain_link"]

LinkKind = Literal["plain", "exp", "sigmoid", "softmax"]

_LEAST = 1e-7


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """plain: as it is. exp: `(exp(min(x * slope + start, ceiling)) * factor - shift) * scale` of a member that learned
    logarithms. sigmoid, softmax: a probability a class, of logits.
    """

    kind: LinkKind
    slope: float = 1.0
    start: float = 0.0
    ceiling: float = 0.0
    factor: float = 1.0
    shift: float = 0.0
    scale: float = 1.0

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """A member's outputs `[rows, outputs]` as scores."""
        match self.kind:
            case "plain":
                return outputs
            case "exp":
                raised = np.exp(np.minimum(outputs.astype(np.float64) * self.slope + self.start, self.ceiling))
                return ((raised * self.factor - self.shift) * self.scale).astype(np.float32)
            case "sigmoid":
                both = np.concatenate([-outputs, outputs], axis=1).astype(np.float64)
                return (1.0 / (1.0 + np.exp(-np.clip(both, -60.0, 60.0)))).astype(np.float32)
            case "softmax":
                raised = np.exp(outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True))
                return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)

    def emit(self, graph: GraphBuilder, outputs: str) -> str:
        match self.kind:
            case "plain":
                return outputs
            case "exp":
                moved = _affine(graph, outputs, self.slope, self.start)
                raised = graph.node("Exp", [graph.node("Min", [moved, _number(graph, self.ceiling)])])
                return _affine(graph, raised, self.factor * self.scale, -self.shift * self.scale)
            case "sigmoid":
                # The chance of the first class by itself: as 1 minus the other it would lose its digits near 0, as it
                # does in ONNX Runtime's own Sigmoid.
                both = graph.node("Concat", [outputs, graph.node("Neg", [outputs])], axis=1)
                bounded = graph.node("Min", [both, _number(graph, 60.0)])
                return graph.node("Reciprocal", [_affine(graph, graph.node("Exp", [bounded]), 1.0, 1.0)])
            case "softmax":
                return graph.node("Softmax", [outputs], axis=1)


def plain_link(head: AnyHead) -> Link:
    """The link of a member that learned the head's own targets."""
    if not head.classes:
        return Link(kind="plain")
    return Link(kind="sigmoid" if len(head.classes) == 2 else "softmax")


def fit_log_link(values: NDArray[np.float64], head: RegressionHead, *, standardized: bool) -> Link:
    """The link of a member that learns `log(value + shift)`: standardized, or with labels over their mean.

    Its answers end at ten times the largest label: an exponential of a wild row has no bound of its own.
    """
    shift = 1.0 if float(values.min()) < 1.0 and standardized else 0.0
    logs = np.log(values + shift) if standardized else np.log(np.array([values.mean()]))
    return Link(
        kind="exp",
        slope=float(logs.std()) if standardized else 1.0,
        start=float(logs.mean()),
        ceiling=float(np.log(10.0 * values.max() + shift + 1.0)),
        shift=shift + head.center[0],
        scale=1.0 / head.scale[0],
    )


def logits_of(scores: NDArray[np.floating[Any]], head: AnyHead) -> NDArray[np.float32]:
    """What the head takes, of the mean scores of the members."""
    if not head.classes:
        return scores.astype(np.float32)
    logs = np.log(np.maximum(scores, _LEAST)).astype(np.float32)
    return np.asarray(logs if len(head.classes) > 2 else logs[:, 1:] - logs[:, :1], np.float32)


def emit_logits(graph: GraphBuilder, scores: str, head: AnyHead) -> str:
    if not head.classes:
        return scores
    logs = graph.node("Log", [graph.node("Max", [scores, _number(graph, _LEAST)])])
    if len(head.classes) > 2:
        return logs
    first, second = (graph.node("Gather", [logs, graph.constant([place], np.int64)], axis=1) for place in (0, 1))
    return graph.node("Sub", [second, first])


def _affine(graph: GraphBuilder, tensor: str, factor: float, offset: float) -> str:
    scaled = graph.node("Mul", [tensor, _number(graph, factor)])
    return graph.node("Add", [scaled, _number(graph, offset)])


def _number(graph: GraphBuilder, value: float) -> str:
    return graph.constant(value, np.float32)
