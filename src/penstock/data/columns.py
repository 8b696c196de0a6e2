"""Columns of values in memory: what a table becomes once read, and a prediction request once parsed.

One array a column, all of one length (decision: types in the graph):

| type                    | array                | missing            |
|-------------------------|----------------------|--------------------|
| integer, float, boolean | float64              | NaN                |
| string                  | object, holding str  | MISSING_STRING     |
| timestamp               | int64, microseconds since 1970-01-01 UTC | MISSING_TIMESTAMP |
| image                   | uint8, `[rows, height, width, 3]`        | none               |

A column with a `shape` has an array `[rows, *shape]`, and no value of it counts as missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, DataType, Schema
from penstock.errors import DataError

__all__ = ["Array", "ColumnBatch", "concatenate", "dtype_of", "is_missing", "missing_value"]

Array = NDArray[Any]


@dataclass(frozen=True)
class ColumnBatch:
    """Rows held column by column. arrays: one `[rows]` array per schema column, in schema order."""

    schema: Schema
    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        if tuple(self.arrays) != self.schema.names:
            raise DataError(f"a batch of columns {list(self.arrays)} is not of its schema {list(self.schema.names)}")
        lengths = {len(array) for array in self.arrays.values()}
        if len(lengths) > 1:
            raise DataError(f"the columns of a batch differ in length: {sorted(lengths)}")

    @property
    def rows(self) -> int:
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def take(self, index: Array | slice) -> "ColumnBatch":
        """The rows at these positions, in this order."""
        return ColumnBatch(self.schema, {name: array[index] for name, array in self.arrays.items()})

    def select(self, names: tuple[str, ...]) -> "ColumnBatch":
        return ColumnBatch(self.schema.select(names), {name: self.arrays[name] for name in names})


def dtype_of(data_type: DataType) -> np.dtype[Any]:
    """The array type that holds values of this logical type."""
    match data_type:
        case DataType.INTEGER | DataType.FLOAT | DataType.BOOLEAN:
            return np.dtype(np.float64)
        case DataType.STRING:
            return np.dtype(object)
        case DataType.TIMESTAMP:
            return np.dtype(np.int64)
        case DataType.IMAGE:
            return np.dtype(np.uint8)


def missing_value(data_type: DataType) -> float | str | int:
    """What stands for a missing value in an array of this type."""
    match data_type:
        case DataType.STRING:
            return MISSING_STRING
        case DataType.TIMESTAMP:
            return MISSING_TIMESTAMP
        case _:
            return float("nan")


def is_missing(array: Array, data_type: DataType) -> NDArray[np.bool_]:
    """Which values are missing, `[rows]`."""
    if array.ndim > 1:
        return np.zeros(len(array), dtype=bool)
    match data_type:
        case DataType.STRING:
            return np.asarray(array == MISSING_STRING, dtype=bool)
        case DataType.TIMESTAMP:
            return np.asarray(array == MISSING_TIMESTAMP, dtype=bool)
        case _:
            return np.isnan(array)


def concatenate(batches: list[ColumnBatch]) -> ColumnBatch:
    """The rows of all batches, one after the other; the batches share one schema and there is at least one."""
    schema = batches[0].schema
    return ColumnBatch(schema, {name: np.concatenate([batch[name] for batch in batches]) for name in schema.names})
