"""What the sampled beginning of a file does not show: the pass over all rows finds it, and the column is read anew."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from penstock.data import survey
from penstock.data.options import ReadOptions
from penstock.data.schema import MISSING_STRING, DataType
from penstock.data.table import Table, open_table
from penstock.errors import DataError
from penstock.settings import Settings

ROWS = 6_000

Deep = Callable[..., Table]


@pytest.fixture(params=["in one query", "in parts"])
def deep(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Deep:
    """Opens a table of integers and words whose row 5,000 holds these cells instead; as a wide one would be, too."""
    if request.param == "in parts":
        monkeypatch.setattr(survey, "_MOST_AT_ONCE", 1)
        monkeypatch.setattr(survey, "_COLUMNS_AT_ONCE", 1)

    def make(number: str = "5", word: str = "w", *, options: ReadOptions | None = None, usual: str = "{i}") -> Table:
        lines = [f"{usual.format(i=i)},w{i % 7}" for i in range(ROWS)]
        lines[5_000] = f"{number},{word}"
        path = tmp_path / "deep.csv"
        path.write_text("n,w\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return open_table(path, settings=settings, options=options)

    return make


def test_a_fraction_far_down_makes_the_column_float_and_is_not_rounded(deep: Deep) -> None:
    table = deep("1.5")
    assert table.schema["n"].type is DataType.FLOAT
    assert table.read(["n"])["n"][5_000] == 1.5


def test_a_null_mark_far_down_is_missing(deep: Deep) -> None:
    table = deep("N/A")
    column = table.schema["n"]
    assert (column.type, column.nullable, column.null_marks) == (DataType.INTEGER, True, ("N/A",))
    assert np.isnan(table.read(["n"])["n"][5_000])


def test_a_word_far_down_makes_the_column_text(deep: Deep) -> None:
    table = deep("n. b.")
    assert table.schema["n"].type is DataType.STRING
    assert table.read(["n"])["n"][[0, 5_000]].tolist() == ["0", "n. b."]


def test_thousands_far_down_are_read(deep: Deep) -> None:
    table = deep('"12,345"')
    assert table.schema["n"].type is DataType.INTEGER
    assert table.read(["n"])["n"][5_000] == 12_345


def test_an_integer_too_long_for_float_far_down_stays_exact(deep: Deep) -> None:
    table = deep("9007199254740993")
    assert table.schema["n"].type is DataType.INTEGER
    assert table.value_counts("n", limit=ROWS)[-1][0] == 9007199254740993


def test_an_integer_longer_than_64_bits_far_down_makes_the_column_text(deep: Deep) -> None:
    table = deep("123456789012345678901234567890")
    assert table.schema["n"].type is DataType.STRING


def test_a_null_mark_in_text_far_down_is_missing(deep: Deep) -> None:
    table = deep(word="?")
    assert table.schema["w"].null_marks == ("?",)
    assert table.read(["w"])["w"][5_000] == MISSING_STRING


def test_a_dash_in_text_is_a_word(deep: Deep) -> None:
    assert not deep(word="-").schema["w"].nullable


def test_values_that_begin_far_down_decide_the_type(deep: Deep) -> None:
    table = deep("7.25", usual="")
    assert table.schema["n"].type is DataType.FLOAT
    assert table.survey.columns[0].present == 1


def test_an_offset_far_down_is_honoured(deep: Deep) -> None:
    table = deep("2020-01-01 12:00:00+02:00", usual="2020-01-01 12:00:00")
    times = table.read(["n"])["n"]
    assert times[0] - times[5_000] == 2 * 3_600_000_000


def test_another_date_format_far_down_is_read_too(deep: Deep) -> None:
    table = deep("24 October 2011", usual="2011-10-24")
    assert table.schema["n"].type is DataType.TIMESTAMP
    assert len(set(table.read(["n"])["n"].tolist())) == 1


def test_a_value_that_is_not_of_the_named_type_is_an_error_with_its_line(deep: Deep) -> None:
    options = ReadOptions(types={"n": DataType.INTEGER})
    with pytest.raises(DataError, match=r"deep.csv line 5002: '1.5' in column 'n' is not of type integer"):
        deep("1.5", options=options)
    with pytest.raises(DataError, match=r"deep.csv line 5002: 'oops' in column 'n' is not of type integer"):
        deep("oops", options=options)


def test_a_value_that_is_not_of_the_named_type_is_rejected_when_asked(deep: Deep) -> None:
    table = deep("oops", options=ReadOptions(types={"n": DataType.INTEGER}, bad_rows="reject"))
    assert table.count() == ROWS - 1
    assert [(row.line, row.reason) for row in table.rejected] == [(5002, "'oops' in column 'n' is not of type integer")]


def test_a_row_too_long_far_down_is_named(deep: Deep) -> None:
    with pytest.raises(DataError, match=r"deep.csv line 5002 has 3 cells where the table has 2 columns"):
        deep("5,6")


def test_zero_padded_codes_far_down_keep_their_zeros(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "codes.csv"
    rows = [f"{90000 + i % 9000},{'x' * 40}" for i in range(60_000)]
    rows[30_000:] = [f"{i % 9000:05d},{'x' * 40}" for i in range(30_000)]
    path.write_text("zip,w\n" + "\n".join(rows) + "\n")
    with open_table(path, settings=settings) as table:
        assert table.schema["zip"].type is DataType.STRING
        assert table.read(["zip"])["zip"][30_001] == "00001"


def test_a_byte_that_is_not_utf8_far_down_is_found(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "late.csv"
    lines = [f"{i},{'word' * 20}".encode() for i in range(20_000)]
    lines[19_000] = "1,caf\u00e9 \u20ac".encode("cp1252")
    path.write_bytes(b"n,w\n" + b"\n".join(lines) + b"\n")
    assert path.stat().st_size > 1 << 20
    with open_table(path, settings=settings) as table:
        assert table.read(["w"])["w"][19_000] == "café €"
        found = [d for d in table.detections if d.what == "encoding"]
        assert [d.value for d in found] == ["cp1252"]
        assert "line 19002" in found[0].how


def _write_lines(table: pa.Table, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")


_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "csv": pyarrow.csv.write_csv,
    "parquet": pyarrow.parquet.write_table,
    "jsonl": _write_lines,
}


@pytest.mark.parametrize("kind", sorted(_WRITERS))
def test_a_table_of_many_columns_is_typed_column_by_column(kind: str, tmp_path: Path, settings: Settings) -> None:
    columns = {f"n{i}": pa.array([row * i for row in range(20)]) for i in range(700)}
    columns["n300"] = pa.array([1.5] * 20)
    columns["n600"] = pa.array([f"2024-01-{row + 1:02}" for row in range(20)])
    columns["n699"] = pa.array(["1"] * 19 + ["word"])
    path = tmp_path / f"wide.{kind}"
    _WRITERS[kind](pa.table(columns), path)
    table = open_table(path, settings=settings)
    assert len(table.schema) == 700
    assert table.count() == 20
    odd = {column.name: column.type for column in table.schema if column.type is not DataType.INTEGER}
    assert odd == {"n300": DataType.FLOAT, "n600": table.schema["n600"].type, "n699": DataType.STRING}
    assert table.schema["n600"].type is (DataType.STRING if kind == "parquet" else DataType.TIMESTAMP)
    assert table.read(["n699"])["n699"].tolist() == ["1"] * 19 + ["word"]
