"""Target encoding: a word as the mean label of the training rows that hold it, out of fold for those rows themselves.

A row's own label must not be among what it is encoded with, or the column would give the label away: the training rows
are dealt into folds, and a row is encoded with the rows of the other folds (Micci-Barreca 2001; out of fold as in
scikit-learn's TargetEncoder). Other rows are encoded with all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.errors import DataError, UsageError
from penstock.features.array_operators import ARRAYS
from penstock.features.block import Block
from penstock.features.categorical import AnyCategorical
from penstock.features.column import CategoricalColumn, FeatureColumn
from penstock.features.operators import Operators, Values
from penstock.features.scatter import scatter
from penstock.features.statistics import Statistics

__all__ = ["FOLDS", "FittedTargetMean", "TargetMeanColumn", "TargetSums", "fold_of", "gather_targets"]

FOLDS = 5

Means = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class TargetMeanColumn(FeatureColumn):
    """The mean label of a categorical column's id, drawn towards that of all rows as by `smoothing` rows of these."""

    categorical_column: CategoricalColumn
    smoothing: float = 20.0

    @property
    def name(self) -> str:
        return f"{self.categorical_column.name}_target_mean"

    @property
    def keys(self) -> tuple[str, ...]:
        return self.categorical_column.keys

    def allows_missing(self, key: str) -> bool:
        return self.categorical_column.allows_missing(key)

    def fit_to(self, targets: Mapping[str, "TargetSums"]) -> "FittedTargetMean":
        """Fitted to the sums of `gather_targets`. Raises UsageError where these lack the column."""
        if self.name not in targets:
            raise UsageError(
                f"the column {self.name!r} is made of the labels, which are not given here; use it with an estimator "
                "that encodes targets"
            )
        sums = targets[self.name]
        every = sums.means(sums.totals.sum(axis=0), sums.counts.sum(axis=0), self.smoothing)
        folds = tuple(
            sums.means(
                sums.totals.sum(axis=0) - sums.totals[fold], sums.counts.sum(axis=0) - sums.counts[fold], self.smoothing
            )
            for fold in range(FOLDS)
        )
        return FittedTargetMean(name=self.name, categorical=sums.categorical, means=every, fold_means=folds)


@dataclass(frozen=True)
class TargetSums:
    """Of one column: sums of the targets `[folds, ids, targets]` and counts of the rows `[folds, ids]`."""

    categorical: AnyCategorical
    totals: NDArray[np.float64]
    counts: NDArray[np.int64]

    def means(self, totals: NDArray[np.float64], counts: NDArray[np.int64], smoothing: float) -> Means:
        """Smoothed means `[ids, targets]`, in units of the spread of the ids' means, around that of all rows."""
        rows = max(int(counts.sum()), 1)
        prior = totals.sum(axis=0) / rows
        smooth = (totals + smoothing * prior) / (counts[:, None] + smoothing)
        spread = np.sqrt((counts[:, None] * np.square(smooth - prior)).sum(axis=0) / rows)
        scaled = (smooth - prior) / np.where(spread > 0.0, spread, 1.0)
        return tuple(tuple(row) for row in scaled.tolist())


def gather_targets(
    columns: Sequence[FeatureColumn],
    statistics: Statistics,
    batches: Iterable[tuple[ColumnBatch, NDArray[np.float64]]],
) -> dict[str, TargetSums]:
    """The sums that target-mean columns among `columns` are fitted to, in one pass, by column name.

    batches: the training rows in order, with their targets `[rows, targets]`: the label, or an indicator a class.
    Raises DataError where a target is no finite number.
    """
    wanted = {column.name: column for column in columns if isinstance(column, TargetMeanColumn)}
    categoricals = {name: column.categorical_column.fit_categorical(statistics) for name, column in wanted.items()}
    sums: dict[str, TargetSums] = {}
    first_row = 0
    for batch, targets in batches:
        if not np.isfinite(targets).all():
            raise DataError("a label is missing or infinite; means of labels need finite numbers")
        folds = fold_of(first_row + np.arange(batch.rows))
        raw = {name: batch[name].reshape(-1, 1) for column in wanted.values() for name in column.keys}
        for name, categorical in categoricals.items():
            assert isinstance(categorical, AnyCategorical)
            size = categorical.num_buckets
            if name not in sums:
                sums[name] = TargetSums(
                    categorical, np.zeros((FOLDS, size, targets.shape[1])), np.zeros((FOLDS, size), dtype=np.int64)
                )
            place = folds * size + categorical.ids(ARRAYS, raw)[:, 0]
            sums[name].counts[...] += np.bincount(place, minlength=FOLDS * size).reshape(FOLDS, size)
            for i in range(targets.shape[1]):
                added = np.bincount(place, weights=targets[:, i], minlength=FOLDS * size)
                sums[name].totals[:, :, i] += added.reshape(FOLDS, size)
        first_row += batch.rows
    return sums


class FittedTargetMean(msgspec.Struct, frozen=True, kw_only=True, tag="target_mean", dict=True):
    """means: of each id `[ids, targets]`, over all training rows. fold_means: the same over those outside each fold."""

    name: str
    categorical: AnyCategorical
    means: Means
    fold_means: tuple[Means, ...]

    @property
    def block(self) -> Block:
        width = len(self.means[0])
        features = (self.name,) if width == 1 else tuple(f"{self.name}_{i}" for i in range(width))
        return Block(name=self.name, kind="dense", columns=self.categorical.keys, width=width, features=features)

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        ids = self.categorical.ids(operators, columns)
        return operators.cast(operators.take(self._tables[0], ids), "float32")

    def compute_training(self, columns: Mapping[str, Values], *, first_row: int) -> NDArray[np.float32]:
        """Of training rows, from the `first_row`-th on: each with the means of the folds that it is not in."""
        ids = self.categorical.ids(ARRAYS, columns)[:, 0]
        folds = fold_of(first_row + np.arange(len(ids)))
        return np.asarray(self._tables[1][folds, ids], dtype=np.float32)

    @cached_property
    def _tables(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.asarray(self.means, dtype=np.float64), np.asarray(self.fold_means, dtype=np.float64)


def fold_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold of the training rows at these positions: dealt as if by chance, the same every time."""
    return (scatter(rows) % np.uint64(FOLDS)).astype(np.int64)
