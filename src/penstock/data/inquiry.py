"""What is asked of one column in the pass over all rows, and its profile out of the answer.

Columns of few different values are counted value by value, and everything else follows from the counts. Of the others,
numbers are counted between edges that lie where a sample says that the values do, and texts by length and by the values
that are frequent in the sample.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.data.cells import MAX_EXACT_INTEGER
from penstock.data.counts import HOUR_US, counting_edges, histogram_edges, profile_of_counts, widened_edges
from penstock.data.engine import quote_text
from penstock.data.profile import RANKS, ColumnProfile, Histogram, TextLengths, TimeShares, ValueCount
from penstock.data.sample import SAMPLE
from penstock.data.schema import Column, DataType
from penstock.data.sketch import RANKS_OF_BITS, REGISTERS, DistinctSketch, Moments
from penstock.data.subject import (
    MAX_FREQUENT,
    MIN_FREQUENT_SHARE,
    Subject,
    frequent_values,
    sampled_distinct,
    sampled_values,
)
from penstock.data.survey import ColumnSurvey

__all__ = ["Facts", "Inquiry", "inquiry_of"]

FEW_NUMBERS = 1_000
LISTED_VALUES = 500
FEW_TEXTS = 10_000
_UNSEEN_MEAN = 8.0
"""A value that a sample holds less than 3 times is expected there less than 8 times, with 98 % confidence (Poisson)."""
_MONDAY_HOURS = 72
"""Timestamps begin on a Thursday."""
_WEEK_HOURS = 168
_HASHER = f"duckdb-{duckdb.__version__}-6"
"""The number: from which bit on a hash tells the register."""


@dataclass(frozen=True)
class Facts:
    """A column after the pass. rows: of the table; connection: where values are hashed as they were in the pass."""

    column: Column
    rows: int
    survey: ColumnSurvey
    connection: duckdb.DuckDBPyConnection


class Inquiry(Protocol):
    """columns: SQL of what is computed once a row. expressions: SQL aggregates over them and the table's columns.

    profile: what the answers to the expressions, in order, say; None where the sample misled the inquiry.
    """

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def expressions(self) -> Sequence[str]: ...

    def profile(self, answers: Sequence[Any], facts: Facts) -> ColumnProfile | None: ...


def inquiry_of(subject: Subject, connection: duckdb.DuckDBPyConnection) -> Inquiry | None:
    """The inquiry that suits a column, by what the survey and the sample (a table of the connection) say.

    None where the sample does not suffice to put one in the first pass.
    """
    is_text = subject.type is DataType.STRING
    known = None if subject.survey is None else subject.survey.distinct
    distinct = sampled_distinct(subject, connection) if known is None else known
    if subject.survey is None and distinct <= LISTED_VALUES:
        return ListedColumn(subject, sampled_values(subject, connection))
    is_few = distinct <= (FEW_TEXTS if is_text else FEW_NUMBERS)
    if is_few or subject.sample.is_whole or subject.type is DataType.BOOLEAN:
        return CountedColumn(subject) if subject.survey is not None else None
    candidates = frequent_values(subject, connection)
    if is_text:
        return TextColumn(subject, candidates)
    fetched = connection.execute(f"SELECT {subject.number} AS x FROM {SAMPLE}").fetchnumpy()["x"]
    typical = np.ma.filled(np.ma.asarray(fetched, dtype=np.float64), np.nan)
    typical = typical[np.isfinite(typical)]
    low, high = (float(typical.min()), float(typical.max())) if len(typical) else (0.0, 0.0)
    if subject.survey is not None and subject.survey.min is not None and subject.survey.max is not None:
        least, most = float(subject.survey.min), float(subject.survey.max)
        low, high = (least if math.isfinite(least) else low), (most if math.isfinite(most) else high)
    display, is_log = histogram_edges(subject.type, low, high, typical)
    if subject.survey is None:
        display = widened_edges(display, is_log=is_log)
    return NumberColumn(subject, candidates, display, is_log, counting_edges(display, typical), typical)


@dataclass(frozen=True)
class CountedColumn:
    """Every value counted."""

    subject: Subject

    @property
    def columns(self) -> Sequence[str]:
        return ()

    @property
    def expressions(self) -> Sequence[str]:
        return [f"histogram({self.subject.value})"]

    def profile(self, answers: Sequence[Any], facts: Facts) -> ColumnProfile | None:
        return _profile_of_counts(answers[0] or {}, facts, self.subject)


@dataclass(frozen=True)
class ListedColumn:
    """The values of the sample counted, in the hope that they are all: looking them up is faster than finding them."""

    subject: Subject
    values: Sequence[Any]

    @property
    def columns(self) -> Sequence[str]:
        return ()

    @property
    def expressions(self) -> Sequence[str]:
        if not self.values:
            return ["NULL"]
        if self.subject.type is DataType.STRING:
            return [_texts_counted(self.subject.name, self.values)]
        return [f"histogram_exact({self.subject.number}, {_doubles(self.values)})"]

    def profile(self, answers: Sequence[Any], facts: Facts) -> ColumnProfile | None:
        found = _counts_found(self.subject, self.values, answers[0], facts.connection)
        counts = {value: found[value] for value in self.values if found.get(value)}
        if sum(counts.values()) != facts.survey.present:
            return None
        return _profile_of_counts(counts, facts, self.subject)


def _profile_of_counts(counts: Mapping[Any, int], facts: Facts, subject: Subject) -> ColumnProfile:
    as_python: Callable[[Any], Any] = {DataType.INTEGER: int, DataType.BOOLEAN: bool}.get(
        facts.column.type, lambda value: value
    )
    values = [as_python(value) for value in counts]
    return profile_of_counts(
        facts.column,
        rows=facts.rows,
        values=values,
        counts=list(counts.values()),
        kept=subject.kept,
        sketch=_sketch_of_values(values, facts),
    )


def _sketch_of_values(values: Sequence[Any], facts: Facts) -> DistinctSketch:
    kind = "VARCHAR" if facts.column.type is DataType.STRING else "DOUBLE"
    answer = facts.connection.execute(
        f"SELECT {_sketched('h')} FROM (SELECT {_bit_place('hash(v)')} AS h FROM (SELECT unnest(?::{kind}[]) AS v))",
        [list(values)],
    ).fetchone()
    assert answer is not None
    return DistinctSketch.of_bits(answer[0], hasher=_HASHER)


@dataclass(frozen=True)
class NumberColumn:
    """Numbers or timestamps of many different values.

    display: edges of the histogram to be shown; edges: those between which all rows are
    counted, the shown ones among them. typical: values of the sample.
    """

    subject: Subject
    candidates: Sequence[float]
    display: NDArray[np.float64]
    is_log: bool
    edges: NDArray[np.float64]
    typical: NDArray[np.float64]

    @property
    def columns(self) -> Sequence[str]:
        place = self.subject.place
        shift, scale = self._standard
        whole = [f"TRY_CAST({self.subject.value} AS BIGINT) AS i{place}"] if self._is_whole else []
        return [
            *whole,
            f"{self._finite} AS x{place}",
            f"({self._finite} - {_double(shift)}) * {_double(1 / scale)} AS z{place}",
            f"{_bit_place(self.subject.hash)} AS h{place}",
        ]

    @property
    def expressions(self) -> Sequence[str]:
        number, away = f"x{self.subject.place}", f"z{self.subject.place}"
        inquiries = [
            f"count({number})",
            f"min({number})",
            f"max({number})",
            f"sum({away})",
            f"sum({away} * {away})",
            f"sum({away} * {away} * {away})",
            self._binned,
            _sketched(f"h{self.subject.place}"),
            _counted(self.subject, self.candidates),
        ]
        if self.subject.type is DataType.TIMESTAMP:
            hours = f"({self.subject.value} // {HOUR_US} + {_MONDAY_HOURS}) % {_WEEK_HOURS}"
            inquiries.append(f"histogram((({hours}) + {_WEEK_HOURS}) % {_WEEK_HOURS}, range({_WEEK_HOURS - 1}))")
        return inquiries

    def profile(self, answers: Sequence[Any], facts: Facts) -> ColumnProfile | None:
        if self._is_whole and facts.column.type is not self.subject.type:
            return None
        finite, low, high, first, second, third, bins, bits, frequent = answers[:9]
        is_time = facts.column.type is DataType.TIMESTAMP
        shared = _shared(facts, bits)
        if not finite:
            return replace(shared, infinite=facts.survey.present)
        if self.subject.survey is None and (low < self.display[0] or high > self.display[-1]):
            return None
        left = dict(bins)
        counts = [int(left.pop(bound, 0)) for bound in self._bounds()]  # bins that hold no whole number share a bound
        counts.append(finite - sum(counts))
        running = np.concatenate([[0], np.cumsum(counts)])
        display = np.concatenate([[min(low, self.display[0])], self.display[1:-1], [max(high, self.display[-1])]])
        shown = np.concatenate([[0], running[np.searchsorted(self.edges, self.display[1:-1])], [finite]])
        inside = slice(
            max(int(np.searchsorted(display, low, side="right")) - 1, 0), int(np.searchsorted(display, high)) + 1
        )
        within = shown[inside]
        within[0], within[-1] = 0, finite
        edges = np.clip(np.concatenate([[low], self.edges[1:-1], [high]]), low, high)
        edges[1:] = np.where(edges[1:] == np.nextafter(edges[:-1], np.inf), edges[:-1], edges[1:])
        shift, scale = self._standard
        moments = Moments.of_sums(finite, first, second, third)
        return replace(
            shared,
            min=low,
            max=high,
            mean=shift + scale * moments.mean,
            std=scale * moments.std,
            skew=moments.skew,
            zeros=0 if is_time else self._zeros(counts),
            infinite=facts.survey.present - finite,
            quantiles=tuple(np.interp(np.linspace(0.0, 1.0, RANKS + 1), running / finite, edges).tolist()),
            are_quantiles_exact=False,
            histogram=Histogram(tuple(display[inside].tolist()), tuple(np.diff(within).tolist()), self.is_log),
            values=_frequent(self.candidates, frequent, self.subject.kept),
            values_error=_values_error(self.subject, facts, self.candidates, frequent),
            times=_hour_shares(answers[9] or {}) if is_time else None,
        )

    @property
    def _finite(self) -> str:
        """The numbers; without the infinite ones where the survey found some (in the first pass nobody knows)."""
        survey = self.subject.survey
        if survey is None or survey.min is None or survey.max is None:
            return self.subject.number
        if math.isfinite(survey.min) and math.isfinite(survey.max):
            return self.subject.number
        return f"CASE WHEN isfinite({self.subject.number}) THEN {self.subject.number} END"

    @property
    def _standard(self) -> tuple[float, float]:
        """Near the middle of the values, and near their spread, so that sums of powers neither cancel nor overflow."""
        if not len(self.typical):
            return 0.0, 1.0
        low, middle, high = np.quantile(self.typical, [0.05, 0.5, 0.95])
        return float(middle), float(high - low) / 2 or 1.0

    @property
    def _is_whole(self) -> bool:
        """Whether values are counted as whole numbers, which DuckDB puts between edges twice as fast as floats."""
        return (
            self.subject.type in (DataType.INTEGER, DataType.TIMESTAMP)
            and max(abs(self.edges[0]), abs(self.edges[-1])) < MAX_EXACT_INTEGER
        )

    def _bounds(self) -> list[float]:
        """DuckDB's bins hold their upper bound; ours the lower one."""
        if self._is_whole:
            return [math.ceil(edge) - 1.0 for edge in self.edges[1:-1]]
        return [float(np.nextafter(edge, -np.inf)) for edge in self.edges[1:-1]]

    @property
    def _binned(self) -> str:
        if not self._is_whole:
            return f"histogram(x{self.subject.place}, {_doubles(self._bounds())})"
        bounds = dict.fromkeys(int(bound) for bound in self._bounds())
        return f"histogram(i{self.subject.place}, [{', '.join(map(str, bounds))}]::BIGINT[])"

    def _zeros(self, counts: Sequence[int]) -> int:
        """How many values are 0: it has a bin of its own where it can occur."""
        place = int(np.searchsorted(self.edges, 0.0))
        return counts[place] if place < len(counts) and self.edges[place] == 0.0 else 0


