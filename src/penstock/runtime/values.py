"""One value a caller sent to one value of a column array: what is accepted for each type, and what is refused.

Coercion only without loss: "3" is 3 for the sake of CSV clients, 3.7 is no integer, true is no number. `null` and NaN
mean missing; so do a column's null marks and, except in a string column, the empty string. Texts are read as the table
was that the model learnt from: spaces around a string count unless the column is trimmed, and a number's text has the
column's decimal mark and digit groups.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import date
from unicodedata import normalize

from penstock.data.columns import missing_value
from penstock.data.schema import Column, DataType
from penstock.runtime.timestamps import TimestampParser

__all__ = [
    "MAX_EXACT_INTEGER",
    "ValueReader",
    "is_base64",
    "is_empty_cell",
    "shorten",
    "trimmed",
    "value_reader",
]

ValueReader = Callable[[object], float | str | int]
"""A value as sent to the value in the column's array. Raises ValueError saying what was expected."""

MAX_EXACT_INTEGER = 2**53 - 1
"""Integer columns are held as float64, in which every integer up to here has a value of its own."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_GROUPS = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", re.ASCII)
_SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""What DuckDB's trim takes off: the space separators of Unicode, no tabs and no line breaks."""

_MISSING_TEXTS = frozenset({"", "nan"})
_TRUE_TEXTS = frozenset({"true", "t", "yes", "y", "1"})
_FALSE_TEXTS = frozenset({"false", "f", "no", "n", "0"})
_SHOWN_BYTES = 256


def value_reader(column: Column) -> ValueReader:
    """The reader of one column's values. A value of one-element lists counts as that element (`[0.5]`, `[[0.5]]`)."""
    null_marks = frozenset(column.null_marks)
    missing = missing_value(column.type)
    is_trimmed = column.trim and column.type is DataType.STRING
    match column.type:
        case DataType.STRING:
            read: ValueReader = _string
        case DataType.TIMESTAMP:
            read = _timestamp_reader(column)
            null_marks |= {""}
        case DataType.INTEGER:
            read = _integer_reader(_number_reader(column))
            null_marks |= _MISSING_TEXTS
        case DataType.FLOAT:
            read = _number_reader(column)
            null_marks |= _MISSING_TEXTS
        case DataType.BOOLEAN:
            read = _boolean
            null_marks |= _MISSING_TEXTS
        case DataType.IMAGE:
            read = _image

    def reader(value: object) -> float | str | int:
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return missing
        if isinstance(value, str):
            if is_trimmed:
                bare = trimmed(value)
                if is_empty_cell(value, bare, nullable=column.nullable):
                    return missing
                value = bare
            if value in null_marks or (read is not _string and value.strip() in null_marks):
                return missing
        return read(value)

    return reader


def is_base64(value: object) -> bool:
    """Whether this is the wire form of bytes: an object with the one key `b64` and a string under it."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def shorten(value: object) -> str:
    """A value as error messages show it, cut at 256 characters."""
    text = repr(value)
    return text if len(text) <= _SHOWN_BYTES else f"{text[:_SHOWN_BYTES]}…"


def is_empty_cell(text: str, bare: str, *, nullable: bool) -> bool:
    """Whether a text of a trimmed column, `bare` without its spaces, is what the table reader took for a missing cell.

    Spaces alone are. The empty text is where a cell was ever missing; elsewhere it can only be a quoted empty one.
    """
    return not bare and (bool(text) or nullable)


def trimmed(text: str) -> str:
    """The text as a table's reader takes a padded cell: the spaces around it left out."""
    return text.strip(_SPACES) if text.startswith(" ") or text.endswith(" ") else text


def _number_reader(column: Column) -> Callable[[object], float]:
    parse = _number_parser(column)

    def read(value: object) -> float:
        if isinstance(value, bool):
            raise ValueError("expected a number, not a boolean")
        if isinstance(value, int | float):
            number = _as_float(value)
        elif isinstance(value, str):
            number = parse(value.strip())
        else:
            raise ValueError("expected a number")
        if math.isinf(number):
            raise ValueError("expected a finite number")
        return number

    return read


def _number_parser(column: Column) -> Callable[[str], float]:
    """Text to a number in the notation that the column's table was written in, and in no other."""
    if column.decimal == ",":

        def parse_decimal_comma(text: str) -> float:
            if not _DECIMAL_COMMA.fullmatch(text):
                raise ValueError("expected a number, its text with a decimal comma as in the training table (1.234,5)")
            return float(text.replace(".", "").replace(",", "."))

        return parse_decimal_comma
    if column.groups:

        def parse_groups(text: str) -> float:
            if not _COMMA_GROUPS.fullmatch(text):
                raise ValueError("expected a number, its text as in the training table (1,234.5)")
            return float(text.replace(",", ""))

        return parse_groups
    return _plain_number


def _plain_number(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.lower().lstrip("+-") in {"inf", "infinity"}:
        return math.inf
    raise ValueError("expected a number")


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _integer_reader(read_number: Callable[[object], float]) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, bool):
            raise ValueError("expected an integer, not a boolean")
        number = read_number(value)
        if not number.is_integer():
            raise ValueError("expected an integer")
        if abs(number) > MAX_EXACT_INTEGER:
            raise ValueError("expected an integer below 2^53, up to where integers are held exactly")
        return number

    return read


def _boolean(value: object) -> float:
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _TRUE_TEXTS:
            return 1.0
        if text in _FALSE_TEXTS:
            return 0.0
    elif isinstance(value, int | float) and value in (0, 1):
        return float(value)
    raise ValueError("expected true or false")


def _string(value: object) -> str:
    if isinstance(value, str):
        return value if value.isascii() else _composed(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if is_base64(value):
        assert isinstance(value, dict)
        try:
            return _composed(base64.b64decode(value["b64"], validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError("expected base64 of UTF-8 text under 'b64'") from None
    if isinstance(value, bytes):
        raise ValueError("expected text, and this is not UTF-8 text")
    raise ValueError("expected a string")


def _composed(text: str) -> str:
    """The text in NFC, the form that words are hashed and looked up in."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("expected whole characters, not half a surrogate pair")
    return normalize("NFC", text)


def _timestamp_reader(column: Column) -> ValueReader:
    parse = TimestampParser(column.formats, column.timezone)
    expected = " or ".join([*(f"'{pattern}'" for pattern in column.formats), "ISO 8601 (2024-01-31T10:30:00Z)"])

    def read(value: object) -> int:
        if isinstance(value, str | date):
            try:
                return parse(value)
            except (ValueError, OverflowError):
                pass
        raise ValueError(f"expected a timestamp as {expected}")

    return read


def _image(_: object) -> float:
    raise ValueError("images are not read from instances")
