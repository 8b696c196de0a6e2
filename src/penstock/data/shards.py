"""Input files cut into shards that can be read on their own: bytes between two records, or rows of a Parquet file."""

import glob
import gzip
import io
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from penstock.errors import DataError, NotFoundError
from penstock.store import blobs

__all__ = ["InputFile", "Shard", "ShardFormat", "cut_into_shards", "find_input_files", "open_shard"]

ShardFormat = Literal["lines", "csv", "parquet"]

_BLOCK_BYTES = 1 << 20
_GLOB_CHARACTERS = frozenset("*?[")


class InputFile(msgspec.Struct, frozen=True):
    """A file as it was found. stamp: changes when the file does."""

    uri: str
    size_bytes: int
    stamp: str


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a file: bytes `start` to `stop`, or rows of a Parquet file; a stop of -1 is the end."""

    uri: str
    format: ShardFormat
    start: int = 0
    stop: int = -1
    size_bytes: int = 0


def find_input_files(paths: Sequence[str]) -> list[InputFile]:
    """The files that these paths and URIs name, wildcards and folders included, in order.

    Raises NotFoundError for a path that names none.
    """
    found: dict[str, InputFile] = {}
    for path in paths:
        files = _local_files(path) if blobs.is_local(path) else _remote_files(path)
        if not files:
            raise NotFoundError(f"--input-paths {path} names no file; check its spelling, and quote wildcards")
        found.update({file.uri: file for file in files})
    return list(found.values())


def cut_into_shards(files: Sequence[InputFile], *, kind: ShardFormat, shard_bytes: int) -> list[Shard]:
    """Shards of about this size, in the order of the rows. Compressed files are not cut, and empty ones left out.

    Raises DataError for a Parquet file that is none.
    """
    shards: list[Shard] = []
    for file in files:
        if file.size_bytes == 0:
            continue
        if kind == "parquet":
            shards += _parquet_shards(file, shard_bytes)
        elif file.uri.endswith(".gz") or file.size_bytes <= shard_bytes:
            shards.append(Shard(uri=file.uri, format=kind, size_bytes=file.size_bytes))
        else:
            with blobs.open_uri(file.uri) as opened:
                cuts = _csv_cuts(opened, shard_bytes) if kind == "csv" else _line_cuts(opened, file, shard_bytes)
            bounds = [0, *cuts, file.size_bytes]
            shards += [
                Shard(uri=file.uri, format=kind, start=start, stop=stop, size_bytes=stop - start)
                for start, stop in pairwise(bounds)
                if stop > start
            ]
    return shards


@contextmanager
def open_shard(shard: Shard) -> Generator[IO[bytes]]:
    """The bytes of a shard of lines or CSV, unpacked."""
    with blobs.open_uri(shard.uri) as opened:
        if shard.uri.endswith(".gz"):
            try:
                yield gzip.GzipFile(fileobj=opened)  # type: ignore[misc]
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise DataError(f"cannot read {shard.uri}, which is damaged or not of gzip: {error}") from error
        elif shard.stop < 0:
            yield opened
        else:
            opened.seek(shard.start)
            yield io.BufferedReader(_Part(opened, shard.stop - shard.start), _BLOCK_BYTES)


class _Part(io.RawIOBase):
    """The next bytes of a file, so many of them."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _local_files(path: str) -> list[InputFile]:
    place = str(blobs.local_path(path))
    if Path(place).is_dir():
        place = f"{glob.escape(place)}/*"
    elif not _GLOB_CHARACTERS & set(place) or Path(place).is_file():
        place = glob.escape(place)
    names = sorted(glob.glob(place, recursive=True))  # noqa: PTH207 - the pattern is absolute
    return [
        InputFile(name, facts.st_size, str(facts.st_mtime_ns))
        for name in names
        if Path(name).is_file() and not Path(name).name.startswith(".") and (facts := Path(name).stat())
    ]


def _remote_files(uri: str) -> list[InputFile]:
    system, path = blobs.file_system(uri)
    scheme = uri.partition("://")[0]
    if not _GLOB_CHARACTERS & set(path) and system.isdir(path):
        path = f"{path.rstrip('/')}/*"
    found = sorted(system.glob(path)) if _GLOB_CHARACTERS & set(path) else [path] if system.exists(path) else []
    return [
        InputFile(
            f"{scheme}://{str(name).lstrip('/') if scheme != 'memory' else name}",
            int(facts["size"] or 0),
            str(system.ukey(name)),
        )
        for name in found
        if (facts := system.info(name))["type"] == "file"
    ]


def _line_cuts(file: IO[bytes], facts: InputFile, shard_bytes: int) -> list[int]:
    """Positions right after a line's end, one beyond each multiple of the size."""
    cuts: list[int] = []
    target = shard_bytes
    while target < facts.size_bytes:
        file.seek(target - 1)
        file.readline()
        cut = file.tell()
        if cut >= facts.size_bytes:
            break
        cuts.append(cut)
        target = cut + shard_bytes
    return cuts


def _csv_cuts(file: IO[bytes], shard_bytes: int) -> list[int]:
    """Positions right after a record's end: a line's end with an even number of quotes before it (RFC 4180)."""
    cuts: list[int] = []
    position, quotes, target = 0, 0, shard_bytes
    while block := file.read(_BLOCK_BYTES):
        if position + len(block) < target:
            quotes += block.count(b'"')
        else:
            counted = 0
            place = block.find(b"\n", max(target - position - 1, 0))
            while place >= 0:
                quotes += block.count(b'"', counted, place)
                counted = place
                if quotes % 2 == 0 and position + place + 1 >= target:
                    cuts.append(position + place + 1)
                    target = position + place + 1 + shard_bytes
                    place = max(place, target - position - 2)
                place = block.find(b"\n", place + 1)
            quotes += block.count(b'"', counted)
        position += len(block)
    return cuts


def _parquet_shards(file: InputFile, shard_bytes: int) -> list[Shard]:
    """Whole row groups together, up to the size."""
    import duckdb

    from penstock.data.engine import mapped_errors

    with mapped_errors(f"cannot read {file.uri}"), duckdb.connect() as connection:
        if not blobs.is_local(file.uri):
            connection.register_filesystem(blobs.file_system(file.uri)[0])
        groups = connection.execute(
            "SELECT row_group_id, any_value(row_group_num_rows), sum(total_compressed_size) FROM parquet_metadata(?) "
            "GROUP BY 1 ORDER BY 1",
            [file.uri],
        ).fetchall()
    shards: list[Shard] = []
    start = rows = size = 0
    for _, group_rows, group_bytes in groups:
        if size and size + group_bytes > shard_bytes:
            shards.append(Shard(uri=file.uri, format="parquet", start=start, stop=rows, size_bytes=size))
            start, size = rows, 0
        rows += group_rows
        size += group_bytes
    if rows > start:
        shards.append(Shard(uri=file.uri, format="parquet", start=start, stop=rows, size_bytes=size))
    return shards
