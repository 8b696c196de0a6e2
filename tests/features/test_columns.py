"""What each feature column makes of a value: buckets, words, scales, and values never seen in training."""

from typing import Any

import numpy as np
import pytest

from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import DataError, UsageError
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
from penstock.features.arrays import batch_of_arrays
from penstock.features.fitted import FittedFeatures, fit_features
from penstock.features.hashing import hash_words
from penstock.features.statistics import gather_statistics

from .served import fitted


def ids(column: FeatureColumn, training: dict[str, Any], values: list[Any]) -> list[int]:
    """Of values of the column's one raw column."""
    features = fitted([column], training)
    rows = batch_of_arrays(dict.fromkeys(column.keys, values), features.raw_schema)
    (encoded,) = features.encode(rows).values()
    return [int(value) for value in encoded.ravel()]


def test_numbers_are_standardized_by_the_training_data() -> None:
    features = fitted([numeric_column("x")], {"x": [1.0, 2.0, 3.0, 6.0]})
    encoded = features.encode(batch_of_arrays({"x": [3.0, 3.0 + np.std([1.0, 2.0, 3.0, 6.0])]}))["x"]
    np.testing.assert_allclose(encoded, [[0.0], [1.0]], atol=1e-7)
    assert features.blocks[0].features == ("x",)


def test_missing_numbers_become_the_median_and_say_so() -> None:
    features = fitted([numeric_column("x")], {"x": [1.0, 2.0, 9.0, np.nan]})
    assert features.blocks[0].features == ("x", "x_is_missing")
    missing, median = features.encode(batch_of_arrays({"x": [np.nan, 2.0]}))["x"]
    assert missing[0] == median[0]
    assert (missing[1], median[1]) == (1.0, 0.0)


def test_a_missing_number_where_training_had_none_is_the_median() -> None:
    features = fitted([numeric_column("x")], {"x": [1.0, 2.0, 9.0]})
    assert not features.raw_schema["x"].nullable
    encoded = features.encode(batch_of_arrays({"x": [np.nan, 2.0]}))["x"]
    assert encoded.shape == (2, 1)
    assert encoded[0] == encoded[1]


def test_a_default_value_makes_a_column_optional() -> None:
    features = fitted([numeric_column("x", default_value=3.0)], {"x": [1.0, 2.0, 9.0]})
    assert features.raw_schema["x"].nullable
    encoded = features.encode(batch_of_arrays({"x": [np.nan, 3.0]}))["x"]
    assert encoded[0] == encoded[1]


def test_constant_and_empty_columns_are_zero() -> None:
    features = fitted([numeric_column("c"), numeric_column("e")], {"c": [5.0, 5.0], "e": [np.nan, np.nan]})
    encoded = features.encode(batch_of_arrays({"c": [5.0, 6.0], "e": [np.nan, 1.0]}))
    assert encoded["c"].tolist() == [[0.0], [1.0]]
    assert encoded["e"].tolist() == [[0.0], [1.0]]


def test_outliers_do_not_move_the_robust_scale() -> None:
    random = np.random.default_rng(0)
    usual = random.normal(-74.0, 0.03, 5_000)
    with_outliers = np.where(random.random(5_000) < 0.004, 0.0, usual)
    rows = batch_of_arrays({"x": [-74.0, -73.97, 0.0, -1e9]})
    clean = fitted([numeric_column("x", scaling="robust")], {"x": usual}).encode(rows)["x"]
    dirty = fitted([numeric_column("x", scaling="robust")], {"x": with_outliers}).encode(rows)["x"]
    np.testing.assert_allclose(dirty[:2], clean[:2], atol=0.2)
    assert np.abs(dirty).max() < 10
    plain = fitted([numeric_column("x")], {"x": with_outliers}).encode(rows)["x"]
    assert abs(plain[1, 0] - plain[0, 0]) < 0.01


def test_skewed_numbers_are_scaled_by_their_logarithm_whatever_their_unit() -> None:
    incomes = np.random.default_rng(0).lognormal(10, 1, 5_000)
    robust = numeric_column("x", scaling="robust")
    in_dollars = fitted([robust], {"x": incomes}).encode(batch_of_arrays({"x": incomes}))["x"]
    in_millions = fitted([robust], {"x": incomes / 1e6}).encode(batch_of_arrays({"x": incomes / 1e6}))["x"]
    np.testing.assert_allclose(in_dollars, in_millions, atol=1e-5)

    def skew(values: Any) -> float:
        return float(np.mean(((values - values.mean()) / values.std()) ** 3))

    assert abs(skew(in_dollars)) < 0.3 * skew(incomes)


