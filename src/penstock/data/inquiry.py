"""What is asked of one column in the pass over all rows, and its profile out of the answer.

Columns of few different values are counted value by value, and everything else follows from the counts. Of the others,
numbers are counted between edges that lie where a sample says that the values do, and texts by length and by the values
that are frequent in the sample.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.data.counts import HOUR_US, histogram_edges, profile_of_counts
from penstock.data.engine import quote_text
from penstock.data.profile import RANKS, ColumnProfile, Histogram, TextLengths, TimeShares, ValueCount
from penstock.data.sample import SAMPLE, SampledRows
from penstock.data.schema import Column, DataType
from penstock.data.sketch import HASH_RANGE, SKETCH_SIZE, DistinctSketch
from penstock.data.survey import ColumnSurvey

__all__ = ["Inquiry", "Known", "inquiry_of"]

FEW_NUMBERS = 1_000
FEW_TEXTS = 10_000
_CANDIDATES = 100
_MIN_CANDIDATE_COUNT = 3
_UNSEEN_MEAN = 8.0
"""A value that a sample holds less than 3 times is expected there less than 8 times, with 98 % confidence (Poisson)."""
_MONDAY_HOURS = 72
"""Timestamps begin on a Thursday."""
_HASHER = f"duckdb-{duckdb.__version__}"


@dataclass(frozen=True)
class Known:
    """What is known of a column before. name: in SQL; rows: of the table; kept: how many values its profile keeps."""

    column: Column
    name: str
    rows: int
    kept: int
    survey: ColumnSurvey
    sample: SampledRows

    @property
    def value(self) -> str:
        """SQL of the column's values as Python gets them: timestamps as microseconds."""
        return f"epoch_us({self.name})" if self.column.type is DataType.TIMESTAMP else self.name

    @property
    def hash(self) -> str:
        """SQL of a value's hash; whole numbers hash as the same floats do."""
        return f"hash({self.name})" if self.column.type is DataType.STRING else f"hash(CAST({self.value} AS DOUBLE))"


class Inquiry(Protocol):
    """expressions: SQL aggregates; profile: what their answers, in order, say."""

    @property
    def expressions(self) -> Sequence[str]: ...

    def profile(self, answers: Sequence[Any]) -> ColumnProfile: ...


def inquiry_of(known: Known, connection: duckdb.DuckDBPyConnection) -> Inquiry:
    """The inquiry that suits a column, by what the survey and the sample (a table of the connection) say."""
    is_text = known.column.type is DataType.STRING
    few = FEW_TEXTS if is_text else FEW_NUMBERS
    if known.sample.is_whole or known.column.type is DataType.BOOLEAN or known.survey.distinct <= few:
        return CountedColumn(known)
    candidates = _candidates(known, connection)
    if is_text:
        return TextColumn(known, candidates)
    number = f"CAST({known.value} AS DOUBLE)"
    fetched = connection.execute(f"SELECT {number} AS x FROM {SAMPLE} WHERE isfinite({number})").fetchnumpy()["x"]
    typical = np.asarray(fetched, dtype=np.float64)
    low, high = known.survey.min, known.survey.max
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        low, high = (float(typical.min()), float(typical.max())) if len(typical) else (0.0, 0.0)
    display, is_log = histogram_edges(known.column.type, float(low), float(high), typical)
    return NumberColumn(known, candidates, display, is_log, _counting_edges(display, typical))


@dataclass(frozen=True)
class CountedColumn:
    """Every value counted."""

    known: Known

    @property
    def expressions(self) -> Sequence[str]:
        counts = f"histogram({self.known.value})"
        as_hashed = "k" if self.known.column.type is DataType.STRING else "CAST(k AS DOUBLE)"
        hashes = f"list_transform(map_keys({counts}), lambda k: hash({as_hashed}))"
        return [counts, f"list_slice(list_sort({hashes}), 1, {SKETCH_SIZE + 1})"]

    def profile(self, answers: Sequence[Any]) -> ColumnProfile:
        counts: Mapping[Any, int] = answers[0] or {}
        hashes = np.asarray(answers[1] or [], dtype=np.uint64)
        return profile_of_counts(
            self.known.column,
            rows=self.known.rows,
            values=list(counts),
            counts=list(counts.values()),
            kept=self.known.kept,
            sketch=DistinctSketch.of(hashes, bound=HASH_RANGE, hasher=_HASHER),
        )


