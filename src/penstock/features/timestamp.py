"""Columns of timestamps: a part as an id, or the place in a day, week or year as a point on a circle."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from penstock.data.schema import DataType
from penstock.features.block import Block
from penstock.features.column import BlockColumn, CategoricalColumn, raw_column
from penstock.features.dates import PART_SIZES, DatePartName, PeriodName, date_part, is_missing_time, phase
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics

__all__ = ["CyclicColumn", "DatePart", "DatePartColumn", "FittedCycle"]


@dataclass(frozen=True, kw_only=True)
class DatePartColumn(CategoricalColumn):
    """The id of a timestamp is its month, day of the month, weekday (Monday first), hour or minute, in UTC, from 0."""

    key: str
    part: DatePartName

    @property
    def name(self) -> str:
        return f"{self.key}_{self.part}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def fit_categorical(self, statistics: Statistics) -> "DatePart":
        raw_column(statistics, self.key, purpose=f"the {self.part} of {self.key!r}", types=(DataType.TIMESTAMP,))
        size = PART_SIZES[self.part]
        found = statistics[self.key]
        unseen = set(range(size)) - set(found.date_parts.get(self.part, ()))
        if not found.missing:
            unseen.add(size)
        return DatePart(key=self.key, part=self.part, unseen=tuple(sorted(unseen)))


class DatePart(msgspec.Struct, frozen=True, kw_only=True, tag="date_part"):
    """Ids of the part from 0, then that of a missing timestamp."""

    key: str
    part: DatePartName
    unseen: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def num_buckets(self) -> int:
        return PART_SIZES[self.part] + 1

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = columns[self.key]
        part = date_part(operators, values, self.part)
        return operators.where(is_missing_time(values), PART_SIZES[self.part], part)


@dataclass(frozen=True, kw_only=True)
class CyclicColumn(BlockColumn):
    """A timestamp's place in its day, week or year as sine and cosine: midnight lies next to 23:59."""

    key: str
    period: PeriodName

    @property
    def name(self) -> str:
        return f"{self.key}_cycle_{self.period}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def fit(self, statistics: Statistics) -> "FittedCycle":
        raw_column(statistics, self.key, purpose=f"the cycle of {self.key!r}", types=(DataType.TIMESTAMP,))
        return FittedCycle(name=self.name, key=self.key, period=self.period)


class FittedCycle(msgspec.Struct, frozen=True, kw_only=True, tag="cycle"):
    """Sine and cosine of the phase; a missing timestamp lies in the middle of the circle, at 0, 0."""

    name: str
    key: str
    period: PeriodName

    @property
    def block(self) -> Block:
        features = (f"{self.name}_sin", f"{self.name}_cos")
        # Within ±1 already; a map fitted to it would spread apart zeros that differ by the rounding of sine.
        return Block(
            name=self.name, kind="dense", columns=(self.key,), width=2, features=features, representation="indicator"
        )

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = columns[self.key]
        angle = phase(operators, values, self.period) * (2.0 * math.pi)
        point = operators.concat([operators.sin(angle), operators.cos(angle)])
        return operators.cast(operators.where(is_missing_time(values), 0.0, point), "float32")
