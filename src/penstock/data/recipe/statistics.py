"""Facts about whole columns that a step needs before it can treat a single row: medians, quantiles, known values."""

from typing import Literal

import msgspec

__all__ = ["Statistic", "StatisticKind", "StatisticValue", "Statistics"]

StatisticKind = Literal["mean", "quantile", "cut", "mode", "values"]

StatisticValue = float | int | str | bool | None | tuple[str, ...]


class Statistic(msgspec.Struct, frozen=True):
    """One fact about the values of a column that are not missing.

    mean: of numbers. quantile: of numbers at a fraction, between two values by linear interpolation. cut: the smallest
    value that has at least a fraction of the values at or below it. mode: the most frequent value, of several the
    smallest. values: the `argument` most frequent values as texts, most frequent first, of several the smallest.
    Without any value it is None (`values`: empty). Timestamps are microseconds since 1970 UTC.
    """

    kind: StatisticKind
    column: str
    argument: float = 0.0


Statistics = dict[Statistic, StatisticValue]
