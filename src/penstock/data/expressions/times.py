"""Instants as int64 microseconds: texts to and from them by strptime formats, and the offsets of time zones."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from penstock.data.columns import Array
from penstock.data.expressions.text import WHITE_SPACE
from penstock.data.schema import MISSING_TIMESTAMP
from penstock.errors import ExpressionError

__all__ = [
    "EARLIEST",
    "LATEST",
    "MICROSECONDS_A_DAY",
    "MONTHS",
    "TimeFormat",
    "parse_iso",
    "time_format",
    "to_local",
    "to_utc",
    "zone_named",
]

MICROSECONDS_A_DAY = 86_400_000_000
EARLIEST = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z. Instants before it or after LATEST are missing."""
LATEST = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z."""

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_EPOCH = datetime(1970, 1, 1)
_QUARTER_HOUR = 900_000_000
_MARGIN = 2 * MICROSECONDS_A_DAY
_FIRST, _LAST = EARLIEST + _MARGIN, LATEST - _MARGIN

_FEW = 8
"""Times that are shifted one by one: 2 µs each, against 60 µs for finding the distinct ones in an array."""
"""Kept from both ends of the calendar, so that a shifted time is still in it."""

_DIRECTIVES = {
    "Y": r"(?P<Y>[0-9]{4})",
    "y": r"(?P<y>[0-9]{2})",
    "m": r"(?P<m>[0-9]{1,2})",
    "d": r"(?P<d>[0-9]{1,2})",
    "H": r"(?P<H>[0-9]{1,2})",
    "I": r"(?P<I>[0-9]{1,2})",
    "M": r"(?P<M>[0-9]{1,2})",
    "S": r"(?P<S>[0-9]{1,2})",
    "f": r"(?P<f>[0-9]{1,6})",
    "p": r"(?P<p>[AaPp][Mm])",
    "b": r"(?P<b>[A-Za-z]{3})",
    "B": r"(?P<B>[A-Za-z]{3,9})",
    "z": r"(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})",
    "%": "%",
}

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})[0-9]*)?)?)?"
    r" ?(Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


class TimeFormat:
    """A checked strptime format.

    directives: the letters it has, in order. regex: what a text must match in full; re2: the same for DuckDB.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.directives = tuple(re.findall(r"%(.)", text.replace("%%", "")))
        written = _format_regex(text, self.directives)
        self.regex = re.compile(written)
        self.re2 = re.sub(r"\(\?P<.>", "(", written)

    def parse(self, text: str, zone: ZoneInfo | None = None) -> int:
        """Microseconds since 1970 UTC, or MISSING_TIMESTAMP if the text does not follow the format.

        zone: where the time was read off a clock, unless the text has an offset; None for UTC.
        """
        found = self.regex.fullmatch(text)
        if found is None:
            return MISSING_TIMESTAMP
        parts = found.groupdict()
        month = _month(parts)
        hour = _hour(parts)
        if month is None or hour is None:
            return MISSING_TIMESTAMP
        year = int(parts["Y"]) if "Y" in parts else _century(int(parts["y"]))
        return _instant(
            (year, month, int(parts.get("d", 1)), hour, int(parts.get("M", 0)), int(parts.get("S", 0))),
            parts.get("f", "0"),
            parts.get("z"),
            zone,
        )

    def write(self, iso: str) -> str:
        """A time in the form '2024-05-31T22:10:05.000000', written by this format; %z is always UTC's +0000."""
        # A clock east of Greenwich may show the year 10000.
        year, rest = iso[:-22], iso[-22:]
        hour = int(rest[7:9])
        parts = {
            "Y": year,
            "y": year[-2:],
            "m": rest[1:3],
            "d": rest[4:6],
            "H": rest[7:9],
            "I": f"{(hour + 11) % 12 + 1:02}",
            "M": rest[10:12],
            "S": rest[13:15],
            "f": rest[16:22],
            "p": "AM" if hour < 12 else "PM",
            "b": MONTHS[int(rest[1:3]) - 1][:3].capitalize(),
            "B": MONTHS[int(rest[1:3]) - 1].capitalize(),
            "z": "+0000",
            "%": "%",
        }
        return re.sub("%(.)", lambda found: parts[found[1]], self.text)


@lru_cache(maxsize=1_000)
def time_format(text: str) -> TimeFormat:
    """The checked format. Raises ExpressionError naming a directive that is not supported."""
    return TimeFormat(text)