@dataclass(frozen=True)
class TextColumn:
    """Texts of many different values."""

    subject: Subject
    candidates: Sequence[str]

    @property
    def columns(self) -> Sequence[str]:
        place = self.subject.place
        return [f"length({self.subject.name}) AS x{place}", f"{_bit_place(self.subject.hash)} AS h{place}"]

    @property
    def expressions(self) -> Sequence[str]:
        length = f"x{self.subject.place}"
        return [
            f"min({length})",
            f"max({length})",
            f"avg({length})",
            _sketched(f"h{self.subject.place}"),
            _counted(self.subject, self.candidates),
        ]

    def profile(self, answers: Sequence[Any], facts: Facts) -> ColumnProfile | None:
        shortest, longest, mean, bits, hashed = answers
        frequent = _counts_found(self.subject, self.candidates, hashed, facts.connection)
        return replace(
            _shared(facts, bits),
            lengths=None if shortest is None else TextLengths(shortest, longest, mean),
            values=_frequent(self.candidates, frequent, self.subject.kept),
            values_error=_values_error(self.subject, facts, self.candidates, frequent),
        )


def _shared(facts: Facts, bits: str | None) -> ColumnProfile:
    """What every column of many different values has."""
    sketch = DistinctSketch.of_bits(bits, hasher=_HASHER)
    return ColumnProfile(
        name=facts.column.name,
        type=facts.column.type,
        rows=facts.rows,
        missing=facts.rows - facts.survey.present,
        distinct=min(sketch.estimate, facts.survey.present),
        is_distinct_exact=False,
        formats=facts.column.formats,
        sketch=sketch,
    )


