"""Computes a table's profile, out of core: one pass over all rows, on top of the one that opened the table."""

from collections.abc import Callable

import duckdb

from penstock.data.engine import mapped_errors, run_with_progress
from penstock.data.inquiry import Known, inquiry_of
from penstock.data.options import Progress
from penstock.data.profile import MAX_VALUES, ColumnProfile, TableProfile
from penstock.data.relations import relate
from penstock.data.sample import SAMPLE, SampledRows, draw_sample
from penstock.data.table import Table
from penstock.errors import UsageError

__all__ = ["SAMPLE_ROWS", "profile_table"]

SAMPLE_ROWS = 100_000

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
    if not 0 < values <= MAX_VALUES:
        raise UsageError(f"a profile cannot keep {values} values a column; expected 1 to {MAX_VALUES}")
    if label is not None:
        _ = table.schema[label]
    rows = max(table.count(), 1) if is_exact else SAMPLE_ROWS
    with table.connect() as connection, mapped_errors(f"cannot profile {table.name}"):
        _say(progress, "drawing a sample")
        sample = draw_sample(connection, table, rows=rows)
        columns = _profile_columns(connection, table, sample, values=values, progress=progress)
        found = None
        if relations:
            _say(progress, "comparing columns")
            found = relate(connection, columns, sample, label=label)
    table.verify_unchanged()
    return TableProfile(rows=table.count(), columns=columns, relations=found)


def _profile_columns(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    sample: SampledRows,
    *,
    values: int,
    progress: Report | None,
) -> tuple[ColumnProfile, ...]:
    inquiries = []
    for i, (column, survey) in enumerate(zip(table.schema, table.survey.columns, strict=True)):
        known = Known(column, f"c{i}", table.count(), values, survey, sample)
        inquiries.append(inquiry_of(known, connection))
    expressions = [expression for inquiry in inquiries for expression in inquiry.expressions]
    rows = SAMPLE if sample.is_whole else f"({table.scan.select(is_numbered=True)})"
    report = None if progress is None else lambda done: _say(progress, "reading all rows", done)
    answer = run_with_progress(connection, f"SELECT {', '.join(expressions)} FROM {rows}", report=report)
    assert answer is not None
    profiles = []
    place = 0
    for inquiry in inquiries:
        count = len(inquiry.expressions)
        profiles.append(inquiry.profile(answer[place : place + count]))
        place += count
    return tuple(profiles)


def _say(progress: Report | None, stage: str, fraction: float | None = None) -> None:
    if progress is not None:
        progress(Progress(stage=stage, fraction=fraction))
