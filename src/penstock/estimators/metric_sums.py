"""Metrics of more rows than are held at once: sums by batch, under the names and meanings of `metrics`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.adjustment import Adjustment
from penstock.estimators.classification_heads import BinaryHead
from penstock.estimators.metrics import areas
from penstock.estimators.setup import AnyHead

__all__ = ["MetricSums"]

_BINS = 1 << 16
_BOUND = 20.0

_WEIGHTED = ("accuracy", "log_loss", "mse", "mae", "label/mean", "prediction/mean", "average_loss", "loss")


class MetricSums:
    """Of one head, and of what stands beside its answers. Means are exact; areas under curves are of 65,536 classes of
    logits, to about 1e-4.
    """

    def __init__(self, head: AnyHead, adjustment: Adjustment | None = None) -> None:
        self._head = head
        self._adjustment = adjustment or Adjustment()
        self._weight = 0.0
        self._sums: dict[str, float] = {}
        self._names: tuple[str, ...] = ()
        self._center: NDArray[np.float64] | float = 0.0
        self._squares = 0.0
        self._of_classes = np.zeros(len(head.classes))
        self._chosen = self._hits = 0.0
        self._bins = np.zeros((2, _BINS))

    def add(self, outputs: NDArray[np.float32], labels: NDArray[Any], weights: NDArray[np.float32] | None) -> None:
        """Takes in the outputs `[rows, outputs]`, raw labels and weights of one batch."""
        weight = float(len(outputs) if weights is None else weights.sum())
        if not weight:
            return
        beside = self._adjustment.metrics(outputs, self._head, labels, weights)
        metrics = self._head.evaluate(outputs, labels, weights) | beside
        self._names = tuple(metrics)
        for name in (*_WEIGHTED, *beside):
            if name in metrics:
                self._sums[name] = self._sums.get(name, 0.0) + weight * metrics[name]
        if self._head.classes:
            self._add_classes(outputs, self._head.encode(labels), weights)
        else:
            self._add_spread(np.asarray(labels, np.float64).reshape(len(labels), -1), weights, weight)
        self._weight += weight

    def metrics(self) -> dict[str, float]:
        """Of all rows added."""
        means = {name: total / self._weight for name, total in self._sums.items()}
        derived = self._of_classification() if self._head.classes else self._of_regression(means)
        return {name: float((means | derived)[name]) for name in self._names}

    def _of_classification(self) -> dict[str, float]:
        baseline = float(self._of_classes.max() / self._of_classes.sum())
        if not isinstance(self._head, BinaryHead):
            return {"accuracy_baseline": baseline}
        roc, precision_recall = areas(np.cumsum(self._bins[1][::-1]), np.cumsum(self._bins[0][::-1]))
        return {
            "accuracy_baseline": baseline,
            "auc": roc,
            "auc_precision_recall": precision_recall,
            "precision": self._hits / self._chosen if self._chosen else 0.0,
            "recall": self._hits / self._of_classes[1] if self._of_classes[1] else 0.0,
        }

    def _of_regression(self, means: dict[str, float]) -> dict[str, float]:
        spread = self._squares / self._weight
        return {
            "rmse": float(np.sqrt(means["mse"])),
            "r2": 1.0 - means["mse"] / spread if spread > 0 else float("nan"),
        }

    def _add_classes(
        self, outputs: NDArray[np.float32], ids: NDArray[Any], weights: NDArray[np.float32] | None
    ) -> None:
        self._of_classes += np.bincount(ids, weights=weights, minlength=len(self._of_classes))
        if isinstance(self._head, BinaryHead):
            logits = outputs[:, 0].astype(np.float64)
            places = ((np.clip(logits, -_BOUND, _BOUND) + _BOUND) / (2 * _BOUND) * (_BINS - 1)).astype(np.int64)
            for one in (0, 1):
                of_class = ids == one
                counts = None if weights is None else weights[of_class]
                self._bins[one] += np.bincount(places[of_class], weights=counts, minlength=_BINS)
            chosen = logits > 0
            ones = np.ones(len(ids)) if weights is None else weights
            self._chosen += float(ones[chosen].sum())
            self._hits += float(ones[chosen & (ids == 1)].sum())

    def _add_spread(self, values: NDArray[np.float64], weights: NDArray[np.float32] | None, weight: float) -> None:
        # Chan, Golub, LeVeque 1979: moments of two parts combined without cancellation.
        center = np.average(values, axis=0, weights=weights)
        squares = float(np.average(np.square(values - center).mean(axis=1), weights=weights)) * weight
        shift = center - self._center
        total = self._weight + weight
        self._squares += squares + float(np.mean(shift * shift)) * self._weight * weight / total
        self._center = self._center + shift * weight / total
