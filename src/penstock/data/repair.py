"""Rewrites a CSV file that DuckDB cannot read as it stands, row by row in Python, leaving out what is not a row.

For notes below a table, mixed line ends, odd quotes above a table, and rows that do not fit where the user asked to
leave such rows out.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, TextIO

from penstock.data.dialect import MAX_LINE_BYTES, Dialect
from penstock.data.engine import Workspace
from penstock.data.files import SourceFile, copy_name
from penstock.data.options import RejectedRow
from penstock.errors import DataError

if TYPE_CHECKING:
    import _csv

__all__ = ["Row", "count_notes", "has_odd_quotes_above", "iterate_rows", "repaired"]

_TAIL_BYTES = 1 << 16
_MAX_TEXT = 200
_END = "\ue000penstock: end of file\ue000"
"""Read as the last line of a file: a row of its own, unless a quote is still open."""


@dataclass(frozen=True)
class Row:
    """A row of a file. line: the 1-based physical line it begins in. is_open: the file ends within a quoted cell."""

    line: int
    cells: list[str]
    is_open: bool = False

    @property
    def is_blank(self) -> bool:
        return not any(cell.strip() for cell in self.cells)


def iterate_rows(file: SourceFile, dialect: Dialect) -> Iterator[Row]:
    """The rows of a plain UTF-8 file after its header, blank lines left out unless the table has one column.

    Raises DataError where the header cannot be told from the rows: its quote is never closed.
    """
    with file.path.open(encoding="utf-8-sig", newline="") as opened:
        _skip(opened, dialect.skip_lines)
        reader = _reader(chain(opened, [_END]), dialect)
        line = 0
        is_header = dialect.has_header
        try:
            for cells in reader:
                is_open = bool(cells) and cells[-1].endswith(_END)
                row = Row(dialect.skip_lines + line + 1, cells or [""], is_open and cells != [_END])
                line = reader.line_num
                if cells == [_END]:
                    return
                if is_header:
                    if row.is_open:
                        raise DataError(
                            f"{file.name} line {row.line}: a quote in the header is never closed; close it, or read "
                            f"the file without quotes: read: {{quote: ''}}"
                        )
                    is_header = False
                elif cells or len(dialect.names) == 1:
                    yield row
        except csv.Error as error:
            raise DataError(f"{file.name} line {dialect.skip_lines + line + 1}: {error}") from error


def has_odd_quotes_above(file: SourceFile, dialect: Dialect) -> bool:
    """Whether a quote stands where none can, in the header or above it: DuckDB would take all rows for a part of it."""
    last = dialect.skip_lines + dialect.has_header
    if not dialect.quote or not last:
        return False
    with file.path.open(encoding="utf-8-sig", newline="") as opened:
        reader = _reader(opened, dialect, is_strict=True)
        try:
            while reader.line_num < last and next(reader, None) is not None:
                pass
        except csv.Error:
            return True
    return False


def _reader(lines: Iterable[str], dialect: Dialect, *, is_strict: bool = False) -> "_csv.Reader":
    csv.field_size_limit(MAX_LINE_BYTES)
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        skipinitialspace=dialect.delimiter != " ",
        strict=is_strict,
    )


def count_notes(file: SourceFile, dialect: Dialect) -> int:
    """How many rows at the end are notes: an empty row, and after it rows that fill one cell of many ("Source: …")."""
    width = len(dialect.names)
    if width < 3:
        return 0
    size = file.path.stat().st_size
    with file.path.open("rb") as opened:
        opened.seek(max(0, size - _TAIL_BYTES))
        tail = opened.read().decode("utf-8", errors="replace")
    rows = list(csv.reader(tail.splitlines(keepends=True), delimiter=dialect.delimiter))[1:]
    notes = 0
    while notes < len(rows) and sum(1 for cell in rows[-1 - notes] if cell.strip()) <= 1:
        notes += 1
    below = rows[len(rows) - notes :]
    begins = next((i for i, row in enumerate(below) if row and not any(cell.strip() for cell in row)), None)
    if begins is None or not any(cell.strip() for row in below[begins:] for cell in row):
        return 0
    return len([row for row in below[begins:] if row])


def repaired(
    file: SourceFile,
    dialect: Dialect,
    *,
    notes: int,
    misfits: Mapping[int, tuple[str, frozenset[str]]],
    rejects: bool,
    workspace: Workspace,
) -> tuple[SourceFile, list[RejectedRow]]:
    """The file's table as clean CSV under the same dialect without header, and the rows left out.

    notes: rows at the end to leave out. misfits: column index → (why, the trimmed cells that do not fit).
    rejects: whether rows of another width are left out; else they raise DataError.
    """
    rejected: list[RejectedRow] = []
    target = copy_name(workspace, "clean")
    last = sum(1 for _ in iterate_rows(file, dialect)) - notes if notes else None
    with target.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, delimiter=dialect.delimiter, quotechar=dialect.quote or '"', lineterminator="\r\n")
        for i, row in enumerate(iterate_rows(file, dialect)):
            if last is not None and i >= last:
                rejected.append(_rejected(file, dialect, row, "a note below the table"))
                continue
            reason = _fault(row, dialect, misfits)
            if reason is None:
                writer.writerow(row.cells)
            elif rejects:
                rejected.append(_rejected(file, dialect, row, reason))
            else:
                raise DataError(f"{file.name} line {row.line}: {reason}")
    return SourceFile.of(file.name, target, origin=file.origin), rejected


def _fault(row: Row, dialect: Dialect, misfits: Mapping[int, tuple[str, frozenset[str]]]) -> str | None:
    width = len(dialect.names)
    if row.is_open:
        return "a quote that is opened here is never closed"
    if len(row.cells) != width:
        return f"{len(row.cells)} cells where the table has {width} columns"
    for index, (why, texts) in misfits.items():
        if row.cells[index].strip() in texts:
            return f"{row.cells[index].strip()!r} in column {dialect.names[index]!r} is not {why}"
    return None


def _rejected(file: SourceFile, dialect: Dialect, row: Row, reason: str) -> RejectedRow:
    text = dialect.delimiter.join(row.cells).removesuffix(_END)
    return RejectedRow(file=file.name, line=row.line, reason=reason, text=text[:_MAX_TEXT])


def _skip(opened: TextIO, lines: int) -> None:
    for _ in islice(opened, lines):
        pass
