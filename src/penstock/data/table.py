"""A table that can be read any number of times, in bounded memory: typed columns over files, with detections."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import duckdb
import numpy as np

from penstock.data.cells import Notation
from penstock.data.columns import Array, ColumnBatch, dtype_of, missing_value
from penstock.data.delimited import Opened, open_delimited
from penstock.data.engine import Workspace, connect, mapped_errors, quote_name
from penstock.data.files import SourceFile, find_files, format_of, read_head
from penstock.data.options import Detection, Progress, ReadOptions, RejectedRow, TableFormat
from penstock.data.row_ranges import row_ranges
from penstock.data.scan import Scan, parquet_source
from penstock.data.schema import MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.data.survey import Asking, Pass, Survey
from penstock.data.typed import open_typed
from penstock.errors import DataError
from penstock.settings import Settings

__all__ = ["Table", "TableSource", "open_table"]

TableSource = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""What names a table: a path, a glob, a folder, a URI (of a database, with `#TABLE`), a workbook (with `#SHEET`), or
several of these read as one table."""

_FETCH_ROWS = 8_192


class Table:
    """Typed rows over files. Reading streams; nothing is held but what is asked for. Close it to drop temporary copies.

    schema: columns in the order of the file; `nullable` says whether a value is missing anywhere in the table.
    detections: what was found out about the files, and how.
    rejected: rows of the files that are not in the table (only with `bad_rows="reject"`, and notes below a table).
    """

    def __init__(self, opened: Opened, *, name: str, settings: Settings, workspace: Workspace) -> None:
        self.name = name
        self.settings = settings
        self.rejected: tuple[RejectedRow, ...] = opened.rejected
        self.schema = _schema(opened.scan, opened.survey)
        self.detections: tuple[Detection, ...] = (*opened.detections, *_column_detections(opened.scan, opened.survey))
        self.scan: Scan = opened.scan
        self.survey: Survey = opened.survey
        self._files = opened.files
        self.workspace = workspace

    def __enter__(self) -> "Table":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes temporary copies; the table cannot be read afterwards."""
        self.workspace.close()

    def count(self) -> int:
        """Rows in the table."""
        return self.survey.rows

    @property
    def sql(self) -> str:
        """A SELECT of all columns under their own names, for a connection that may read `paths`.

        Types: BIGINT, DOUBLE, BOOLEAN, VARCHAR, TIMESTAMP (UTC). Missing is NULL, never NaN. DuckDB takes "a" and "A"
        for one name: where a table has both, use `scan.select(is_numbered=True)`, whose columns are c0, c1, …
        """
        return self.scan.select()

    @property
    def paths(self) -> tuple[str, ...]:
        """The local files that `sql` reads: what `engine.connect(readable=…)` must be given."""
        return tuple(str(file.path) for file in self._files)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection that may read this table's files and nothing else."""
        self.verify_unchanged()
        return connect(self.settings, readable=self.paths, temporary=self.workspace.path)

    def verify_unchanged(self) -> None:
        """Raises DataError where a file has gone or changed since the table was opened."""
        for file in self._files:
            file.verify_unchanged()

    def read(self, columns: Sequence[str] | None = None, *, limit: int | None = None) -> ColumnBatch:
        """The first `limit` rows (all by default) of these columns (all by default), in memory."""
        schema = self._selected(columns)
        query = self._array_query(schema) + ("" if limit is None else f" LIMIT {int(limit)}")
        with self.connect() as connection, mapped_errors(f"cannot read {self.name}"):
            arrays = connection.execute(query).fetchnumpy()
        self.verify_unchanged()
        return _from_arrays(schema, arrays)

    def batches(self, rows_per_batch: int, *, columns: Sequence[str] | None = None) -> Iterator[ColumnBatch]:
        """All rows in file order, `rows_per_batch` at a time; the last batch may be shorter. Memory stays bounded."""
        if rows_per_batch < 1:
            raise DataError(f"rows_per_batch is {rows_per_batch}; expected at least 1")
        schema = self._selected(columns)
        with self.connect() as connection, mapped_errors(f"cannot read {self.name}"):
            result = connection.execute(self._array_query(schema))
            while rows := _fetch(result, rows_per_batch):
                yield _from_rows(schema, rows)
            self.verify_unchanged()

    def chunks(
        self,
        most_rows: int,
        *,
        columns: Sequence[str] | None = None,
        first_row: int = 0,
        memory_limit_mb: int | None = None,
    ) -> Iterator[ColumnBatch]:
        """The rows from `first_row` on in file order, at most `most_rows` at a time; faster than `batches`.

        Of Parquet files only the row groups that hold them are read. memory_limit_mb: of DuckDB, put over the setting.
        """
        schema = self._selected(columns)
        self.verify_unchanged()
        settings = self.settings
        if memory_limit_mb is not None:
            settings = replace(settings, memory_limit_mb=min(memory_limit_mb, settings.memory_limit_mb))
        readable = connect(settings, readable=self.paths, temporary=self.workspace.path)
        with readable as connection, mapped_errors(f"cannot read {self.name}"):
            if not self.scan.parquet or "file_row_number" in map(str.lower, self.schema.names):
                result = connection.execute(f"{self._array_query(schema)} OFFSET {int(first_row)}")
                while rows := _fetch(result, most_rows):
                    yield _from_rows(schema, rows)
            else:
                types = {plan.name: plan.type for plan in self.scan.plans}
                numbered = parquet_source(self.scan.parquet, types=types, is_numbered=True)
                for condition in row_ranges(connection, self.scan.parquet, most_rows=most_rows, first_row=first_row):
                    source = f"(SELECT * FROM {numbered} WHERE {condition})"
                    query = self._array_query(schema, replace(self.scan, source=source))
                    yield _from_arrays(schema, connection.execute(query).fetchnumpy())
        self.verify_unchanged()

    def value_counts(self, column: str, *, limit: int = 10_000) -> list[tuple[str | float | bool | int, int]]:
        """The `limit` most frequent values of a column with their counts, ties by value; missing left out.

        Timestamps are microseconds since 1970 UTC.
        """
        kind = self.schema[column].type
        inner = self.scan.select([column])
        name = quote_name(column)
        value = f"epoch_us({name})" if kind is DataType.TIMESTAMP else name
        with self.connect() as connection, mapped_errors(f"cannot read {self.name}"):
            return connection.execute(
                f"SELECT {value}, count(*) FROM ({inner}) WHERE {name} IS NOT NULL "
                f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {int(limit)}"
            ).fetchall()

    def digest(self) -> str:
        """sha256 over the bytes of the files as they were found, in order; names and times do not count."""
        digest = hashlib.sha256()
        for file in self._files:
            digest.update(file.sha256().encode())
        return digest.hexdigest()

    def _selected(self, columns: Sequence[str] | None) -> Schema:
        return self.schema if columns is None else self.schema.select(tuple(columns))

    def _array_query(self, schema: Schema, scan: Scan | None = None) -> str:
        """Columns c0, c1, … in the order asked for, as their arrays hold them."""
        place = {name: i for i, name in enumerate(self.schema.names)}
        chosen = ", ".join(_array_sql(f"t.c{place[c.name]}", c.type) + f" AS c{i}" for i, c in enumerate(schema))
        return f"SELECT {chosen} FROM ({(scan or self.scan).select(is_numbered=True)}) AS t"


