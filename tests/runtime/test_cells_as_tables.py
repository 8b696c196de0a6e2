"""A cell that a caller sends as text is read as the table's reader reads it: spaces, null marks, numbers as written."""

import csv
from pathlib import Path

import numpy as np
import orjson
import pytest

from penstock.bundle.manifest import Signature
from penstock.data.columns import ColumnBatch
from penstock.data.options import ReadOptions
from penstock.data.schema import Column, DataType
from penstock.data.table import open_table
from penstock.errors import InstanceError
from penstock.runtime.instances import InstanceDecoder
from penstock.runtime.rows import RowReader
from penstock.settings import Settings

TABLES = {
    "padded words": ("a| a|a |  b|\u00a0 c |d e|?| ? |  |a", DataType.STRING),
    "words": ("a|b|d e|a", DataType.STRING),
    "decimal comma": ("123.456,5|1.234|0,5|-7|+12,25|1.234.567|8", DataType.FLOAT),
    "whole numbers, decimal comma in the table": ("1.234|5|12.345.678", DataType.INTEGER),
    "comma groups": ("123,456|7|1,234,567|-1,000", DataType.INTEGER),
    "comma groups and points": ("123,456.5|7|0.25|+1,234.0|1e3", DataType.FLOAT),
    "plain": ("1.5| 2 |-3|4e2|.5|6.", DataType.FLOAT),
}


def opened(texts: list[str], file: Path, settings: Settings, *, options: ReadOptions | None = None) -> ColumnBatch:
    """The column `x` of these cells as the table's reader has it."""
    file.write_text("x;y\n" + "".join(f"{text};0,5\n" for text in texts), encoding="utf-8")
    table = open_table(str(file), settings=settings, options=options)
    batch = table.read(["x"])
    table.close()
    return batch


@pytest.mark.parametrize("name", TABLES)
def test_a_served_cell_is_the_one_the_table_held(name: str, tmp_path: Path, settings: Settings) -> None:
    texts, kind = TABLES[name][0].split("|"), TABLES[name][1]
    batch = opened(texts, tmp_path / "cells.csv", settings)
    assert batch.schema["x"].type is kind
    signature = Signature(inputs=batch.schema.columns, outputs=())
    served = InstanceDecoder(signature)
    rows = [{"x": text} for text in texts]
    for decoded in (served.rows(rows), served.columns({"x": texts})):
        np.testing.assert_array_equal(decoded["x"], batch["x"])
    if kind is DataType.STRING:
        reader = RowReader(signature)
        quick = reader.batch(reader.read(orjson.dumps({"instances": rows})))
        np.testing.assert_array_equal(quick["x"], batch["x"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("decimal comma", "1234.5"),
        ("decimal comma", "12.34"),
        ("decimal comma", "1,2,3"),
        ("comma groups", "1,23"),
        ("comma groups", "1.234.567"),
        ("comma groups", "1234,567"),
        ("plain", "1,5"),
        ("plain", "1,234"),
        ("plain", "\u0663"),
    ],
)
def test_what_the_table_would_refuse_is_refused(name: str, text: str, tmp_path: Path, settings: Settings) -> None:
    texts = TABLES[name][0].split("|")
    column = opened(texts, tmp_path / "cells.csv", settings).schema["x"]
    # The same plan over one more cell, too late to be in the sample: the table's reader cannot take it as a number.
    longer = [*(texts * 3_000), text]
    assert opened(longer, tmp_path / "longer.csv", settings).schema["x"] != column
    with pytest.raises(InstanceError, match="expected a"):
        InstanceDecoder(Signature(inputs=(column,), outputs=())).rows([{"x": text}])


@pytest.mark.parametrize("name", ["decimal comma", "comma groups and points"])
def test_json_numbers_are_numbers_whatever_the_notation(name: str, tmp_path: Path, settings: Settings) -> None:
    column = opened(TABLES[name][0].split("|"), tmp_path / "cells.csv", settings).schema["x"]
    batch = InstanceDecoder(Signature(inputs=(column,), outputs=())).rows([{"x": 123.456}, {"x": 1234}])
    assert batch["x"].tolist() == [123.456, 1234.0]


def test_a_table_read_without_trimming_is_served_without(tmp_path: Path, settings: Settings) -> None:
    texts = ["a", " a", "b "]
    batch = opened(texts, tmp_path / "cells.csv", settings, options=ReadOptions(trim=False))
    assert not batch.schema["x"].trim
    assert InstanceDecoder(Signature(inputs=batch.schema.columns, outputs=())).columns({"x": texts})["x"].tolist() == [
        "a",
        " a",
        "b ",
    ]


def test_spaces_alone_are_a_missing_cell_and_refused_where_none_was() -> None:
    column = Column(name="x", type=DataType.STRING, trim=True)
    with pytest.raises(InstanceError, match="is missing"):
        InstanceDecoder(Signature(inputs=(column,), outputs=())).rows([{"x": "  "}])


def test_an_empty_text_where_no_cell_was_missing_is_a_quoted_empty_cell() -> None:
    column = Column(name="x", type=DataType.STRING, trim=True)
    assert InstanceDecoder(Signature(inputs=(column,), outputs=())).rows([{"x": ""}])["x"].tolist() == [""]


def test_the_padded_cells_of_a_real_file_are_served_as_they_were_learnt(shared_data: Path, settings: Settings) -> None:
    file = shared_data / "tabular" / "adult_test_noheader_raw.csv"
    table = open_table(str(file), settings=settings)
    batch = table.read(limit=2_000)
    table.close()
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines) if row][: batch.rows]
    assert rows[0][1].startswith(" ")
    sent = [dict(zip(batch.schema.names, row, strict=True)) for row in rows]
    decoded = InstanceDecoder(Signature(inputs=batch.schema.columns, outputs=())).rows(sent)
    for name in batch.schema.names:
        np.testing.assert_array_equal(decoded[name], batch[name])
