"""Training losses on a network's outputs, in `keras.ops`, so on whatever backend Keras runs on. Averages by row weight."""

from collections.abc import Callable
from typing import Any, Literal

from penstock.estimators.backend import keras

__all__ = [
    "RegressionLoss",
    "regression_loss",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

RegressionLoss = Literal["mean_squared_error", "mean_absolute_error", "huber", "quantile", "poisson"]

Loss = Callable[[Any, Any, Any], Any]

ops: Any = keras.ops


def regression_loss(name: RegressionLoss, *, delta: float, quantile: float) -> Loss:
    """Of outputs and labels `[rows, outputs]`. delta: of Huber's loss, in standard deviations of the label.

    "poisson" takes outputs as logarithms of the rate.
    """

    def errors(outputs: Any, labels: Any) -> Any:
        difference = labels - outputs
        match name:
            case "mean_squared_error":
                return ops.square(difference)
            case "mean_absolute_error":
                return ops.abs(difference)
            case "huber":
                size = ops.abs(difference)
                return ops.where(size <= delta, 0.5 * ops.square(size), delta * (size - 0.5 * delta))
            case "quantile":
                return ops.maximum(quantile * difference, (quantile - 1.0) * difference)
            case "poisson":
                return ops.exp(outputs) - labels * outputs

    def loss(outputs: Any, labels: Any, weights: Any) -> Any:
        return _mean(ops.mean(errors(outputs, labels), axis=1), weights)

    return loss


def sigmoid_cross_entropy(outputs: Any, labels: Any, weights: Any) -> Any:
    """outputs: logits `[rows, 1]`. labels: `[rows]`, 0 or 1."""
    logits = outputs[:, 0]
    return _mean(ops.softplus(logits) - ops.cast(labels, logits.dtype) * logits, weights)


def softmax_cross_entropy(outputs: Any, labels: Any, weights: Any) -> Any:
    """outputs: logits `[rows, classes]`. labels: `[rows]` class ids."""
    chosen = ops.one_hot(labels, outputs.shape[1], dtype=outputs.dtype)
    return _mean(ops.logsumexp(outputs, axis=1) - ops.sum(chosen * outputs, axis=1), weights)


def _mean(losses: Any, weights: Any) -> Any:
    if weights is None:
        return ops.mean(losses)
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1e-12)
