"""Evaluation metrics under the names that tf.estimator gave them. Plain arrays in, numbers out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["areas", "binary_metrics", "multiclass_metrics", "regression_metrics", "roc_auc"]

Floats = NDArray[np.floating[Any]]

_LEAST = 1e-12


def regression_metrics(predictions: Floats, labels: Floats, weights: Floats | None) -> dict[str, float]:
    """predictions, labels: `[rows, outputs]` in the label's unit. Averages are over rows by weight, and over
    outputs.
    """
    errors = predictions.astype(np.float64) - labels
    mse = _average(np.square(errors).mean(axis=1), weights)
    spread = _average(np.square(labels - _mean(labels, weights)).mean(axis=1), weights)
    return {
        "rmse": float(np.sqrt(mse)),
        "mae": _average(np.abs(errors).mean(axis=1), weights),
        "r2": 1.0 - mse / spread if spread > 0 else float("nan"),
        "mse": mse,
        "label/mean": _average(labels.mean(axis=1), weights),
        "prediction/mean": _average(predictions.astype(np.float64).mean(axis=1), weights),
    }


def binary_metrics(probabilities: Floats, labels: NDArray[np.integer[Any]], weights: Floats | None) -> dict[str, float]:
    """probabilities: `[rows]` of class 1. labels: `[rows]`, 0 or 1. The decision threshold is one half."""
    chosen = probabilities > 0.5
    positive = labels == 1
    share = _average(positive.astype(np.float64), weights)
    hits = _total(chosen & positive, weights)
    chance = np.clip(np.where(positive, probabilities, 1.0 - probabilities).astype(np.float64), _LEAST, 1.0)
    return {
        "accuracy": _average((chosen == positive).astype(np.float64), weights),
        "accuracy_baseline": max(share, 1.0 - share),
        "auc": roc_auc(probabilities, positive, weights),
        "auc_precision_recall": areas(*_cumulated(probabilities, positive, weights))[1],
        "precision": _ratio(hits, _total(chosen, weights)),
        "recall": _ratio(hits, _total(positive, weights)),
        "log_loss": _average(-np.log(chance), weights),
        "label/mean": share,
        "prediction/mean": _average(probabilities.astype(np.float64), weights),
    }


def multiclass_metrics(
    probabilities: Floats, labels: NDArray[np.integer[Any]], weights: Floats | None
) -> dict[str, float]:
    """probabilities: `[rows, classes]`. labels: `[rows]` class ids."""
    chosen = probabilities.argmax(axis=1)
    chance = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), _LEAST, 1.0)
    shares = np.bincount(labels, weights=weights, minlength=probabilities.shape[1])
    return {
        "accuracy": _average((chosen == labels).astype(np.float64), weights),
        "accuracy_baseline": float(shares.max() / shares.sum()),
        "log_loss": _average(-np.log(chance), weights),
    }


def roc_auc(scores: Floats, positive: NDArray[np.bool_], weights: Floats | None = None) -> float:
    """Area under the ROC curve, exact, ties counted half; NaN where there is one class only."""
    return areas(*_cumulated(scores, positive, weights))[0]


def areas(hits: Floats, misses: Floats) -> tuple[float, float]:
    """Area under the ROC curve (ties counted half) and average precision; NaN where there is no class to tell apart.

    hits, misses: weight of true and of false positives at every threshold, from the highest down.
    """
    if hits[-1] == 0:
        return float("nan"), float("nan")
    precision = float(np.sum(np.diff(hits, prepend=0.0) * hits / np.maximum(hits + misses, _LEAST)) / hits[-1])
    if misses[-1] == 0:
        return float("nan"), precision
    area = np.sum(np.diff(misses, prepend=0.0) * (hits + np.concatenate([[0.0], hits[:-1]])) / 2.0)
    return float(area / (hits[-1] * misses[-1])), precision


def _cumulated(
    scores: Floats, positive: NDArray[np.bool_], weights: Floats | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of true and of false positives at every distinct threshold, from the highest down."""
    order = np.argsort(-scores)
    ranked = scores[order]
    weight = np.ones(len(scores)) if weights is None else weights[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hit = positive[order]
    return np.cumsum(weight * hit)[ends], np.cumsum(weight * ~hit)[ends]


def _mean(labels: Floats, weights: Floats | None) -> Any:
    return np.average(labels, axis=0, weights=weights)


def _average(values: Floats, weights: Floats | None) -> float:
    return float(np.average(values, weights=weights))


def _total(values: NDArray[np.bool_], weights: Floats | None) -> float:
    return float(values.sum() if weights is None else weights[values].sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
