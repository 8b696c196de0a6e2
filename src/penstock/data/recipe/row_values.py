"""Rows one by one: tuples of Python values, None for missing; and batches of them as columns.

integer: int, float: float, boolean: bool, string: str, timestamp: int, microseconds since 1970 UTC.
"""

from collections.abc import Iterator, Sequence
from functools import cmp_to_key
from typing import Any

import numpy as np

from penstock.data.columns import Array, ColumnBatch, dtype_of, is_missing, missing_value
from penstock.data.recipe.steps.base import time_text
from penstock.data.recipe.steps.rows import OrderKey
from penstock.data.schema import DataType, Schema

__all__ = ["Row", "batch_of", "key_of", "readable_rows", "row_order", "rows_of", "sorted_rows", "total_order"]

Row = tuple[Any, ...]


def rows_of(batch: ColumnBatch) -> Iterator[Row]:
    """The rows of a batch."""
    if not len(batch.schema):
        return iter(())
    return zip(*[_values(batch[item.name], item.type) for item in batch.schema], strict=True)


def readable_rows(batch: ColumnBatch) -> list[Row]:
    """The rows of a batch with timestamps as ISO 8601 texts."""
    times = [place for place, item in enumerate(batch.schema) if item.type is DataType.TIMESTAMP]
    return [
        tuple(time_text(value) if place in times and value is not None else value for place, value in enumerate(row))
        for row in rows_of(batch)
    ]


def batch_of(rows: Sequence[Row], schema: Schema) -> ColumnBatch:
    """Rows as columns."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return ColumnBatch(
        schema, {item.name: _array(values, item.type) for item, values in zip(schema, columns, strict=True)}
    )


def key_of(row: Row, places: Sequence[int]) -> Row:
    """These values of a row, such that equal keys have equal bytes: there is one zero."""
    return tuple(row[place] + 0.0 if isinstance(row[place], float) else row[place] for place in places)


def total_order(schema: Schema, keys: Sequence[OrderKey]) -> tuple[OrderKey, ...]:
    """The keys, then every other column: rows that still tie are equal."""
    named = {key.column for key in keys}
    return (*keys, *(OrderKey(name) for name in schema.names if name not in named))


def sorted_rows(rows: Sequence[Row], schema: Schema, keys: Sequence[OrderKey]) -> list[Row]:
    """The rows in order; missing values come last either way."""
    ordered = list(rows)
    for key in reversed(keys):
        place = schema.names.index(key.column)
        known = [row for row in ordered if row[place] is not None]
        known.sort(key=lambda row: row[place], reverse=key.direction == "descending")
        ordered = [*known, *(row for row in ordered if row[place] is None)]
    return ordered


def row_order(schema: Schema, keys: Sequence[OrderKey]) -> Any:
    """A sort key of rows for these order keys."""
    places = [(schema.names.index(key.column), -1 if key.direction == "descending" else 1) for key in keys]

    def compare(left: Row, right: Row) -> int:
        for place, sign in places:
            here, there = left[place], right[place]
            if here is None or there is None:
                if here is not there:
                    return 1 if here is None else -1
            elif here != there:
                return -sign if here < there else sign
        return 0

    return cmp_to_key(compare)


def _values(array: Array, data_type: DataType) -> list[Any]:
    missing = is_missing(array, data_type)
    values: list[Any]
    match data_type:
        case DataType.INTEGER:
            values = np.where(missing, 0.0, array).astype(np.int64).tolist()
        case DataType.BOOLEAN:
            values = (array == 1.0).tolist()
        case _:
            values = array.tolist()
    if missing.any():
        for place in np.flatnonzero(missing).tolist():
            values[place] = None
    return values


def _array(values: Sequence[Any], data_type: DataType) -> Array:
    missing = missing_value(data_type)
    array = np.empty(len(values), dtype=dtype_of(data_type))
    array[:] = [missing if value is None else value for value in values]
    return array
