"""A table that can be read any number of times, in bounded memory: typed columns over files, described by detections."""

from collections.abc import Iterator, Sequence

import duckdb

from penstock.data.columns import ColumnBatch
from penstock.data.options import Detection, ReadOptions, RejectedRow
from penstock.data.schema import Schema
from penstock.settings import Settings

__all__ = ["Table", "open_table"]


class Table:
    """Typed rows over files. Reading streams; nothing is held but what is asked for.

    schema: columns in the order of the file; `nullable` says whether a value is missing anywhere in the table.
    detections: what was found out about the files, and how.
    rejected: rows of the files that are not in the table (only with `bad_rows="reject"`).
    """

    schema: Schema
    detections: tuple[Detection, ...]
    rejected: tuple[RejectedRow, ...]
    settings: Settings

    def count(self) -> int:
        """Rows in the table."""
        raise NotImplementedError

    def read(self, columns: Sequence[str] | None = None, *, limit: int | None = None) -> ColumnBatch:
        """The first `limit` rows (all by default) of these columns (all by default), in memory."""
        raise NotImplementedError

    def batches(self, rows_per_batch: int, *, columns: Sequence[str] | None = None) -> Iterator[ColumnBatch]:
        """All rows in file order, `rows_per_batch` at a time; the last batch may be shorter."""
        raise NotImplementedError

    def value_counts(self, column: str, *, limit: int = 10_000) -> list[tuple[str | float | bool | int, int]]:
        """The `limit` most frequent values of a column with their counts, most frequent first, missing left out."""
        raise NotImplementedError

    def digest(self) -> str:
        """sha256 over the bytes of the files."""
        raise NotImplementedError

    @property
    def sql(self) -> str:
        """A SELECT of all columns under their own names, for a connection that `connect` made or that may read `paths`.

        Types: BIGINT, DOUBLE, BOOLEAN, VARCHAR, TIMESTAMP (UTC). Missing is NULL, never NaN.
        """
        raise NotImplementedError

    @property
    def paths(self) -> tuple[str, ...]:
        """The local files that `sql` reads: what `engine.connect(readable=…)` must be given."""
        raise NotImplementedError

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection that may read this table's files and nothing else."""
        raise NotImplementedError

    def close(self) -> None:
        """Removes temporary copies."""
        raise NotImplementedError


def open_table(
    source: str | Sequence[str], *, settings: Settings, options: ReadOptions | None = None
) -> Table:
    """A table from a file, a glob, a list of these, or a URI.

    Raises NotFoundError where nothing is there, DataError where it is not a table.
    """
    raise NotImplementedError
