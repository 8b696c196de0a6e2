"""From what a user calls a table to local files of plain UTF-8 text or Parquet that DuckDB can scan.

Local, uncompressed UTF-8 files are used where they lie. Everything else is copied once, in blocks, into the workspace.
"""

import bz2
import codecs
import glob
import gzip
import hashlib
import lzma
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import fsspec
from fsspec.core import url_to_fs

from penstock.data.databases import copy_database_table, is_database
from penstock.data.encoding import BLOCK_BYTES, Encoding
from penstock.data.engine import Workspace, mapped_errors, quote_text
from penstock.data.options import TableFormat
from penstock.data.workbooks import copy_sheet, parted_workbook
from penstock.errors import DataError, MissingExtraError, NotFoundError, UsageError, did_you_mean

__all__ = ["SourceFile", "copy_name", "decompressed", "find_files", "format_of", "read_head", "transcoded"]

HEAD_BYTES = 1 << 20
_GLOB_CHARACTERS = frozenset("*?[")
_COMPRESSION_SUFFIXES = frozenset({".gz", ".bz2", ".xz", ".zst"})
_COMPRESSION_MAGIC = (
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
)
_OPENERS: dict[str, Callable[..., Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_FORMAT_SUFFIXES = {
    ".csv": TableFormat.CSV,
    ".tsv": TableFormat.CSV,
    ".tab": TableFormat.CSV,
    ".txt": TableFormat.CSV,
    ".data": TableFormat.CSV,
    ".jsonl": TableFormat.JSON_LINES,
    ".ndjson": TableFormat.JSON_LINES,
    ".json": TableFormat.JSON_LINES,
    ".parquet": TableFormat.PARQUET,
    ".pq": TableFormat.PARQUET,
}


@dataclass(frozen=True)
class SourceFile:
    """One file of a table. name: as the user knows it; path: the local file to scan.

    origin: the file whose bytes are the data's, before it was unpacked or rewritten.
    identity: size in bytes and time of modification (ns) of `path` when it was found.
    """

    name: str
    path: Path
    origin: Path
    identity: tuple[int, int]

    @staticmethod
    def of(name: str, path: Path, *, origin: Path | None = None) -> "SourceFile":
        facts = path.stat()
        return SourceFile(name, path, path if origin is None else origin, (facts.st_size, facts.st_mtime_ns))

    def verify_unchanged(self) -> None:
        """Raises DataError where the file has gone or changed since it was found."""
        try:
            facts = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.name} has gone while it was being read ({error.strerror})") from error
        if (facts.st_size, facts.st_mtime_ns) != self.identity:
            raise DataError(f"{self.name} was changed while it was being read; read it again when it is at rest")

    def sha256(self) -> str:
        digest = hashlib.sha256()
        with self.origin.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()


def find_files(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, workspace: Workspace, sheet: str | None = None
) -> list[SourceFile]:
    """The files of a path, glob, folder, URI or a list of these, in order; those of URIs copied into the workspace.

    Tables of databases and sheets of workbooks (`sheet` where the name says none) are copied as text as well.
    Raises NotFoundError where nothing matches, UsageError where nothing is named.
    """
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not names:
        raise UsageError("no file was named; expected a path, a glob, a URI or a list of these")
    files: list[SourceFile] = []
    for name in [os.fspath(path) for path in names]:
        if is_database(name):
            target = copy_name(workspace, "table", suffix=".jsonl")
            files.append(SourceFile.of(copy_database_table(name, target), target))
        elif book := parted_workbook(name):
            files.extend(_sheets(book[0], book[1] or sheet, workspace))
        elif "://" in name and not name.startswith("file://"):
            files.extend(_fetch(name, workspace))
        else:
            files.extend(_find_local(name.removeprefix("file://")))
    return files


def format_of(file: SourceFile, head: bytes) -> TableFormat:
    """The format told from the first bytes, else from the name; a name that says nothing is CSV."""
    if head.startswith(b"PAR1"):
        return TableFormat.PARQUET
    suffixes = [suffix.lower() for suffix in Path(file.name).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSION_SUFFIXES:
        suffixes.pop()
    copied = _FORMAT_SUFFIXES.get(file.path.suffix, TableFormat.CSV)
    return _FORMAT_SUFFIXES.get(suffixes[-1] if suffixes else "", copied)


def read_head(file: SourceFile, size: int = HEAD_BYTES) -> bytes:
    """The first bytes of a file. Raises DataError where it cannot be read."""
    try:
        with file.path.open("rb") as opened:
            return opened.read(size)
    except OSError as error:
        raise DataError(f"cannot read {file.name}: {error.strerror}") from error


def decompressed(file: SourceFile, head: bytes, *, workspace: Workspace) -> tuple[SourceFile, str | None]:
    """The file without its gzip, bzip2, xz or Zstandard compression, and which it was; None where it had none."""
    kind = next((name for magic, name in _COMPRESSION_MAGIC if head.startswith(magic)), None)
    if kind is None:
        return file, None
    target = copy_name(workspace, "plain")
    if kind == "zst":
        _unpack_zstandard(file, target)
    else:
        opener: Callable[..., BinaryIO] = _OPENERS[kind]
        try:
            with opener(file.path, "rb") as packed, target.open("wb") as plain:
                _copy_blocks(packed, plain, file.name)
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise DataError(f"{file.name} cannot be decompressed as {kind}: {error}") from error
    return SourceFile.of(file.name, target, origin=file.origin), kind


def transcoded(file: SourceFile, encoding: Encoding, *, workspace: Workspace) -> SourceFile:
    """The file as plain UTF-8. Raises DataError naming the line that the encoding cannot read."""
    target = copy_name(workspace, "utf8")
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    lines = 0
    with file.path.open("rb") as raw, target.open("wb") as plain:
        while True:
            block = raw.read(BLOCK_BYTES)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file.name} is not {encoding.codec}: {error.reason} near line {lines + 1}; name its encoding"
                ) from error
            lines += text.count("\n")
            _write(plain, text.encode("utf-8", errors="surrogatepass"), file.name)
            if not block:
                break
    return SourceFile.of(file.name, target, origin=file.origin)


