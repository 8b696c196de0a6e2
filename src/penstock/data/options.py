"""How a table is to be read, what was detected about it, and which rows were left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import msgspec

from penstock.data.schema import DataType

__all__ = ["Detection", "Progress", "ReadOptions", "RejectedRow", "TableFormat"]


class TableFormat(StrEnum):
    """How a file holds its rows."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What the user says about a table. Everything left None is detected, and the detection is shown.

    format: file format; else told from the name's ending and the first bytes.
    delimiter, quote: of a CSV file; quote "" for none.
    header: whether the first row after `skip_lines` names the columns; without one they are column_1, column_2, …
    skip_lines: physical lines before the header or the first row.
    encoding: any Python codec name.
    null_marks: texts that mean missing besides the empty cell, for every column, or by column name.
    types: logical type by column name; a value that does not fit is then an error (or a rejected row).
    formats: strptime formats by column name, in order of trial, for timestamps that are not ISO 8601.
    timezone: IANA zone of timestamps without an offset.
    decimal: the decimal sign; "," makes "." the thousands separator.
    trim: whether spaces around cells are dropped.
    bad_rows: "error" refuses a table with a row that does not fit; "reject" leaves such rows out and lists them.
    sheet: sheet of an Excel workbook, by name; else the first.
    """

    format: TableFormat | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    skip_lines: int | None = None
    encoding: str | None = None
    null_marks: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = None
    types: Mapping[str, DataType] = field(default_factory=dict)
    formats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timezone: str = "UTC"
    decimal: Literal[".", ","] | None = None
    trim: bool = True
    bad_rows: Literal["error", "reject"] = "error"
    sheet: str | None = None

    def marks_of(self, column: str) -> tuple[str, ...] | None:
        """The null marks the user gave for this column; None where they are to be detected."""
        if self.null_marks is None or isinstance(self.null_marks, tuple):
            return self.null_marks
        return self.null_marks.get(column)


class Detection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was not said but found out: `what` it is, its `value`, and `how` it was found."""

    what: str
    value: str
    how: str
    column: str | None = None

    def __str__(self) -> str:
        subject = self.what if self.column is None else f"{self.what} of {self.column!r}"
        return f"{subject}: {self.value} ({self.how})"


class RejectedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the file that is not in the table. line: 1-based physical line; text: the row, cut at 200 characters."""

    file: str
    line: int
    reason: str
    text: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a pass over a table is. fraction: 0 to 1, None where it cannot be known. rows: that it is over in all."""

    stage: str
    fraction: float | None
    rows: int | None = None
