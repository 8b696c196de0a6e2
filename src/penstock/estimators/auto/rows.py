"""The rows of a search: encoded once, dealt into folds, with what is learned of them."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, is_missing
from penstock.data.schema import DataType
from penstock.estimators.auto.metric import Metric
from penstock.estimators.examples import Examples
from penstock.estimators.setup import Setup

__all__ = ["SearchRows", "deal_folds", "deal_rows", "deal_stretches", "fold_count", "most_rows", "time_order"]

_BYTES_A_VALUE = 24
"""Of one value of one row at the worst: raw, encoded for trees and for networks, binned, and a fold's copies."""

_MEMORY_SHARE = 0.6

_STRETCHES = 8
_LEAST_TIMES = 100
_IN_ORDER = 0.99


@dataclass(frozen=True, kw_only=True)
class SearchRows:
    """setup: features and head fitted to all rows. targets: as the head encodes them. weights: of rows and classes.

    folds: of each row, `[rows]`.
    """

    examples: Examples
    setup: Setup
    targets: NDArray[Any]
    weights: NDArray[np.float32] | None
    folds: NDArray[np.int64]
    fold_count: int
    metric: Metric
    seed: int

    @property
    def count(self) -> int:
        return len(self.folds)

    def held_out(self, fold: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.folds == fold)

    def kept(self, fold: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.folds != fold)

    def early_loss(self, scores: NDArray[Any], index: NDArray[Any]) -> float:
        """What a training is stopped early by: of classes the log loss, which moves with every weight."""
        metric = Metric("log_loss") if self.setup.head.classes else self.metric
        weights = None if self.examples.weights is None else self.examples.weights[index]
        return metric.loss(scores, self.targets[index], weights)

    def loss(self, scores: NDArray[Any], index: NDArray[Any]) -> float:
        """The metric's error on these rows."""
        weights = None if self.examples.weights is None else self.examples.weights[index]
        return self.metric.loss(scores, self.targets[index], weights)


def fold_count(rows: int) -> int:
    """Folds for that many rows: more where a row more to learn from is worth its time."""
    if rows <= 2_000:
        return max(2, min(10, rows // 2))
    return 8 if rows <= 10_000 else 5


def deal_rows(
    targets: NDArray[Any], folds: int, *, features: ColumnBatch, is_classification: bool, seed: int
) -> tuple[NDArray[np.int64], str | None]:
    """A fold for each row: at random, or, where the rows stand in the order of a timestamp, by stretches of that time.

    Returns that column as well. Stretches of which a fold would have less than half its share of rows, or all rows of
    a class, or, of two classes, none of one, are not used.
    """
    column = time_order(features)
    if column is not None:
        dealt = deal_stretches(features[column], folds, seed=seed)
        is_even = np.bincount(dealt, minlength=folds).min() >= len(dealt) / folds / 2.0
        if is_even and (not is_classification or _have_all_classes(targets, dealt, folds)):
            return dealt, column
    return deal_folds(targets, folds, is_classification=is_classification, seed=seed), None


def _have_all_classes(targets: NDArray[Any], dealt: NDArray[np.int64], folds: int) -> bool:
    held_out = [len(np.unique(dealt[targets == known])) for known in np.unique(targets)]
    return min(held_out) >= (folds if len(held_out) == 2 else 2)


def deal_folds(targets: NDArray[Any], folds: int, *, is_classification: bool, seed: int) -> NDArray[np.int64]:
    """A fold for each row, at random and evenly: within each class, and along the range of a number.

    Classes go on where the last one stopped, so that folds differ by one row at most.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(targets))
    order = shuffled[np.argsort(targets.reshape(len(targets))[shuffled], kind="stable")]
    result = np.empty(len(targets), dtype=np.int64)
    if is_classification:
        result[order] = np.arange(len(targets)) % folds
        return result
    # Each run of as many neighbours as there are folds goes to the folds in an order of its own.
    runs = -(-len(targets) // folds)
    places = rng.permuted(np.tile(np.arange(folds), (runs, 1)), axis=1).reshape(-1)[: len(targets)]
    result[order] = places
    return result


def time_order(features: ColumnBatch) -> str | None:
    """The timestamp column in whose order the rows stand, up or down; None where there is none.

    Rows of a log are written as they happen, and asked about later: one held out among its neighbours is no measure.
    """
    for column in features.schema.columns:
        if column.type is not DataType.TIMESTAMP:
            continue
        times = features[column.name]
        if is_missing(times, column.type).any() or len(np.unique(times)) < _LEAST_TIMES:
            continue
        if max(np.mean(times[1:] >= times[:-1]), np.mean(times[1:] <= times[:-1])) >= _IN_ORDER:
            return column.name
    return None


def deal_stretches(times: NDArray[Any], folds: int, *, seed: int) -> NDArray[np.int64]:
    """A fold for each row, so that rows of about the same time are in one: eight stretches of time a fold, at random
    and spread over all of it. Equal times are together.
    """
    stretches = folds * _STRETCHES
    firsts = np.searchsorted(np.sort(times), times, side="left")
    stretch = firsts * stretches // len(times)
    rng = np.random.default_rng(seed)
    places = rng.permuted(np.tile(np.arange(folds), (_STRETCHES, 1)), axis=1).reshape(-1)
    return places[stretch]


def most_rows(columns: int) -> int:
    """Rows of that many values which a search holds in the memory that is free now."""
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 2**62
    return max(1_000, int(available * _MEMORY_SHARE / (_BYTES_A_VALUE * max(columns, 1))))
