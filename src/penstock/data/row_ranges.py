"""Ranges of the rows of Parquet files as conditions on `parquet_source(is_numbered=True)`."""

from collections.abc import Iterator, Sequence

import duckdb

from penstock.data.engine import quote_name, quote_text
from penstock.data.scan import PARQUET_FILE, path_list

__all__ = ["row_ranges"]


def row_ranges(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[str], *, most_rows: int, first_row: int = 0
) -> Iterator[str]:
    """Conditions that together hold for every row from `first_row` on, in file order, each for at most `most_rows`.

    DuckDB skips the files and row groups for which a condition cannot hold (measured in 2.0).
    """
    counts = dict(
        connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata({path_list(paths)})").fetchall()
    )
    skipped = first_row
    for path in paths:
        rows = int(counts[path])
        for start in range(min(skipped, rows), rows, most_rows):
            last = min(start + most_rows, rows) - 1
            yield (f"{quote_name(PARQUET_FILE)} = {quote_text(path)} AND file_row_number BETWEEN {start} AND {last}")
        skipped = max(0, skipped - rows)
