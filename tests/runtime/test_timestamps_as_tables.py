"""A timestamp that a caller sends is read as the table's reader reads it: one grammar, two readers."""

from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from penstock.data.expressions.times import parse_iso
from penstock.data.options import ReadOptions
from penstock.data.schema import DataType
from penstock.data.table import open_table
from penstock.runtime.timestamps import TimestampParser
from penstock.settings import Settings

TEXTS = [
    "2011-01-28 20:42:59 UTC",
    "2011-01-28T20:42:59Z",
    "2011-01-28 20:42:59+02",
    "2011-01-28 20:42:59-0530",
    "2011-01-28 20:42:59.123456",
    "2011-01-28 20:42:59.1",
    "2011-01-28 20:42",
    "2011-01-28",
    "2011-1-2",
    "2011-1-2 3:04:05",
    "1969-12-31 23:59:59",
    "2000-02-29 00:00:00",
]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Madrid"])
def test_a_served_timestamp_is_the_one_the_table_held(timezone: str, tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "times.csv"
    file.write_text("when,other\n" + "".join(f"{text},1\n" for text in TEXTS))
    options = ReadOptions(types={"when": DataType.TIMESTAMP}, timezone=timezone)
    table = open_table(str(file), settings=settings, options=options)
    column = table.schema["when"]
    read = table.read(["when"])["when"].tolist()
    table.close()
    parse = TimestampParser(column.formats, column.timezone)
    assert dict(zip(TEXTS, [parse(text) for text in TEXTS], strict=True)) == dict(zip(TEXTS, read, strict=True))


CLOCK_CHANGES = [
    ("Europe/Madrid", "2024-10-27 01:59:59", "2024-10-26T23:59:59Z"),
    ("Europe/Madrid", "2024-10-27 02:30:00", "2024-10-27T01:30:00Z"),
    ("Europe/Madrid", "2024-10-27 03:00:00", "2024-10-27T02:00:00Z"),
    ("Europe/Madrid", "2024-03-31 02:30:00", "2024-03-31T01:30:00Z"),
    ("America/New_York", "2024-11-03 01:30:00", "2024-11-03T06:30:00Z"),
    ("Australia/Lord_Howe", "2024-04-07 01:45:00", "2024-04-06T15:15:00Z"),
]


@pytest.mark.parametrize(("zone", "text", "instant"), CLOCK_CHANGES)
def test_a_clock_moved_back_means_the_later_instant_in_tables_recipes_and_requests(
    zone: str, text: str, instant: str, tmp_path: Path, settings: Settings
) -> None:
    file = tmp_path / "times.csv"
    file.write_text(f"when,other\n{text},1\n")
    options = ReadOptions(types={"when": DataType.TIMESTAMP}, timezone=zone)
    with closing(open_table(str(file), settings=settings, options=options)) as table:
        of_table = table.read(["when"])["when"].tolist()[0]
    assert of_table == parse_iso(text, ZoneInfo(zone))
    assert of_table == TimestampParser((), zone)(text)
    assert of_table == TimestampParser((), zone)(datetime.fromisoformat(text))
    assert of_table == TimestampParser()(instant)


@pytest.mark.parametrize("text", ["2011-02-30", "2011-13-01", "2011-01-01 25:00:00", "yesterday", "", "20"])
def test_a_moment_on_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        TimestampParser()(text)
