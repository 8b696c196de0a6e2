"""A sheet of an Excel workbook as a CSV file in the workspace: what its cells show, read row by row."""

import csv
import math
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, BinaryIO

from penstock.errors import DataError, MissingExtraError, NotFoundError, did_you_mean

__all__ = ["copy_sheet", "parted_workbook"]

_SUFFIXES = (".xlsx", ".xlsm")


def parted_workbook(name: str) -> tuple[str, str | None] | None:
    """The workbook and the sheet of `book.xlsx#Sheet`, None for the first; None where the name is of no workbook."""
    book, mark, sheet = name.partition("#")
    return (book, sheet if mark else None) if book.lower().endswith(_SUFFIXES) else None


def copy_sheet(opened: BinaryIO, target: Path, *, name: str, sheet: str | None) -> None:
    """Writes a sheet's rows to `target`. Formulas count as the value that was saved with them.

    Raises NotFoundError where there is no such sheet, DataError where the file is no workbook or the sheet is empty.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtraError("excel", f"reading {name}") from error
    try:
        book = load_workbook(opened, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever its parsers do
        raise DataError(
            f"{name} is not an Excel workbook: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    try:
        names = [found.title for found in book.worksheets]
        if sheet is not None and sheet not in names:
            raise NotFoundError(f"{name} has no sheet {sheet!r}; it has {', '.join(names)}{did_you_mean(sheet, names)}")
        if not names:
            raise DataError(f"{name} has no sheet of cells")
        found = book[sheet] if sheet is not None else book.worksheets[0]
        found.reset_dimensions()
        width = rows = 0
        for place, cells in enumerate(_rows(found)):
            if cells:
                width, rows = max(width, len(cells)), place + 1
        if not rows:
            raise DataError(f"{name}: the sheet {found.title!r} is empty")
        with target.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines)
            for place, cells in enumerate(_rows(found)):
                if place < rows:
                    writer.writerow(cells + [""] * (width - len(cells)))
    finally:
        book.close()


def _rows(sheet: Any) -> Iterator[list[str]]:
    """Texts of each row's cells, without the empty ones at its end."""
    for row in sheet.iter_rows(values_only=True):
        cells = [_text(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        yield cells


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if math.isfinite(value) and value == int(value) and abs(value) < 2**53:
            return str(int(value))
        case datetime():
            is_midnight = value.time() == time(0)
            return value.date().isoformat() if is_midnight else value.isoformat(sep=" ", timespec="seconds")
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)
