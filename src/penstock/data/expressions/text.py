"""Texts: case, white space, parts, search and regular expressions. Lengths and positions count code points."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from penstock.data.columns import Array
from penstock.data.expressions.patterns import Pattern, pattern
from penstock.data.expressions.signature import Function, always, text, whole
from penstock.data.schema import MISSING_STRING, DataType
from penstock.errors import ExpressionError

__all__ = ["TEXT", "WHITE_SPACE", "map_texts", "texts_of"]

WHITE_SPACE = " \t\n\r\v\f\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Unicode's White_Space, which `trim` removes."""

_STRING = always(DataType.STRING)
_BOOLEAN = always(DataType.BOOLEAN)
_INTEGER = always(DataType.INTEGER)


def texts_of(values: list[str]) -> Array:
    """The values as a column of texts."""
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def map_texts(function: Callable[..., str | None], *arrays: Array) -> Array:
    """The function over rows, missing where an argument is missing or it returns None."""
    if len(arrays) == 1:
        rows = arrays[0].tolist()
        results = [MISSING_STRING if row == MISSING_STRING else function(row) for row in rows]
    else:
        columns = [array.tolist() for array in np.broadcast_arrays(*arrays)]
        results = [MISSING_STRING if MISSING_STRING in row else function(*row) for row in zip(*columns, strict=True)]
    return texts_of([MISSING_STRING if result is None else result for result in results])


def map_numbers(function: Callable[..., float | bool], *arrays: Array) -> Array:
    """The function over rows of texts as numbers, NaN where an argument is missing."""
    if len(arrays) == 1:
        rows = arrays[0].tolist()
        values = [np.nan if row == MISSING_STRING else float(function(row)) for row in rows]
    else:
        columns = [array.tolist() for array in np.broadcast_arrays(*arrays)]
        values = [np.nan if MISSING_STRING in row else float(function(*row)) for row in zip(*columns, strict=True)]
    return np.array(values, dtype=np.float64)


def lower(value: str) -> str:
    """Code point by code point, without the context rules of full case mapping, as DuckDB does it."""
    return value.lower() if value.isascii() else "".join(map(_lower_character, value))


def upper(value: str) -> str:
    return value.upper() if value.isascii() else "".join(map(_upper_character, value))


@lru_cache(maxsize=10_000)
def _lower_character(character: str) -> str:
    lowered = character.lower()
    # Only the dotted capital I becomes two code points.
    return lowered if len(lowered) == 1 else "i"


@lru_cache(maxsize=10_000)
def _upper_character(character: str) -> str:
    if character == "ß":
        return "ẞ"
    for raised in (character.upper(), character.title()):
        if len(raised) == 1:
            return raised
    return character


def _replace(array: Array, old: str, new: str) -> Array:
    if not old:
        raise ExpressionError("the text to replace is empty")
    return map_texts(lambda value: value.replace(old, new), array)


def _slice(array: Array, start: int, stop: int | None = None) -> Array:
    return map_texts(lambda value: value[start:stop], array)


def _split_part(array: Array, separator: str, index: int) -> Array:
    if not separator:
        raise ExpressionError("the separator is empty")

    def part(value: str) -> str | None:
        parts = value.split(separator)
        return parts[index] if -len(parts) <= index < len(parts) else None

    return map_texts(part, array)


def _pad_left(array: Array, length: int, character: str) -> Array:
    if len(character) != 1 or not 0 <= length <= 1_000:
        raise ExpressionError("padding takes one character and a length up to 1,000")
    return map_texts(lambda value: value.rjust(length, character), array)


def _regex_match(array: Array, written: str) -> Array:
    return map_numbers(pattern(written).occurs_in, array)


def _regex_extract(array: Array, written: str, group: int = 0) -> Array:
    checked = _with_group(written, group)
    return map_texts(lambda value: checked.extract(value, group), array)


def _regex_replace(array: Array, written: str, replacement: str) -> Array:
    checked = pattern(written)
    if checked.matches_nothing:
        raise ExpressionError(f"regular expression {written!r} can match nothing, so there is nothing to replace")
    return map_texts(lambda value: checked.replace(value, replacement), array)


def _with_group(written: str, group: int) -> Pattern:
    checked = pattern(written)
    if not 0 <= group <= checked.groups:
        raise ExpressionError(f"regular expression {written!r} has {checked.groups} groups; there is no group {group}")
    return checked


