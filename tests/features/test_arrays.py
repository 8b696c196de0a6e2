"""Dictionaries of arrays, as input functions of 2017 return them, become typed batches."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.errors import DataError
from penstock.features.arrays import batch_of_arrays, column_of_array

NAN = float("nan")
NOON = 1_580_472_000_000_000  # 2020-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("values", "data_type", "array"),
    [
        (np.array([1.5, 2.0], dtype=np.float32), DataType.FLOAT, [1.5, 2.0]),
        (np.array([1, 2], dtype=np.int8), DataType.INTEGER, [1.0, 2.0]),
        (np.array([1, 2], dtype=np.uint64), DataType.INTEGER, [1.0, 2.0]),
        (np.array([[1.0], [2.0]]), DataType.FLOAT, [1.0, 2.0]),
        ([True, False], DataType.BOOLEAN, [1.0, 0.0]),
        ([True, None], DataType.BOOLEAN, [1.0, NAN]),
        ([1, None], DataType.INTEGER, [1.0, NAN]),
        ([1.5, None], DataType.FLOAT, [1.5, NAN]),
        ([1, 2.5], DataType.FLOAT, [1.0, 2.5]),
        (["a", ""], DataType.STRING, ["a", ""]),
        (["a", None], DataType.STRING, ["a", MISSING_STRING]),
        (["a", NAN], DataType.STRING, ["a", MISSING_STRING]),
        ([b"caf\xc3\xa9", "cafe\u0301"], DataType.STRING, ["café", "café"]),
        (np.array([b"aa", b"c"]), DataType.STRING, ["aa", "c"]),
        (np.array(["a", "b"]), DataType.STRING, ["a", "b"]),
        (pd.Series(["a", None]), DataType.STRING, ["a", MISSING_STRING]),
        (pd.Series(["a", "b"], dtype="category"), DataType.STRING, ["a", "b"]),
        (pd.Series([1, None], dtype="Int64"), DataType.FLOAT, [1.0, NAN]),
        (pd.Series([True, None], dtype="boolean"), DataType.BOOLEAN, [1.0, NAN]),
        (np.array(["2020-01-31T12:00", "NaT"], dtype="datetime64[m]"), DataType.TIMESTAMP, [NOON, MISSING_TIMESTAMP]),
        (pd.to_datetime(pd.Series(["2020-01-31 12:00", None])), DataType.TIMESTAMP, [NOON, MISSING_TIMESTAMP]),
        (pd.to_datetime(pd.Series(["2020-01-31 14:00+02:00"])), DataType.TIMESTAMP, [NOON]),
        ([datetime(2020, 1, 31, 12), None], DataType.TIMESTAMP, [NOON, MISSING_TIMESTAMP]),
        ([datetime(2020, 1, 31, 7, tzinfo=timezone(timedelta(hours=-5)))], DataType.TIMESTAMP, [NOON]),
        ([date(1969, 12, 31)], DataType.TIMESTAMP, [-86_400_000_000]),
        ([datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)], DataType.TIMESTAMP, [-1]),
        ([], DataType.FLOAT, []),
    ],
)
def test_a_column_gets_the_type_of_its_values(values: Any, data_type: DataType, array: list[Any]) -> None:
    column, found = column_of_array("x", values)
    assert column.type is data_type
    np.testing.assert_array_equal(found, np.asarray(array, dtype=found.dtype))
    assert column.nullable == any(value in (MISSING_STRING, MISSING_TIMESTAMP) or value != value for value in array)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", 1], "'x' mixes values of types int, str"),
        ([1.5, "a"], "'x' mixes values of types float, str"),
        ([[1, 2], [3]], "'x' is no array"),
        (np.array([1 + 2j]), "complex128"),
        ([2**53 + 1], r"beyond 2\*\*53"),
        ([-(2**70), None], r"beyond 2\*\*53"),
        ([b"\xff"], "not UTF-8"),
        (5, r"shape \[\]"),
    ],
)
def test_what_is_no_column_is_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        batch_of_arrays({"x": values})


def test_a_data_frame_is_a_batch() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", None]})
    batch = batch_of_arrays(frame)
    assert batch.rows == 2
    assert [(column.name, column.type, column.nullable) for column in batch.schema] == [
        ("a", DataType.FLOAT, False),
        ("b", DataType.STRING, True),
    ]


def test_a_schema_picks_and_types_the_columns() -> None:
    schema = Schema((Column(name="b", type=DataType.FLOAT), Column(name="c", type=DataType.STRING, nullable=True)))
    batch = batch_of_arrays({"a": ["left out"], "c": [None], "b": [3]}, schema)
    assert batch.schema == schema
    assert batch["b"].tolist() == [3.0]
    assert batch["c"].tolist() == [MISSING_STRING]


def test_columns_that_do_not_fit_the_schema_are_named() -> None:
    schema = Schema((Column(name="b", type=DataType.FLOAT),))
    with pytest.raises(DataError, match="no column 'b'; they have a"):
        batch_of_arrays({"a": [1]}, schema)
    with pytest.raises(DataError, match="'b' holds string values; expected float"):
        batch_of_arrays({"b": ["x"]}, schema)


def test_columns_of_different_length_are_named() -> None:
    with pytest.raises(DataError, match="differ in length: a 1, b 2"):
        batch_of_arrays({"a": [1], "b": [1, 2]})


def test_features_must_be_named() -> None:
    with pytest.raises(DataError, match="expected a dictionary"):
        batch_of_arrays([1, 2, 3])
