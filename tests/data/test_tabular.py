"""The shared real tables, with nothing but their names given."""

from pathlib import Path

import pytest

from penstock.data.columns import is_missing
from penstock.data.schema import DataType
from penstock.data.table import open_table
from penstock.settings import Settings

SHAPES = {
    "adult_test.csv": (16278, 15),
    "adult_test_noheader_raw.csv": (16278, 15),
    "adult_train.csv": (32561, 15),
    "bike_sharing_hour.csv": (17379, 17),
    "boston_housing_mlxtend_raw.csv": (506, 14),
    "california_housing.csv": (20640, 10),
    "housing.csv": (506, 14),
    "housing_lab.csv": (506, 12),
    "taxi_datetime_test.csv": (1572, 9),
    "taxi_datetime_train.csv": (7333, 9),
    "taxi_datetime_valid.csv": (1571, 9),
    "taxi_test.csv": (18632, 8),
    "taxi_train.csv": (59620, 8),
    "taxi_valid.csv": (14905, 8),
}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_table_has_its_rows_and_columns(name: str, shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "tabular" / name, settings=settings) as table:
        assert (table.count(), len(table.schema)) == SHAPES[name]


def test_question_marks_of_adult_are_missing(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "tabular" / "adult_train.csv", settings=settings) as table:
        nullable = {column.name for column in table.schema if column.nullable}
        assert nullable == {"workclass", "occupation", "native-country"}
        batch = table.read(["workclass", "age"])
        assert int(is_missing(batch["workclass"], DataType.STRING).sum()) == 1836
        assert table.schema["workclass"].null_marks == ("?",)


def test_spaces_after_commas_do_not_reach_the_values(shared_data: Path, settings: Settings) -> None:
    folder = shared_data / "tabular"
    with (
        open_table(folder / "adult_test_noheader_raw.csv", settings=settings) as raw,
        open_table(folder / "adult_test.csv", settings=settings) as clean,
    ):
        assert raw.schema.names[0] == "column_1"
        left, right = raw.read(), clean.read()
        for a, b in zip(left.arrays.values(), right.arrays.values(), strict=True):
            assert a.tolist() == b.tolist()


def test_blank_numbers_of_california_are_missing(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "tabular" / "california_housing.csv", settings=settings) as table:
        assert [column.name for column in table.schema if column.nullable] == ["total_bedrooms"]
        assert int(is_missing(table.read(["total_bedrooms"])["total_bedrooms"], DataType.FLOAT).sum()) == 207
        assert table.schema["ocean_proximity"].type is DataType.STRING


def test_taxi_times_are_utc_timestamps(shared_data: Path, settings: Settings) -> None:
    with open_table(shared_data / "tabular" / "taxi_datetime_train.csv", settings=settings) as table:
        assert table.schema["pickup_datetime"].type is DataType.TIMESTAMP
        first = (shared_data / "tabular" / "taxi_datetime_train.csv").read_text().splitlines()[1]
        assert "2011-01-28 20:42:59 UTC" in first
        assert table.read(["pickup_datetime"], limit=1)["pickup_datetime"][0] == 1296247379000000
