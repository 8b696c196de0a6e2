"""Rows that differ from real ones in what breaks models: missing, never-seen and extreme values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, concatenate
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType

__all__ = ["NEVER_SEEN", "hostile_rows"]

NEVER_SEEN = "never seen in training \u2603"

_YEAR_US = 31_556_952_000_000  # 365.2425 days, in microseconds


def hostile_rows(batch: ColumnBatch, *, seed: int = 0) -> ColumnBatch:
    """Variations of real rows: each column in turn takes each of its hostile values, then all columns do at random.

    batch: at least one real row. The result depends on the batch and the seed alone.
    """
    random = np.random.default_rng(seed)
    batches = []
    hostile = {column.name: _hostile_values(column, batch[column.name]) for column in batch.schema}
    for name, values in hostile.items():
        rows = batch.take(random.integers(0, batch.rows, len(values)))
        batches.append(ColumnBatch(batch.schema, {**rows.arrays, name: values}))
    mixed = batch.take(random.integers(0, batch.rows, 32))
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in hostile.items():
        chosen = (random.random(mixed.rows) < 0.5).reshape(-1, *[1] * (values.ndim - 1))
        arrays[name] = np.where(chosen, values[random.integers(0, len(values), mixed.rows)], mixed[name])
    return concatenate([*batches, ColumnBatch(batch.schema, arrays)])


def _hostile_values(column: Column, array: NDArray[Any]) -> NDArray[Any]:
    if column.type is DataType.IMAGE:
        noise = np.random.default_rng(0).integers(0, 256, array.shape[1:], dtype=np.uint8)
        return np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise, 255 - array[0]])
    match column.type:
        case DataType.STRING:
            longest = max((value for value in array.tolist() if value != MISSING_STRING), key=len, default="")
            texts = [
                MISSING_STRING,
                "",
                NEVER_SEEN,
                " ",
                longest + "x",
                longest.swapcase(),
                "\u00c5\u6f22\U0001f600",
                "0",
            ]
            return _objects(texts)
        case DataType.TIMESTAMP:
            present = array[array != MISSING_TIMESTAMP]
            last = int(present.max()) if len(present) else 0
            years = [-(2000 * _YEAR_US), -1, 0, last + _YEAR_US, last + 10 * _YEAR_US]
            return np.asarray([MISSING_TIMESTAMP, *years], dtype=np.int64)
        case DataType.BOOLEAN:
            return np.asarray([np.nan, 0.0, 1.0])
        case _:
            present = array[np.isfinite(array)]
            low, high = (float(present.min()), float(present.max())) if len(present) else (0.0, 1.0)
            width = high - low or 1.0
            extremes = [0.0, -1.0, low - 10 * width, high + 10 * width, 1e9, -1e9, 2.0**53 - 1, low + width / 3]
            numbers = [*extremes] if column.type is DataType.FLOAT else [float(np.floor(n)) for n in extremes]
            return np.asarray([np.nan, *numbers])


def _objects(texts: list[str]) -> NDArray[Any]:
    result = np.empty(len(texts), dtype=object)
    result[:] = texts
    return result
