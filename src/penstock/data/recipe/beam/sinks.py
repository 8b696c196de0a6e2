"""The end of a pipeline: Parquet or CSV files, in a folder a value of the columns that the rows are partitioned by."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue
from pyarrow import parquet

from penstock.data.columns import Array, ColumnBatch, is_missing
from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.engine import FileFormat
from penstock.data.recipe.row_values import rows_of
from penstock.data.schema import DataType, Schema
from penstock.errors import DataError

__all__ = ["ROWS_COUNTER", "arrow_schema", "arrow_table", "write_files"]

ROWS_COUNTER = "penstock_rows"
"""The Beam metric of rows written."""

_ROW_GROUP_ROWS = 122_880
"""As DuckDB's."""

_MOST_WRITERS = 20
"""Files that a bundle holds open."""

_NOTHING = "__HIVE_DEFAULT_PARTITION__"

_ARROW_TYPES = {
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
    DataType.BOOLEAN: pa.bool_(),
    DataType.STRING: pa.string(),
    DataType.TIMESTAMP: pa.timestamp("us"),
}


def write_files(
    rows: Batched,
    folder: str,
    *,
    file_format: FileFormat,
    partition_by: Sequence[str] = (),
    is_single: bool = False,
    label: str = "write",
) -> Any:
    """Writes the rows under a folder of one of Beam's file systems; returns the PCollection of files' names.

    Each bundle writes files of its own under a temporary name; once all are known they are renamed, so that a bundle
    that is retried leaves nothing twice. is_single: one file a partition, written by one worker.
    """
    # Readers of Parquet take a column from the folders' names, those of CSV would not see it.
    schema = rows.schema.without(*partition_by) if file_format == "parquet" else rows.schema
    temporary = FileSystems.join(folder, f".temp-{uuid.uuid4().hex}")
    pieces = rows.batches | f"{label}: partition" >> beam.FlatMap(_pieces, tuple(partition_by), schema.names)
    if is_single:
        pieces = (
            pieces
            | f"{label}: to one" >> beam.WithKeys(lambda piece: piece.destination)
            | f"{label}: gather" >> beam.GroupByKey()
            | f"{label}: each" >> beam.FlatMap(lambda group: group[1])
        )
    files = (
        pieces
        | f"{label}: {file_format}" >> beam.ParDo(_WriteBundle(temporary, schema, file_format))
        | f"{label}: all files" >> beam.GroupByKey()
        | f"{label}: publish" >> beam.FlatMap(_publish, folder, file_format)
    )
    _ = (
        files
        | f"{label}: count" >> beam.combiners.Count.Globally()
        | f"{label}: tidy" >> beam.Map(lambda _: _delete(temporary))
    )
    return files


@dataclass(frozen=True)
class _Piece:
    destination: str
    batch: ColumnBatch


def _pieces(batch: ColumnBatch, partition_by: tuple[str, ...], written: tuple[str, ...]) -> Iterator[_Piece]:
    Metrics.counter("penstock", ROWS_COUNTER).inc(batch.rows)
    if not partition_by:
        yield _Piece("", batch)
        return
    keys = list(rows_of(batch.select(partition_by)))
    rest = batch.select(written)
    for key in dict.fromkeys(keys):
        chosen = np.array([place for place, other in enumerate(keys) if other == key])
        folders = [
            f"{quote(name, safe='')}={_folder(value, batch.schema[name].type)}"
            for name, value in zip(partition_by, key, strict=True)
        ]
        yield _Piece("/".join(folders), rest.take(chosen))


def _folder(value: Any, data_type: DataType) -> str:
    return _NOTHING if value is None else quote(_cell(value, data_type), safe="")


class _WriteBundle(beam.DoFn):  # type: ignore[misc]
    """Pieces to files under temporary names, one a destination; emits (destination, name)."""

    def __init__(self, temporary: str, schema: Schema, file_format: FileFormat) -> None:
        self._temporary = temporary
        self._schema = schema
        self._format = file_format
        self._writers: dict[str, _Writer] = {}

    def start_bundle(self) -> None:
        self._writers = {}

    def process(self, element: _Piece) -> Iterator[tuple[str, str]]:
        if element.destination not in self._writers and len(self._writers) >= _MOST_WRITERS:
            destination, writer = next(iter(self._writers.items()))
            del self._writers[destination]
            yield destination, writer.close()
        if element.destination not in self._writers:
            self._writers[element.destination] = self._writer()
        self._writers[element.destination].write(element.batch)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for destination, writer in self._writers.items():
            yield WindowedValue((destination, writer.close()), MIN_TIMESTAMP, [GlobalWindow()])
        self._writers = {}

    def _writer(self) -> "_Writer":
        # Another bundle makes the folder at the same time, or it is none where folders are only names.
        with suppress(BeamIOError, OSError):
            FileSystems.mkdirs(self._temporary)
        name = FileSystems.join(self._temporary, uuid.uuid4().hex)
        return _ParquetWriter(name, self._schema) if self._format == "parquet" else _CsvWriter(name, self._schema)


class _Writer:
    """A file that is being written."""

    def __init__(self, name: str, schema: Schema) -> None:
        self._name = name
        self._schema = schema
        self._file = FileSystems.create(name, "application/octet-stream", CompressionTypes.UNCOMPRESSED)

    def write(self, batch: ColumnBatch) -> None:
        raise NotImplementedError

    def close(self) -> str:
        """The name of the file, which is whole now."""
        self._file.close()
        return self._name


class _ParquetWriter(_Writer):
    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__(name, schema)
        self._parquet = parquet.ParquetWriter(self._file, arrow_schema(schema), compression="zstd")
        self._tables: list[Any] = []
        self._rows = 0

    def write(self, batch: ColumnBatch) -> None:
        self._tables.append(arrow_table(batch))
        self._rows += batch.rows
        if self._rows >= _ROW_GROUP_ROWS:
            self._write_group()

    def close(self) -> str:
        self._write_group()
        self._parquet.close()
        return super().close()

    def _write_group(self) -> None:
        if self._tables:
            self._parquet.write_table(pa.concat_tables(self._tables))
        self._tables, self._rows = [], 0


class _CsvWriter(_Writer):
    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__(name, schema)
        self._file.write(_line(schema.names).encode())

    def write(self, batch: ColumnBatch) -> None:
        types = [item.type for item in self._schema]
        lines = [
            _line([None if value is None else _cell(value, kind) for value, kind in zip(row, types, strict=True)])
            for row in rows_of(batch)
        ]
        self._file.write("".join(lines).encode())


def _publish(group: tuple[str, Iterable[str]], folder: str, file_format: FileFormat) -> Iterator[str]:
    """Renames the files of a destination; what an earlier try has renamed is left as it is."""
    destination, names = group
    place = FileSystems.join(folder, *destination.split("/")) if destination else folder
    with suppress(BeamIOError, OSError):
        FileSystems.mkdirs(place)
    for number, name in enumerate(sorted(names)):
        final = FileSystems.join(place, f"{number:05}.{file_format}")
        if FileSystems.exists(name):
            FileSystems.rename([name], [final])
        elif not FileSystems.exists(final):
            raise DataError(f"the file {name}, to become {final}, has gone")
        yield final


def _delete(folder: str) -> None:
    with suppress(BeamIOError, OSError):
        FileSystems.delete([folder])


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
