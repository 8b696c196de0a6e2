"""Every awkward file of the shared collection: read with the right shape and types, or refused naming the line."""

import csv
from pathlib import Path

import pytest

from penstock.data.options import ReadOptions
from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.settings import Settings

INT, F, S, T = "integer", "float", "string", "timestamp"

EXPECTED: dict[str, tuple[int, list[str]]] = {
    "csvkit_FY09_EDU_Recipients_by_State.csv": (53, [S, S, S, INT, INT, INT, INT, INT, INT, S]),
    "csvkit_blanks.csv": (1, [S] * 6),
    "csvkit_sniff_limit.csv": (1, [INT, INT, INT]),
    "csvkit_test_date_format.csv": (2, [T]),
    "csvkit_test_latin1.csv": (2, [INT, INT, S]),
    "csvkit_test_locale.csv": (1, [F, INT, S]),
    "csvkit_test_utf16_little.csv": (2, [INT, INT, S]),
    "csvkit_test_utf8_bom.csv": (2, [INT, INT, S]),
    "messytables_complex.csv": (3, [T, T, INT, S]),
    "messytables_excel_pasting.csv": (14, [S, INT, INT, INT, INT, INT, INT, INT, INT]),
    "messytables_spanish_chars.csv": (114, [INT, INT, INT, S, S, S, F, S]),
    "sklearn_boston_house_prices_preamble.csv": (506, [F, F, F, INT, F, F, F, F, INT, INT, F, F, F, F]),
    "spectrum_comma_in_quotes.csv": (1, [S] * 5),
    "spectrum_empty.csv": (2, [INT, INT, INT]),
    "spectrum_escaped_quotes.csv": (2, [INT, S]),
    "spectrum_json.csv": (1, [INT, S]),
    "spectrum_newlines.csv": (3, [S, INT, INT]),
    "spectrum_newlines_crlf.csv": (3, [S, INT, INT]),
    "spectrum_quotes_and_newlines.csv": (2, [INT, S]),
    "spectrum_utf8.csv": (2, [INT, INT, S]),
}

REFUSED = {
    "csvkit_bad.csv": (2, 4, {2, 3}, 1),
    "csvkit_bad_skip_lines.csv": (5, 4, {5, 6}, 1),
}
"""line, cells in it; lines left out when asked, rows then read."""


@pytest.fixture(params=sorted(EXPECTED))
def readable(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_file_is_read_with_the_right_shape_and_types(readable: str, shared_data: Path, settings: Settings) -> None:
    rows, types = EXPECTED[readable]
    with open_table(shared_data / "messy" / readable, settings=settings) as table:
        assert [column.type.value for column in table.schema] == types
        assert table.count() == rows
        assert sum(batch.rows for batch in table.batches(5)) == rows


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_ragged_file_is_refused_naming_line_and_widths(name: str, shared_data: Path, settings: Settings) -> None:
    line, cells, _, _ = REFUSED[name]
    with pytest.raises(DataError, match=rf"{name} line {line} has {cells} cells where the table has 3 columns"):
        open_table(shared_data / "messy" / name, settings=settings)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_rows_read_and_rows_rejected_are_the_rows_of_the_file(name: str, shared_data: Path, settings: Settings) -> None:
    _, _, lines, rows = REFUSED[name]
    with open_table(shared_data / "messy" / name, settings=settings, options=ReadOptions(bad_rows="reject")) as table:
        assert table.count() == rows
        assert {row.line for row in table.rejected} == lines
        assert all("cells where the table has 3 columns" in row.reason for row in table.rejected)


def test_every_row_of_every_file_is_read_or_rejected(shared_data: Path, settings: Settings) -> None:
    """Counted anew by Python's own reader: all lines that are not blank, but those above the table and the header."""
    files = {path.name for path in (shared_data / "messy").iterdir() if path.suffix == ".csv"}
    assert files == {*EXPECTED, *REFUSED}
    for name in sorted(files):
        raw = (shared_data / "messy" / name).read_bytes()
        codec = "utf-16" if "utf16" in name else "latin-1" if "latin1" in name or "spanish" in name else "utf-8-sig"
        sample = raw.decode(codec)
        delimiter = ";" if "locale" in name else max(",;\t|", key=sample.count)
        with open_table(
            shared_data / "messy" / name, settings=settings, options=ReadOptions(bad_rows="reject")
        ) as table:
            begins = next((int(d.value.split()[1]) for d in table.detections if d.what == "table begins"), 1)
            has_header = any(d.what == "header" and d.value == "yes" for d in table.detections)
            lines = sample.splitlines(keepends=True)[begins - 1 :]
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
            assert table.count() + len(table.rejected) == len(rows) - has_header, name


def test_notes_below_a_table_are_left_out_and_listed(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "messy" / "messytables_excel_pasting.csv", settings=settings) as table:
        assert [row.line for row in table.rejected] == [22, 23, 24]
        assert table.schema.names == ("Year", *(str(year) for year in range(2000, 2008)))
        assert table.read(["2000"])["2000"][[0, -1]].tolist() == [2666, 120522]


def test_decimal_commas_are_read_as_such(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "messy" / "csvkit_test_locale.csv", settings=settings) as table:
        batch = table.read(["a", "b"])
        assert (batch["a"][0], batch["b"][0]) == (1.7, 200_000_000)


def test_blanks_of_every_kind_are_missing(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "messy" / "csvkit_blanks.csv", settings=settings) as table:
        assert [column.null_marks for column in table.schema] == [(), ("NA",), ("N/A",), ("NONE",), ("NULL",), (".",)]
        assert all(column.nullable for column in table.schema)


def test_latin_and_wide_characters_arrive(shared_data: Path, settings: Settings) -> None:
    def last(name: str) -> str:
        with open_table(shared_data / "messy" / name, settings=settings) as table:
            text: str = table.read(["c"])["c"][-1]
            return text

    assert last("csvkit_test_latin1.csv") == "©"
    assert last("csvkit_test_utf16_little.csv") == "ʤ"
    assert last("spectrum_utf8.csv") == "ʤ"


def test_day_first_dates_are_told_by_the_day_that_can_be_no_month(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "messy" / "csvkit_test_date_format.csv", settings=settings) as table:
        assert table.schema["a"].formats == ("%d/%m/%Y",)
        days = (table.read()["a"] // 86_400_000_000).tolist()
    assert days == [16072, 15705]  # 2014-01-02, 2012-12-31
