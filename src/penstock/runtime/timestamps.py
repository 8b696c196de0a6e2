"""Texts and datetimes to int64 microseconds since 1970-01-01 UTC, one value at a time, as callers send them."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

from penstock.errors import BundleError

__all__ = ["TimestampParser"]

_ISO = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(?: ?(Z|UTC|([+-])(\d{2})(?::?(\d{2}))?))?)?",
    re.ASCII,
)
"""ISO 8601 as tables are read: a space for the T, one-digit months, days and hours, and a zone written " UTC"."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TimestampParser:
    """Reads the timestamps of one column as the table it was trained on was read: ISO 8601, then its strptime formats.

    A value without an offset is taken to be in the column's zone. Of two instants that its clocks show twice the later
    one is meant, and a time that they skip is read as if they had not been moved yet, as DuckDB (ICU) reads tables.

    >>> TimestampParser(("%d/%m/%Y %H:%M",), "Europe/Madrid")("01/02/2024 10:30")
    1706779800000000
    """

    def __init__(self, formats: Sequence[str] = (), timezone: str = "UTC") -> None:
        """Raises BundleError when the zone is not known to this machine."""
        self.formats = tuple(formats)
        self._zone: tzinfo = UTC
        if timezone != "UTC":
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # few models need it, and every server starts

            try:
                self._zone = ZoneInfo(timezone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise BundleError(
                    f"the signature names time zone {timezone!r}, which this machine's zone database lacks; "
                    "install the package 'tzdata'"
                ) from error

    def __call__(self, value: str | date) -> int:
        """Raises ValueError when no format fits."""
        moment = self._datetime(value)
        if moment.tzinfo is None:
            moment = self._on_clocks(moment)
        return (moment - _EPOCH) // _MICROSECOND

    def _on_clocks(self, moment: datetime) -> datetime:
        """The instant at which clocks in the zone show this."""
        if self._zone is UTC:
            return moment.replace(tzinfo=UTC)
        # The lesser offset is the later of two instants, and the one before clocks are moved over a gap.
        offsets = (moment.replace(tzinfo=self._zone, fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
        return moment.replace(tzinfo=UTC) - min(offsets)

    def _datetime(self, value: str | date) -> datetime:
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)
        text = value.strip()
        if found := _ISO.fullmatch(text):
            return _iso_datetime(found)
        for pattern in self.formats:
            try:
                return datetime.strptime(text, pattern)
            except ValueError:
                continue
        return datetime.fromisoformat(text)


def _iso_datetime(found: re.Match[str]) -> datetime:
    """Raises ValueError for a moment that is on no calendar or clock."""
    year, month, day, hour, minute, second, fraction, zone, sign, hours, minutes = found.groups()
    microseconds = int((fraction or "0")[:6].ljust(6, "0"))
    moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), microseconds)
    if zone is None:
        return moment
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return moment.replace(tzinfo=UTC) + (offset if sign == "-" else -offset)