def _find_local(name: str) -> list[SourceFile]:
    path = Path(name).expanduser()
    if path.is_file():
        return [SourceFile.of(name, path.absolute())]
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and _has_table_suffix(p) and p.name[0] not in "._")
        if not inside:
            raise NotFoundError(f"the folder {name} holds no table; expected files named {', '.join(_FORMAT_SUFFIXES)}")
        return [SourceFile.of(str(p), p.absolute()) for p in inside]
    if path.exists():
        raise DataError(f"{name} is neither a file nor a folder")
    if _GLOB_CHARACTERS & set(name):
        found = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207 absolute
        if not found:
            raise NotFoundError(f"no file matches {name}")
        return [SourceFile.of(p, Path(p).absolute()) for p in found]
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise NotFoundError(f"there is no file {name}{did_you_mean(path.name, beside)}")


def _has_table_suffix(path: Path) -> bool:
    return bool(set(path.suffixes) & set(_FORMAT_SUFFIXES))


def _fetch(uri: str, workspace: Workspace) -> list[SourceFile]:
    scheme = uri.split("://")[0]
    try:
        filesystem, path = url_to_fs(uri)
    except ImportError as error:
        raise MissingExtraError("cloud", f"reading {scheme}:// URIs") from error
    except ValueError as error:
        raise UsageError(f"cannot read {uri}: {error}") from error
    try:
        paths = sorted(filesystem.glob(path)) if _GLOB_CHARACTERS & set(path) else [path]
        if not paths or not filesystem.exists(paths[0]):
            raise NotFoundError(f"there is nothing at {uri}")
        return [_copy_remote(filesystem, f"{scheme}://{p.split('://')[-1]}", p, workspace) for p in paths]
    except OSError as error:
        raise DataError(f"cannot read {uri}: {error}") from error


def _copy_remote(filesystem: fsspec.AbstractFileSystem, name: str, path: str, workspace: Workspace) -> SourceFile:
    target = copy_name(workspace, "remote")
    with filesystem.open(path, "rb") as remote, target.open("wb") as local:
        _copy_blocks(remote, local, name)
    return SourceFile.of(name, target)


def _sheets(name: str, sheet: str | None, workspace: Workspace) -> list[SourceFile]:
    """The sheet of each workbook that a path, glob or URI names."""
    is_remote = "://" in name and not name.startswith("file://")
    books = _fetch(name, workspace) if is_remote else _find_local(name.removeprefix("file://"))
    copies = []
    for book in books:
        target = copy_name(workspace, "sheet", suffix=".csv")
        shown = book.name if sheet is None else f"{book.name}#{sheet}"
        with book.path.open("rb") as opened:
            copy_sheet(opened, target, name=book.name, sheet=sheet)
        copies.append(SourceFile.of(shown, target, origin=book.path))
    return copies


def copy_name(workspace: Workspace, stage: str, *, suffix: str = "") -> Path:
    """A path in the workspace that no file has yet."""
    folder = workspace.folder()
    return folder / f"{stage}-{len(list(folder.iterdir()))}{suffix}"


def _copy_blocks(source: BinaryIO, target: BinaryIO, name: str) -> None:
    while block := source.read(BLOCK_BYTES):
        _write(target, block, name)


def _write(target: BinaryIO, block: bytes, name: str) -> None:
    try:
        target.write(block)
    except OSError as error:
        raise DataError(
            f"cannot keep a plain copy of {name} under PENSTOCK_HOME: {error.strerror}; free space there or move it"
        ) from error


def _unpack_zstandard(file: SourceFile, target: Path) -> None:
    """Through DuckDB, line by line, since Python before 3.14 cannot read Zstandard. The text must be UTF-8."""
    lines = (
        f"read_csv({quote_text(str(file.path))}, columns = {{'line': 'VARCHAR'}}, delim = '', quote = '', escape = '', "
        "header = false, auto_detect = false, compression = 'zstd', max_line_size = 67108864)"
    )
    with mapped_errors(f"cannot decompress {file.name}"), duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT line FROM {lines}) TO {quote_text(str(target))} "
            "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '')"
        )
