"""What is known of a table's columns from one look at all rows: a value that is written as JSON and kept in bundles.

Light on purpose: a prediction server reads profiles as the reference for drift. `profiler` computes them.
"""

import math
from collections.abc import Iterable, Sequence
from functools import reduce

import msgspec

from penstock.data.schema import DataType
from penstock.data.sketch import DistinctSketch, Histogram, Moments, merge_histograms, merge_quantiles
from penstock.errors import DataError, did_you_mean

__all__ = [
    "Association",
    "ColumnProfile",
    "Finding",
    "Histogram",
    "Relations",
    "TableProfile",
    "TextLengths",
    "TimeShares",
    "Value",
    "ValueCount",
    "merge_profiles",
]

Value = str | bool | int | float

RANKS = 128
"""Quantiles are kept at this many equal steps of rank."""

MAX_VALUES = 10_000
"""A column's profile holds at most so many values."""


class ValueCount(msgspec.Struct, frozen=True):
    value: Value
    count: int


class TextLengths(msgspec.Struct, frozen=True):
    """Of the texts of a column, in characters."""

    min: int
    max: int
    mean: float


class TimeShares(msgspec.Struct, frozen=True):
    """How many timestamps fall on each weekday (`[7]`, Monday first) and hour (`[24]`), UTC."""

    weekdays: tuple[int, ...]
    hours: tuple[int, ...]


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column over all rows. Numbers are None where the type has none or no value is present.

    rows: rows of the table; missing: those without a value.
    distinct: different values; exact up to a bound, else estimated (`is_distinct_exact`).
    min, max, mean, std, skew, quantiles, histogram: of numbers, booleans (0 and 1) and timestamps (microseconds UTC);
    std and skew are of the population.
    quantiles: values at ranks 0, 1/n, …, 1 for n = len(quantiles) - 1.
    are_quantiles_exact: else they lie within a rank of 1 % of the exact ones.
    zeros, infinite: how many values are 0, or ±Infinity; the latter are in no other statistic of numbers.
    values: frequent values with their counts, most frequent first, ties by value.
    are_values_complete: whether `values` holds every value there is. values_error: by how much a value's count may be
    too small, or how often a value that is not in `values` may occur, when they are not complete.
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
    are_quantiles_exact: bool = True
    histogram: Histogram | None = None
    values: tuple[ValueCount, ...] = ()
    are_values_complete: bool = False
    values_error: int = 0
    lengths: TextLengths | None = None
    times: TimeShares | None = None
    formats: tuple[str, ...] = ()
    sketch: DistinctSketch | None = None

    @property
    def present(self) -> int:
        return self.rows - self.missing

    @property
    def median(self) -> float | None:
        return self.quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Values a quarter, half and three quarters up."""
        if not self.quantiles:
            return None
        return self._quantile(0.25), self._quantile(0.5), self._quantile(0.75)

    @property
    def deciles(self) -> tuple[float, ...]:
        """Values a tenth, two tenths, … nine tenths up; empty without values."""
        return tuple(self._quantile(i / 10) for i in range(1, 10)) if self.quantiles else ()

    def quantile(self, rank: float) -> float | None:
        """The value below which the share `rank` (0 to 1) of the values lies; None without values."""
        return self._quantile(rank) if self.quantiles else None

    def _quantile(self, rank: float) -> float:
        if len(self.quantiles) == 1:
            return self.quantiles[0]
        position = rank * (len(self.quantiles) - 1)
        below = min(math.floor(position), len(self.quantiles) - 2)
        low, high = self.quantiles[below], self.quantiles[below + 1]
        return low if low == high else low + (high - low) * (position - below)


class Association(msgspec.Struct, frozen=True):
    """How strongly two columns go together in the sample. strength: -1 to 1 for "pearson", else 0 to 1.

    measure: "pearson" of two numbers, "cramers_v" of two categories (bias-corrected), "correlation_ratio" of a number
    given a category.
    """

    first: str
    second: str
    measure: str
    strength: float


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something worth knowing, in words. kind: a stable key; columns: which it is about."""

    kind: str
    text: str
    columns: tuple[str, ...] = ()


