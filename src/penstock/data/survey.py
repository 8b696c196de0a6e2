"""The first pass over all rows: do the cells fit what the sample promised, and which columns have missing values?

A column that does not fit is judged again by the cells that did not, until every cell of the table is accounted for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import duckdb

from penstock.data.cells import CERTAIN_MARKS, MAX_EXACT_INTEGER, Judgement, Notation, judge
from penstock.data.engine import quote_text, run_with_progress
from penstock.data.scan import ColumnPlan, Scan
from penstock.data.schema import DataType

__all__ = [
    "PLAIN_PASS",
    "Asking",
    "ColumnSurvey",
    "MisfitError",
    "Pass",
    "Questions",
    "Survey",
    "misfit_texts",
    "survey_rows",
]

_CONVERSION = re.compile(r'Error when converting column "c(\d+)"')
_MAX_MISFITS = 1_000
_MOST_AT_ONCE = 512
_COLUMNS_AT_ONCE = 256
_MOST_CONVERSIONS = 3
_COPY = "penstock_rows"
_FACTS = 8


class MisfitError(Exception):
    """A cell that does not fit the type the user named for its column."""

    def __init__(self, plan: ColumnPlan, text: str) -> None:
        super().__init__(f"column {plan.name!r} was said to be of type {plan.type}, which {text!r} is not")
        self.plan = plan
        self.text = text


@dataclass(frozen=True, kw_only=True)
class ColumnSurvey:
    """One column. present: values there; marked: cells with a null mark.

    distinct: about how many different values there are; None where the pass had another question that tells.
    min, max: of numbers, and of timestamps in microseconds UTC.
    """

    present: int
    distinct: int | None
    marked: int = 0
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """rows: rows of the table; columns: in the order of the plans; answers: to what else was asked in the pass."""

    rows: int
    columns: tuple[ColumnSurvey, ...]
    answers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Questions:
    """columns: SQL of what is computed once a row, out of the table's columns c0, c1, …; expressions: aggregates.

    places: of the columns they are about, whose different values need not be estimated besides.
    """

    columns: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    places: frozenset[int] = frozenset()


class Asking(Protocol):
    """Something else to be found out in the same pass."""

    def questions(self, connection: duckdb.DuckDBPyConnection, scan: Scan) -> Questions:
        """Asked for anew whenever the plans have changed."""
        ...


@dataclass(frozen=True)
class Pass:
    """What goes along with the pass. report: called with the share of the rows that was read, None where unknown."""

    asking: Asking | None = None
    report: Callable[[float | None], None] | None = None


PLAIN_PASS = Pass()


def survey_rows(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    *,
    samples: Mapping[str, Sequence[str]],
    reading: Pass,
) -> tuple[Scan, Survey]:
    """The scan with every column's type settled, and what was counted on the way.

    samples: distinct cells by column name that the plans were judged by. Raises MisfitError; DuckDB's own errors pass.
    """
    known = {name: list(texts) for name, texts in samples.items()}
    if len(scan.plans) <= _MOST_AT_ONCE:
        return _settled(connection, scan, range(len(scan.plans)), _Source(connection), known, reading)
    source = _Source(connection, is_copied=not scan.parquet)
    starts = range(0, len(scan.plans), _COLUMNS_AT_ONCE)
    surveys: list[Survey] = []
    for part, start in enumerate(starts):
        places = range(start, min(start + _COLUMNS_AT_ONCE, len(scan.plans)))
        report = None if reading.report is None else _report_of_part(reading.report, part, len(starts))
        scan, survey = _settled(connection, scan, places, source, known, Pass(report=report))
        surveys.append(survey)
    source.close()
    columns = tuple(column for survey in surveys for column in survey.columns)
    return scan, Survey(rows=surveys[0].rows, columns=columns)


def _report_of_part(report: Callable[[float | None], None], part: int, parts: int) -> Callable[[float | None], None]:
    return lambda done: report((part + (done or 0.0)) / parts)


class _Source:
    """What the pass reads: the files, or, for many columns, a copy of their rows as they are read, made once.

    DuckDB's time grows with the square of the columns in a query, so that a wide table is asked in parts.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, is_copied: bool = False) -> None:
        self._connection = connection
        self._is_copied = is_copied
        self._types: list[str] = []
        self._failures = 0

    def sql(self, scan: Scan) -> str:
        """May raise what reading raises."""
        types = [plan.base_type for plan in scan.plans]
        if not self._is_copied:
            return scan.source_sql
        if types != self._types:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {_COPY} AS SELECT * FROM {scan.source_sql}")
            self._types = types
        return _COPY

    def with_texts(self, scan: Scan, index: int) -> Scan:
        """The scan after a cell of that column could not be converted; after several in a copy, all cells are texts."""
        self._failures += 1
        is_hopeless = self._is_copied and self._failures >= _MOST_CONVERSIONS
        plans = (
            replace(plan, base_type="VARCHAR") if is_hopeless or i == index else plan
            for i, plan in enumerate(scan.plans)
        )
        return replace(scan, plans=tuple(plans))

    def close(self) -> None:
        self._connection.execute(f"DROP TABLE IF EXISTS {_COPY}")


