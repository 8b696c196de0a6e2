"""Computes a table's profile, out of core: in the pass that opens it where a sample tells what to ask, or after."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb

from penstock.data.engine import Workspace, mapped_errors, run_with_progress
from penstock.data.inquiry import Facts, Inquiry, inquiry_of
from penstock.data.options import Progress, ReadOptions
from penstock.data.profile import MAX_VALUES, ColumnProfile, TableProfile
from penstock.data.relations import relate
from penstock.data.sample import SAMPLE, SampledRows, draw_sample, estimated_rows
from penstock.data.scan import CsvLayout, Scan
from penstock.data.subject import Subject
from penstock.data.survey import Questions
from penstock.data.table import Table, TableSource, open_table
from penstock.errors import UsageError
from penstock.settings import Settings

__all__ = ["SAMPLE_ROWS", "profile_source", "profile_table"]

SAMPLE_ROWS = 100_000
_COLUMNS_A_PASS = 32
_COLUMNS_A_READING = 128
"""Asked together: the cost of DuckDB's aggregates over maps grows with the square of their number (300 columns of 300
rows: 38 s and 2 GB). A pass over rows in memory is cheaper than one that reads files."""

Report = Callable[[Progress], None]


def profile_table(
    table: Table,
    *,
    values: int = 1_000,
    is_exact: bool = False,
    relations: bool = True,
    label: str | None = None,
    progress: Report | None = None,
) -> TableProfile:
    """What all rows of a table say of each column, and a sample of 100,000 of them of rows and pairs of columns.

    values: how many of a column's most frequent values are kept with their counts, at most 10,000.
    is_exact: whether the sample is all rows, held in memory or spilled, and every value is counted.
    relations: whether to look at rows and pairs of columns. label: the column to be predicted, if one is; what gives it
    away is then found.
    """
    return _profile(table, None, values, is_exact, relations, label, progress)


def profile_source(
    source: TableSource,
    *,
    settings: Settings,
    options: ReadOptions | None = None,
    values: int = 1_000,
    is_exact: bool = False,
    relations: bool = True,
    label: str | None = None,
    progress: Report | None = None,
) -> tuple[Table, TableProfile]:
    """A table, and its profile as `profile_table` makes it; large CSV files are as a rule read once for both."""
    made: list[_FirstPass] = []

    def asking(workspace: Workspace) -> _FirstPass:
        made.append(_FirstPass(workspace, values=values))
        return made[-1]

    table = open_table(
        source, settings=settings, options=options, asking=None if is_exact else asking, progress=progress
    )
    try:
        first = made[0] if made else None
        return table, _profile(table, first, values, is_exact, relations, label, progress)
    except BaseException:
        table.close()
        raise


def _profile(
    table: Table,
    first: "_FirstPass | None",
    values: int,
    is_exact: bool,
    relations: bool,
    label: str | None,
    progress: Report | None,
) -> TableProfile:
    if not 0 < values <= MAX_VALUES:
        raise UsageError(f"a profile cannot keep {values} values a column; expected 1 to {MAX_VALUES}")
    if label is not None:
        _ = table.schema[label]
    total = max(table.count(), 1)
    rows = total if is_exact else SAMPLE_ROWS
    with table.connect() as connection, mapped_errors(f"cannot profile {table.name}"):
        _say(progress, "drawing a sample")
        sample = draw_sample(connection, table.scan, rows=rows, total=total, workspace=table.workspace)
        columns = _profile_columns(connection, table, sample, values=values, first=first, progress=progress)
        found = None
        if relations:
            _say(progress, "comparing columns")
            found = relate(connection, columns, sample, label=label)
    table.verify_unchanged()
    return TableProfile(rows=table.count(), columns=columns, relations=found)


class _FirstPass:
    """Asks about large CSV files already in the pass that opens them, by what a sample of their bytes says."""

    def __init__(self, workspace: Workspace, *, values: int) -> None:
        self.inquiries: dict[int, Inquiry] = {}
        self._workspace = workspace
        self._values = values

    def questions(self, connection: duckdb.DuckDBPyConnection, scan: Scan) -> Questions:
        self.inquiries = {}
        if not isinstance(scan.source, CsvLayout) or scan.source.has_line_breaks:
            return Questions()
        total = estimated_rows(scan.source)
        if total <= 2 * SAMPLE_ROWS:
            return Questions()
        sample = draw_sample(connection, scan, rows=SAMPLE_ROWS, total=total, workspace=self._workspace)
        for i, plan in enumerate(scan.plans):
            subject = Subject(type=plan.type, place=i, kept=self._values, sample=sample, survey=None)
            inquiry = inquiry_of(subject, connection)
            if inquiry is not None:
                self.inquiries[i] = inquiry
        return _questions(self.inquiries)


def _profile_columns(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    sample: SampledRows,
    *,
    values: int,
    first: _FirstPass | None,
    progress: Report | None,
) -> tuple[ColumnProfile, ...]:
    """Of columns that the first pass could not settle, or all, by another pass."""
    facts = [
        Facts(column, table.count(), survey, connection)
        for column, survey in zip(table.schema, table.survey.columns, strict=True)
    ]
    profiles: dict[int, ColumnProfile | None] = dict.fromkeys(range(len(facts)))
    if first is not None and first.inquiries:
        profiles.update(_told(first.inquiries, table.survey.answers, facts))
    inquiries: dict[int, Inquiry] = {}
    for i in [i for i, profile in profiles.items() if profile is None]:
        subject = Subject(type=facts[i].column.type, place=i, kept=values, sample=sample, survey=facts[i].survey)
        inquiry = inquiry_of(subject, connection)
        assert inquiry is not None
        inquiries[i] = inquiry
    together = _COLUMNS_A_PASS if sample.is_whole else _COLUMNS_A_READING
    places = list(inquiries)
    for some in [places[start : start + together] for start in range(0, len(places), together)]:
        names = [facts[i].column.name for i in some]
        rows = SAMPLE if sample.is_whole else f"({table.scan.select(names, is_numbered=True)})"
        asked = {i: inquiries[i] for i in some}
        questions = _questions(asked)
        answers = run_with_progress(
            connection,
            f"SELECT {', '.join(questions.expressions)} "
            f"FROM (SELECT {', '.join(('*', *questions.columns))} FROM {rows})",
            report=None if progress is None else lambda done: _say(progress, "counting values", done),
        )
        assert answers is not None
        profiles.update(_told(asked, answers, facts))
    return tuple(profile for i in range(len(facts)) if (profile := profiles[i]) is not None)


def _questions(inquiries: Mapping[int, Inquiry]) -> Questions:
    return Questions(
        tuple(column for inquiry in inquiries.values() for column in inquiry.columns),
        tuple(expression for inquiry in inquiries.values() for expression in inquiry.expressions),
        frozenset(inquiries),
    )


def _told(
    inquiries: Mapping[int, Inquiry], answers: Sequence[Any], facts: Sequence[Facts]
) -> dict[int, ColumnProfile | None]:
    """The profiles by place of the column, out of the answers to all inquiries."""
    profiles = {}
    place = 0
    for i, inquiry in inquiries.items():
        count = len(inquiry.expressions)
        profiles[i] = inquiry.profile(answers[place : place + count], facts[i])
        place += count
    return profiles


def _say(progress: Report | None, stage: str, fraction: float | None = None) -> None:
    if progress is not None:
        progress(Progress(stage=stage, fraction=fraction))