TEXT = (
    Function(
        name="lower",
        parameters=(text(),),
        result=_STRING,
        evaluate=lambda array: map_texts(lower, array),
        summary="in lower case",
        example="lower('Oslo')",
        answer="'oslo'",
    ),
    Function(
        name="upper",
        parameters=(text(),),
        result=_STRING,
        evaluate=lambda array: map_texts(upper, array),
        summary="in upper case",
        example="upper('Oslo')",
        answer="'OSLO'",
    ),
    Function(
        name="trim",
        parameters=(text(),),
        result=_STRING,
        evaluate=lambda array: map_texts(lambda value: value.strip(WHITE_SPACE), array),
        summary="without white space at both ends",
        example="trim('  a b ')",
        answer="'a b'",
    ),
    Function(
        name="length",
        parameters=(text(),),
        result=_INTEGER,
        evaluate=lambda array: map_numbers(len, array),
        summary="how many code points it has",
        example="length('Øl')",
        answer="2",
    ),
    Function(
        name="concat",
        parameters=(text("text"),),
        repeats=1,
        result=_STRING,
        evaluate=lambda *arrays: map_texts(lambda *values: "".join(values), *arrays),
        summary="the texts one after the other; missing if one is",
        example="concat('a', '-', 'b')",
        answer="'a-b'",
    ),
    Function(
        name="contains",
        parameters=(text(), text("part")),
        result=_BOOLEAN,
        evaluate=lambda array, part: map_numbers(lambda value, within: within in value, array, part),
        summary="whether the part occurs in the text",
        example="contains('penstock', 'sto')",
        answer="true",
    ),
    Function(
        name="starts_with",
        parameters=(text(), text("part")),
        result=_BOOLEAN,
        evaluate=lambda array, part: map_numbers(str.startswith, array, part),
        summary="whether the text begins with the part",
        example="starts_with('penstock', 'pen')",
        answer="true",
    ),
    Function(
        name="ends_with",
        parameters=(text(), text("part")),
        result=_BOOLEAN,
        evaluate=lambda array, part: map_numbers(str.endswith, array, part),
        summary="whether the text ends with the part",
        example="ends_with('penstock', 'pen')",
        answer="false",
    ),
    Function(
        name="replace",
        parameters=(text(), text("old", is_literal=True), text("new", is_literal=True)),
        result=_STRING,
        evaluate=_replace,
        summary="every occurrence of old replaced by new; old is not empty",
        example="replace('1,000', ',', '')",
        answer="'1000'",
    ),
    Function(
        name="slice",
        parameters=(
            text(),
            whole("start"),
            whole("stop", is_optional=True),
        ),
        result=_STRING,
        evaluate=_slice,
        summary="from start (counted from 0; from the end if negative) up to, not including, stop, as in Python",
        example="slice('penstock', 3, 5)",
        answer="'st'",
    ),
    Function(
        name="split_part",
        parameters=(text(), text("separator", is_literal=True), whole("index")),
        result=_STRING,
        evaluate=_split_part,
        makes_missing=True,
        summary="the part of that index between separators, from 0, from the end if negative; missing if there is none",
        example="split_part('a/b/c', '/', 1)",
        answer="'b'",
    ),
    Function(
        name="pad_left",
        parameters=(text(), whole("length"), text("character", is_literal=True)),
        result=_STRING,
        evaluate=_pad_left,
        summary="filled up on the left to a length",
        example="pad_left('7', 3, '0')",
        answer="'007'",
    ),
    Function(
        name="regex_match",
        parameters=(text(), text("pattern", is_literal=True)),
        result=_BOOLEAN,
        evaluate=_regex_match,
        summary="whether the pattern occurs in the text; anchor it with ^ and $ to match all of it",
        example=r"regex_match('AB-12', '^[A-Z]+-\d+$')",
        answer="true",
    ),
    Function(
        name="regex_extract",
        parameters=(
            text(),
            text("pattern", is_literal=True),
            whole("group", is_optional=True),
        ),
        result=_STRING,
        evaluate=_regex_extract,
        makes_missing=True,
        summary="the first match, or a group of it; missing where there is no match",
        example=r"regex_extract('AB-12', '([A-Z]+)-(\d+)', 2)",
        answer="'12'",
    ),
    Function(
        name="regex_replace",
        parameters=(text(), text("pattern", is_literal=True), text("replacement", is_literal=True)),
        result=_STRING,
        evaluate=_regex_replace,
        summary="every match replaced; the replacement is taken as it stands",
        example=r"regex_replace('a1b22', '\d+', '#')",
        answer="'a#b#'",
    ),
)