def open_table(
    source: TableSource,
    *,
    settings: Settings,
    options: ReadOptions | None = None,
    asking: Callable[[Workspace], Asking] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Table:
    """A table from a file, a glob, a folder, a URI, or a list of these read as one. Reads all rows once.

    asking: makes what else is to be found out in that pass; the answers are in the table's `survey`.
    Raises NotFoundError where nothing is there, DataError where it is not a table or a row does not fit.
    """
    chosen = ReadOptions() if options is None else options
    workspace = Workspace(settings)
    reading = Pass(
        asking=None if asking is None else asking(workspace),
        report=None if progress is None else lambda done: progress(Progress(stage="reading all rows", fraction=done)),
    )
    try:
        files = find_files(source, workspace=workspace, sheet=chosen.sheet)
        kind = chosen.format or _format(files[0])
        if kind is TableFormat.CSV:
            opened = open_delimited(files, options=chosen, settings=settings, workspace=workspace, reading=reading)
        else:
            opened = open_typed(
                files, kind=kind, options=chosen, settings=settings, workspace=workspace, reading=reading
            )
        for file in opened.files:
            file.verify_unchanged()
    except BaseException:
        workspace.close()
        raise
    name = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
    return Table(opened, name=name, settings=settings, workspace=workspace)


def _format(file: SourceFile) -> TableFormat:
    return format_of(file, read_head(file, 16))


def _schema(scan: Scan, survey: Survey) -> Schema:
    return Schema(
        tuple(
            Column(
                name=plan.name,
                type=plan.type,
                nullable=found.present < survey.rows,
                null_marks=plan.judgement.marks,
                formats=plan.judgement.formats,
                timezone=plan.timezone if plan.type is DataType.TIMESTAMP else "UTC",
                trim=plan.trim and plan.is_text and plan.type is DataType.STRING,
                decimal="," if plan.judgement.notation is Notation.DECIMAL_COMMA else ".",
                groups=plan.judgement.notation in (Notation.DECIMAL_COMMA, Notation.COMMA_GROUPS),
            )
            for plan, found in zip(scan.plans, survey.columns, strict=True)
        )
    )


def _column_detections(scan: Scan, survey: Survey) -> list[Detection]:
    detections = []
    for plan, found in zip(scan.plans, survey.columns, strict=True):
        if plan.judgement.how != "as told":
            how = plan.judgement.how if found.present else "every value is missing"
            detections.append(Detection(what="type", column=plan.name, value=plan.type.value, how=how))
        if plan.judgement.marks and not plan.are_marks_told:
            marks = ", ".join(repr(mark) for mark in plan.judgement.marks)
            how = f"{found.marked:,} cells"
            detections.append(Detection(what="null marks", column=plan.name, value=marks, how=how))
    return detections


def _array_sql(name: str, kind: DataType) -> str:
    match kind:
        case DataType.STRING:
            return f"coalesce({name}, chr(57344))"
        case DataType.TIMESTAMP:
            return f"coalesce(epoch_us({name}), {MISSING_TIMESTAMP + 1} - 1)"
        case _:
            return f"coalesce(CAST({name} AS DOUBLE), 'nan'::DOUBLE)"


def _as_array(array: Any, kind: DataType) -> Array:
    """What DuckDB fetched as the array of this type; it wraps even columns without NULL in masks at times."""
    if isinstance(array, np.ma.MaskedArray):
        array = array.filled(missing_value(kind)) if np.ma.is_masked(array) else array.data
    return np.asarray(array, dtype=dtype_of(kind))


def _fetch(result: duckdb.DuckDBPyConnection, rows: int) -> list[tuple[Any, ...]]:
    """The next `rows` rows, fewer at the end."""
    fetched: list[tuple[Any, ...]] = []
    while len(fetched) < rows and (more := result.fetchmany(min(_FETCH_ROWS, rows - len(fetched)))):
        fetched.extend(more)
    return fetched


def _from_arrays(schema: Schema, arrays: Mapping[str, Any]) -> ColumnBatch:
    """Columns c0, c1, … as DuckDB fetched them."""
    return ColumnBatch(
        schema, {column.name: _as_array(arrays[f"c{i}"], column.type) for i, column in enumerate(schema)}
    )


def _from_rows(schema: Schema, rows: list[tuple[Any, ...]]) -> ColumnBatch:
    arrays = {
        column.name: np.array(values, dtype=dtype_of(column.type))
        for column, values in zip(schema, zip(*rows, strict=True), strict=True)
    }
    return ColumnBatch(schema, arrays)