def _settled(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    places: range,
    source: _Source,
    known: dict[str, list[str]],
    reading: Pass,
) -> tuple[Scan, Survey]:
    """The scan with the types of these columns settled, and what was counted of them."""
    while True:
        try:
            more = Questions() if reading.asking is None else reading.asking.questions(connection, scan)
            answer = run_with_progress(connection, _query(scan, places, source.sql(scan), more), report=reading.report)
        except duckdb.ConversionException as error:
            found = _CONVERSION.search(str(error))
            if found is None:
                raise
            scan = source.with_texts(scan, int(found[1]))
            continue
        assert answer is not None
        facts = {place: _Facts(*answer[1 + i * _FACTS : 1 + (i + 1) * _FACTS]) for i, place in enumerate(places)}
        settled = {place: _settle(connection, scan, scan.plans[place], fact, known) for place, fact in facts.items()}
        if None not in settled.values():
            columns = tuple(
                ColumnSurvey(
                    present=fact.present,
                    distinct=None if fact.distinct is None else min(fact.distinct, fact.present),
                    marked=fact.marked,
                    min=fact.min,
                    max=fact.max,
                )
                for fact in facts.values()
            )
            plans = tuple(settled.get(i) or plan for i, plan in enumerate(scan.plans))
            answers = tuple(answer[1 + len(places) * _FACTS :])
            return replace(scan, plans=plans), Survey(rows=int(answer[0]), columns=columns, answers=answers)
        again = {
            place: _judged_again(connection, scan, scan.plans[place], facts[place], known)
            for place, done in settled.items()
            if done is None
        }
        scan = replace(scan, plans=tuple(again.get(i, plan) for i, plan in enumerate(scan.plans)))


@dataclass(frozen=True)
class _Facts:
    """is_unlike: whether a cell of an integer column has a fraction, or one of a text column has spaces around it."""

    present: int
    distinct: int | None
    min: float | None
    max: float | None
    is_unlike: bool | None
    misfits: int
    marked: int
    mark_bits: int | None


def _query(scan: Scan, places: range, source: str, more: Questions) -> str:
    """One pass over some columns. What is needed more than once is computed once, in a subquery, as DuckDB would not.

    Of a text column t is the text, m the null mark it is, k the cell without marks; c is the value of any column.
    """
    texts = {i: scan.plans[i] for i in places if scan.plans[i].is_text}
    others = {i: scan.plans[i] for i in places if not scan.plans[i].is_text}
    base = [f"{plan.trimmed} AS t{i}" for i, plan in texts.items()]
    rows = f"SELECT {', '.join([*base, *(f'{plan.value} AS c{i}' for i, plan in others.items())])} FROM {source}"
    for level in (
        [f"{_mark_place(plan, f't{i}')} AS m{i}" for i, plan in texts.items()],
        [f"CASE WHEN m{i} IS NULL THEN t{i} END AS k{i}" for i in texts],
        [f"{plan.value_of(f'k{i}')} AS c{i}" for i, plan in texts.items()],
        more.columns,
    ):
        if level:
            rows = f"SELECT {', '.join(['*', *level])} FROM ({rows})"
    facts = ["count(*)"]
    for i in places:
        facts += _column_facts(scan.plans[i], i, estimates=i not in more.places)
    return f"SELECT {', '.join([*facts, *more.expressions])} FROM ({rows})"


def _column_facts(plan: ColumnPlan, place: int, *, estimates: bool) -> list[str]:
    """Aggregates in the order of `_Facts`."""
    value, text, mark = f"c{place}", f"t{place}", f"m{place}"
    facts = [f"count({value})", f"approx_count_distinct({value})" if estimates else "NULL"]
    if plan.type in (DataType.INTEGER, DataType.FLOAT):
        facts += [f"min({value})", f"max({value})"]
    elif plan.type is DataType.TIMESTAMP:
        facts += [f"epoch_us(min({value}))", f"epoch_us(max({value}))"]
    else:
        facts += ["NULL", "NULL"]
    if plan.type is DataType.INTEGER and not plan.is_whole_checked:
        facts.append(f"bool_or({value} <> trunc({value}))")
    elif plan.is_text and plan.type is DataType.STRING and plan.trim and not plan.is_padded:
        facts.append(f"bool_or(prefix({text}, ' ') OR suffix({text}, ' '))")
    else:
        facts.append("false")
    if not plan.is_text:
        return [*facts, "0", "0", "NULL"]
    return [*facts, f"count(k{place}) - count({value})", f"count(nullif({mark}, 0))", f"bit_or(1::HUGEINT << {mark})"]