def parse_iso(text: str, zone: ZoneInfo | None = None) -> int:
    """An ISO 8601 date, or date and time, as microseconds since 1970 UTC; MISSING_TIMESTAMP if it is none.

    A space may stand for the T, and 'UTC' for the Z. Digits after the microseconds are dropped.
    """
    found = _ISO.fullmatch(text.strip(WHITE_SPACE))
    if found is None:
        return MISSING_TIMESTAMP
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    numbers = (int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    return _instant(numbers, fraction or "0", offset, zone)


@lru_cache(maxsize=1_000)
def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone. Raises ExpressionError if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ExpressionError(
            f"there is no time zone {name!r}; expected an IANA name such as 'Europe/Zurich' or 'UTC'"
        ) from error


def to_local(instants: Array, zone: ZoneInfo) -> Array:
    """What a clock in the zone shows, as microseconds since 1970-01-01 by that clock; missing stays missing."""
    # Offsets change on quarter hours only, since 1972 everywhere.
    return _shifted(instants, lambda quarter: _offset_of(zone, quarter))


def to_utc(local: Array, zone: ZoneInfo) -> Array:
    """The instants at which a clock in the zone shows these times: the later of two, or as if it had not been moved."""
    return _shifted(local, lambda quarter: -_offset_at(zone, quarter))


def _shifted(times: Array, offset_of: Callable[[int], int]) -> Array:
    if len(times) <= _FEW and (shifted := _shifted_one_by_one(times.tolist(), offset_of)) is not None:
        return shifted
    quarters = np.clip(times, _FIRST, _LAST) // _QUARTER_HOUR
    distinct, positions = np.unique(quarters, return_inverse=True)
    offsets = np.array([offset_of(quarter) for quarter in distinct.tolist()], dtype=np.int64)
    return np.where(times == MISSING_TIMESTAMP, MISSING_TIMESTAMP, times + offsets[positions])


def _shifted_one_by_one(times: list[int], offset_of: Callable[[int], int]) -> Array | None:
    """The same for a few times, where sorting them would take the most; None if one lies outside of the calendar."""
    if any(not _FIRST <= time <= _LAST and time != MISSING_TIMESTAMP for time in times):
        return None
    return np.array(
        [time if time == MISSING_TIMESTAMP else time + offset_of(time // _QUARTER_HOUR) for time in times],
        dtype=np.int64,
    )


@lru_cache(maxsize=100_000)
def _offset_of(zone: ZoneInfo, quarter: int) -> int:
    """The zone's offset in microseconds at an instant, given in quarter hours since 1970 UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=quarter * _QUARTER_HOUR)
    return _microseconds(moment.astimezone(zone).utcoffset())


@lru_cache(maxsize=100_000)
def _offset_at(zone: ZoneInfo, quarter: int) -> int:
    """The zone's offset in microseconds at a time of its own clock, given in quarter hours."""
    local = _EPOCH + timedelta(microseconds=quarter * _QUARTER_HOUR)
    # The lesser offset is the later of two instants, and the one before the clock was moved over a gap, as ICU has it.
    return min(_microseconds(local.replace(tzinfo=zone, fold=fold).utcoffset()) for fold in (0, 1))


def _microseconds(offset: timedelta | None) -> int:
    assert offset is not None
    return offset // timedelta(microseconds=1)


def _instant(numbers: tuple[int, ...], fraction: str, offset: str | None, zone: ZoneInfo | None) -> int:
    try:
        local = datetime(*numbers)  # type: ignore[arg-type]
    except ValueError:
        return MISSING_TIMESTAMP
    micros = (local - _EPOCH) // timedelta(microseconds=1) + int(fraction.ljust(6, "0"))
    if offset is not None:
        micros -= _offset_written(offset)
    elif zone is not None:
        micros = int(to_utc(np.array([micros]), zone)[0])
    return micros if EARLIEST <= micros <= LATEST else MISSING_TIMESTAMP


def _offset_written(offset: str) -> int:
    if offset in ("Z", "UTC"):
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return (-minutes if offset[0] == "-" else minutes) * 60_000_000


def _month(parts: dict[str, str]) -> int | None:
    if "m" in parts:
        return int(parts["m"])
    name = parts.get("b", parts.get("B"))
    if name is None:
        return 1
    known = [month[:3] for month in MONTHS] if "b" in parts else MONTHS
    return known.index(name.lower()) + 1 if name.lower() in known else None


def _hour(parts: dict[str, str]) -> int | None:
    if "I" not in parts:
        return int(parts.get("H", 0))
    hour = int(parts["I"])
    if not 1 <= hour <= 12:
        return None
    return hour % 12 + (12 if parts["p"].lower() == "pm" else 0)


def _century(year: int) -> int:
    """Two digits as POSIX reads them: 69 to 99 are of the 20th century."""
    return year + (1900 if year >= 69 else 2000)


def _format_regex(text: str, directives: tuple[str, ...]) -> str:
    unknown = next((letter for letter in directives if letter not in _DIRECTIVES), None)
    if unknown is not None:
        known = ", ".join(f"%{letter}" for letter in _DIRECTIVES)
        raise ExpressionError(f"date format {text!r} has %{unknown}; expected one of {known}")
    if len(set(directives)) < len(directives):
        raise ExpressionError(f"date format {text!r} names the same part twice")
    if not {"Y", "y"} & set(directives):
        raise ExpressionError(f"date format {text!r} has no year; expected %Y or %y in it")
    if ("I" in directives) != ("p" in directives):
        raise ExpressionError(f"date format {text!r} needs %I and %p together; %H is the hour of 24")
    pieces = re.split(r"%(.)", text)
    return "".join(re.escape(piece) if i % 2 == 0 else _DIRECTIVES[piece] for i, piece in enumerate(pieces))