def _bit_place(hashed: str) -> str:
    """SQL of the bit that a hash sets in a sketch: its register by low bits, its rank by trailing zeros above them.

    The register's bits are taken from where they need no shift, at 6 and up. Types by name: with a bare literal DuckDB
    would compute in 128 bits.
    """
    registers = (REGISTERS - 1) * RANKS_OF_BITS
    taken = registers.bit_length()
    rest = f"(({hashed} >> {taken}) | {1 << (63 - taken)}::UBIGINT)"
    return f"({hashed} & {registers}::UBIGINT) + bit_count(xor({rest}, {rest} - 1::UBIGINT))::UBIGINT"


def _sketched(place: str) -> str:
    return f"CAST(bitstring_agg({place}, 0::UBIGINT, {REGISTERS * RANKS_OF_BITS - 1}::UBIGINT) AS VARCHAR)"


def _counted(subject: Subject, candidates: Sequence[Any]) -> str:
    if not candidates:
        return "NULL"
    if subject.type is DataType.STRING:
        return _texts_counted(subject.name, candidates)
    return f"histogram_exact(x{subject.place}, {_doubles(candidates)})"


def _texts_counted(name: str, texts: Sequence[str]) -> str:
    """SQL of how often each of these texts occurs, by hash: looked up as text, 300 of them take twice as long.

    That another text has one's 64-bit hash is about as likely as that the memory errs.
    """
    return f"histogram_exact(hash({name}), [{', '.join(f'hash({quote_text(text)})' for text in texts)}])"


