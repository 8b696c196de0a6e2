"""What a sample of rows says of whole rows and of pairs of columns."""

from collections.abc import Sequence

import duckdb

from penstock.data.profile import ColumnProfile, Relations
from penstock.data.sample import SAMPLE, SampledRows

__all__ = ["relate"]


def relate(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[ColumnProfile],
    sample: SampledRows,
    *,
    label: str | None,
) -> Relations:
    answer = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT * FROM {SAMPLE})").fetchone()
    assert answer is not None
    return Relations(rows=sample.rows, is_sample=not sample.is_whole, duplicate_rows=sample.rows - int(answer[0]))
