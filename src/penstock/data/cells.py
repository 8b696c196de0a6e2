"""What the texts of cells are: numbers, booleans and timestamps as people write them, or marks for nothing.

Pure text to judgement; the SQL that reads a column so judged is in `scan`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from penstock.data.schema import DataType

__all__ = [
    "CERTAIN_MARKS",
    "LIKELY_MARKS",
    "Judgement",
    "Notation",
    "date_formats_of",
    "is_value",
    "judge",
]

CERTAIN_MARKS = (
    "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "NaN", "nan", "NaT", "\\N", "#NULL!",
)  # fmt: skip
"""Texts that mean "missing" in a column of any type."""

LIKELY_MARKS = (*CERTAIN_MARKS, "None", "NONE", "none", "Null", "na", ".", "..", "-", "--", "–", "—")
"""Texts that mean "missing" where all other cells are numbers, booleans or timestamps, or there are no others."""

MAX_EXACT_INTEGER = 2**53
MAX_INTEGER = 2**63

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_PADDED = re.compile(r"[+-]?0\d+", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.ASCII | re.IGNORECASE)
# Nobody writes a group for nothing: "0,844" has a decimal comma.
_COMMA_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", re.ASCII)
_DOT_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3}){2,}|[+-]?[1-9]\d{0,2}(\.\d{3})+,\d+", re.ASCII)
_COMMA_DECIMAL = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_DECIMAL_COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", re.ASCII)
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
_ISO = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?)?", re.ASCII
)
# Behind a time: in a date alone, "-28" is the day.
ISO_OFFSET_PATTERN = r":\d{2}(\.\d+)? ?(Z|UTC|[+-]\d{2}(:?\d{2})?)$"

_DATES = (
    "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y",
    "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
DATE_FORMATS = tuple(date + time for date in _DATES for time in _TIMES)
_DATE_SHAPE = re.compile(
    r"\d{1,4}[/.\- ](\d{1,2}|[A-Za-z]{3,9})[/.\- ]\d{2,4}.*|[A-Za-z]{3,9} \d{1,2}, \d{4}.*", re.ASCII
)
MAX_DATE_FORMATS = 4


class Notation(Enum):
    """How the cells of a column are written, beyond their type."""

    PLAIN = auto()
    COMMA_GROUPS = auto()
    DECIMAL_COMMA = auto()
    LONG_INTEGER = auto()
    FORMATS = auto()


@dataclass(frozen=True)
class Judgement:
    """What a column of texts is. marks: texts in it that mean missing; how: what decided, in words.

    formats: strptime formats in order of trial, ISO 8601 being tried before them.
    """

    type: DataType
    notation: Notation
    marks: tuple[str, ...]
    how: str
    formats: tuple[str, ...] = ()


def is_value(text: str) -> bool:
    """Whether a text is a number, boolean or timestamp: something a name seldom is."""
    return bool(
        _FLOAT.fullmatch(text)
        or _COMMA_GROUPS.fullmatch(text)
        or _DOT_GROUPS.fullmatch(text)
        or _COMMA_DECIMAL.fullmatch(text)
        or _BOOLEAN.fullmatch(text)
        or _ISO.fullmatch(text)
        or date_formats_of(text)
    )


def judge(
    texts: Iterable[str], *, marks: tuple[str, ...] | None = None, decimal_comma: bool = False, are_all: bool = False
) -> Judgement:
    """The type of a column whose distinct cells these are, spaces around them removed, empty cells left out.

    marks: null marks given by the user, None to detect them. decimal_comma: whether the table writes numbers so.
    are_all: whether `texts` are all cells of the column rather than a sample (for the words only).
    """
    distinct = [text for text in dict.fromkeys(texts) if text]
    seen = "all cells" if are_all else "the sampled cells"
    likely = LIKELY_MARKS if marks is None else marks
    found = tuple(text for text in distinct if text in likely)
    values = [text for text in distinct if text not in likely]
    if not values:
        return Judgement(DataType.STRING, Notation.PLAIN, found, "no cell holds a value")
    number = _judge_numbers(values, decimal_comma=decimal_comma, seen=seen)
    if number is not None:
        kind, notation, how = number
        return Judgement(kind, notation, found, how)
    if all(_BOOLEAN.fullmatch(text) for text in values):
        return Judgement(DataType.BOOLEAN, Notation.PLAIN, found, f"{seen} are true or false")
    if all(_ISO.fullmatch(text) for text in values):
        return Judgement(DataType.TIMESTAMP, Notation.PLAIN, found, f"{seen} are ISO 8601 dates or times")
    dates = _judge_dates(values, seen=seen)
    if dates is not None:
        formats, how = dates
        return Judgement(DataType.TIMESTAMP, Notation.FORMATS, found, how, formats)
    certain = CERTAIN_MARKS if marks is None else marks
    other = next((text for text in values if not is_value(text)), values[0])
    return Judgement(
        DataType.STRING,
        Notation.PLAIN,
        tuple(text for text in found if text in certain),
        f"text such as {other[:40]!r}",
    )


def uses_decimal_comma(columns: Iterable[Sequence[str]]) -> bool:
    """Whether numbers of a table are written with a decimal comma: some must be, and none with a decimal point."""
    commas = points = 0
    for texts in columns:
        values = [text for text in texts if text and text not in LIKELY_MARKS]
        if not values:
            continue
        if all(_DECIMAL_COMMA_NUMBER.fullmatch(text) for text in values):
            commas += any(
                _DOT_GROUPS.fullmatch(t) or (_COMMA_DECIMAL.fullmatch(t) and not _COMMA_GROUPS.fullmatch(t))
                for t in values
            )
        elif all(_FLOAT.fullmatch(text) or _COMMA_GROUPS.fullmatch(text) for text in values):
            points += any("." in text for text in values)
    return commas > 0 and points == 0


def date_formats_of(text: str) -> tuple[str, ...]:
    """Every format, besides ISO 8601, that reads this text as a date."""
    if not _DATE_SHAPE.fullmatch(text):
        return ()
    return tuple(form for form in DATE_FORMATS if _reads(text, form))


def _judge_numbers(values: Sequence[str], *, decimal_comma: bool, seen: str) -> tuple[DataType, Notation, str] | None:
    if decimal_comma and all(_DECIMAL_COMMA_NUMBER.fullmatch(text) for text in values):
        kind = DataType.FLOAT if any("," in text for text in values) else DataType.INTEGER
        return kind, Notation.DECIMAL_COMMA, f"{seen} are numbers with a decimal comma"
    if all(_INTEGER.fullmatch(text) for text in values):
        padded = next((text for text in values if _PADDED.fullmatch(text)), None)
        if padded is not None:
            return DataType.STRING, Notation.PLAIN, f"padded with zeros, as {padded!r}: a code, not a number"
        largest = max(values, key=len)
        magnitude = max(abs(int(text)) for text in values) if len(largest) <= 4_000 else MAX_INTEGER
        if magnitude >= MAX_INTEGER:
            return DataType.STRING, Notation.PLAIN, f"{largest[:40]!r} is longer than a 64-bit integer"
        notation = Notation.LONG_INTEGER if magnitude >= MAX_EXACT_INTEGER else Notation.PLAIN
        return DataType.INTEGER, notation, f"{seen} are whole numbers"
    if all(_FLOAT.fullmatch(text) for text in values):
        return DataType.FLOAT, Notation.PLAIN, f"{seen} are numbers"
    if all(_FLOAT.fullmatch(text) or _COMMA_GROUPS.fullmatch(text) for text in values):
        kind = DataType.FLOAT if any("." in text or "e" in text.lower() for text in values) else DataType.INTEGER
        return kind, Notation.COMMA_GROUPS, f"{seen} are numbers with thousands separated by commas"
    return None


def _judge_dates(values: Sequence[str], *, seen: str) -> tuple[tuple[str, ...], str] | None:
    """The fewest formats that read every cell, the one that reads most first; at most `MAX_DATE_FORMATS`."""
    readable = {text: set(date_formats_of(text)) for text in values if not _ISO.fullmatch(text)}
    if not all(readable.values()):
        return None
    chosen: list[str] = []
    left = dict(readable)
    while left and len(chosen) < MAX_DATE_FORMATS:
        best = max(DATE_FORMATS, key=lambda form: sum(1 for forms in left.values() if form in forms))
        chosen.append(best)
        left = {text: forms for text, forms in left.items() if best not in forms}
    if left:
        return None
    how = f"{seen} are dates written {' or '.join(chosen)}"
    if len(readable) < len(values):
        how += " or as ISO 8601"
    rival = next((form for form in _swapped(chosen[0]) if all(form in forms for forms in readable.values())), None)
    if rival is not None:
        how += f"; {rival} reads them as well: name the format if that is meant"
    return tuple(chosen), how


def _swapped(form: str) -> tuple[str, ...]:
    """The same format with day and month exchanged, where both are numbers."""
    if "%m" not in form or "%d" not in form or form.startswith("%Y"):
        return ()
    return (form.replace("%m", "\0").replace("%d", "%m").replace("\0", "%d"),)


def _reads(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
