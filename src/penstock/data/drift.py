"""How far a table has moved from another one, told from their profiles alone.

Light on purpose: a prediction server measures what it is asked against the profile in its bundle.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.profile import ColumnProfile, TableProfile, Value
from penstock.data.profile_text import shown_time, shown_value
from penstock.data.schema import DataType
from penstock.data.sketch import share_up_to

__all__ = ["ColumnDrift", "Drift", "measure_drift"]

BINS = 10
MODERATE_PSI = 0.1
LARGE_PSI = 0.25
_LEAST_SHARE = 1e-4
_MAX_CATEGORIES = 200
_MAX_LISTED = 5
_MOST_CHARACTERS = 60


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column, then and now.

    psi: population stability index over the values or ten bins of the reference, missing among them (0 to about 9).
    jensen_shannon: divergence to base 2 over the same bins, 0 to 1. Both None where the columns cannot be compared.
    level: "none", "moderate" (psi above 0.1), "large" (above 0.25), or "incomparable".
    missing_before, missing_now: shares of the rows. new_values: frequent ones that the reference never held.
    text: the same in words.
    """

    name: str
    psi: float | None
    jensen_shannon: float | None
    level: str
    missing_before: float
    missing_now: float
    new_values: tuple[Value, ...]
    text: str


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """columns: those of both tables, the most changed first. added, removed: columns of one of them only."""

    rows_before: int
    rows_now: int
    columns: tuple[ColumnDrift, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def measure_drift(reference: TableProfile, current: TableProfile) -> Drift:
    """How the current table differs from the reference, column by column."""
    columns = [_column_drift(column, current[column.name]) for column in reference.columns if column.name in current]
    columns.sort(key=lambda column: (-(math.inf if column.psi is None else column.psi), column.name))
    return Drift(
        rows_before=reference.rows,
        rows_now=current.rows,
        columns=tuple(columns),
        added=tuple(column.name for column in current.columns if column.name not in reference),
        removed=tuple(column.name for column in reference.columns if column.name not in current),
    )


def psi(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Population stability index of shares in the same bins; a bin without rows counts as one in ten thousand.

    >>> round(psi(np.array([0.5, 0.5]), np.array([0.9, 0.1])), 3)
    0.879
    """
    a, b = np.maximum(before, _LEAST_SHARE), np.maximum(now, _LEAST_SHARE)
    return float(((b - a) * np.log(b / a)).sum())


def jensen_shannon(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Jensen–Shannon divergence to base 2 of shares in the same bins: 0 where they are alike, 1 where none is shared.

    >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    middle = (before + now) / 2
    return max(0.0, sum(_half_divergence(part, middle) for part in (before, now)))


def _half_divergence(part: NDArray[np.float64], middle: NDArray[np.float64]) -> float:
    held = part > 0
    return float((part[held] * np.log2(part[held] / middle[held])).sum()) / 2


def _column_drift(before: ColumnProfile, now: ColumnProfile) -> ColumnDrift:
    missing = [part.missing / part.rows if part.rows else 0.0 for part in (before, now)]
    shares = _shares(before, now)
    new = _new_values(before, now)
    if shares is None:
        index = divergence = None
        level = "incomparable"
        text = f"{before.name}: was {_said(before)}, is {_said(now)}; they cannot be compared"
    else:
        index, divergence = psi(*shares), jensen_shannon(*shares)
        level = "large" if index > LARGE_PSI else "moderate" if index > MODERATE_PSI else "none"
        text = f"{before.name}: {_in_words(level)} (PSI {index:.3f}, Jensen–Shannon {divergence:.3f})"
        if before.mean is not None and now.mean is not None and level != "none":
            text += f", mean {_mean(before)} before, {_mean(now)} now"
        if before.type is not now.type:
            text += f"; was {before.type}, is {now.type}"
    if abs(missing[1] - missing[0]) >= 0.01:
        text += f"; missing in {missing[0]:.1%} before, {missing[1]:.1%} now"
    if new:
        text += f"; never seen before: {', '.join(map(_quoted, new))}"
    return ColumnDrift(
        name=before.name,
        psi=index,
        jensen_shannon=divergence,
        level=level,
        missing_before=missing[0],
        missing_now=missing[1],
        new_values=tuple(new),
        text=text,
    )


def _in_words(level: str) -> str:
    return {"none": "as before", "moderate": "moved", "large": "moved far"}[level]


def _mean(column: ColumnProfile) -> str:
    return shown_time(column.mean) if column.type is DataType.TIMESTAMP else f"{column.mean:.6g}"


def _quoted(value: Value) -> str:
    return repr(shown_value(value, width=_MOST_CHARACTERS)) if isinstance(value, str) else repr(value)


def _said(column: ColumnProfile) -> str:
    return f"{column.type} of {column.distinct:,} values" if column.present else "empty"


def _shares(before: ColumnProfile, now: ColumnProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Shares of both columns' rows in the same bins, missing ones in the last; None where there are no such bins."""
    if not before.present or not now.present:
        return None
    are_values_few = before.are_values_complete and len(before.values) <= _MAX_CATEGORIES
    if are_values_few and (before.quantiles == () or len(before.values) <= BINS):
        bins = _by_value(before, now)
    elif before.quantiles and now.quantiles:
        bins = _by_range(before, now)
    else:
        bins = None
    if bins is None:
        return None
    both = [
        np.append(shares * (1 - part.missing / part.rows), part.missing / part.rows)
        for shares, part in zip(bins, (before, now), strict=True)
    ]
    return both[0], both[1]


def _by_value(before: ColumnProfile, now: ColumnProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """One bin a value of the reference, and one for all others."""
    counts: Mapping[Value, int] = {_key(entry.value): entry.count for entry in now.values}
    known = [_key(entry.value) for entry in before.values]
    first = np.array([entry.count for entry in before.values] + [0], dtype=float) / before.present
    found: Sequence[float] = [counts.get(value, 0) / now.present for value in known]
    second = np.append(np.array(found), max(0.0, 1.0 - sum(found)))
    return first, second


def _by_range(before: ColumnProfile, now: ColumnProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bins between the reference's deciles; equal deciles are one edge."""
    edges = np.unique([before.quantile(i / BINS) for i in range(1, BINS)])
    both = [
        np.diff(share_up_to(edges, part.quantiles), prepend=0.0, append=1.0).clip(min=0.0) for part in (before, now)
    ]
    return both[0], both[1]


def _new_values(before: ColumnProfile, now: ColumnProfile) -> list[Value]:
    if before.quantiles or not before.are_values_complete:
        return []
    known = {_key(entry.value) for entry in before.values}
    return [entry.value for entry in now.values if _key(entry.value) not in known][:_MAX_LISTED]


def _key(value: Value) -> Value:
    """Numbers by their value, whatever their type; texts as they are."""
    return value if isinstance(value, str) else float(value)
