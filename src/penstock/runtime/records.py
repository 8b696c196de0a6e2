"""The records of a shard, a block at a time, to batches a model takes; records that do not fit are told, not fatal."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.schema import DataType
from penstock.data.shards import Shard, open_shard
from penstock.errors import DataError, InstanceError
from penstock.runtime.model import LoadedModel
from penstock.runtime.rows import NotPlain

__all__ = ["Block", "Piece", "RecordReader"]

_DELIMITERS = ",;\t|"
_PARQUET_ROWS = 131_072


@dataclass
class Piece:
    """Records that decoded together. keys: for each, what is to go into its result, where anything is."""

    batch: ColumnBatch
    keys: list[dict[str, Any]] | None


@dataclass
class Block:
    """Some records in order. pieces: of those that fit. refused: for every other one, why not."""

    pieces: list[Piece] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class RecordReader:
    """Reads shards for one model."""

    def __init__(self, model: LoadedModel, *, keys: Sequence[str] = (), block_rows: int = 4096, is_text: bool = False):
        """keys: columns of the input that are for the results. is_text: lines are the one string input, unparsed."""
        self._model = model
        self._keys = tuple(keys)
        self._own_keys = tuple(key for key in keys if key not in model.decoder.schema)
        self._block_rows = block_rows
        columns = model.decoder.schema.columns
        self._bare_lines = is_text and len(columns) == 1 and columns[0].type is DataType.STRING

    def blocks(self, shard: Shard) -> Iterator[Block]:
        """The records of a shard. Raises DataError for a file that cannot be read at all."""
        match shard.format:
            case "parquet":
                yield from self._parquet(shard)
            case "csv":
                yield from self._csv(shard)
            case "lines":
                yield from self._lines(shard)

    def _lines(self, shard: Shard) -> Iterator[Block]:
        take = self._bare if self._bare_lines else self._json
        with open_shard(shard) as file:
            lines: list[bytes] = []
            first = file.readline()
            if shard.start == 0:
                first = first.removeprefix(codecs.BOM_UTF8)
            for line in chain([first] if first else [], file):
                stripped = line.strip() if not self._bare_lines else line.rstrip(b"\r\n")
                if stripped or self._bare_lines:
                    lines.append(stripped)
                if len(lines) >= self._block_rows:
                    yield take(lines)
                    lines = []
            if lines:
                yield take(lines)

    def _bare(self, lines: list[bytes]) -> Block:
        block = Block()
        texts = [line.decode("utf-8", "surrogateescape") for line in lines]
        self._decode(texts, None, self._model.decoder.rows, block)
        return block

    def _json(self, lines: list[bytes]) -> Block:
        block = Block()
        if not self._keys:
            try:
                rows = self._model.rows.read(b'{"instances":[' + b",".join(lines) + b"]}")
                if len(rows) == len(lines):
                    block.pieces.append(Piece(self._model.rows.batch(rows), None))
                    return block
            except NotPlain:
                pass
        records: list[Any] = []
        for line in lines:
            try:
                records.append(msgspec.json.decode(line) if b"NaN" not in line else _lenient(line))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                block.refused.append(f"the line is not JSON: {error}")
        keys = None
        if self._keys:
            keys = [{key: one.get(key) for key in self._keys} if isinstance(one, dict) else {} for one in records]
            for one in records:
                if isinstance(one, dict):
                    for key in self._own_keys:
                        one.pop(key, None)
        self._decode(records, keys, self._model.decoder.rows, block)
        return block

    def _csv(self, shard: Shard) -> Iterator[Block]:
        header, delimiter = self._header(shard)
        names = [name for name in header if name not in self._own_keys]
        self._check_header(shard, header, names)
        with open_shard(shard) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
            rows: list[list[str]] = []
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            try:
                if shard.start == 0:
                    next(reader, None)
                for row in reader:
                    if row:
                        rows.append(row)
                    if len(rows) >= self._block_rows:
                        yield self._csv_block(header, names, rows)
                        rows = []
            except csv.Error as error:
                raise DataError(f"{shard.uri} is no CSV near line {reader.line_num} of a part of it: {error}") from None
            if rows:
                yield self._csv_block(header, names, rows)
            text.detach()

    def _csv_block(self, header: list[str], names: list[str], rows: list[list[str]]) -> Block:
        block = Block()
        width = len(header)
        whole = [row for row in rows if len(row) == width]
        block.refused += [f"the line has {len(row)} cells, and its header {width}" for row in rows if len(row) != width]
        places = [header.index(name) for name in names]
        keys = None
        if self._keys:
            of_keys = [(key, header.index(key)) for key in self._keys]
            keys = [{key: row[place] for key, place in of_keys} for row in whole]

        def decode(some: Sequence[Any]) -> ColumnBatch:
            columns = list(zip(*some, strict=True))
            return self._model.decoder.columns(
                {name: list(columns[place]) for name, place in zip(names, places, strict=True)}
            )

        self._decode(whole, keys, decode, block)
        return block

    def _header(self, shard: Shard) -> tuple[list[str], str]:
        """The names in the first line of the file, read with the delimiter that yields most of the model's columns."""
        with open_shard(Shard(uri=shard.uri, format="csv")) as file:
            first = file.readline().decode("utf-8-sig", "replace")
        known = set(self._model.decoder.schema.names)
        best: tuple[int, list[str], str] = (-1, [], ",")
        for delimiter in _DELIMITERS:
            names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
            if (found := len(known & set(names))) > best[0]:
                best = (found, names, delimiter)
        return best[1], best[2]

    def _check_header(self, shard: Shard, header: list[str], names: list[str]) -> None:
        try:
            self._model.decoder.check_columns(names, f"the header of {shard.uri}")
        except InstanceError as error:
            raise DataError(f"{error}; the first line of a CSV file names its columns") from None
        missing = [key for key in self._keys if key not in header]
        if missing:
            raise DataError(f"--keys names {missing[0]!r}, which is no column of {shard.uri}: {', '.join(header)}")

    def _parquet(self, shard: Shard) -> Iterator[Block]:
        import duckdb

        from penstock.data.engine import mapped_errors
        from penstock.store import blobs

        with mapped_errors(f"cannot read {shard.uri}"), duckdb.connect() as connection:
            if not blobs.is_local(shard.uri):
                connection.register_filesystem(blobs.file_system(shard.uri)[0])
            connection.execute("SET threads = 1")
            described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [shard.uri]).fetchall()
            header = [str(row[0]) for row in described]
            self._check_header(shard, header, [name for name in header if name not in self._own_keys])
            for start in range(shard.start, shard.stop, _PARQUET_ROWS):
                stop = min(start + _PARQUET_ROWS, shard.stop)
                arrays = connection.execute(
                    "SELECT * EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number = true) "
                    "WHERE file_row_number >= ? AND file_row_number < ? ORDER BY file_row_number",
                    [shard.uri, start, stop],
                ).fetchnumpy()
                columns = {name: _plain(array) for name, array in arrays.items()}
                for place in range(0, stop - start, self._block_rows):
                    part = {name: array[place : place + self._block_rows] for name, array in columns.items()}
                    yield self._parquet_block(part)

    def _parquet_block(self, part: dict[str, NDArray[Any]]) -> Block:
        block = Block()
        rows = len(next(iter(part.values())))
        keys = None
        if self._keys:
            of_keys = [part[key].tolist() for key in self._keys]
            keys = [dict(zip(self._keys, values, strict=True)) for values in zip(*of_keys, strict=True)]
        own = {name: array for name, array in part.items() if name not in self._own_keys}

        def decode(places: Sequence[Any]) -> ColumnBatch:
            chosen = {
                name: array[places[0] : places[-1] + 1]
                if array.dtype != object
                else list(array[places[0] : places[-1] + 1])
                for name, array in own.items()
            }
            return self._model.decoder.columns(chosen)

        self._decode(range(rows), keys, decode, block)
        return block

    def _decode(
        self,
        records: Sequence[Any],
        keys: Sequence[dict[str, Any]] | None,
        decode: Callable[[Sequence[Any]], ColumnBatch],
        block: Block,
    ) -> None:
        """Adds records to the block; where some do not fit, they are found by halving, so that few cost little."""
        if not records:
            return
        try:
            batch = decode(records)
        except InstanceError as error:
            if len(records) == 1:
                block.refused.append(str(error).removeprefix("instance 0: ").replace("instance 0 ", "the instance "))
                return
            half = len(records) // 2
            self._decode(records[:half], keys and keys[:half], decode, block)
            self._decode(records[half:], keys and keys[half:], decode, block)
        else:
            block.pieces.append(Piece(batch, list(keys) if keys is not None else None))


def _plain(array: Any) -> NDArray[Any]:
    """What DuckDB fetched, missing numbers as NaN, and other missing values as None."""
    if isinstance(array, np.ma.MaskedArray):
        if not np.ma.is_masked(array):
            array = array.data
        elif array.dtype.kind == "f":
            array = array.filled(np.nan)
        elif array.dtype.kind in "iu":
            array = np.ma.MaskedArray(array.data.astype(np.float64), np.ma.getmaskarray(array)).filled(np.nan)
        else:
            filled = array.data.astype(object)
            filled[np.ma.getmaskarray(array)] = None
            array = filled
    if array.dtype.kind == "M":
        return np.asarray(array, dtype="datetime64[us]").astype(np.int64)
    return np.asarray(array)


def _lenient(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        import json

        return json.loads(line)