def _counts_found(
    subject: Subject, values: Sequence[Any], counts: Mapping[Any, int] | None, connection: duckdb.DuckDBPyConnection
) -> Mapping[Any, int]:
    """Counts by value; those of texts come by hash."""
    if not counts or subject.type is not DataType.STRING:
        return counts or {}
    hashes = connection.execute("SELECT hash(unnest(?::VARCHAR[]))", [list(values)]).fetchall()
    return {value: counts.get(hashed, 0) for value, (hashed,) in zip(values, hashes, strict=True)}


def _frequent(candidates: Sequence[Any], counts: Mapping[Any, int] | None, kept: int) -> tuple[ValueCount, ...]:
    found = [ValueCount(value, (counts or {}).get(value, 0)) for value in candidates]
    return tuple(sorted(found, key=lambda entry: (-entry.count, entry.value))[:kept])


def _values_error(subject: Subject, facts: Facts, candidates: Sequence[Any], counts: Mapping[Any, int] | None) -> int:
    """How often a value may occur that is not among the candidates, as far as the sample can tell."""
    unseen = math.ceil(2 * max(_UNSEEN_MEAN / max(subject.sample.rows, 1), MIN_FREQUENT_SHARE) * facts.rows)
    if len(candidates) < MAX_FREQUENT or not counts:
        return unseen
    return max(unseen, min(counts.get(value, 0) for value in candidates))


def _hour_shares(hours: Mapping[int, int]) -> TimeShares:
    """hours: counts by hour of the week, from Monday."""
    week = np.zeros((7, 24), dtype=np.int64)
    for hour, count in zip(range(_WEEK_HOURS), hours.values(), strict=False):
        week[hour // 24, hour % 24] = count
    return TimeShares(tuple(week.sum(axis=1).tolist()), tuple(week.sum(axis=0).tolist()))


def _double(value: float) -> str:
    """A float as SQL; as a bare literal it would be a decimal, and round differently."""
    return f"'{float(value)!r}'::DOUBLE"


def _doubles(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"'{float(value)!r}'" for value in values) + "]::DOUBLE[]"
