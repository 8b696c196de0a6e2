"""The typed columns of a table. Light: a prediction server reads signatures with this and has no DuckDB."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

import msgspec

from penstock.errors import DataError, did_you_mean

__all__ = ["MISSING_STRING", "MISSING_TIMESTAMP", "Column", "DataType", "Schema"]

MISSING_STRING = "\ue000"
"""The value of a missing string in memory and in graphs: one private-use character, distinct from the empty string."""

MISSING_TIMESTAMP = -(2**63)
"""The value of a missing timestamp: INT64_MIN."""


class DataType(StrEnum):
    """The logical type of a column; its array in memory is given by `penstock.data.columns`."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    STRING = "string"
    TIMESTAMP = "timestamp"
    IMAGE = "image"


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of a table or of a model's signature.

    nullable: whether a value was ever missing; a column that never was is required in prediction requests.
    null_marks: texts that mean missing besides an empty cell ("?", "NA"), as read from the file.
    formats: strptime formats accepted for a timestamp besides ISO 8601, in order of trial.
    timezone: IANA zone assumed for timestamps without an offset; values are kept in UTC.
    trim: whether a string is a cell of text: spaces around it do not count, and nothing but spaces is missing.
    decimal: the decimal mark of numbers that come as text. groups: whether their digits stand in groups of three,
    parted by the other mark ("1,234.5", "1.234,5"). Numbers that come as numbers are not concerned.
    unit: unit of the values, for people ("dollars").
    shape: of one value, where it is a tensor and no single number or text; None for a size that is free. A photo's is
    (height, width, 3). fit: how photos are brought to that size, see `runtime.images`.
    """

    name: str
    type: DataType
    nullable: bool = False
    null_marks: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    timezone: Literal["UTC"] | str = "UTC"
    trim: bool = False
    decimal: Literal[".", ","] = "."
    groups: bool = False
    unit: str | None = None
    description: str | None = None
    shape: tuple[int | None, ...] = ()
    fit: Literal["crop", "stretch"] = "crop"


class Schema(msgspec.Struct, frozen=True):
    """Columns in the order of the table; names are unique."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"column {twice!r} appears more than once; column names must be unique")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        """The column of that name. Raises DataError with the names there are."""
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(self.names)
        raise DataError(f"there is no column {name!r}; the table has {known}{did_you_mean(name, self.names)}")

    def select(self, names: tuple[str, ...]) -> "Schema":
        return Schema(tuple(self[name] for name in names))

    def without(self, *names: str) -> "Schema":
        return Schema(tuple(column for column in self.columns if column.name not in names))
