"""Training losses on a network's outputs, in `keras.ops`, so on whatever backend Keras runs on. Averages by row
weight.
"""

from collections.abc import Callable
from typing import Any

from penstock.estimators.backend import keras

__all__ = [
    "mean_loss",
    "members_loss",
    "ops",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "weighted_loss",
]

Loss = Callable[[Any, Any, Any], Any]

ops: Any = keras.ops


def mean_loss(errors: Callable[[Any, Any], Any]) -> Loss:
    """The mean over outputs of `errors(outputs, labels)`, both `[rows, outputs]`, averaged over rows by weight."""

    def loss(outputs: Any, labels: Any, weights: Any) -> Any:
        return _mean(ops.mean(errors(outputs, labels), axis=1), weights)

    return loss


def weighted_loss(row_loss: Callable[[Any, Any], Any]) -> Loss:
    """The mean of `row_loss(outputs, labels)`, `[rows]`, by weight."""
    return lambda outputs, labels, weights: _mean(row_loss(outputs, labels), weights)


def members_loss(loss: Loss) -> Loss:
    """The mean of a loss over the members of an ensemble, whose outputs are `[rows, members, outputs]`."""

    def of_members(outputs: Any, labels: Any, weights: Any) -> Any:
        members = outputs.shape[1]
        flat = ops.reshape(outputs, (-1, outputs.shape[2]))
        repeated = None if weights is None else ops.repeat(weights, members, axis=0)
        return loss(flat, ops.repeat(labels, members, axis=0), repeated)

    return of_members


def sigmoid_cross_entropy(outputs: Any, labels: Any, weights: Any, *, smoothing: float = 0.0) -> Any:
    """outputs: logits `[rows, 1]`. labels: `[rows]`, 0 or 1. smoothing: share of a label spread over both classes."""
    logits = outputs[:, 0]
    targets = ops.cast(labels, logits.dtype) * (1.0 - smoothing) + 0.5 * smoothing
    return _mean(ops.softplus(logits) - targets * logits, weights)


def softmax_cross_entropy(outputs: Any, labels: Any, weights: Any, *, smoothing: float = 0.0) -> Any:
    """outputs: logits `[rows, classes]`. labels: `[rows]` class ids. smoothing: as in `sigmoid_cross_entropy`."""
    classes = outputs.shape[1]
    chosen = ops.one_hot(labels, classes, dtype=outputs.dtype) * (1.0 - smoothing) + smoothing / classes
    return _mean(ops.logsumexp(outputs, axis=1) - ops.sum(chosen * outputs, axis=1), weights)


def _mean(losses: Any, weights: Any) -> Any:
    if weights is None:
        return ops.mean(losses)
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1e-12)
