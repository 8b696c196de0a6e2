"""Bucketized columns: a number becomes the id of the interval it lies in."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from penstock.features.column import CategoricalColumn, NumberColumn
from penstock.features.numeric import RawNumber, number_quantiles
from penstock.features.operators import Operators, Values
from penstock.features.statistics import ColumnStatistics, Statistics

__all__ = ["Bucketized", "BucketizedColumn"]


@dataclass(frozen=True, kw_only=True)
class BucketizedColumn(CategoricalColumn):
    """Bucket `i` holds `boundaries[i-1] <= x < boundaries[i]`.

    boundaries: ascending; or how many buckets there are, of as many training rows each as ties allow.
    """

    source: NumberColumn
    boundaries: tuple[float, ...] | int

    @property
    def name(self) -> str:
        return f"{self.source.name}_bucketized"

    @property
    def keys(self) -> tuple[str, ...]:
        return self.source.keys

    def allows_missing(self, key: str) -> bool:
        return self.source.allows_missing(key)

    def fit_categorical(self, statistics: Statistics) -> "Bucketized":
        number = self.source.fit_number(statistics)
        assert isinstance(number, RawNumber)
        if isinstance(self.boundaries, int):
            quantiles = number_quantiles(number, statistics)
            levels = np.linspace(0, len(quantiles) - 1, self.boundaries + 1).round().astype(int)[1:-1]
            boundaries = tuple(np.unique(quantiles[levels]).tolist()) if len(quantiles) else ()
        else:
            boundaries = self.boundaries
        plain = number.fill is None and number.expression is None
        unseen = _unseen(boundaries, statistics[number.key]) if plain else ()
        return Bucketized(number=number, boundaries=boundaries, unseen=unseen)


class Bucketized(msgspec.Struct, frozen=True, kw_only=True, tag="bucketized"):
    """Ids `0 .. len(boundaries)` of the intervals, then that of a missing number."""

    number: RawNumber
    boundaries: tuple[float, ...]
    unseen: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return self.number.keys

    @property
    def num_buckets(self) -> int:
        return len(self.boundaries) + 2

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = self.number.values(operators, columns)
        interval = operators.count_reached(values, self.boundaries)
        missing = operators.constant([[len(self.boundaries) + 1]], "int64")
        return operators.where(operators.is_nan(values), missing, interval)


def _unseen(boundaries: tuple[float, ...], statistics: ColumnStatistics) -> tuple[int, ...]:
    unseen: list[int] = []
    if statistics.numbers is not None:
        low, high = statistics.numbers.minimum, statistics.numbers.maximum
        edges = (float("-inf"), *boundaries, float("inf"))
        unseen = [i for i in range(len(edges) - 1) if high < edges[i] or low >= edges[i + 1]]
    if not statistics.missing:
        unseen.append(len(boundaries) + 1)
    return tuple(unseen)
