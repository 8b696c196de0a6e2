"""What a search minimizes: the error of scores, which are predictions in the head's unit, or probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.bundle.manifest import Task
from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.metrics import roc_auc

__all__ = ["METRICS", "Metric", "choose_metric"]

METRICS: dict[Task, tuple[str, ...]] = {
    Task.REGRESSION: ("rmse", "mae"),
    Task.BINARY_CLASSIFICATION: ("auc", "log_loss", "accuracy"),
    Task.MULTICLASS_CLASSIFICATION: ("log_loss", "accuracy"),
}
"""By task, the default first."""

_LEAST = 1e-7

Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Metric:
    """name: as in `evaluate`. scale: of a regression's unit."""

    name: str
    scale: float = 1.0

    @property
    def more_is_better(self) -> bool:
        return self.name in ("auc", "accuracy")

    def value(self, loss: float) -> float:
        """The metric as people know it, from the error."""
        return 1.0 - loss if self.more_is_better else loss

    def loss(self, scores: Scores, targets: NDArray[Any], weights: NDArray[Any] | None) -> float:
        """The error, less is better. scores: `[rows, 1]` predictions, or `[rows, classes]` probabilities. targets:
        `[rows, 1]` numbers, or `[rows]` class ids.
        """
        match self.name:
            case "rmse":
                return float(np.sqrt(np.average(np.square(scores - targets)[:, 0], weights=weights))) * self.scale
            case "mae":
                return float(np.average(np.abs(scores - targets)[:, 0], weights=weights)) * self.scale
            case "auc":
                area = roc_auc(scores[:, 1], targets == 1, weights)
                return 1.0 - area if np.isfinite(area) else _log_loss(scores, targets, weights)
            case "accuracy":
                return float(np.average(scores.argmax(axis=1) != targets, weights=weights))
            case _:
                return _log_loss(scores, targets, weights)


def choose_metric(name: str | None, task: Task, *, scale: float = 1.0) -> Metric:
    """The named metric, or the task's own. Raises ConfigError for one that the task does not have."""
    known: Sequence[str] = METRICS[task]
    if name is None:
        return Metric(known[0], scale)
    if name not in known:
        raise ConfigError(
            f"metric is {name!r}; for {task} expected one of {', '.join(known)}{did_you_mean(name, known)}"
        )
    return Metric(name, scale)


def _log_loss(scores: Scores, targets: NDArray[Any], weights: NDArray[Any] | None) -> float:
    chance = scores[np.arange(len(targets)), targets]
    return float(np.average(-np.log(np.clip(chance, _LEAST, 1.0)), weights=weights))