@dataclass(frozen=True)
class NumberColumn:
    """Numbers or timestamps of many different values.

    display: edges of the histogram shown; edges: those between which all rows are counted, the shown ones among them.
    """

    known: Known
    candidates: Sequence[float]
    display: NDArray[np.float64]
    is_log: bool
    edges: NDArray[np.float64]

    @property
    def expressions(self) -> Sequence[str]:
        number = self._finite
        shifted = f"{number} - {_double(self._shift)}"
        inquiries = [
            f"count({number})",
            f"min({number})",
            f"max({number})",
            f"avg({shifted})",
            f"stddev_pop({number})",
            f"skewness({shifted})",
            f"count(CASE WHEN {number} = 0 THEN 1 END)",
            f"histogram({number}, {_doubles(self._bounds())})",
            _hashes(self.known),
            _counted(self.known, self.candidates),
        ]
        if self.known.column.type is DataType.TIMESTAMP:
            inquiries.append(f"histogram(({self.known.value} // {HOUR_US} + {_MONDAY_HOURS}) % 168)")
        return inquiries

    def profile(self, answers: Sequence[Any]) -> ColumnProfile:
        finite, low, high, away, std, skew, zeros, bins, hashes, frequent = answers[:10]
        known = self.known
        is_time = known.column.type is DataType.TIMESTAMP
        shared = _shared(known, hashes)
        if not finite:
            return replace(shared, infinite=known.survey.present)
        counts = [int(bins.get(bound, 0)) for bound in (*self._bounds(), math.inf)]
        running = np.concatenate([[0], np.cumsum(counts)])
        display = np.concatenate([[min(low, self.display[0])], self.display[1:-1], [max(high, self.display[-1])]])
        shown = running[np.searchsorted(self.edges, self.display[1:-1])]
        edges = np.concatenate([[low], self.edges[1:-1], [high]])
        return replace(
            shared,
            min=low,
            max=high,
            mean=away + self._shift,
            std=std,
            skew=_population_skew(skew, finite),
            zeros=0 if is_time else zeros,
            infinite=known.survey.present - finite,
            quantiles=tuple(np.interp(np.linspace(0.0, 1.0, RANKS + 1), running / finite, edges).tolist()),
            are_quantiles_exact=False,
            histogram=Histogram(
                tuple(display.tolist()), tuple(np.diff(shown, prepend=0, append=finite).tolist()), self.is_log
            ),
            values=_frequent(self.candidates, frequent, known.kept),
            values_error=_values_error(known, self.candidates, frequent),
            times=_hour_shares(answers[10] or {}) if is_time else None,
        )

    @property
    def _finite(self) -> str:
        number = f"CAST({self.known.value} AS DOUBLE)"
        survey = self.known.survey
        if (
            survey.min is not None
            and survey.max is not None
            and math.isfinite(survey.min)
            and math.isfinite(survey.max)
        ):
            return number
        return f"CASE WHEN isfinite({number}) THEN {number} END"

    @property
    def _shift(self) -> float:
        """Near the values, so that sums of their powers do not cancel out."""
        return float(self.edges[len(self.edges) // 2])

    def _bounds(self) -> list[float]:
        """DuckDB's bins hold their upper bound; ours the lower one."""
        return [float(np.nextafter(edge, -np.inf)) for edge in self.edges[1:-1]]


@dataclass(frozen=True)
class TextColumn:
    """Texts of many different values."""

    known: Known
    candidates: Sequence[str]

    @property
    def expressions(self) -> Sequence[str]:
        length = f"length({self.known.name})"
        return [
            f"min({length})",
            f"max({length})",
            f"avg({length})",
            _hashes(self.known),
            _counted(self.known, self.candidates),
        ]

    def profile(self, answers: Sequence[Any]) -> ColumnProfile:
        shortest, longest, mean, hashes, frequent = answers
        return replace(
            _shared(self.known, hashes),
            lengths=TextLengths(shortest, longest, mean),
            values=_frequent(self.candidates, frequent, self.known.kept),
            values_error=_values_error(self.known, self.candidates, frequent),
        )


def _shared(known: Known, hashes: Sequence[int] | None) -> ColumnProfile:
    """What every column of many different values has."""
    sketch = DistinctSketch.of(np.asarray(hashes or [], dtype=np.uint64), bound=_hash_bound(known), hasher=_HASHER)
    return ColumnProfile(
        name=known.column.name,
        type=known.column.type,
        rows=known.rows,
        missing=known.rows - known.survey.present,
        distinct=min(sketch.estimate, known.survey.present),
        is_distinct_exact=sketch.is_exact,
        formats=known.column.formats,
        sketch=sketch,
    )


def _counting_edges(display: NDArray[np.float64], typical: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shown edges and, between them, quantiles of typical values; a value of many ranks gets a bin of its own."""
    if not len(typical):
        return display
    quantiles, repeats = np.unique(
        np.quantile(typical, np.arange(1, RANKS) / RANKS, method="inverted_cdf"), return_counts=True
    )
    heavy = np.nextafter(quantiles[repeats > 1], np.inf)
    inner = np.union1d(quantiles, heavy)
    return np.union1d(display, inner[(inner > display[0]) & (inner < display[-1])])


def _candidates(known: Known, connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """The values that are frequent in the sample. The empty text is none: DuckDB has it stand for all others."""
    is_other = f"{known.name} = ''" if known.column.type is DataType.STRING else f"isinf(CAST({known.value} AS DOUBLE))"
    rows = connection.execute(
        f"SELECT {known.value}, count(*) FROM {SAMPLE} WHERE {known.name} IS NOT NULL AND NOT ({is_other}) GROUP BY 1 "
        f"HAVING count(*) >= {_MIN_CANDIDATE_COUNT} ORDER BY 2 DESC, 1 LIMIT {_CANDIDATES}"
    ).fetchall()
    return [row[0] for row in rows]


def _counted(known: Known, candidates: Sequence[Any]) -> str:
    if not candidates:
        return "NULL"
    if known.column.type is DataType.STRING:
        return f"histogram_exact({known.name}, [{', '.join(quote_text(text) for text in candidates)}])"
    return f"histogram_exact(CAST({known.value} AS DOUBLE), {_doubles(candidates)})"


def _frequent(candidates: Sequence[Any], counts: Mapping[Any, int] | None, kept: int) -> tuple[ValueCount, ...]:
    found = [ValueCount(value, (counts or {}).get(value, 0)) for value in candidates]
    return tuple(sorted(found, key=lambda entry: (-entry.count, entry.value))[:kept])


def _values_error(known: Known, candidates: Sequence[Any], counts: Mapping[Any, int] | None) -> int:
    """How often a value may occur that is not among the candidates."""
    unseen = math.ceil(_UNSEEN_MEAN * known.rows / max(known.sample.rows, 1))
    if len(candidates) < _CANDIDATES or not counts:
        return unseen
    return max(unseen, min(counts.get(value, 0) for value in candidates))


def _hash_bound(known: Known) -> int:
    """Below it lie about 1.3 times as many different hashes as the sketch keeps."""
    share = 1.3 * SKETCH_SIZE / max(known.survey.distinct, 1)
    return HASH_RANGE if share >= 1 else int(share * HASH_RANGE)


def _hashes(known: Known) -> str:
    """SQL of the different hashes below the bound: the keys of a histogram; `list(DISTINCT …)` takes ten times as long."""
    bound = _hash_bound(known)
    is_kept = f"{known.name} IS NOT NULL" + ("" if bound == HASH_RANGE else f" AND {known.hash} < {bound}::UBIGINT")
    return f"map_keys(histogram(CASE WHEN {is_kept} THEN {known.hash} END))"


def _population_skew(adjusted: float | None, count: int) -> float | None:
    """DuckDB's skewness is that of a sample (adjusted Fisher–Pearson)."""
    if adjusted is None or not math.isfinite(adjusted) or count < 3:
        return None
    return adjusted * (count - 2) / math.sqrt(count * (count - 1))


def _hour_shares(hours: Mapping[int, int]) -> TimeShares:
    """hours: counts by hour of the week, from Monday."""
    week = np.zeros((7, 24), dtype=np.int64)
    for hour, count in hours.items():
        week[hour // 24, hour % 24] = count
    return TimeShares(tuple(week.sum(axis=1).tolist()), tuple(week.sum(axis=0).tolist()))


def _double(value: float) -> str:
    """A float as SQL; as a bare literal it would be a decimal, and round differently."""
    return f"'{float(value)!r}'::DOUBLE"


def _doubles(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"'{float(value)!r}'" for value in values) + "]::DOUBLE[]"
