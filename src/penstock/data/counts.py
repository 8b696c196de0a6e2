"""A column's profile out of its different values and how often each occurs: everything exact."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.profile import (
    RANKS,
    ColumnProfile,
    Histogram,
    TextLengths,
    TimeShares,
    ValueCount,
    quantiles_of_counts,
)
from penstock.data.schema import Column, DataType
from penstock.data.sketch import DistinctSketch, Moments

__all__ = ["BINS", "counting_edges", "histogram_edges", "profile_of_counts", "time_shares", "widened_edges"]

BINS = 32
HOUR_US = 3_600_000_000
_KEPT_NUMBERS = 100
_THURSDAY = 3
"""1970-01-01, where timestamps begin, counted from Monday."""


def profile_of_counts(
    column: Column, *, rows: int, values: Sequence[Any], counts: Sequence[int], kept: int, sketch: DistinctSketch
) -> ColumnProfile:
    """The profile of a column of `rows` rows that holds these values so often, and is missing in the others.

    values: timestamps as microseconds UTC. kept: how many values the profile keeps; of more numbers than that only 100.
    """
    present = sum(counts)
    if column.type is not DataType.STRING and len(values) > kept:
        kept = min(kept, _KEPT_NUMBERS)
    order = sorted(range(len(values)), key=lambda i: (-counts[i], values[i]))
    shared = ColumnProfile(
        name=column.name,
        type=column.type,
        rows=rows,
        missing=rows - present,
        distinct=len(values),
        values=tuple(ValueCount(values[i], counts[i]) for i in order[:kept]),
        are_values_complete=len(values) <= kept,
        values_error=counts[order[kept]] if len(values) > kept else 0,
        formats=column.formats,
        sketch=sketch,
    )
    if column.type is DataType.STRING:
        return _replaced(shared, lengths=_lengths(values, counts))
    numbers = np.asarray(values, dtype=np.float64)
    times = np.asarray(counts, dtype=np.int64)
    finite = np.isfinite(numbers)
    infinite = int(times[~finite].sum())
    numbers, times = numbers[finite], times[finite]
    if not len(numbers):
        return _replaced(shared, infinite=infinite)
    moments = Moments.of_counts(numbers, times)
    quantiles = quantiles_of_counts(numbers.tolist(), times.tolist())
    edges, is_log = histogram_edges(column.type, float(numbers.min()), float(numbers.max()), np.asarray(quantiles))
    return _replaced(
        shared,
        min=float(numbers.min()),
        max=float(numbers.max()),
        mean=moments.mean,
        std=moments.std,
        skew=moments.skew,
        zeros=int(times[numbers == 0].sum()) if column.type is not DataType.TIMESTAMP else 0,
        infinite=infinite,
        quantiles=quantiles,
        histogram=Histogram(tuple(edges.tolist()), _binned(numbers, times, edges), is_log),
        times=time_shares(numbers, times) if column.type is DataType.TIMESTAMP else None,
    )


def histogram_edges(
    kind: DataType, low: float, high: float, typical: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Edges of at most 32 bins from `low` to `high`, and whether they are equal-width in log.

    Bins of whole numbers are centred on them and hold equally many. typical: values spread as the column's are; where
    most lie in one bin of 32 and the largest is far beyond the usual one, the bins are logarithmic.
    """
    if low == high:
        return np.array([low, high]), False
    positive = typical[typical > 0]
    if kind is not DataType.TIMESTAMP and low >= 0 and len(positive):
        first = max(low, float(positive.min()), high * 1e-12)
        crowded = float(np.mean(typical < low + (high - low) / BINS))
        if crowded > 0.6 and high > 30 * float(np.median(positive)) and first < high:
            edges = np.geomspace(first, high, BINS + (low == first))
            return (edges if low == first else np.concatenate([[low], edges])), True
    if kind in (DataType.INTEGER, DataType.BOOLEAN) and high < 2**52:
        width = math.ceil((high - low + 1) / BINS)
        bins = math.ceil((high - low + 1) / width)
        return low - 0.5 + width * np.arange(bins + 1, dtype=np.float64), False
    edges = np.linspace(low, high, BINS + 1)
    return (edges if np.all(np.diff(edges) > 0) else np.array([low, high])), False


def widened_edges(edges: NDArray[np.float64], *, is_log: bool) -> NDArray[np.float64]:
    """A quarter more bins of the same width on both sides, since a sample seldom holds the extremes."""
    more = max(2, len(edges) // 4)
    if len(edges) < 3:
        low, high = float(edges[0]), float(edges[-1])
        return np.linspace(low - 1.0, high + 1.0, 5)
    steps = np.arange(1, more + 1)
    if is_log:
        ratio = edges[-1] / edges[-2]
        above = edges[-1] * ratio**steps
        return np.concatenate([edges, above[np.isfinite(above)]])
    width = edges[-1] - edges[-2]
    return np.concatenate([edges[0] - width * steps[::-1], edges, edges[-1] + width * steps])


def counting_edges(display: NDArray[np.float64], typical: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shown edges and, between them, quantiles of typical values; 0 and values of many ranks get their own bins."""
    if not len(typical):
        return display
    quantiles, repeats = np.unique(
        np.quantile(typical, np.arange(1, RANKS) / RANKS, method="inverted_cdf"), return_counts=True
    )
    heavy = np.nextafter(quantiles[repeats > 1], np.inf)
    inner = np.concatenate([quantiles, heavy, [0.0, np.nextafter(0.0, np.inf)]])
    return np.union1d(display, inner[(inner > display[0]) & (inner < display[-1])])


def time_shares(times_us: NDArray[np.float64], counts: NDArray[np.int64]) -> TimeShares:
    """Counts by weekday and hour of timestamps that occur so often."""
    hours = np.floor_divide(times_us, HOUR_US).astype(np.int64)
    weekdays = np.bincount((hours // 24 + _THURSDAY) % 7, weights=counts, minlength=7)
    by_hour = np.bincount(hours % 24, weights=counts, minlength=24)
    return TimeShares(tuple(weekdays.astype(int).tolist()), tuple(by_hour.astype(int).tolist()))


def _binned(values: NDArray[np.float64], counts: NDArray[np.int64], edges: NDArray[np.float64]) -> tuple[int, ...]:
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return tuple(np.bincount(places, weights=counts, minlength=len(edges) - 1).astype(int).tolist())


def _lengths(texts: Sequence[str], counts: Sequence[int]) -> TextLengths | None:
    if not texts:
        return None
    lengths = [len(text) for text in texts]
    mean = sum(length * count for length, count in zip(lengths, counts, strict=True)) / sum(counts)
    return TextLengths(min(lengths), max(lengths), mean)


def _replaced(profile: ColumnProfile, **changes: Any) -> ColumnProfile:
    import msgspec

    return msgspec.structs.replace(profile, **changes)
