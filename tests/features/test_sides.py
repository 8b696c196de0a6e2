"""Each kind of column gives the same on both sides, in training and in ONNX Runtime, whatever the values."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.feature_column import (
    FeatureColumn,
    bucketized_column,
    categorical_column_with_hash_bucket,
    categorical_column_with_identity,
    categorical_column_with_vocabulary_list,
    cyclic_column,
    date_part_column,
    embedding_column,
    indicator_column,
    numeric_column,
)

from .served import assert_sides_agree, fitted

LIGHT = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])

TRAINING: dict[str, Any] = {
    "number": [1.5, -2.0, 3.25, np.nan, 0.0, 7.0],
    "whole": [0, 1, 2, 3, 1, 1],
    "flag": [True, False, True, True, False, False],
    "word": ["red", "green", "", None, "Ångström", "red"],
    "time": np.array(
        ["1969-12-31T23:59:59", "2000-02-29", "NaT", "2024-12-31T12:30", "1970-01-01", "2100-03-01"],
        dtype="datetime64[us]",
    ),
}

NUMBER_COLUMNS = [
    numeric_column("number"),
    numeric_column("number", default_value=-1.0),
    numeric_column("number", scaling="robust"),
    bucketized_column(numeric_column("number"), [-2.0, 0.0, 1.5, 1e300]),
    bucketized_column(numeric_column("number", default_value=0.5), [0.0, 1.0]),
    numeric_column("whole"),
    numeric_column("flag"),
    indicator_column(categorical_column_with_identity("whole", 4)),
    categorical_column_with_identity("whole", 4, default_value=3),
    embedding_column(categorical_column_with_vocabulary_list("whole", [3, 1, 0]), 2),
    categorical_column_with_vocabulary_list("whole", [2, 1], num_oov_buckets=5),
    categorical_column_with_vocabulary_list("whole", ["2", "1"], default_value=1),
    categorical_column_with_hash_bucket("whole", 13),
    indicator_column(categorical_column_with_vocabulary_list("flag", [False, True])),
]
WORD_COLUMNS = [
    indicator_column(categorical_column_with_vocabulary_list("word", ["red", "green", "Ångström"])),
    categorical_column_with_vocabulary_list("word", ["", "red"], num_oov_buckets=3),
    categorical_column_with_vocabulary_list("word", ["red", "green"], default_value=0),
    embedding_column(categorical_column_with_hash_bucket("word", 7), 3),
]
TIME_COLUMNS = [
    numeric_column("time"),
    *[indicator_column(date_part_column("time", part)) for part in ("month", "day", "weekday", "hour", "minute")],
    bucketized_column(numeric_column("time"), [0.0, 1e15]),
]

numbers = st.floats(width=64) | st.sampled_from(
    [0.0, -0.0, 1.0, 2.0, 3.0, 2.5, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 2.0**53, 2.0**63, -(2.0**63)]
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["", "red", "green", "Ångström", MISSING_STRING, "a\0b", "\U0001f600", " red", "RED", "nan", "None"]
)
times = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [MISSING_TIMESTAMP, MISSING_TIMESTAMP + 1, 2**63 - 1, -1, 0, 1, 951_782_400_000_000, 951_868_799_999_999]
)


def batch(name: str, data_type: DataType, values: list[Any], dtype: Any) -> ColumnBatch:
    array: NDArray[Any] = np.empty(len(values), dtype=dtype)
    array[:] = values
    return ColumnBatch(Schema((Column(name=name, type=data_type),)), {name: array})


@pytest.mark.parametrize("column", NUMBER_COLUMNS, ids=repr)
@given(values=st.lists(numbers, max_size=20))
@LIGHT
def test_of_numbers(column: FeatureColumn, values: list[float]) -> None:
    (key,) = column.keys
    assert_sides_agree(fitted([column], TRAINING), batch(key, DataType.FLOAT, values, np.float64))


@pytest.mark.parametrize("column", WORD_COLUMNS, ids=repr)
@given(values=st.lists(words, max_size=20))
@LIGHT
def test_of_words(column: FeatureColumn, values: list[str]) -> None:
    from penstock.features.hashing import nfc

    composed = [nfc(value) for value in values]
    assert_sides_agree(fitted([column], TRAINING), batch("word", DataType.STRING, composed, object))


@pytest.mark.parametrize("column", TIME_COLUMNS, ids=repr)
@given(values=st.lists(times, max_size=20))
@LIGHT
def test_of_times(column: FeatureColumn, values: list[int]) -> None:
    assert_sides_agree(fitted([column], TRAINING), batch("time", DataType.TIMESTAMP, values, np.int64))


@pytest.mark.parametrize("period", ["day", "week", "year"])
@given(values=st.lists(times, max_size=20))
@LIGHT
def test_of_cycles(period: Any, values: list[int]) -> None:
    features = fitted([cyclic_column("time", period)], TRAINING)
    assert_sides_agree(features, batch("time", DataType.TIMESTAMP, values, np.int64), ulps=2)


@pytest.mark.parametrize("rows", [0, 1, 65_535, 65_536, 65_537, 131_073])
def test_of_any_number_of_rows(rows: int) -> None:
    random = np.random.default_rng(rows)
    table = ColumnBatch(
        Schema(
            (
                Column(name="number", type=DataType.FLOAT),
                Column(name="word", type=DataType.STRING),
                Column(name="time", type=DataType.TIMESTAMP),
            )
        ),
        {
            "number": random.normal(size=rows),
            "word": random.choice(np.array(["red", "green", "blue", MISSING_STRING], dtype=object), rows),
            "time": random.integers(-(10**15), 10**15, rows),
        },
    )
    columns = [NUMBER_COLUMNS[0], NUMBER_COLUMNS[3], *WORD_COLUMNS, *TIME_COLUMNS]
    assert_sides_agree(fitted(columns, TRAINING), table)


@given(values=st.lists(numbers, max_size=20))
@LIGHT
def test_of_numbers_side_by_side(values: list[float]) -> None:
    """A graph standardizes plain numbers together; each block is what it is alone."""
    random = np.random.default_rng(0)
    skewed = random.lognormal(size=200)
    with_gaps = np.where(random.random(200) < 0.1, np.nan, random.normal(size=200))
    table = {"a": skewed, "b": with_gaps, "c": skewed**2, "d": with_gaps * 3, "e": random.normal(size=200)}
    columns = [numeric_column(key, scaling="robust") for key in table]
    features = fitted([*columns[:3], indicator_column(date_part_column("t", "hour")), *columns[3:]], {**table, **TIMES})
    assert sum(bool(getattr(column, "log_unit", 0.0)) for column in features.columns) == 2
    rows = ColumnBatch(
        features.raw_schema,
        {
            name: np.zeros(len(values), np.int64) if name == "t" else np.asarray(values)
            for name in features.raw_schema.names
        },
    )
    assert_sides_agree(features, rows, ulps=2)
    for column in features.columns:
        alone = msgspec.structs.replace(features, columns=(column,))
        np.testing.assert_array_equal(alone.encode(rows)[column.name], features.encode(rows)[column.name])


TIMES = {"t": np.zeros(200, dtype="datetime64[us]")}
