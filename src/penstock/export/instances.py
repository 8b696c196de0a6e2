"""Rows of columns as the instances that a caller of the prediction service would send."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, is_missing
from penstock.data.schema import Column, DataType
from penstock.runtime.images import photo_instance

__all__ = ["composed", "instances_of", "sendable"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = int((datetime.min.replace(tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))
_LAST = int((datetime.max.replace(tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))


def composed(batch: ColumnBatch) -> ColumnBatch:
    """The rows with their strings in NFC, as they are once a request was decoded; files may hold either form."""
    arrays = dict(batch.arrays)
    for column in batch.schema:
        if column.type is DataType.STRING and not all(map(str.isascii, arrays[column.name].tolist())):
            texts = [normalize("NFC", text) for text in arrays[column.name].tolist()]
            arrays[column.name] = np.array(texts, dtype=object)
    return ColumnBatch(batch.schema, arrays)


def instances_of(batch: ColumnBatch) -> list[dict[str, Any]]:
    """One JSON object a row; a missing value is None, a timestamp ISO 8601 in UTC. Rows must be `sendable`."""
    columns = {column.name: _values(column, batch[column.name]) for column in batch.schema}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def sendable(batch: ColumnBatch) -> NDArray[np.bool_]:
    """Which rows a caller may send, `[rows]`: nothing missing that is required, no infinity, no year beyond 9999."""
    result = np.ones(batch.rows, dtype=bool)
    for column in batch.schema:
        array = batch[column.name]
        if column.shape:
            if array.dtype.kind == "f":
                result &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
            continue
        missing = is_missing(array, column.type)
        if not column.nullable:
            result &= ~missing
        match column.type:
            case DataType.STRING:
                allowed = [_is_text(value, column) for value in array.tolist()]
                result &= np.asarray(allowed, dtype=bool) | missing
            case DataType.TIMESTAMP:
                result &= missing | ((array >= _FIRST) & (array <= _LAST))
            case DataType.INTEGER:
                result &= missing | (np.abs(array) < 2.0**53)
            case _:
                result &= ~np.isinf(array)
    return result


def _is_text(value: str, column: Column) -> bool:
    return value not in column.null_marks and not any("\ud800" <= character <= "\udfff" for character in value)


def _values(column: Column, array: NDArray[Any]) -> list[Any]:
    if column.type is DataType.IMAGE:
        return [photo_instance(pixels) for pixels in array]
    if column.shape:
        return list(array.tolist())
    missing = is_missing(array, column.type).tolist()
    values = [None if gone else value for value, gone in zip(array.tolist(), missing, strict=True)]
    match column.type:
        case DataType.TIMESTAMP:
            return [None if value is None else _iso(value) for value in values]
        case DataType.INTEGER:
            return [None if value is None else int(value) for value in values]
        case DataType.BOOLEAN:
            return [None if value is None else bool(value) for value in values]
        case _:
            return values


def _iso(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
