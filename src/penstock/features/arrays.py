"""Turns a dictionary of arrays, as an input function returns them, into a batch with a schema."""

import math
import unicodedata
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import Array, ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.errors import DataError

__all__ = ["batch_of_arrays", "column_of_array"]

_EXACT = 2**53


def batch_of_arrays(features: Any, schema: Schema | None = None) -> ColumnBatch:
    """The rows of equally long arrays, one a column; a column is nullable where a value is missing.

    features: a mapping or DataFrame of arrays of any element type (`[rows]` or `[rows, 1]`), pandas Series, lists. An
        array of several values a row stands for columns NAME_0, NAME_1, …, as a vector (`numeric_column(shape=…)`) has.
    schema: the columns wanted and their types; what else `features` holds is left out. None: all, types inferred.
    Raises DataError naming the column that is absent, ragged, of mixed types or of another type than its schema says.
    """
    if not hasattr(features, "__getitem__") or not hasattr(features, "keys"):
        raise DataError(f"features are a {type(features).__name__}; expected a dictionary of column name to array")
    features = _side_by_side(features)
    names = schema.names if schema is not None else tuple(str(name) for name in features)
    columns, arrays = [], {}
    for name in names:
        if not name.strip():
            raise DataError(f"a column has the name {name!r}; expected one with letters or digits")
        if name not in features:
            raise DataError(f"the features have no column {name!r}; they have {', '.join(map(str, features))}")
        column, array = column_of_array(name, features[name], None if schema is None else schema[name])
        columns.append(column)
        arrays[name] = array
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"the arrays of the features differ in length: {listed}")
    return ColumnBatch(Schema(tuple(columns)), arrays)


def column_of_array(name: str, values: Any, expected: Column | None = None) -> tuple[Column, Array]:
    """One column and its array `[rows]` in the types of `penstock.data.columns`."""
    raw = _plain_array(name, values)
    data_type, array = _typed(name, raw)
    if expected is not None:
        array = _as_expected(name, array, data_type, expected.type)
        return expected, array
    missing = array == MISSING_STRING if data_type is DataType.STRING else _missing_numbers(array)
    return Column(name=name, type=data_type, nullable=bool(np.any(missing))), array


def _side_by_side(features: Any) -> Any:
    """The same with a column for each value of a row where an array has several."""
    wide = {}
    for name in features:
        array = features[name]
        if isinstance(array, list | tuple) and len(array) and isinstance(array[0], list | tuple | np.ndarray):
            with suppress(ValueError):
                array = np.asarray(array)
        if isinstance(array, np.ndarray) and array.ndim > 1 and math.prod(array.shape[1:]) > 1:
            wide[name] = array.reshape(len(array), -1)
    if not wide:
        return features
    flat: dict[str, Any] = {}
    for name in features:
        if name not in wide:
            flat[name] = features[name]
            continue
        for position in range(wide[name].shape[1]):
            if (part := f"{name}_{position}") in features:
                raise DataError(f"the features have {part!r} beside {name!r}, which holds a value of that name")
            flat[part] = wide[name][:, position]
    return flat


def _plain_array(name: str, values: Any) -> Array:
    if getattr(getattr(values, "dtype", None), "tz", None) is not None:
        # pandas hands out times with a zone one object each.
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(values, list | tuple) and any(isinstance(value, str | bytes) for value in values):
        # NumPy would turn the numbers and the None beside a text into texts.
        raw: Array = np.empty(len(values), dtype=object)
        raw[:] = values
    else:
        try:
            raw = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
        except ValueError as error:
            raise DataError(f"column {name!r} is no array: {error}") from error
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1:
        raise DataError(f"the array of column {name!r} has shape {list(raw.shape)}; expected [rows] or [rows, 1]")
    return raw


