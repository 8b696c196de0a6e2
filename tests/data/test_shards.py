import csv
import gzip
import io
from pathlib import Path

import duckdb
import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.data.shards import cut_into_shards, find_input_files, open_shard
from penstock.errors import NotFoundError

CELLS = st.text(alphabet='ab,"\n é', max_size=12)


def test_lines_are_cut_between_lines(tmp_path: Path) -> None:
    lines = [f"line {index} {'x' * (index % 50)}" for index in range(2_000)]
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join(lines))
    shards = cut_into_shards(find_input_files([str(file)]), kind="lines", shard_bytes=3_000)
    assert len(shards) > 10
    read = []
    for shard in shards:
        with open_shard(shard) as opened:
            read += opened.read().decode().splitlines()
    assert read == lines


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=40), size=st.integers(1, 60))
def test_csv_is_cut_between_records_whatever_their_cells_hold(
    rows: list[list[str]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("csv") / "in.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    read = []
    for shard in cut_into_shards(find_input_files([str(file)]), kind="csv", shard_bytes=size):
        with open_shard(shard) as part:
            read += list(csv.reader(io.StringIO(part.read().decode(), newline="")))
    assert read == [["a", "b"], *rows]


def test_a_large_csv_is_cut_across_blocks(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    rows = [[str(index), "two\nlines" if index % 7 == 0 else "one"] for index in range(200_000)]
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["a", "b"], *rows])
    shards = cut_into_shards(find_input_files([str(file)]), kind="csv", shard_bytes=300_000)
    assert [shard.start for shard in shards[1:]] == [shard.stop for shard in shards[:-1]]
    assert max(shard.size_bytes for shard in shards) < 400_000
    read = []
    for shard in shards:
        with open_shard(shard) as part:
            read += list(csv.reader(io.StringIO(part.read().decode(), newline="")))
    assert read == [["a", "b"], *rows]


def test_parquet_is_cut_between_row_groups(tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT i, random() AS r FROM range(20000) t(i)) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    shards = cut_into_shards(find_input_files([str(file)]), kind="parquet", shard_bytes=40_000)
    assert len(shards) > 2
    assert shards[0].start == 0
    assert shards[-1].stop == 20_000
    assert [shard.start for shard in shards[1:]] == [shard.stop for shard in shards[:-1]]


def test_packed_files_are_read_whole_and_empty_ones_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"1\n" * 1000))
    (tmp_path / "b.jsonl").touch()
    (shard,) = cut_into_shards(find_input_files([str(tmp_path)]), kind="lines", shard_bytes=1)
    with open_shard(shard) as opened:
        assert opened.read() == b"1\n" * 1000


def test_uris_and_wildcards_name_files(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    for name in ("one", "two"):
        system.pipe_file(f"/shards/in-{name}.jsonl", b"1\n")
    found = find_input_files(["memory://shards/in-*.jsonl"])
    assert [file.uri for file in found] == ["memory:///shards/in-one.jsonl", "memory:///shards/in-two.jsonl"]
    shards = cut_into_shards(found, kind="lines", shard_bytes=10)
    with open_shard(shards[1]) as opened:
        assert opened.read() == b"1\n"
    with pytest.raises(NotFoundError, match="names no file"):
        find_input_files([str(tmp_path / "nothing-*")])
