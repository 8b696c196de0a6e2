"""What is known of a table's columns from one look at all rows: a value that is written as JSON and kept in bundles.

Light on purpose: a prediction server reads profiles as the reference for drift. `profiler` computes them.
"""

import math

import msgspec

from penstock.data.schema import DataType
from penstock.errors import DataError, did_you_mean

__all__ = ["ColumnProfile", "Histogram", "TableProfile", "ValueCount"]

Value = str | bool | int | float


class Histogram(msgspec.Struct, frozen=True):
    """Counts of values between edges; the last bin includes its upper edge. Timestamps are microseconds UTC.

    edges: `[bins + 1]`, rising; equal-width, or equal-width in log where `is_log`. counts: `[bins]`.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    is_log: bool = False


class ValueCount(msgspec.Struct, frozen=True):
    value: Value
    count: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column over all rows. Numbers are None where the type has none or no value is present.

    rows: rows of the table; missing: those without a value.
    distinct: different values; exact up to a bound, else estimated (`is_distinct_exact`).
    min, max, mean, std (population), skew, quantiles: of numbers, booleans (0 and 1) and timestamps (microseconds UTC).
    quantiles: values at ranks 0, 1/n, …, 1 for n = len(quantiles) - 1, within a rank error of 1 % for large tables.
    zeros, infinite: how many values are 0, or ±Infinity; the latter are in no other statistic of numbers.
    values: the most frequent values with their exact counts, most frequent first, ties by value.
    are_values_complete: whether `values` holds every value there is.
    """

    name: str
    type: DataType
    rows: int
    missing: int
    distinct: int = 0
    is_distinct_exact: bool = True
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    skew: float | None = None
    zeros: int = 0
    infinite: int = 0
    quantiles: tuple[float, ...] = ()
    histogram: Histogram | None = None
    values: tuple[ValueCount, ...] = ()
    are_values_complete: bool = False

    @property
    def present(self) -> int:
        return self.rows - self.missing

    @property
    def median(self) -> float | None:
        return self.quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Values a quarter, half and three quarters up."""
        found = [self.quantile(rank) for rank in (0.25, 0.5, 0.75)]
        return None if found[0] is None else (found[0], found[1] or 0.0, found[2] or 0.0)

    def quantile(self, rank: float) -> float | None:
        """The value below which the share `rank` (0 to 1) of the values lies; None without values."""
        if not self.quantiles:
            return None
        position = rank * (len(self.quantiles) - 1)
        below = min(math.floor(position), len(self.quantiles) - 2) if len(self.quantiles) > 1 else 0
        if len(self.quantiles) == 1:
            return self.quantiles[0]
        share = position - below
        return self.quantiles[below] * (1 - share) + self.quantiles[below + 1] * share


class TableProfile(msgspec.Struct, frozen=True, kw_only=True):
    """All columns of a table, in its order. rows: how many the table has."""

    rows: int
    columns: tuple[ColumnProfile, ...]

    def __getitem__(self, name: str) -> ColumnProfile:
        """The profile of that column. Raises DataError with the names there are."""
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        raise DataError(f"the profile has no column {name!r}; it has {', '.join(names)}{did_you_mean(name, names)}")

    def __contains__(self, name: object) -> bool:
        return any(column.name == name for column in self.columns)

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(text: bytes | str) -> "TableProfile":
        """Raises DataError where the text is not a profile."""
        try:
            return msgspec.json.decode(text, type=TableProfile)
        except msgspec.DecodeError as error:
            raise DataError(f"this is not a table profile: {error}") from error