def test_words_have_their_place_in_the_list_then_unknown_then_missing() -> None:
    column = categorical_column_with_vocabulary_list("x", ["b", "a"])
    training = {"x": ["a", None, "zebra"]}
    assert ids(column, training, ["b", "a", "zebra", "", None]) == [0, 1, 2, 2, 3]


def test_unknown_words_may_share_an_id_of_the_list() -> None:
    column = categorical_column_with_vocabulary_list("x", ["b", "a"], default_value=1)
    assert ids(column, {"x": ["a"]}, ["b", "zebra", None]) == [0, 1, 3]


def test_unknown_words_may_be_hashed() -> None:
    column = categorical_column_with_vocabulary_list("x", ["b"], num_oov_buckets=5)
    expected = 1 + int(hash_words(["zebra"])[0]) % 5
    assert ids(column, {"x": ["b"]}, ["b", "zebra", None]) == [0, expected, 6]


def test_whole_numbers_may_be_words() -> None:
    column = categorical_column_with_vocabulary_list("x", [10, 20])
    assert ids(column, {"x": [10, 20]}, [20, 10.0, 15, 10.5, None]) == [1, 0, 2, 2, 3]


def test_words_of_numbers_match_a_numeric_column() -> None:
    column = categorical_column_with_vocabulary_list("x", ["10", "20"])
    assert ids(column, {"x": [10, 20]}, [20, 10]) == [1, 0]
    with pytest.raises(UsageError, match="'x' holds numbers and its vocabulary words"):
        fitted([categorical_column_with_vocabulary_list("x", ["ten"])], {"x": [10, 20]})


def test_numbers_match_a_column_of_words() -> None:
    assert ids(categorical_column_with_vocabulary_list("x", [10, 2.5]), {"x": ["10", "2.5"]}, ["2.5", "10"]) == [1, 0]


def test_hashed_words_and_whole_numbers_share_their_ids() -> None:
    by_word = ids(categorical_column_with_hash_bucket("x", 97), {"x": ["7", "-12"]}, ["7", "-12", "", None])
    by_number = ids(categorical_column_with_hash_bucket("x", 97), {"x": [7, -12]}, [7, -12, None])
    assert by_word[:2] == by_number[:2]
    assert by_word[2] == 0
    assert by_word[3] == by_number[2] == 97


def test_identity_ids_are_the_values() -> None:
    column = categorical_column_with_identity("x", 3)
    assert ids(column, {"x": [0, 1, 2]}, [0, 2, 3, -1, 0.5, 1e300, None]) == [0, 2, 3, 3, 3, 3, 4]
    column = categorical_column_with_identity("x", 3, default_value=1)
    assert ids(column, {"x": [0, 1, 2]}, [0, 2, 3, -1, None]) == [0, 2, 1, 1, 1]


def test_buckets_hold_their_lower_boundary() -> None:
    column = bucketized_column(numeric_column("x"), [0.0, 10.0])
    assert ids(column, {"x": [1.0]}, [-1.0, 0.0, 9.99, 10.0, np.nan]) == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("part", "expected"),
    [("month", [1, 11]), ("day", [28, 30]), ("weekday", [3, 2]), ("hour", [0, 23]), ("minute", [5, 59])],
)
def test_date_parts_count_from_zero(part: Any, expected: list[int]) -> None:
    times = np.array(["2024-02-29T00:05", "1969-12-31T23:59"], dtype="datetime64[us]")
    column = date_part_column("x", part)
    assert ids(column, {"x": times}, [*times.tolist(), None]) == [
        *expected,
        {"month": 12, "day": 31, "weekday": 7, "hour": 24, "minute": 60}[part],
    ]


