"""What a sample of rows says of whole rows."""

import duckdb

from penstock.data.profile import Relations
from penstock.data.sample import SAMPLE, SampledRows

__all__ = ["count_duplicates"]


def count_duplicates(connection: duckdb.DuckDBPyConnection, sample: SampledRows) -> Relations:
    """How many rows of the sample say the same as another one."""
    answer = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT * FROM {SAMPLE})").fetchone()
    assert answer is not None
    return Relations(rows=sample.rows, is_sample=not sample.is_whole, duplicate_rows=sample.rows - int(answer[0]))
