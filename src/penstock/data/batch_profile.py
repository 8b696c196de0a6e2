"""The profile of rows in memory: of trainings whose input function gives arrays, not a table."""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from penstock.data.columns import Array, ColumnBatch
from penstock.data.engine import Workspace
from penstock.data.options import ReadOptions, TableFormat
from penstock.data.profile import TableProfile
from penstock.data.profiler import profile_table
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, DataType
from penstock.data.table import open_table
from penstock.settings import Settings

__all__ = ["profile_batch"]


def profile_batch(batch: ColumnBatch, *, settings: Settings) -> TableProfile:
    """Every column's statistics, as `profile_table` makes them. Images and columns with a shape are left out."""
    columns = [column for column in batch.schema if not column.shape and column.type is not DataType.IMAGE]
    if not columns or not batch.rows:
        return TableProfile(rows=batch.rows, columns=())
    workspace = Workspace(settings)
    try:
        path = workspace.folder() / "rows.jsonl"
        names = [column.name for column in columns]
        values = [_plain(batch[column.name], column.type) for column in columns]
        with path.open("w", encoding="utf-8") as lines:
            for row in zip(*values, strict=True):
                lines.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")
        told = ReadOptions(
            format=TableFormat.JSON_LINES,
            types={column.name: column.type for column in columns},
            null_marks=(),
            trim=False,
        )
        with open_table(path, settings=settings, options=told) as table:
            return profile_table(table, relations=False)
    finally:
        workspace.close()


def _plain(array: Array, kind: DataType) -> Iterable[Any]:
    """The values as DuckDB reads them from JSON; it takes infinities as Python writes them, though JSON has none."""
    match kind:
        case DataType.STRING:
            return (None if value == MISSING_STRING else value for value in array.tolist())
        case DataType.TIMESTAMP:
            texts = np.datetime_as_string(array.view("datetime64[us]")).tolist()
            missing = (array == MISSING_TIMESTAMP).tolist()
            return (None if is_missing else text for text, is_missing in zip(texts, missing, strict=True))
        case DataType.FLOAT:
            return (None if math.isnan(value) else value for value in array.tolist())
        case _:
            made = bool if kind is DataType.BOOLEAN else int
            return (None if math.isnan(value) else made(value) for value in array.tolist())