def _mark_place(plan: ColumnPlan, text: str) -> str:
    """SQL of which null mark a text is, counted from 1; 0 for an empty cell, NULL for a value."""
    marks = ("", *plan.null_marks)
    places = " ".join(f"WHEN {quote_text(mark)} THEN {place}" for place, mark in enumerate(marks))
    longest = max(len(mark.encode()) for mark in marks)
    return f"CASE WHEN strlen({text}) <= {longest} THEN CASE {text} {places} END END"


def _settle(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    plan: ColumnPlan,
    fact: _Facts,
    known: Mapping[str, Sequence[str]],
) -> ColumnPlan | None:
    """The plan as it stays, or None where the column has to be judged again."""
    judgement = plan.judgement
    if fact.misfits:
        if plan.is_told:
            raise MisfitError(plan, misfit_texts(connection, scan, plan)[0])
        return None
    if plan.type is DataType.STRING and fact.is_unlike:
        return None
    was_empty = (
        plan.type is DataType.STRING
        and not plan.is_told
        and not any(text not in plan.null_marks for text in known.get(plan.name, ()))
    )
    if plan.is_text and was_empty and fact.present and plan.name in known:
        return None
    if plan.type is DataType.INTEGER and judgement.notation is not Notation.LONG_INTEGER and not plan.is_whole_checked:
        if fact.is_unlike:
            if plan.is_told:
                raise MisfitError(plan, misfit_texts(connection, scan, plan)[0])
            return plan.checked(replace(judgement, type=DataType.FLOAT, how="numbers, not all of them whole"))
        if max(abs(fact.min or 0.0), abs(fact.max or 0.0)) >= MAX_EXACT_INTEGER and plan.base_type in (
            "DOUBLE",
            "VARCHAR",
        ):
            return None
    marks = tuple(mark for bit, mark in enumerate(plan.null_marks) if (fact.mark_bits or 0) >> (bit + 1) & 1)
    return plan.checked(replace(judgement, marks=marks))


def _judged_again(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    plan: ColumnPlan,
    fact: _Facts,
    known: dict[str, list[str]],
) -> ColumnPlan:
    """The plan after a look at the cells that did not fit, in the whole table."""
    if plan.base_type == "DOUBLE":
        as_text = replace(plan, base_type="VARCHAR")
        notation = replace(plan.judgement, notation=Notation.LONG_INTEGER)
        return replace(as_text, judgement=notation)
    if plan.type is DataType.STRING and fact.is_unlike:
        return replace(plan, is_padded=True)
    if plan.type is DataType.STRING:
        misfits = _texts(connection, f"SELECT {plan.cell} AS t FROM {scan.source_sql}")
    elif fact.misfits:
        misfits = misfit_texts(connection, scan, plan)
    else:
        return replace(plan, judgement=replace(plan.judgement, notation=Notation.LONG_INTEGER))
    texts = known.setdefault(plan.name, [])
    texts.extend(misfits)
    marks = plan.null_marks if plan.are_marks_told else None
    judgement = judge(texts, marks=marks, are_all=True)
    if judgement == plan.judgement or _same_reading(judgement, plan.judgement):
        judgement = Judgement(
            DataType.STRING,
            Notation.PLAIN,
            tuple(mark for mark in judgement.marks if mark in CERTAIN_MARKS or plan.are_marks_told),
            f"text such as {misfits[0][:40]!r}",
        )
    return replace(plan, judgement=judgement)


def _same_reading(new: Judgement, old: Judgement) -> bool:
    return (new.type, new.notation, new.formats, set(new.marks)) == (
        old.type,
        old.notation,
        old.formats,
        set(old.marks),
    )


def misfit_texts(connection: duckdb.DuckDBPyConnection, scan: Scan, plan: ColumnPlan) -> list[str]:
    """The most frequent cells of a text column that its plan cannot read."""
    wrong = f"{plan.value} IS NULL"
    if plan.type is DataType.INTEGER:
        wrong += f" OR {plan.value} <> trunc({plan.value})"
    where = f"{plan.cell} IS NOT NULL AND ({wrong})"
    return _texts(connection, f"SELECT {plan.cell} AS t FROM {scan.source_sql} WHERE {where}")


def _texts(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """The most frequent texts of a query's only column `t`."""
    rows = connection.execute(
        f"SELECT t FROM ({query}) WHERE t IS NOT NULL GROUP BY t ORDER BY count(*) DESC, t LIMIT {_MAX_MISFITS}"
    ).fetchall()
    return [row[0] for row in rows]
