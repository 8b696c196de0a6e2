"""The end of a pipeline: Parquet or CSV files, in a folder a value of the columns that the rows are partitioned by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io import fileio
from apache_beam.metrics import Metrics
from pyarrow import parquet

from penstock.data.columns import Array, ColumnBatch, is_missing
from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.beam.rows import rows_of
from penstock.data.recipe.engine import FileFormat
from penstock.data.schema import DataType, Schema

__all__ = ["ROWS_COUNTER", "arrow_schema", "arrow_table", "write_files"]

ROWS_COUNTER = "penstock_rows"
"""The Beam metric of rows written."""

_ROW_GROUP_ROWS = 122_880
"""As DuckDB's."""

_NOTHING = "__HIVE_DEFAULT_PARTITION__"

_ARROW_TYPES = {
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
    DataType.BOOLEAN: pa.bool_(),
    DataType.STRING: pa.string(),
    DataType.TIMESTAMP: pa.timestamp("us"),
}


def write_files(
    rows: Batched, folder: str, *, file_format: FileFormat, partition_by: Sequence[str] = (), label: str = "write"
) -> Any:
    """Writes the rows under a folder of one of Beam's file systems; returns the PCollection of files."""
    schema = rows.schema.without(*partition_by)
    sink = _ParquetSink(schema) if file_format == "parquet" else _CsvSink(schema)
    return (
        rows.batches
        | f"{label}: partition" >> beam.FlatMap(_pieces, tuple(partition_by))
        | f"{label}: {file_format}"
        >> fileio.WriteToFiles(
            path=folder,
            destination=lambda piece: piece.destination,
            sink=lambda _: sink,
            file_naming=_Naming(file_format),
        )
    )


@dataclass(frozen=True)
class _Piece:
    destination: str
    batch: ColumnBatch


class _Naming:
    """part-00000.parquet, in the folder of its partition."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def __call__(
        self, window: Any, pane: Any, shard_index: Any, total_shards: Any, compression: Any, destination: str
    ) -> str:
        number = int(shard_index or 0)
        return f"{destination}part-{number:05}-of-{int(total_shards or 1):05}.{self._suffix}"


def _pieces(batch: ColumnBatch, partition_by: tuple[str, ...]) -> Iterator[_Piece]:
    Metrics.counter("penstock", ROWS_COUNTER).inc(batch.rows)
    if not partition_by:
        yield _Piece("", batch)
        return
    keys = list(rows_of(batch.select(partition_by)))
    rest = batch.select(batch.schema.without(*partition_by).names)
    for key in dict.fromkeys(keys):
        chosen = np.array([place for place, other in enumerate(keys) if other == key])
        folders = [
            f"{quote(name, safe='')}={_folder(value, batch.schema[name].type)}"
            for name, value in zip(partition_by, key, strict=True)
        ]
        yield _Piece("/".join([*folders, ""]), rest.take(chosen))


def _folder(value: Any, data_type: DataType) -> str:
    return _NOTHING if value is None else quote(_cell(value, data_type), safe="")


class _ParquetSink(fileio.FileSink):  # type: ignore[misc]
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._writer: Any = None
        self._tables: list[Any] = []
        self._rows = 0

    def open(self, fh: Any) -> None:
        self._writer = parquet.ParquetWriter(fh, arrow_schema(self._schema), compression="zstd")
        self._tables, self._rows = [], 0

    def write(self, record: _Piece) -> None:
        self._tables.append(arrow_table(record.batch))
        self._rows += record.batch.rows
        if self._rows >= _ROW_GROUP_ROWS:
            self._write_group()

    def flush(self) -> None:
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._rows = [], 0


class _CsvSink(fileio.FileSink):  # type: ignore[misc]
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._file: Any = None

    def open(self, fh: Any) -> None:
        self._file = fh
        self._file.write(_line(self._schema.names).encode())

    def write(self, record: _Piece) -> None:
        types = [item.type for item in self._schema]
        for row in rows_of(record.batch):
            cells = [None if value is None else _cell(value, kind) for value, kind in zip(row, types, strict=True)]
            self._file.write(_line(cells).encode())

    def flush(self) -> None:
        self._file.flush()


def arrow_schema(schema: Schema) -> Any:
    return pa.schema([(item.name, _ARROW_TYPES[item.type]) for item in schema])


def arrow_table(batch: ColumnBatch) -> Any:
    """The rows as Arrow columns of the types that DuckDB writes."""
    arrays = [_arrow(batch[item.name], item.type) for item in batch.schema]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(batch.schema))


def _arrow(array: Array, data_type: DataType) -> Any:
    missing = is_missing(array, data_type)
    match data_type:
        case DataType.INTEGER:
            values = np.where(missing, 0.0, array).astype(np.int64)
        case DataType.BOOLEAN:
            values = array == 1.0
        case DataType.TIMESTAMP:
            values = array.view("M8[us]")
        case _:
            values = array
    return pa.array(values, type=_ARROW_TYPES[data_type], mask=missing)


def _line(cells: Sequence[str | None]) -> str:
    return ",".join(map(_quoted, cells)) + "\n"


def _quoted(cell: str | None) -> str:
    """None is an empty cell, an empty text a quoted one."""
    if cell is None:
        return ""
    if not cell or any(character in cell for character in ',"\n\r'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _cell(value: Any, data_type: DataType) -> str:
    """A value as DuckDB writes it into CSV and folder names."""
    match data_type:
        case DataType.BOOLEAN:
            return "true" if value else "false"
        case DataType.TIMESTAMP:
            text = str(np.datetime_as_string(np.datetime64(value, "us"), unit="us")).replace("T", " ")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case _:
            return str(value)
