import os
import resource
from pathlib import Path
from typing import Literal

import duckdb
import fsspec
import numpy as np
import pytest

from penstock.data.columns import ColumnBatch, concatenate
from penstock.data.options import ReadOptions, TableFormat
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, DataType
from penstock.data.table import open_table
from penstock.errors import DataError, NotFoundError, UsageError
from penstock.settings import Settings, load_settings

PEOPLE = "name,age,when,ok\nAda,36,1852-11-27,true\nAlan,,1954-06-07,\n?,41,,false\n"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    return path


def test_columns_are_typed_and_nullable(people: Path, settings: Settings) -> None:
    with open_table(people, settings=settings) as table:
        kinds = [(column.name, column.type.value, column.nullable) for column in table.schema]
    assert kinds == [
        ("name", "string", True),
        ("age", "integer", True),
        ("when", "timestamp", True),
        ("ok", "boolean", True),
    ]


def test_missing_values_stand_as_their_type_says(people: Path, settings: Settings) -> None:
    with open_table(people, settings=settings) as table:
        batch = table.read()
    assert batch["name"].tolist() == ["Ada", "Alan", MISSING_STRING]
    assert batch["age"][0] == 36
    assert np.isnan(batch["age"][1])
    assert batch["when"][2] == MISSING_TIMESTAMP
    assert batch["ok"][[0, 2]].tolist() == [1.0, 0.0]
    assert np.isnan(batch["ok"][1])


def test_batches_are_the_table_in_order(people: Path, settings: Settings) -> None:
    with open_table(people, settings=settings) as table:
        batches = list(table.batches(2))
        assert [batch.rows for batch in batches] == [2, 1]
        whole = concatenate(batches)
        for name in table.schema.names:
            np.testing.assert_array_equal(whole[name], table.read()[name])


def test_some_columns_are_read_in_the_order_asked_for(people: Path, settings: Settings) -> None:
    with open_table(people, settings=settings) as table:
        batch = table.read(["age", "name"], limit=1)
        assert {name: array.tolist() for name, array in batch.arrays.items()} == {"age": [36.0], "name": ["Ada"]}
        with pytest.raises(DataError, match=r"there is no column 'agee'.*did you mean 'age'"):
            table.read(["agee"])


def test_every_detection_names_its_subject_and_reason(people: Path, settings: Settings) -> None:
    with open_table(people, settings=settings) as table:
        shown = [str(detection) for detection in table.detections]
    assert "delimiter: comma (100% of the first rows then have 4 cells)" in shown
    assert "null marks of 'name': '?' (1 cells)" in shown
    assert any(text.startswith("type of 'when': timestamp") for text in shown)


