"""From one type to another. What cannot be converted becomes missing."""

import re

import numpy as np

from penstock.data.columns import Array
from penstock.data.expressions.signature import Function, always, value
from penstock.data.expressions.text import WHITE_SPACE, map_texts
from penstock.data.expressions.times import parse_iso
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, DataType

__all__ = ["CASTS", "FALSE_WORDS", "TRUE_WORDS", "number_text", "to_string"]

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0"})

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def number_text(number: float, data_type: DataType) -> str:
    """A number as text: whole ones without a point if the type is integer, else the shortest that reads back equal."""
    if data_type is DataType.INTEGER:
        return str(int(number))
    return repr(float(number) + 0.0)


def _read_number(text: str) -> float:
    stripped = text.strip(WHITE_SPACE)
    if _NUMBER.fullmatch(stripped) is None:
        return np.nan
    return float(stripped)


def _read_numbers(array: Array) -> Array:
    values = [np.nan if text == MISSING_STRING else _read_number(text) for text in array.tolist()]
    return np.array(values, dtype=np.float64)


def _read_boolean(text: str) -> float:
    word = text.strip(WHITE_SPACE).lower()
    return 1.0 if word in TRUE_WORDS else 0.0 if word in FALSE_WORDS else np.nan


def _to_float(array: Array, *, types: tuple[DataType, ...]) -> Array:
    return _read_numbers(array) if types[0] is DataType.STRING else array


def _to_integer(array: Array, *, types: tuple[DataType, ...]) -> Array:
    return np.trunc(_to_float(array, types=types)) + 0.0


def _to_boolean(array: Array, *, types: tuple[DataType, ...]) -> Array:
    match types[0]:
        case DataType.STRING:
            values = [np.nan if text == MISSING_STRING else _read_boolean(text) for text in array.tolist()]
            return np.array(values, dtype=np.float64)
        case DataType.BOOLEAN:
            return array
        case _:
            return np.where(np.isnan(array), np.nan, (array != 0.0).astype(np.float64))


def to_string(array: Array, *, types: tuple[DataType, ...]) -> Array:
    result = np.empty(len(array), dtype=object)
    match types[0]:
        case DataType.STRING:
            return array
        case DataType.BOOLEAN:
            words = {0.0: "false", 1.0: "true"}
            result[:] = [words.get(number, MISSING_STRING) for number in array.tolist()]
        case DataType.TIMESTAMP:
            result[:] = np.datetime_as_string(np.ascontiguousarray(array).view("M8[us]"), unit="us").tolist()
            result[array == MISSING_TIMESTAMP] = MISSING_STRING
            return map_texts(lambda iso: iso.removesuffix(".000000") + "Z", result)
        case _:
            # NaN is the one value that differs from itself.
            result[:] = [
                number_text(number, types[0]) if number == number else MISSING_STRING for number in array.tolist()
            ]
    return result


def _to_timestamp(array: Array, *, types: tuple[DataType, ...]) -> Array:
    if types[0] is DataType.TIMESTAMP:
        return array
    return np.array(
        [MISSING_TIMESTAMP if text == MISSING_STRING else parse_iso(text) for text in array.tolist()], dtype=np.int64
    )


def _only(*types: DataType) -> frozenset[DataType]:
    return frozenset(types)


CASTS = (
    Function(
        name="integer",
        parameters=(value("x", accepts=_only(DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN, DataType.STRING)),),
        result=always(DataType.INTEGER),
        evaluate=_to_integer,
        is_overloaded=True,
        makes_missing=True,
        overflows=True,
        summary="a number, condition or text as a whole number, digits after the point dropped",
        example="integer('-3.7')",
        answer="-3",
    ),
    Function(
        name="float",
        parameters=(value("x", accepts=_only(DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN, DataType.STRING)),),
        result=always(DataType.FLOAT),
        evaluate=_to_float,
        is_overloaded=True,
        makes_missing=True,
        overflows=True,
        summary="a number, condition or text as a float; '1,000' is no number",
        example="float(' 1e3 ')",
        answer="1000.0",
    ),
    Function(
        name="boolean",
        parameters=(value("x", accepts=_only(DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN, DataType.STRING)),),
        result=always(DataType.BOOLEAN),
        evaluate=_to_boolean,
        is_overloaded=True,
        makes_missing=True,
        summary="false for 0, false, f, no, n; true for other numbers and 1, true, t, yes, y; other texts are missing",
        example="boolean('Yes')",
        answer="true",
    ),
    Function(
        name="string",
        parameters=(value("x"),),
        result=always(DataType.STRING),
        evaluate=to_string,
        is_overloaded=True,
        summary="as text: 1, 1.5, true, 2024-05-31T22:10:05Z",
        example="string(1 / 4)",
        answer="'0.25'",
    ),
    Function(
        name="timestamp",
        parameters=(value("x", accepts=_only(DataType.TIMESTAMP, DataType.STRING)),),
        result=always(DataType.TIMESTAMP),
        evaluate=_to_timestamp,
        is_overloaded=True,
        makes_missing=True,
        overflows=True,
        summary="an ISO 8601 text as an instant, in UTC unless it has an offset",
        example="timestamp('2024-05-31 12:00')",
        answer="timestamp('2024-05-31T12:00:00Z')",
    ),
)
