from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.parquet import ParquetColumn, parquet_bytes

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


def read_back(folder: Path, content: bytes) -> tuple[list[str], list[tuple[Any, ...]]]:
    file = folder / "table.parquet"
    file.write_bytes(content)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * REPLACE (epoch_us(t) AS t) FROM read_parquet('{file}')")
        return [column[0] for column in found.description or []], found.fetchall()


@given(rows=st.lists(st.tuples(LONG, st.floats(allow_nan=False), TEXT, st.integers(0, 2**50)), min_size=1, max_size=40))
def test_duckdb_reads_what_was_written(rows: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    whole, floats, texts, moments = zip(*rows, strict=True)
    content = parquet_bytes(
        [
            ParquetColumn("n", "integer", whole),
            ParquetColumn("x", "float", floats),
            ParquetColumn("a name, with é", "text", texts),
            ParquetColumn("t", "timestamp", moments),
        ]
    )
    names, found = read_back(tmp_path_factory.mktemp("parquet"), content)
    assert names == ["n", "x", "a name, with é", "t"]
    assert found == rows


def test_many_columns_and_many_rows(tmp_path: Path) -> None:
    columns = [ParquetColumn(f"c{index}", "text", [f"{index} " * 3] * 20_000) for index in range(20)]
    names, found = read_back(tmp_path, parquet_bytes([*columns, ParquetColumn("t", "timestamp", [0] * 20_000)]))
    assert len(names) == 21
    assert len(found) == 20_000
    assert found[-1][19] == "19 19 19 "