class Relations(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample of rows says of whole rows and of pairs of columns. rows: of the sample; `is_sample` unless all.

    duplicate_rows: rows that are the same as an earlier one.
    """

    rows: int
    is_sample: bool
    duplicate_rows: int
    associations: tuple[Association, ...] = ()
    findings: tuple[Finding, ...] = ()


class TableProfile(msgspec.Struct, frozen=True, kw_only=True):
    """All columns of a table, in its order. rows: how many the table has. relations: None when it was not asked for."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    relations: Relations | None = None

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
        """JSON knows no infinities: they are counted in `infinite` and left out of `values`."""
        return msgspec.json.encode(
            msgspec.structs.replace(self, columns=tuple(_writable(column) for column in self.columns))
        )

    @staticmethod
    def from_json(text: bytes | str) -> "TableProfile":
        """Raises DataError where the text is not a profile."""
        try:
            return msgspec.json.decode(text, type=TableProfile)
        except msgspec.DecodeError as error:
            raise DataError(f"this is not a table profile: {error}") from error


def _writable(column: ColumnProfile) -> ColumnProfile:
    values = tuple(v for v in column.values if not isinstance(v.value, float) or math.isfinite(v.value))
    return column if len(values) == len(column.values) else msgspec.structs.replace(column, values=values)


def merge_profiles(parts: Iterable[TableProfile]) -> TableProfile:
    """The profile of all parts' rows together, as if profiled as one table.

    Exact: rows, missing, min, max, zeros, mean, std, skew, and values, distinct and quantiles where the parts' are and
    few enough. Elsewhere within the bound each field states. `relations` are of a sample of whole rows and do not add
    up: they are None. Raises DataError where the parts have different columns.
    """
    given = list(parts)
    if not given:
        raise DataError("there is no profile to merge; expected at least one")
    if len(given) == 1:
        return given[0]
    return reduce(_merged, given)


def _merged(left: TableProfile, right: TableProfile) -> TableProfile:
    names = [column.name for column in left.columns]
    if sorted(names) != sorted(column.name for column in right.columns):
        others = [column.name for column in right.columns]
        raise DataError(f"profiles of the columns {', '.join(names)} and {', '.join(others)} cannot be merged")
    columns = tuple(_merged_column(column, right[column.name]) for column in left.columns)
    return TableProfile(rows=left.rows + right.rows, columns=columns)


def _merged_column(left: ColumnProfile, right: ColumnProfile) -> ColumnProfile:
    if not left.present or not right.present:
        whole = right if right.present else left
        rows, missing = left.rows + right.rows, left.missing + right.missing
        return msgspec.structs.replace(whole, rows=rows, missing=missing)
    kind = _common_type(left, right)
    values, is_complete, error = _merged_values(left, right)
    sketch = left.sketch.merged(right.sketch) if left.sketch and right.sketch else None
    if is_complete:
        distinct, is_exact = len(values), True
    elif sketch is not None:
        distinct, is_exact = max(sketch.estimate, left.distinct, right.distinct), False
    else:
        distinct, is_exact = max(left.distinct, right.distinct), False
    quantiles, are_exact = _merged_quantiles(left, right, values if is_complete else None)
    moments = _merged_moments(left, right)
    lows = [x for x in (left.min, right.min) if x is not None]
    highs = [x for x in (left.max, right.max) if x is not None]
    return ColumnProfile(
        name=left.name,
        type=kind,
        rows=left.rows + right.rows,
        missing=left.missing + right.missing,
        distinct=distinct,
        is_distinct_exact=is_exact,
        min=min(lows, default=None),
        max=max(highs, default=None),
        mean=moments.mean if moments else None,
        std=moments.std if moments else None,
        skew=moments.skew if moments else None,
        zeros=left.zeros + right.zeros,
        infinite=left.infinite + right.infinite,
        quantiles=quantiles,
        are_quantiles_exact=are_exact,
        histogram=merge_histograms(left.histogram, right.histogram)
        if left.histogram and right.histogram
        else left.histogram or right.histogram,
        values=values,
        are_values_complete=is_complete,
        values_error=error,
        lengths=_merged_lengths(left, right),
        times=_merged_times(left.times, right.times),
        formats=tuple(dict.fromkeys((*left.formats, *right.formats))),
        sketch=sketch,
    )


def _common_type(left: ColumnProfile, right: ColumnProfile) -> DataType:
    if left.type is right.type:
        return left.type
    numbers = {DataType.INTEGER, DataType.FLOAT}
    if {left.type, right.type} <= numbers:
        return DataType.FLOAT
    raise DataError(
        f"column {left.name!r} is of type {left.type} in one profile and {right.type} in the other; "
        "name its type when reading the tables"
    )


def _merged_values(left: ColumnProfile, right: ColumnProfile) -> tuple[tuple[ValueCount, ...], bool, int]:
    """Added counts, whether they are all, and by how much they may be too small."""
    counts: dict[tuple[bool, Value], ValueCount] = {}
    for entry in (*left.values, *right.values):
        key = (isinstance(entry.value, str), entry.value)
        before = counts.get(key)
        counts[key] = ValueCount(entry.value, entry.count + (before.count if before else 0))
    entries = sorted(counts.values(), key=lambda entry: (-entry.count, isinstance(entry.value, str), entry.value))
    is_complete = left.are_values_complete and right.are_values_complete and len(entries) <= MAX_VALUES
    error = left.values_error + right.values_error
    dropped = entries[MAX_VALUES].count if len(entries) > MAX_VALUES else 0
    return tuple(entries[:MAX_VALUES]), is_complete, 0 if is_complete else max(error, dropped)


def _merged_quantiles(
    left: ColumnProfile, right: ColumnProfile, values: Sequence[ValueCount] | None
) -> tuple[tuple[float, ...], bool]:
    if not left.quantiles and not right.quantiles:
        return (), True
    if values is not None and left.type is not DataType.STRING:
        return quantiles_of_counts([float(v.value) for v in values], [v.count for v in values]), True
    weights = [max(part.present - part.infinite, 0) for part in (left, right)]
    merged = merge_quantiles(left.quantiles, weights[0], right.quantiles, weights[1], points=RANKS + 1)
    return merged, False


def quantiles_of_counts(values: Sequence[float], counts: Sequence[int]) -> tuple[float, ...]:
    """Exact quantiles at `RANKS` + 1 equal ranks of values that occur so many times, interpolated as NumPy does."""
    import numpy as np

    order = np.argsort(np.asarray(values, dtype=float), kind="stable")
    known = np.asarray(values, dtype=float)[order]
    last = np.cumsum(np.asarray(counts, dtype=np.int64)[order]) - 1
    finite = np.isfinite(known)
    if not finite.all():
        kept = [(float(v), int(c)) for v, c in zip(values, counts, strict=True) if math.isfinite(v)]
        return quantiles_of_counts([v for v, _ in kept], [c for _, c in kept]) if kept else ()
    positions = np.linspace(0.0, 1.0, RANKS + 1) * last[-1]
    below, above = np.floor(positions), np.ceil(positions)
    low, high = known[np.searchsorted(last, below)], known[np.searchsorted(last, above)]
    return tuple((low + (high - low) * (positions - below)).tolist())


def _merged_moments(left: ColumnProfile, right: ColumnProfile) -> Moments | None:
    parts = [
        Moments.of(part.present - part.infinite, mean=part.mean, std=part.std or 0.0, skew=part.skew)
        for part in (left, right)
        if part.mean is not None
    ]
    return reduce(Moments.merged, parts) if parts else None


def _merged_lengths(left: ColumnProfile, right: ColumnProfile) -> TextLengths | None:
    a, b = left.lengths, right.lengths
    if a is None or b is None:
        return a or b
    mean = (a.mean * left.present + b.mean * right.present) / (left.present + right.present)
    return TextLengths(min(a.min, b.min), max(a.max, b.max), mean)


def _merged_times(left: TimeShares | None, right: TimeShares | None) -> TimeShares | None:
    if left is None or right is None:
        return left or right
    return TimeShares(
        tuple(a + b for a, b in zip(left.weekdays, right.weekdays, strict=True)),
        tuple(a + b for a, b in zip(left.hours, right.hours, strict=True)),
    )
