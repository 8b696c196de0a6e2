"""Columns made of several values, of lists and of texts give the same on both sides, whatever the values."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP
from penstock.feature_column import (
    FeatureColumn,
    bucketized_column,
    categorical_column_with_hash_bucket,
    categorical_column_with_identity,
    categorical_column_with_vocabulary_list,
    crossed_column,
    date_part_column,
    distance_column,
    embedding_column,
    indicator_column,
    list_column,
    numeric_column,
    piecewise_linear_column,
    quantile_bucketized_column,
    text_column,
    weighted_categorical_column,
)
from penstock.features.hashing import nfc
from penstock.features.tokens import TEXT_SEPARATORS

from .served import assert_sides_agree, fitted

LIGHT = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])

RANDOM = np.random.default_rng(0)

TRAINING: dict[str, Any] = {
    "word": [*["red", "green", None, "Ångström"] * 25],
    "tags": [*["red|green", "blue", "", None] * 25],
    "number": np.where(RANDOM.random(100) < 0.1, np.nan, RANDOM.normal(size=100)),
    "weight": RANDOM.random(100),
    "time": np.datetime64("2020-01-01", "us") + RANDOM.integers(0, 10**14, 100),
    **{name: RANDOM.uniform(-80, 80, 100) for name in ("lat1", "lon1", "lat2", "lon2")},
}

WORD = categorical_column_with_vocabulary_list("word", ["red", "green"])
TAGS = list_column("tags", vocabulary_list=["red", "green", "blue"])
WEIGHED_TAGS = list_column("tags", vocabulary_list=["red", "green"], weight_separator=":")

COLUMNS = [
    crossed_column(["word", "number"], 100),
    crossed_column([WORD, bucketized_column(numeric_column("number"), [0.0, 1.0])], 7),
    crossed_column(
        [
            categorical_column_with_hash_bucket("tags", 50),
            date_part_column("time", "hour"),
            categorical_column_with_identity("number", 5),
            "word",
        ],
        1_000,
    ),
    indicator_column(crossed_column([crossed_column(["word", "tags"], 5), "number"], 11)),
    quantile_bucketized_column(numeric_column("number"), 8),
    piecewise_linear_column(numeric_column("number"), 6),
    piecewise_linear_column(numeric_column("weight", normalizer_fn=lambda x: x * 10), 4, dimension=3),
    distance_column(("lat1", "lon1"), ("lat2", "lon2")),
    TAGS,
    embedding_column(TAGS, 2),
    embedding_column(TAGS, 2, "sqrtn"),
    indicator_column(list_column("tags", separator=";|", hash_bucket_size=9)),
    WEIGHED_TAGS,
    embedding_column(list_column("tags", hash_bucket_size=5, weight_separator="="), 2),
    weighted_categorical_column(WORD, "weight"),
    embedding_column(weighted_categorical_column(WORD, "weight"), 2),
    text_column("tags", 16),
    text_column("tags", 16, pairs=False, dimension=3),
]

numbers = st.floats(width=64) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 4.0, 1e300, 90.0, 180.0])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "red", "green", MISSING_STRING, "a\0b", "\U0001f600"]
)
texts = (
    words
    | st.lists(words, max_size=30).map(" ".join)
    | st.lists(words, max_size=8).map("|".join)
    | st.sampled_from(
        [
            "red|green|red",
            "||",
            "|",
            "red:0.5|green:-2|blue:x|:3|red:",
            "red:1e5|green:0.1234567890123456789",
            "red:1:2|:|:::",
            "=1|a=2|a=0.3=9",
            "don't; stop.  (now)",
            "\u0301 =\u0338",
            TEXT_SEPARATORS,
        ]
    )
)
times = st.integers(-(2**63), 2**63 - 1) | st.just(MISSING_TIMESTAMP)
rows = st.lists(st.tuples(words, texts, numbers, numbers, times, numbers, numbers, numbers, numbers), max_size=12)


def batch_of(values: list[tuple[Any, ...]], features: Any) -> ColumnBatch:
    arrays: dict[str, NDArray[Any]] = {}
    for i, name in enumerate(TRAINING):
        column = [value[i] for value in values]
        if name in ("word", "tags"):
            array: NDArray[Any] = np.empty(len(column), dtype=object)
            array[:] = [nfc(text) for text in column]
        else:
            array = np.asarray(column, dtype=np.int64 if name == "time" else np.float64)
        arrays[name] = array
    schema = features.raw_schema
    return ColumnBatch(schema, {name: arrays[name] for name in schema.names})


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@given(values=rows)
@LIGHT
def test_of_many(column: FeatureColumn, values: list[tuple[Any, ...]]) -> None:
    features = fitted([column], TRAINING)
    assert_sides_agree(features, batch_of(values, features), ulps=4)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_of_the_training_rows(column: FeatureColumn) -> None:
    from penstock.features.arrays import batch_of_arrays

    features = fitted([column], TRAINING)
    assert_sides_agree(features, batch_of_arrays(TRAINING, features.raw_schema), ulps=4)
