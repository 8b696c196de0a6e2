"""Tables as the beginning of a pipeline: batches of columns, read by DuckDB on the workers."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.fileio import EmptyMatchTreatment
from apache_beam.io.filesystem import CompressionTypes

from penstock.data.columns import ColumnBatch
from penstock.data.engine import Workspace, connect, mapped_errors
from penstock.data.options import ReadOptions
from penstock.data.recipe.beam.batched import BATCH_ROWS, Batched
from penstock.data.recipe.row_values import Row, batch_of
from penstock.data.scan import CsvLayout, Scan
from penstock.data.schema import DataType, Schema
from penstock.data.table import Table, open_table
from penstock.errors import DataError
from penstock.settings import Settings, load_settings

__all__ = ["opened_rows", "read_files"]

_LARGEST = 2**53


def opened_rows(pipeline: Any, table: Table, *, label: str) -> Batched:
    """The rows of a table that is open on this machine, read as it was detected; a CSV file is one unit of work."""
    pieces = [
        _Piece(scan, paths, table.name, table.schema, table.settings)
        for scan, paths in _pieces(table.scan, table.paths)
    ]
    batches = (
        pipeline
        | f"{label}: files" >> beam.Create(pieces)
        | f"{label}: spread" >> beam.Reshuffle()
        | f"{label}: read" >> beam.FlatMap(_read_piece)
    )
    return Batched(table.schema, batches=batches, label=label)


def read_files(pipeline: Any, patterns: Sequence[str], schema: Schema, *, options: ReadOptions, label: str) -> Batched:
    """The rows of the files that patterns of Beam's file systems match, as columns of this schema.

    options: what is told about the files; the types are the schema's. A file is one unit of work.
    """
    told = replace(
        options,
        types={item.name: item.type for item in schema},
        null_marks={item.name: item.null_marks for item in schema},
        formats={item.name: item.formats for item in schema if item.formats},
    )
    batches = (
        pipeline
        | f"{label}: patterns" >> beam.Create(list(patterns))
        | f"{label}: match" >> fileio.MatchAll(EmptyMatchTreatment.DISALLOW)
        | f"{label}: open" >> fileio.ReadMatches(skip_directories=True)
        | f"{label}: spread" >> beam.Reshuffle()
        | f"{label}: read" >> beam.FlatMap(_read_file, schema, told)
    )
    return Batched(schema, batches=batches, label=label)


@dataclass(frozen=True)
class _Piece:
    scan: Scan
    paths: tuple[str, ...]
    name: str
    schema: Schema
    settings: Settings


def _pieces(scan: Scan, paths: tuple[str, ...]) -> list[tuple[Scan, tuple[str, ...]]]:
    if not isinstance(scan.source, CsvLayout):
        return [(scan, paths)]
    return [(replace(scan, source=replace(scan.source, paths=(path,))), (path,)) for path in scan.source.paths]


def _read_piece(piece: _Piece) -> Iterator[ColumnBatch]:
    workspace = Workspace(piece.settings)
    chosen = ", ".join(
        f"epoch_us(c{place})" if item.type is DataType.TIMESTAMP else f"c{place}"
        for place, item in enumerate(piece.schema)
    )
    query = f"SELECT {chosen} FROM ({piece.scan.select(is_numbered=True)})"
    try:
        with (
            connect(piece.settings, readable=piece.paths, temporary=workspace.folder()) as connection,
            mapped_errors(f"cannot read {piece.name}"),
        ):
            result = connection.execute(query)
            while rows := result.fetchmany(BATCH_ROWS):
                yield _batch(rows, piece.schema, piece.name)
    finally:
        workspace.close()


def _read_file(file: Any, schema: Schema, options: ReadOptions) -> Iterator[ColumnBatch]:
    """file: a ReadableFile of Beam's. It is copied to the worker, since DuckDB reads no stream of Beam's."""
    name = file.metadata.path
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        copy = Path(folder) / Path(name).name
        with file.open(compression_type=CompressionTypes.UNCOMPRESSED) as remote, copy.open("wb") as local:
            while block := remote.read(1 << 22):
                local.write(block)
        with open_table(str(copy), settings=load_settings(), options=options) as table:
            _check_columns(table.schema, schema, name)
            for batch in table.batches(BATCH_ROWS, columns=schema.names):
                yield ColumnBatch(schema, batch.arrays)


def _check_columns(found: Schema, expected: Schema, name: str) -> None:
    for item in expected:
        if found[item.name].type is not item.type:
            raise DataError(f"column {item.name!r} of {name} is {found[item.name].type}; expected {item.type}")


def _batch(rows: Sequence[Row], schema: Schema, name: str) -> ColumnBatch:
    batch = batch_of(rows, schema)
    for place, item in enumerate(schema):
        if item.type is DataType.INTEGER:
            beyond = next((row[place] for row in rows if row[place] is not None and abs(row[place]) > _LARGEST), None)
            if beyond is not None:
                raise DataError(
                    f"column {item.name!r} of {name} holds {beyond}, beyond 2**53, which 64-bit floats do not hold "
                    f"exactly; read it as text: types: {{{item.name}: string}}, or use the engine duckdb"
                )
    return batch
