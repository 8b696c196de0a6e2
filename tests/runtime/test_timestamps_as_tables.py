"""A timestamp that a caller sends is read as the table's reader reads it: one grammar, two readers."""

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("text", ["2011-02-30", "2011-13-01", "2011-01-01 25:00:00", "yesterday", "", "20"])
def test_a_moment_on_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        TimestampParser()(text)