def test_a_cycle_closes() -> None:
    times = np.array(["2024-12-31T23:59:59", "2025-01-01T00:00:01", "2025-01-01T12:00"], dtype="datetime64[us]")
    features = fitted([cyclic_column("x", "day")], {"x": times})
    before, after, noon = features.encode(batch_of_arrays({"x": times}))["x_cycle_day"]
    np.testing.assert_allclose(before, after, atol=1e-3)
    np.testing.assert_allclose(noon, [0.0, -1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("column", "training", "unseen"),
    [
        (categorical_column_with_vocabulary_list("x", ["a", "b"]), ["a", "b"], (2, 3)),
        (categorical_column_with_vocabulary_list("x", ["a", "b"]), ["a", "z"], (1, 3)),
        (categorical_column_with_vocabulary_list("x", ["a"]), ["a", None], (1,)),
        (categorical_column_with_vocabulary_list("x", ["a", "b"], default_value=0), ["a"], (1, 3)),
        (categorical_column_with_vocabulary_list("x", [1, 2]), [1, 3], (1, 3)),
        (categorical_column_with_hash_bucket("x", 5), ["a"], (5,)),
        (categorical_column_with_identity("x", 3), [0, 2], (1, 3, 4)),
        (categorical_column_with_identity("x", 3, default_value=0), [0, 2], ()),
        (bucketized_column(numeric_column("x"), [0.0, 1.0, 2.0]), [0.5, 1.0], (0, 3, 4)),
        (date_part_column("x", "weekday"), np.array(["2024-01-01", "NaT"], "datetime64[D]"), (1, 2, 3, 4, 5, 6)),
    ],
    ids=repr,
)
def test_ids_without_training_rows_are_known(column: FeatureColumn, training: Any, unseen: tuple[int, ...]) -> None:
    (block,) = fitted([column], {"x": training}).blocks
    assert block.unseen == unseen


def test_blocks_say_how_a_model_reads_them() -> None:
    word = categorical_column_with_vocabulary_list("w", ["a", "b"])
    columns = [
        word,
        indicator_column(word),
        embedding_column(word, 3),
        bucketized_column(numeric_column("x"), [1.0]),
        numeric_column("x"),
    ]
    blocks = fitted(columns, {"w": ["a"], "x": [1.0]}).blocks
    assert [(b.name, b.kind, b.representation, b.dimension, b.num_buckets) for b in blocks] == [
        ("w", "ids", "linear", None, 4),
        ("w_indicator", "ids", "indicator", None, 4),
        ("w_embedding", "ids", "embedding", 3, 4),
        ("x_bucketized", "ids", "indicator", None, 3),
        ("x", "dense", None, None, None),
    ]
    assert [b.columns for b in blocks] == [("w",), ("w",), ("w",), ("x",), ("x",)]


def test_only_columns_that_are_read_are_inputs_in_the_order_of_the_table() -> None:
    features = fitted([numeric_column("c"), numeric_column("a")], {"a": [1.0], "b": [1.0], "c": [1.0]})
    assert features.raw_schema.names == ("a", "c")
    assert [block.name for block in features.blocks] == ["c", "a"]


def test_different_columns_of_one_name_are_told_apart() -> None:
    columns = [numeric_column("a"), bucketized_column(numeric_column("a"), [1.0]), numeric_column("a_bucketized")]
    features = fitted(columns, {"a": [1.0], "a_bucketized": [1.0]})
    assert [block.name for block in features.blocks] == ["a", "a_bucketized", "a_bucketized_2"]


def test_a_column_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="feature column 'a' is given twice"):
        fitted([numeric_column("a"), numeric_column("a")], {"a": [1.0]})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (numeric_column("w"), r"numeric_column\('w'\): column 'w' holds string values; expected integer or float"),
        (categorical_column_with_identity("w", 3), "'w' holds string values"),
        (date_part_column("x", "hour"), "column 'x' holds float values; expected timestamp"),
        (cyclic_column("x", "day"), "column 'x' holds float values; expected timestamp"),
    ],
    ids=repr,
)
def test_a_raw_column_of_another_type_is_refused(column: FeatureColumn, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitted([column], {"w": ["a"], "x": [1.5]})


def test_an_absent_raw_column_is_named() -> None:
    with pytest.raises(DataError, match="no column 'rooms'; the table has room"):
        fitted([numeric_column("rooms")], {"room": [1.0]})


def test_what_is_no_feature_column_is_refused() -> None:
    with pytest.raises(UsageError, match="'x' is not a feature column"):
        fit_features(["x"], gather_statistics([batch_of_arrays({"x": [1.0]})]))  # type: ignore[list-item]
    with pytest.raises(UsageError, match="at least one feature column"):
        fitted([], {"x": [1.0]})


def test_rows_of_other_types_are_refused() -> None:
    features = fitted([numeric_column("x")], {"x": [1.0]})
    with pytest.raises(DataError, match="'x' holds string values; the model was trained on float"):
        features.encode(batch_of_arrays({"x": ["a"]}))
    with pytest.raises(DataError, match="no column 'x'"):
        features.encode(batch_of_arrays({"y": [1.0]}))


def test_integers_may_stand_for_the_floats_of_training() -> None:
    features = fitted([numeric_column("x")], {"x": [1.5, 2.5]})
    rows = ColumnBatch(Schema((Column(name="x", type=DataType.INTEGER),)), {"x": np.array([2.0])})
    assert features.encode(rows)["x"].tolist() == [[0.0]]


def test_damaged_features_are_refused() -> None:
    with pytest.raises(DataError, match="no fitted features"):
        FittedFeatures.from_json(b'{"raw_schema": 3}')
