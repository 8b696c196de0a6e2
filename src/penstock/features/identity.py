"""Categorical columns whose values are the ids already: whole numbers from 0."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from penstock.features.column import CategoricalColumn, raw_column
from penstock.features.numeric import NUMERIC_TYPES
from penstock.features.operators import Operators, Values
from penstock.features.statistics import ColumnStatistics, Statistics
from penstock.features.vocabulary import whole_number

__all__ = ["Identity", "IdentityColumn"]


@dataclass(frozen=True, kw_only=True)
class IdentityColumn(CategoricalColumn):
    """The id of a whole number in `[0, num_buckets)` is itself.

    default_value: the id of any other number, and of a missing one. None: an id of their own each.
    """

    key: str
    num_buckets: int
    default_value: int | None = None

    @property
    def name(self) -> str:
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def allows_missing(self, key: str) -> bool:
        return self.default_value is not None

    def fit_categorical(self, statistics: Statistics) -> "Identity":
        raw_column(statistics, self.key, purpose=f"identity ids of {self.key!r}", types=NUMERIC_TYPES)
        unknown = self.num_buckets if self.default_value is None else self.default_value
        missing = self.num_buckets + 1 if self.default_value is None else self.default_value
        return Identity(
            key=self.key,
            size=self.num_buckets,
            unknown=unknown,
            missing=missing,
            unseen=_unseen(self.num_buckets, statistics[self.key]) if self.default_value is None else (),
        )


class Identity(msgspec.Struct, frozen=True, kw_only=True, tag="identity"):
    """Ids `0 .. size-1`, then one of other numbers and one of missing ones unless these share an id below."""

    key: str
    size: int
    unknown: int
    missing: int
    unseen: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def num_buckets(self) -> int:
        return max(self.size, self.missing + 1)

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = columns[self.key]
        whole = whole_number(operators, values)
        is_id = (whole >= 0) & (whole < self.size) & (operators.cast(whole, "float64") == values)
        known = operators.where(is_id, whole, operators.constant([[self.unknown]], "int64"))
        return operators.where(operators.is_nan(values), operators.constant([[self.missing]], "int64"), known)


def _unseen(size: int, statistics: ColumnStatistics) -> tuple[int, ...]:
    unseen: list[int] = []
    if statistics.values_are_all:
        seen = {value for value in statistics.values if isinstance(value, float)}
        unseen = [i for i in range(size) if float(i) not in seen]
        if all(value in range(size) for value in seen):
            unseen.append(size)
    if not statistics.missing:
        unseen.append(size + 1)
    return tuple(unseen)