def _typed(name: str, raw: Array) -> tuple[DataType, Array]:
    match raw.dtype.kind:
        case "f":
            return DataType.FLOAT, raw.astype(np.float64)
        case "i" | "u":
            if len(raw):
                _check_exact(name, int(raw.min()), int(raw.max()))
            return DataType.INTEGER, raw.astype(np.float64)
        case "b":
            return DataType.BOOLEAN, raw.astype(np.float64)
        case "M":
            return DataType.TIMESTAMP, raw.astype("datetime64[us]").astype(np.int64)
        case "U" | "T":
            return DataType.STRING, _texts(name, raw.astype(object))
        case "S":
            return DataType.STRING, _texts(name, raw.astype(object))
        case "O":
            return _typed_objects(name, raw)
    raise DataError(f"column {name!r} has elements of type {raw.dtype}; expected numbers, strings, booleans or times")


def _typed_objects(name: str, raw: Array) -> tuple[DataType, Array]:
    values = raw.tolist()
    kinds = {kind for kind in set(map(type, values)) if kind is not type(None) and kind.__name__ not in _NONE_TYPES}
    if float in kinds and not kinds <= _NUMBERS and all(value != value for value in values if type(value) is float):
        kinds.remove(float)
    if all(issubclass(kind, str | bytes) for kind in kinds):
        return DataType.STRING, _texts(name, raw)
    if all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return DataType.BOOLEAN, _numbers(values)
    if all(issubclass(kind, datetime | date | np.datetime64) for kind in kinds):
        return DataType.TIMESTAMP, _timestamps(values)
    if all(issubclass(kind, int | np.integer) and not issubclass(kind, bool) for kind in kinds):
        present = [value for value in values if not _is_none(value)]
        _check_exact(name, min(present), max(present))
        return DataType.INTEGER, _numbers(values)
    if all(issubclass(kind, int | float | np.integer | np.floating) for kind in kinds):
        return DataType.FLOAT, _numbers(values)
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataError(f"column {name!r} mixes values of types {found}; expected one kind of value")


def _check_exact(name: str, smallest: int, largest: int) -> None:
    if max(abs(smallest), abs(largest)) > _EXACT:
        raise DataError(
            f"column {name!r} holds whole numbers beyond 2**53, which float64 cannot tell apart; give them as strings"
        )


def _is_none(value: Any) -> bool:
    """None, NaN, NaT and pandas.NA, which is no truth value when compared."""
    return value is None or type(value).__name__ in _NONE_TYPES or (isinstance(value, float) and value != value)


_NONE_TYPES = frozenset({"NAType", "NaTType"})
_NUMBERS = {int, float, bool, np.bool_, np.float64, np.float32, np.int64, np.int32}


def _texts(name: str, raw: Array) -> Array:
    values = raw.tolist()
    forms = {value: _text(name, value) for value in set(values)}
    result = np.empty(len(values), dtype=object)
    result[:] = list(map(forms.__getitem__, values))
    return result


def _text(name: str, value: Any) -> str:
    if _is_none(value):
        return MISSING_STRING
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"column {name!r} holds bytes that are not UTF-8: {error}") from error
    return unicodedata.normalize("NFC", value)


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    return np.asarray([np.nan if _is_none(value) else float(value) for value in values], dtype=np.float64)


def _timestamps(values: list[Any]) -> NDArray[np.int64]:
    return np.asarray(
        [MISSING_TIMESTAMP if _is_none(value) else _microseconds(value) for value in values], dtype=np.int64
    )


def _microseconds(value: Any) -> int:
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[us]").astype(np.int64))
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    aware: datetime = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    elapsed: timedelta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def _missing_numbers(array: Array) -> NDArray[np.bool_]:
    return array == MISSING_TIMESTAMP if array.dtype == np.int64 else np.isnan(array)


def _as_expected(name: str, array: Array, found: DataType, expected: DataType) -> Array:
    numeric = (DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN)
    if found is expected or (found in numeric and expected in numeric):
        return array
    if not len(array) or bool(
        np.all(_missing_numbers(array) if found is not DataType.STRING else array == MISSING_STRING)
    ):
        return _all_missing(len(array), expected)
    raise DataError(f"column {name!r} holds {found} values; expected {expected}")


def _all_missing(rows: int, data_type: DataType) -> Array:
    if data_type is DataType.STRING:
        result = np.empty(rows, dtype=object)
        result[:] = MISSING_STRING
        return result
    if data_type is DataType.TIMESTAMP:
        return np.full(rows, MISSING_TIMESTAMP, dtype=np.int64)
    return np.full(rows, np.nan)
