"""What a model predicts: from raw labels to training targets, from a network's outputs to answers, metrics and graph
outputs.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.bundle.manifest import Task
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput

__all__ = ["Answers", "Head"]

Answers = dict[str, NDArray[Any]]
"""Predictions by tf.estimator's output names, one row an instance."""


class Head(Protocol):
    """A fitted head. Heads are msgspec structs, so that they can be kept as JSON."""

    @property
    def label(self) -> str:
        """The label's name."""

    @property
    def task(self) -> Task: ...

    @property
    def outputs(self) -> int:
        """Numbers a row that the network has to give."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of class ids; empty for regression."""

    @property
    def key(self) -> str:
        """Names the loss: heads of equal keys train alike."""

    @property
    def loss_scale(self) -> float:
        """What a training loss is multiplied with to be in the label's own unit."""

    @property
    def objective(self) -> tuple[str, bool]:
        """The metric that tells better from worse, and whether more of it is better."""

    def encode(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Raw labels as targets: float32 `[rows, outputs]`, or int32 class ids `[rows]`. Raises DataError."""

    def loss(self, *, smoothing: float = 0.0) -> Callable[[Any, Any, Any], Any]:
        """The loss of outputs, targets and row weights (or None), in `keras.ops`.

        smoothing: share of a class label that is spread over all classes.
        """

    def answers(self, outputs: NDArray[np.float32]) -> Answers:
        """What a caller gets for the network's outputs `[rows, outputs]`."""

    def evaluate(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], weights: NDArray[np.float32] | None
    ) -> dict[str, float]:
        """Metrics, `loss` and `average_loss` first. labels: raw."""

    def emit(self, graph: GraphBuilder, outputs: str) -> dict[str, EmittedOutput]:
        """The nodes from the network's outputs `[N, outputs]` to the answers."""
