"""What columns of several values, of lists and of texts make of a value."""

from typing import Any

import numpy as np
import pytest

from penstock.errors import UsageError
from penstock.feature_column import (
    FeatureColumn,
    bucketized_column,
    categorical_column_with_identity,
    categorical_column_with_vocabulary_list,
    crossed_column,
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
from penstock.features.arrays import batch_of_arrays
from penstock.features.hashing import hash_words

from .served import fitted


def block_of(column: FeatureColumn, training: dict[str, Any], rows: dict[str, Any]) -> Any:
    features = fitted([column], training)
    (encoded,) = features.encode(batch_of_arrays(rows, features.raw_schema)).values()
    return encoded


def test_a_cross_tells_combinations_apart() -> None:
    table = {"a": np.repeat(np.arange(30), 30), "b": np.tile(np.arange(30), 30)}
    column = crossed_column(["a", categorical_column_with_identity("b", 30)], 1_000_000)
    ids = block_of(column, table, table).ravel()
    # 900 combinations in a million buckets: about 0.4 collisions are expected.
    assert len(np.unique(ids)) >= 897


def test_a_cross_spreads_combinations_evenly() -> None:
    table = {"a": np.repeat(np.arange(100), 100), "b": np.tile(np.arange(100), 100)}
    columns = [categorical_column_with_identity(name, 100) for name in ("a", "b")]
    ids = block_of(crossed_column(columns, 10), table, table).ravel()
    counts = np.bincount(ids, minlength=10)
    assert counts.min() > 850
    assert counts.max() < 1_150


def test_a_cross_of_a_bucket_is_that_of_the_bucket() -> None:
    table = {"x": [0.1, 0.2, 5.0], "w": ["a", "a", "a"]}
    column = crossed_column([bucketized_column(numeric_column("x"), [1.0]), "w"], 1_000)
    first, second, third = block_of(column, table, table).ravel()
    assert first == second != third


def test_a_cross_is_named_by_its_parts_and_reads_all_their_columns() -> None:
    column = crossed_column(["a", bucketized_column(numeric_column("x"), [1.0])], 10)
    assert column.name == "a_X_x_bucketized"
    (block,) = fitted([indicator_column(column)], {"a": ["w"], "x": [1.0]}).blocks
    assert (block.columns, block.num_buckets, block.representation) == (("a", "x"), 10, "indicator")


def test_a_quantile_bucket_holds_its_share_of_the_rows() -> None:
    skewed = np.random.default_rng(0).lognormal(size=10_000)
    ids = block_of(quantile_bucketized_column(numeric_column("x"), 10), {"x": skewed}, {"x": skewed}).ravel()
    counts = np.bincount(ids)
    assert len(counts) == 10
    assert np.abs(counts - 1_000).max() <= 20


def test_quantile_buckets_of_few_values_are_the_values() -> None:
    values = [1.0] * 50 + [2.0] * 30 + [3.0] * 20
    ids = block_of(quantile_bucketized_column(numeric_column("x"), 10), {"x": values}, {"x": [1.0, 2.0, 3.0, np.nan]})
    assert ids.ravel().tolist() == [1, 2, 3, 4]


def test_a_piecewise_value_is_the_share_of_each_bin_passed() -> None:
    column = piecewise_linear_column(numeric_column("x"), 4)
    encoded = block_of(column, {"x": np.arange(101.0)}, {"x": [0.0, 12.5, 25.0, 60.0, 100.0, -12.5, 1e9]})
    expected: list[list[float]] = [
        [0, 0, 0, 0],
        [0.5, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0.4, 0],
        [1, 1, 1, 1],
        [-0.5, 0, 0, 0],
        [1, 1, 1, 2],
    ]
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_a_missing_piecewise_value_has_a_place_of_its_own() -> None:
    column = piecewise_linear_column(numeric_column("x"), 2, dimension=5)
    features = fitted([column], {"x": [0.0, 1.0, 2.0, np.nan]})
    (block,) = features.blocks
    assert (block.width, block.representation, block.dimension) == (3, "embedding", 5)
    assert block.features == ("x_piecewise_0_1", "x_piecewise_1_2", "x_piecewise_is_missing")
    assert features.encode(batch_of_arrays({"x": [np.nan]}))["x_piecewise"].tolist() == [[0.0, 0.0, 1.0]]


def test_a_constant_has_no_bins() -> None:
    with pytest.raises(UsageError, match="'x' has fewer than two values"):
        fitted([piecewise_linear_column(numeric_column("x"))], {"x": [5.0, 5.0]})


def test_distances_are_those_of_the_globe() -> None:
    from penstock.features.array_operators import ARRAYS
    from penstock.features.distance import Distance

    places = {
        "lat1": [40.6413, 0.0, 52.52, 89.9, np.nan],
        "lon1": [-73.7781, 0.0, 13.405, 0.0, 0.0],
        "lat2": [51.4700, 0.0, 52.52, 89.9, 0.0],
        "lon2": [-0.4543, 180.0, 13.405, 180.0, 0.0],
    }
    columns = {name: np.asarray(values).reshape(-1, 1) for name, values in places.items()}
    distance = Distance(start=("lat1", "lon1"), end=("lat2", "lon2"))
    # JFK to Heathrow; half the equator; nowhere; over the pole.
    expected = [5_540.0, 20_015.1, 0.0, 22.24, np.nan]
    np.testing.assert_allclose(distance.values(ARRAYS, columns)[:, 0], expected, rtol=1e-3)


def test_a_distance_is_scaled_by_the_distances_of_the_training_data() -> None:
    random = np.random.default_rng(0)
    table = {name: random.normal(0, 0.1, 3_000) for name in ("lat1", "lon1", "lat2", "lon2")}
    table["lat1"][:5] = np.nan
    column = distance_column(("lat1", "lon1"), ("lat2", "lon2"))
    encoded = block_of(column, table, table)
    assert encoded.shape == (3_000, 2)
    assert abs(encoded[5:, 0].mean()) < 0.1
    assert 0.8 < encoded[5:, 0].std() < 1.2
    assert encoded[:6, 1].tolist() == [1.0] * 5 + [0.0]


def test_a_list_says_which_words_are_there() -> None:
    column = indicator_column(list_column("x", vocabulary_list=["red", "green"]))
    encoded = block_of(column, {"x": ["red"]}, {"x": ["red|green|red", "blue|", "", None]})
    assert encoded.tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_words_of_a_list_may_weigh() -> None:
    column = list_column("x", separator=",", vocabulary_list=["red", "green"], weight_separator=":")
    encoded = block_of(column, {"x": ["red"]}, {"x": ["red:0.5,green:-2,red", "green:much", ":3"]})
    assert encoded.tolist() == [[1.5, -2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("combiner", "expected"), [("sum", [1, 1, 1, 0]), ("mean", [1 / 3] * 3 + [0]), ("sqrtn", [3**-0.5] * 3 + [0])]
)
def test_vectors_of_a_list_are_combined(combiner: Any, expected: list[float]) -> None:
    column = embedding_column(list_column("x", vocabulary_list=["red", "green"]), 4, combiner)
    features = fitted([column], {"x": ["red"]})
    assert (features.blocks[0].name, features.blocks[0].dimension) == ("x_embedding", 4)
    encoded = features.encode(batch_of_arrays({"x": ["red|green|blue"]}))["x_embedding"]
    np.testing.assert_allclose(encoded, [expected], rtol=1e-6)


def test_a_word_may_be_weighted_by_another_column() -> None:
    column = weighted_categorical_column(categorical_column_with_vocabulary_list("w", ["a", "b"]), "n")
    rows = {"w": ["b", "a", None], "n": [2.5, np.nan, 3.0]}
    assert block_of(column, rows, rows).tolist() == [[0, 2.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3.0]]


def test_a_text_is_its_words_and_their_pairs() -> None:
    size = 10_000
    column = text_column("x", size)
    (encoded,) = block_of(column, {"x": ["a"]}, {"x": ["Good wine, good wine!"]})
    places = {word: int(hash_words([word])[0]) % size for word in ("Good", "wine", "good")}
    # 4 words and 3 pairs: Good-wine, wine-good, good-wine.
    assert encoded[places["wine"]] == pytest.approx((2 / 7) ** 0.5)
    assert encoded[places["Good"]] == encoded[places["good"]] == pytest.approx((1 / 7) ** 0.5)
    assert np.count_nonzero(encoded) == 6
    assert np.sum(encoded**2) == pytest.approx(1.0)


def test_texts_that_differ_in_order_differ_by_pairs_only() -> None:
    table = {"x": ["dog bites man", "man bites dog"]}
    with_pairs = block_of(text_column("x", 1_000), table, table)
    without = block_of(text_column("x", 1_000, pairs=False), table, table)
    assert (with_pairs[0] != with_pairs[1]).any()
    np.testing.assert_array_equal(without[0], without[1])


def test_pairs_do_not_reach_over_rows() -> None:
    table = {"x": ["one two", "three four"]}
    together = block_of(text_column("x", 1_000), table, table)
    alone = np.concatenate([block_of(text_column("x", 1_000), table, {"x": [text]}) for text in table["x"]])
    np.testing.assert_array_equal(together, alone)


def test_empty_and_missing_texts_differ() -> None:
    empty, missing = block_of(text_column("x", 50), {"x": ["a"]}, {"x": [" ... ", None]})
    assert np.count_nonzero(empty) == 0
    assert np.count_nonzero(missing) == 1
