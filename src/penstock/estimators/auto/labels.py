"""What a candidate learns of a label: the label itself, its logarithm, or the rate of a count."""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.auto.link import Link, fit_log_link, plain_link
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.regression_head import RegressionHead, numeric_labels
from penstock.estimators.setup import AnyHead

__all__ = ["LearnedTarget", "balanced", "is_skewed", "learned_labels"]

LearnedTarget = Literal["plain", "log", "poisson"]

_SKEWED = 1.0
_SPREAD = 10.0


def learned_labels(rows: SearchRows, target: LearnedTarget) -> tuple[NDArray[Any], Link]:
    """The labels to learn, shaped as the head's targets, and how answers become scores again."""
    head = rows.setup.head
    if target == "plain" or not isinstance(head, RegressionHead):
        return rows.targets, plain_link(head)
    assert rows.examples.labels is not None
    values = numeric_labels(rows.examples.labels, head.label, 1)
    link = fit_log_link(values, head, standardized=target == "log")
    if target == "poisson":
        return (values / values.mean()).astype(np.float32), link
    logs = np.log(values + link.shift - head.center[0])
    return ((logs - link.start) / link.slope).astype(np.float32), link


def balanced(link: Link, scores: NDArray[np.float32], targets: NDArray[Any], head: AnyHead) -> Link:
    """The link with a factor that makes the mean right: the exponential of a mean logarithm lies below the mean."""
    assert isinstance(head, RegressionHead)
    center, scale = head.center[0], head.scale[0]
    wanted = float((targets.astype(np.float64) * scale + center).mean())
    found = float((scores.astype(np.float64) * scale + center).mean())
    if not (wanted > 0.0 and found > 0.0):
        return link
    return msgspec.structs.replace(link, factor=min(1.5, max(0.67, wanted / found)))


def is_skewed(values: NDArray[np.float64]) -> bool:
    """Whether labels are such as logarithms are taken of: not negative, of a long tail upwards, over a wide range."""
    if float(values.min()) < 0.0:
        return False
    spread = float(values.std())
    skew = float(np.mean(((values - values.mean()) / spread) ** 3))
    low, high = np.quantile(values, (0.02, 0.98))
    return (skew > _SKEWED and float(high + 1.0) / float(low + 1.0) > _SPREAD) or skew > 3.0 * _SKEWED
