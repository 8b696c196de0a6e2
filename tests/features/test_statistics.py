"""Statistics are those of all rows, however the rows are cut into batches."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.data.columns import ColumnBatch
from penstock.data.schema import DataType
from penstock.errors import DataError
from penstock.features.accumulation import FREQUENT_NUMBERS, FREQUENT_WORDS, NumberAccumulator, WordAccumulator
from penstock.features.arrays import batch_of_arrays
from penstock.features.statistics import Statistics, gather_statistics


def statistics_of(table: dict[str, Any]) -> Statistics:
    return gather_statistics([batch_of_arrays(table)])


def cut(batch: ColumnBatch, size: int) -> Iterator[ColumnBatch]:
    for start in range(0, batch.rows, size):
        yield batch.take(slice(start, start + size))


def test_of_numbers() -> None:
    column = statistics_of({"x": [4.0, np.nan, 1.0, 2.0, 2.0, np.inf]})["x"]
    assert (column.rows, column.missing, column.present, column.distinct) == (6, 1, 5, 3)
    assert column.numbers is not None
    assert (column.numbers.minimum, column.numbers.maximum, column.numbers.mean) == (1.0, 4.0, 2.25)
    assert column.numbers.std == pytest.approx(np.std([4.0, 1.0, 2.0, 2.0]))
    assert column.numbers.median == 2.0
    assert column.values == (2.0, 1.0, 4.0)
    assert column.counts == (2, 1, 1)


def test_of_words() -> None:
    column = statistics_of({"x": ["b", "a", None, "b", "", "cafe\u0301", "café"]})["x"]
    assert (column.rows, column.missing, column.distinct) == (7, 1, 4)
    assert column.values == ("b", "café", "", "a")
    assert column.counts == (2, 2, 1, 1)
    assert column.numbers is None


def test_of_times() -> None:
    times = [datetime(2020, 2, 29, 23, 5), None, datetime(1969, 12, 31, 23, 59)]
    column = statistics_of({"x": times})["x"]
    assert column.type is DataType.TIMESTAMP
    assert column.missing == 1
    assert column.date_parts == {
        "month": (1, 11),
        "day": (28, 30),
        "weekday": (2, 5),
        "hour": (23,),
        "minute": (5, 59),
    }
    assert column.numbers is not None
    assert column.numbers.minimum == -60_000_000.0


def test_a_column_with_a_missing_value_is_nullable() -> None:
    schema = statistics_of({"a": [1.0, np.nan], "b": [1.0, 2.0], "c": ["x", None]}).schema
    assert [column.nullable for column in schema] == [True, False, True]


@given(
    values=st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=60),
    words=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=60, max_size=60),
    size=st.integers(1, 20),
)
@settings(max_examples=60)
def test_batches_do_not_matter(values: list[float], words: list[str | None], size: int) -> None:
    batch = batch_of_arrays({"x": np.asarray(values), "w": words[: len(values)]})
    whole, parts = gather_statistics([batch]), gather_statistics(cut(batch, size))
    assert whole["w"] == parts["w"]
    one, other = whole["x"], parts["x"]
    assert (one.missing, one.distinct, one.values, one.counts) == (
        other.missing,
        other.distinct,
        other.values,
        other.counts,
    )
    if one.numbers is None:
        assert other.numbers is None
        return
    assert other.numbers is not None
    assert one.numbers.quantiles == other.numbers.quantiles
    scale = max(abs(one.numbers.minimum), abs(one.numbers.maximum))
    assert one.numbers.mean == pytest.approx(other.numbers.mean, rel=1e-12, abs=1e-12 * scale)
    assert one.numbers.std == pytest.approx(other.numbers.std, rel=1e-9, abs=1e-12 * scale)


def test_moments_keep_their_digits_far_from_zero() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=200_000)
    accumulator = NumberAccumulator(DataType.FLOAT)
    for start in range(0, len(values), 777):
        accumulator.add(values[start : start + 777])
    assert accumulator.std == pytest.approx(np.std(values), rel=1e-9)
    assert accumulator.mean == pytest.approx(np.mean(values), rel=1e-15)


def test_the_largest_doubles_give_finite_statistics() -> None:
    numbers = statistics_of({"x": [1.7e308, -1.7e308, 1.7e308]})["x"].numbers
    assert numbers is not None
    assert np.isfinite([numbers.mean, numbers.std, numbers.median]).all()


def test_a_sample_of_many_rows_is_uniform_and_the_same_every_time() -> None:
    def sample() -> Any:
        accumulator = NumberAccumulator(DataType.FLOAT)
        for start in range(0, 1_000_000, 65_536):
            accumulator.add(np.arange(start, min(start + 65_536, 1_000_000), dtype=np.float64))
        return accumulator.sample()

    drawn = sample()
    assert len(drawn) == len(np.unique(drawn)) == 100_000
    # Each tenth of the rows has a tenth of the sample, within 4 standard deviations.
    tenths = np.histogram(drawn, bins=10, range=(0, 1_000_000))[0]
    assert np.abs(tenths - 10_000).max() < 4 * np.sqrt(100_000 * 0.1 * 0.9)
    np.testing.assert_array_equal(drawn, sample())


def test_many_distinct_numbers_have_no_list_of_values() -> None:
    column = statistics_of({"x": np.arange(FREQUENT_NUMBERS + 1.0)})["x"]
    assert column.values == ()
    assert not column.values_are_all
    assert column.distinct == FREQUENT_NUMBERS + 1


def test_frequent_words_survive_a_flood_of_rare_ones() -> None:
    accumulator = WordAccumulator()
    for part in range(7):
        rare = [f"{part}-{i}" for i in range(60_000)]
        accumulator.add(np.array([*rare, *["often"] * 1_000, *["seldom"] * 20], dtype=object))
    words, counts, are_all = accumulator.frequent()
    assert words[:2] == ("often", "seldom")
    assert counts[:2] == (7_000, 140)
    assert len(words) == FREQUENT_WORDS
    assert not are_all
    assert accumulator.distinct() == pytest.approx(420_002, rel=0.05)


def test_long_texts_are_counted_in_bounded_memory() -> None:
    accumulator = WordAccumulator()
    for part in range(12):
        texts = [f"{part}-{i} " + "x" * 10_000 for i in range(400)]
        accumulator.add(np.array([*texts, *["often"] * 10], dtype=object))
    words, counts, are_all = accumulator.frequent()
    assert (words[0], counts[0]) == ("often", 120)
    assert sum(map(len, words)) <= 32_000_000
    assert not are_all
    assert accumulator.distinct() == pytest.approx(4_801, rel=0.1)


def test_without_rows_there_are_no_statistics() -> None:
    with pytest.raises(DataError, match="no rows"):
        gather_statistics([])
    with pytest.raises(DataError, match="no rows"):
        statistics_of({"x": []})


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(DataError, match="no column 'rom'; the table has room; did you mean 'room'"):
        statistics_of({"room": [1.0]})["rom"]
