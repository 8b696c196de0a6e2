import doctest
from datetime import UTC, date, datetime

import pytest

from penstock.errors import BundleError
from penstock.runtime import timestamps
from penstock.runtime.timestamps import TimestampParser


def micros(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1_000_000)  # type: ignore[misc,arg-type]


def test_examples_hold() -> None:
    assert doctest.testmod(timestamps).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31T10:30:00Z", micros(2024, 1, 31, 10, 30)),
        ("2024-01-31 10:30:00+02:00", micros(2024, 1, 31, 8, 30)),
        ("2024-01-31", micros(2024, 1, 31)),
        ("20240131T103000", micros(2024, 1, 31, 10, 30)),
        (" 2024-01-31T10:30:00.000001 ", micros(2024, 1, 31, 10, 30) + 1),
        ("1900-01-01", micros(1900, 1, 1)),
        ("0001-01-01", micros(1, 1, 1)),
    ],
)
def test_iso_8601_needs_no_format(text: str, expected: int) -> None:
    assert TimestampParser()(text) == expected


def test_formats_are_tried_in_order_before_iso_8601() -> None:
    parse = TimestampParser(("%d/%m/%Y", "%m/%d/%Y"))
    assert parse("03/02/2024") == micros(2024, 2, 3)
    assert parse("12/31/2024") == micros(2024, 12, 31)
    assert parse("2024-12-31") == micros(2024, 12, 31)


def test_the_zone_holds_only_where_there_is_no_offset() -> None:
    parse = TimestampParser((), "America/New_York")
    assert parse("2024-07-01T00:00:00") == micros(2024, 7, 1, 4)
    assert parse("2024-01-01T00:00:00") == micros(2024, 1, 1, 5)
    assert parse("2024-07-01T00:00:00+00:00") == micros(2024, 7, 1)


def test_python_dates_and_datetimes_are_taken() -> None:
    assert TimestampParser()(date(2024, 1, 31)) == micros(2024, 1, 31)
    assert TimestampParser()(datetime(2024, 1, 31, 1, tzinfo=UTC)) == micros(2024, 1, 31, 1)


@pytest.mark.parametrize("text", ["", "yesterday", "31/31/2024", "1706779800"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        TimestampParser(("%d/%m/%Y",))(text)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(BundleError, match="Mars/Olympus"):
        TimestampParser((), "Mars/Olympus")