def test_what_the_user_says_is_not_detected(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a;b\n1;caf\u00e9\n2;-\n".encode("cp1252"))
    options = ReadOptions(
        delimiter=";", header=True, encoding="cp1252", null_marks=("-",), types={"a": DataType.STRING}, skip_lines=0
    )
    with open_table(path, settings=settings, options=options) as table:
        assert table.read()["a"].tolist() == ["1", "2"]
        assert table.read()["b"].tolist() == ["café", MISSING_STRING]
        assert {detection.what for detection in table.detections} == {"type"}


def test_null_marks_of_one_column_leave_the_others_alone(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("country,state\nNA,NA\nDE,BY\n")
    with open_table(path, settings=settings, options=ReadOptions(null_marks={"country": ()})) as table:
        assert table.read()["country"].tolist() == ["NA", "DE"]
        assert table.read()["state"].tolist() == [MISSING_STRING, "BY"]


def test_options_about_a_column_that_is_not_there_are_refused(people: Path, settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"the types name a column 'aeg'.*did you mean 'age'"):
        open_table(people, settings=settings, options=ReadOptions(types={"aeg": DataType.FLOAT}))


def test_timestamps_without_offset_are_of_the_named_zone(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("t\n2020-07-01 12:00:00\n2020-07-01 12:00:00Z\n")
    with open_table(path, settings=settings, options=ReadOptions(timezone="Europe/Berlin")) as table:
        berlin, utc = table.read()["t"].tolist()
        assert table.schema["t"].timezone == "Europe/Berlin"
    assert utc - berlin == 2 * 3_600_000_000


def test_named_formats_decide_between_day_and_month(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("t\n02/01/2014\n03/04/2014\n")
    with open_table(path, settings=settings) as table:
        assert table.schema["t"].formats == ("%m/%d/%Y",)
        assert any("%d/%m/%Y reads them as well" in str(detection) for detection in table.detections)
    with open_table(path, settings=settings, options=ReadOptions(formats={"t": ("%d/%m/%Y",)})) as table:
        assert table.read()["t"][0] == 1_388_620_800_000_000  # 2014-01-02


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_files_are_read(suffix: str, people: Path, settings: Settings) -> None:
    import bz2
    import gzip
    import lzma

    packed = people.with_suffix(".csv" + suffix)
    packed.write_bytes({".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix].compress(people.read_bytes()))
    with open_table(packed, settings=settings) as table:
        assert table.count() == 3


def test_zstandard_is_read(tmp_path: Path, people: Path, settings: Settings) -> None:
    packed = tmp_path / "people.csv.zst"
    duckdb.connect().execute(f"COPY (SELECT * FROM '{people}') TO '{packed}' (FORMAT csv, COMPRESSION zstd)")
    with open_table(packed, settings=settings) as table:
        assert table.count() == 3
        assert table.schema.names == ("name", "age", "when", "ok")


def test_a_damaged_archive_is_a_clear_error(tmp_path: Path, settings: Settings) -> None:
    import gzip

    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(PEOPLE.encode() * 1000)[:60])
    with pytest.raises(DataError, match=r"cut.csv.gz cannot be decompressed as gz"):
        open_table(path, settings=settings)


def test_a_glob_a_list_and_a_folder_are_one_table(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(3):
        (folder / f"part-{i}.csv").write_text(f"a,b\n{i},x\n")
    for source in (
        str(folder / "part-*.csv"),
        [folder / "part-0.csv", folder / "part-1.csv", folder / "part-2.csv"],
        folder,
    ):
        with open_table(source, settings=settings) as table:
            assert table.read()["a"].tolist() == [0, 1, 2]


def test_files_of_different_columns_are_not_one_table(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("b,a\n1,2\n")
    with pytest.raises(DataError, match=r"2.csv has the columns b, a, but .*1.csv has a, b"):
        open_table(str(tmp_path / "*.csv"), settings=settings)


def test_a_uri_is_read_through_fsspec(settings: Settings) -> None:
    with fsspec.open("memory://bucket/t.csv", "w") as file:
        file.write(PEOPLE)
    with open_table("memory://bucket/t.csv", settings=settings) as table:
        assert table.count() == 3
    with pytest.raises(NotFoundError, match=r"there is nothing at memory://bucket/none\.csv"):
        open_table("memory://bucket/none.csv", settings=settings)


def test_parquet_keeps_its_types(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "t.parquet"
    duckdb.connect().execute(
        "COPY (SELECT 1::INT AS i, 2.5::FLOAT AS f, 'nan'::DOUBLE AS n, true AS b, '?' AS s, DATE '2020-01-01' AS d, "
        f"TIMESTAMPTZ '2020-01-01 12:00:00+02' AS z, [1, 2] AS l, 1.25::DECIMAL(9,2) AS m) TO '{path}'"
    )
    with open_table(path, settings=settings) as table:
        kinds = [column.type.value for column in table.schema]
        batch = table.read()
        assert table.schema["n"].nullable
    assert kinds == ["integer", "float", "float", "boolean", "string", "timestamp", "timestamp", "string", "float"]
    assert batch["s"][0] == "?"
    assert batch["l"][0] == "[1,2]"
    assert batch["z"][0] == 1_577_872_800_000_000


def test_parquet_is_known_by_its_first_bytes(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "no-suffix"
    duckdb.connect().execute(f"COPY (SELECT 1 AS a) TO '{path}' (FORMAT parquet)")
    with open_table(path, settings=settings) as table:
        assert table.read()["a"].tolist() == [1]


def test_json_lines_may_leave_keys_out(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "t": "2020-01-01 10:00:00 UTC"}\n{"a": 2.5, "deep": {"x": [1]}}\n')
    with open_table(path, settings=settings) as table:
        assert [(c.type.value, c.nullable) for c in table.schema] == [
            ("float", False),
            ("timestamp", True),
            ("string", True),
        ]
        assert table.read()["deep"].tolist() == [MISSING_STRING, '{"x":[1]}']


def test_broken_json_names_its_line(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(DataError, match=r"t.jsonl line 2 is not JSON"):
        open_table(path, settings=settings)
    path.write_text('{"a": 1}\n{"a": \n\n[2]\n{"a": 3}\n')
    with open_table(path, settings=settings, options=ReadOptions(bad_rows="reject")) as table:
        assert table.read()["a"].tolist() == [1, 3]
        assert [(row.line, row.text) for row in table.rejected] == [(2, '{"a": '), (4, "[2]")]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "x.csv is empty"), ("\n\n\n", "x.csv is empty"), ("  \n", "x.csv is empty")],
)
def test_an_empty_file_is_refused(text: str, message: str, tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        open_table(path, settings=settings)


def test_texts_over_columns_of_recurring_texts_are_names_even_where_one_is_also_a_value(
    tmp_path: Path, settings: Settings
) -> None:
    rows = [f"{'abc'[i % 3]},{'pqrs'[i % 4]},{'yes' if i % 5 else 'no'}" for i in range(40)]
    (tmp_path / "named.csv").write_text("\n".join(["c,kind,sold", *rows]))
    (tmp_path / "bare.csv").write_text("\n".join(rows))
    with open_table(tmp_path / "named.csv", settings=settings) as table:
        assert (table.schema.names, table.count()) == (("c", "kind", "sold"), 40)
    with open_table(tmp_path / "bare.csv", settings=settings) as table:
        assert (table.schema.names, table.count()) == (("column_1", "column_2", "column_3"), 40)


def test_three_digits_behind_a_comma_are_decimals_where_no_group_could_begin_so(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "t.csv").write_text("x;y\n0,844;1,500\n-0,052;-2,250\n12,405;0,179\n")
    with open_table(tmp_path / "t.csv", settings=settings) as table:
        batch = table.read()
        assert (batch["x"].tolist(), batch["y"].tolist()) == ([0.844, -0.052, 12.405], [1.5, -2.25, 0.179])


def test_a_file_with_only_a_header_is_a_table_without_rows(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,age\n")
    with open_table(path, settings=settings) as table:
        assert (table.count(), table.schema.names) == (0, ("name", "age"))
        assert table.read().rows == 0
        assert list(table.batches(10)) == []


def test_a_column_without_a_value_is_text_and_said_to_be_missing(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,\n2,\n")
    with open_table(path, settings=settings) as table:
        assert table.schema["b"].type is DataType.STRING
        assert "type of 'b': string (every value is missing)" in [str(d) for d in table.detections]


def test_a_missing_file_is_named_with_what_is_like_it(people: Path, settings: Settings) -> None:
    with pytest.raises(NotFoundError, match=r"did you mean 'people\.csv'"):
        open_table(people.parent / "peopel.csv", settings=settings)
    with pytest.raises(NotFoundError, match="no file matches"):
        open_table(str(people.parent / "*.tsv"), settings=settings)
    with pytest.raises(UsageError, match="no file was named"):
        open_table([], settings=settings)


HOSTILE = ["a'; DROP TABLE x; --", 'say ""quoted""', "naïve 列", "a", "A", "c0", "$1", "{x}", "', delim=',", "\\"]


def test_hostile_column_names_are_only_names(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text(",".join(f'"{name}"' for name in HOSTILE) + "\n" + ",".join(map(str, range(len(HOSTILE)))) + "\n")
    names = tuple(name.replace('""', '"') for name in HOSTILE)
    with open_table(path, settings=settings) as table:
        assert table.schema.names == names
        assert [array[0] for array in table.read().arrays.values()] == list(range(len(HOSTILE)))
        assert [table.value_counts(name)[0] for name in names] == [(i, 1) for i in range(len(HOSTILE))]


@pytest.mark.parametrize(
    "name", ["a'b.csv", "'); DROP TABLE x; --.csv", 'q"uote.csv', "列 [1].csv", "{x}.csv", "a\\b.csv"]
)
def test_hostile_file_names_are_only_names(name: str, tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / name
    path.write_text("a\n1\n")
    with open_table(path, settings=settings) as table:
        assert table.read()["a"].tolist() == [1]


def test_hostile_null_marks_and_cells_are_only_text(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n\"' OR 1=1 --\",x\n'); SELECT 1,y\n")
    with open_table(path, settings=settings, options=ReadOptions(null_marks=("' OR 1=1 --",))) as table:
        assert table.read()["a"].tolist() == [MISSING_STRING, "'); SELECT 1"]


def test_a_table_connection_reads_its_files_and_no_others(people: Path, tmp_path: Path, settings: Settings) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with open_table(people, settings=settings) as table, table.connect() as connection:
        assert len(connection.execute(table.sql).fetchall()) == 3
        for query in (
            f"SELECT * FROM '{other}'",
            "SELECT * FROM read_text('/etc/passwd')",
            f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(query)


def test_a_table_changed_or_gone_since_it_was_opened_is_not_read(people: Path, settings: Settings) -> None:
    with open_table(people, settings=settings) as table:
        people.write_text(PEOPLE + "Bob,1,,\n")
        with pytest.raises(DataError, match=r"people.csv was changed while it was being read"):
            table.read()
        people.unlink()
        with pytest.raises(DataError, match=r"people.csv has gone while it was being read"):
            list(table.batches(10))


def test_the_digest_is_of_the_bytes_alone(people: Path, tmp_path: Path, settings: Settings) -> None:
    twin, other = tmp_path / "twin.csv", tmp_path / "other.csv"
    twin.write_text(PEOPLE)
    other.write_text(PEOPLE.replace("36", "37"))
    digests = []
    for path in (people, twin, other):
        with open_table(path, settings=settings) as table:
            digests.append(table.digest())
    assert digests[0] == digests[1] != digests[2]


def test_temporary_copies_go_with_the_table(people: Path, settings: Settings) -> None:
    packed = people.with_suffix(".csv.bz2")
    import bz2

    packed.write_bytes(bz2.compress(people.read_bytes()))
    table = open_table(packed, settings=settings)
    assert list((settings.home / "tmp").iterdir())
    table.close()
    assert not list((settings.home / "tmp").iterdir())


def test_copies_left_by_a_killed_process_are_removed(people: Path, settings: Settings) -> None:
    orphan = settings.home / "tmp" / "999999999-0123456789ab"
    alive = settings.home / "tmp" / f"{os.getppid()}-0123456789ab"
    for folder in (orphan, alive):
        folder.mkdir(parents=True)
    open_table(people, settings=settings).close()
    assert not orphan.exists()
    assert alive.exists()


def test_mixed_line_ends_are_read_and_told(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\r\n1,2\n3,4\r\n")
    with open_table(path, settings=settings) as table:
        assert table.read()["b"].tolist() == [2, 4]
        assert "line ends" in {detection.what for detection in table.detections}


def test_a_line_of_several_megabytes_is_read(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1," + "x" * 3_000_000 + "\n2,y\n")
    with open_table(path, settings=settings) as table:
        assert [len(text) for text in table.read()["b"]] == [3_000_000, 1]


def test_rows_stream_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    duckdb.connect().execute(
        f"COPY (SELECT range AS a, repeat('x', 100) || range AS b FROM range(1_500_000)) TO '{path}'"
    )
    settings = load_settings({"PENSTOCK_HOME": str(tmp_path / "home"), "PENSTOCK_MEMORY_LIMIT_MB": "100"})
    with open_table(path, settings=settings) as table:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = 0
        for batch in table.batches(10_000):
            assert isinstance(batch, ColumnBatch)
            rows += batch.rows
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert rows == 1_500_000
    assert path.stat().st_size > 150_000_000
    assert grown_mb < 120


def test_a_format_can_be_named(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "rows.log"
    path.write_text('{"a": 1}\n')
    with open_table(path, settings=settings, options=ReadOptions(format=TableFormat.JSON_LINES)) as table:
        assert table.read()["a"].tolist() == [1]


def test_quoted_line_breaks_survive_the_rewriting_that_leaves_rows_out(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"ha \n""ha"" \nha"\n3,4\n')
    with open_table(path, settings=settings, options=ReadOptions(bad_rows="reject")) as table:
        assert (table.count(), len(table.rejected)) == (2, 0)


def test_chunks_of_parquet_files_are_any_range_of_their_rows(tmp_path: Path, settings: Settings) -> None:
    with duckdb.connect() as connection:
        for part in range(3):
            connection.execute(
                f"COPY (SELECT i + {part * 5_000} AS number, 'w' || (i % 7) AS word FROM range(5000) t(i)) "
                f"TO '{tmp_path}/part{part}.parquet' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
            )
    table = open_table(str(tmp_path / "*.parquet"), settings=settings)
    whole = table.read()
    for first in (0, 7_003):
        chunks = list(table.chunks(1_900, first_row=first))
        assert max(chunk.rows for chunk in chunks) == 1_900
        for name in whole.schema.names:
            assert np.array_equal(np.concatenate([chunk[name] for chunk in chunks]), whole[name][first:])


@pytest.mark.parametrize(
    ("above", "names"),
    [
        ('id,"a" b,z\n', ("id", "a b", "z")),
        ('id,"""""" import os; os.system(\'x\') """""",z\n', ("id", '"" import os; os.system(\'x\') """"""', "z")),
        ('"a" b\nid,b,z\n', ("id", "b", "z")),
        ('He said "hello\nid,b,z\n', ("id", "b", "z")),
    ],
)
@pytest.mark.parametrize("bad_rows", ["error", "reject"])
def test_odd_quotes_above_the_rows_lose_none(
    above: str, names: tuple[str, ...], bad_rows: Literal["error", "reject"], tmp_path: Path, settings: Settings
) -> None:
    """DuckDB would take all rows for a part of such a header, and say nothing."""
    path = tmp_path / "t.csv"
    path.write_text(above + '1,2,3\n4,"""",6\n7,8,9\n')
    with open_table(path, settings=settings, options=ReadOptions(bad_rows=bad_rows)) as table:
        assert table.schema.names == names
        assert table.read(["id"])["id"].tolist() == [1, 4, 7]
        assert table.rejected == ()
    # The same header above the second of two files.
    if above.count("\n") == 1:
        (tmp_path / "s.csv").write_text(f'id,"{names[1].replace(chr(34), chr(34) * 2)}",z\n0,0,0\n')
        with open_table([tmp_path / "s.csv", path], settings=settings) as table:
            assert table.count() == 4


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,b\n1,2\n3,"4\n5,6\n7,8\n')
    with pytest.raises(DataError, match=r"t\.csv line 3"):
        open_table(path, settings=settings)
    with open_table(path, settings=settings, options=ReadOptions(bad_rows="reject")) as table:
        assert table.count() == 1
        (row,) = table.rejected
        assert (row.line, row.reason) == (3, "a quote that is opened here is never closed")
        assert row.text == "3,4\n5,6\n7,8\n"
    path.write_text('"id,b\n1,2\n3,4\n')
    for bad_rows in ("error", "reject"):
        with pytest.raises(DataError, match=r"t\.csv line 1: a quote in the header is never closed"):
            open_table(path, settings=settings, options=ReadOptions(bad_rows=bad_rows))
    with open_table(path, settings=settings, options=ReadOptions(quote="")) as table:
        assert table.schema.names == ('"id', "b")
        assert table.count() == 2
