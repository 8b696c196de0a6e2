"""Columns chosen without being named: what each kind of raw column becomes, and what is left out and why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.features.arrays import batch_of_arrays
from penstock.features.automatic import AutomaticColumns, automatic_columns
from penstock.features.fitted import fit_features
from penstock.features.statistics import gather_statistics
from penstock.settings import Settings

from .served import assert_sides_agree

ROWS = 4_000


def chosen(table: dict[str, Any], **facts: Any) -> AutomaticColumns:
    return automatic_columns(gather_statistics([batch_of_arrays(table)]), label="label", **facts)


def names(table: dict[str, Any]) -> list[str]:
    return [column.name for column in chosen({**table, "label": np.arange(float(ROWS))}).columns]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_what_each_kind_of_column_becomes(random: np.random.Generator) -> None:
    words = np.array([f"word-{i}" for i in range(300)], dtype=object)
    table = {
        "price": random.normal(size=ROWS),
        "count": random.poisson(500, ROWS),
        "stars": random.integers(1, 6, ROWS),
        "flag": random.random(ROWS) < 0.3,
        "town": random.choice(words[:5], ROWS),
        "street": random.choice(words, ROWS),
        "when": np.datetime64("2020-01-01", "us") + random.integers(0, 3 * 365 * 86_400_000_000, ROWS),
        "day": np.datetime64("2020-01-01", "us") + random.integers(0, 9, ROWS) * np.timedelta64(1, "D"),
    }
    assert names(table) == [
        "price",
        "count",
        "stars",
        "stars_indicator",
        "flag",
        "town_indicator",
        "street_embedding",
        "when",
        "when_hour_indicator",
        "when_weekday_indicator",
        "when_month_indicator",
        "when_cycle_day",
        "when_cycle_year",
        "day",
        "day_weekday_indicator",
    ]


def test_few_whole_numbers_are_only_numbers_where_rows_are_few(random: np.random.Generator) -> None:
    assert names({"code": random.integers(0, 60, ROWS)}) == ["code"]
    assert names({"code": random.integers(0, 20, ROWS)}) == ["code", "code_indicator"]


def test_words_too_rare_to_learn_from_are_unknown(random: np.random.Generator) -> None:
    rows = 25_000
    table = {"town": np.array([*["a"] * (rows - 4), *["rare"] * 3, "b"], dtype=object), "label": np.arange(rows)}
    result = chosen(table)
    (block,) = fit_features(result.columns, gather_statistics([batch_of_arrays(table)])).blocks
    assert block.num_buckets == 3  # "a", unknown, missing
    assert block.unseen == (2,)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([np.nan] * ROWS, "no row has a value"),
        ([None] * ROWS, "no row has a value"),
        ([np.inf] * ROWS, "it holds no finite number"),
        ([7.5] * ROWS, "every row has the same value (7.5)"),
        (["same"] * ROWS, "every row has the same value ('same')"),
        ([f"name-{i}" for i in range(ROWS)], "its 4000 different values in 4000 rows are an identifier"),
        (
            [f"this is the comment number {i}" for i in range(ROWS)],
            "its 4000 different values in 4000 rows are free text; give it a text_column to use it",
        ),
        (np.random.default_rng(0).permutation(ROWS) + 1_000, "its 4000 different whole numbers name the rows"),
    ],
    ids=str,
)
def test_what_tells_nothing_is_left_out_with_the_reason(values: Any, reason: str) -> None:
    result = chosen({"x": values, "y": np.arange(ROWS) % 2 == 0, "label": np.arange(float(ROWS))})
    assert [column.name for column in result.columns] == ["y"]
    assert result.left_out == {"x": reason}
    assert result.notices == (f"column 'x' is left out: {reason}",)


def test_an_identifier_is_known_by_name_too(random: np.random.Generator) -> None:
    sparse = random.choice(10**9, ROWS, replace=False)
    assert list(chosen({"population": sparse, "label": sparse}).left_out) == []
    result = chosen({"customer_id": sparse, "population": sparse, "label": sparse})
    assert list(result.left_out) == ["customer_id"]


def test_a_constant_that_is_sometimes_missing_tells_something() -> None:
    assert names({"x": [5.0, np.nan] * (ROWS // 2)}) == ["x"]


@pytest.mark.parametrize(
    ("names", "distances"),
    [
        (("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"), 1),
        (("lat1", "lon1", "lat2", "lon2"), 1),
        (("StartLat", "StartLng", "EndLat", "EndLng"), 1),
        (("latitude", "longitude", "depth", "height"), 0),
        (("lat", "lon", "platform", "balloon"), 0),
    ],
)
def test_two_pairs_of_coordinates_have_a_distance(
    random: np.random.Generator, names: tuple[str, ...], distances: int
) -> None:
    table = {name: random.normal(40.0, 0.1, ROWS) for name in names}
    found = [column.name for column in chosen({**table, "label": np.arange(float(ROWS))}).columns]
    assert found[:4] == list(names)
    assert found[4:] == [f"distance_{names[0]}_{names[2]}"] * distances


def test_numbers_may_be_encoded_piecewise_too(random: np.random.Generator) -> None:
    table = {"x": random.normal(size=ROWS), "flag": random.random(ROWS) < 0.5, "label": np.arange(float(ROWS))}
    assert [column.name for column in chosen(table, piecewise_bins=8).columns] == ["x", "x_piecewise", "flag"]


def test_label_and_weight_are_no_features() -> None:
    table = {"x": [1.0, 2.0], "label": [1.0, 2.0], "weight": [1.0, 3.0]}
    assert [column.name for column in chosen(table, without=("weight",)).columns] == ["x"]


def test_nothing_to_learn_from_is_an_error_that_says_why() -> None:
    with pytest.raises(DataError, match=r"no column can be used to predict 'label' \(x: every row has the same value"):
        chosen({"x": [1.0, 1.0], "label": [1.0, 2.0]})
    with pytest.raises(DataError, match="there is no other column"):
        chosen({"label": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("file", "label", "left_out"),
    [
        ("housing_lab", "MEDV", []),
        ("california_housing", "median_house_value", []),
        ("adult_train", "income-level", []),
        ("taxi_datetime_train", "fare_amount", ["key"]),
        ("bike_sharing_hour", "cnt", ["instant"]),
    ],
)
def test_real_tables(shared_data: Path, settings: Settings, file: str, label: str, left_out: list[str]) -> None:
    """Both sides agree on every row of a real table, with only file and label named; statistics take one pass of it."""
    with open_table(shared_data / "tabular" / f"{file}.csv", settings=settings) as table:
        statistics = gather_statistics(table.batches(5_000))
        batch = table.read()
    assert statistics.schema == table.schema
    result = automatic_columns(statistics, label=label)
    assert list(result.left_out) == left_out
    features = fit_features(result.columns, statistics)
    encoded = assert_sides_agree(features, batch, ulps=2)
    dense = np.concatenate([encoded[block.name] for block in features.blocks if block.kind == "dense"], axis=1)
    assert np.abs(dense).max() < 100
