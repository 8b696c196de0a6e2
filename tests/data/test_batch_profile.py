import numpy as np

from penstock.data.batch_profile import profile_batch
from penstock.data.columns import ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.settings import Settings

COLUMNS = {'a "b"\'; --': "float", "count": "integer", "flag": "boolean", "name": "string", "when": "timestamp"}


def test_rows_in_memory_are_profiled_as_a_table_of_them(settings: Settings) -> None:
    schema = Schema(tuple(Column(name=name, type=DataType(kind)) for name, kind in COLUMNS.items()))
    values = (
        np.array([0.5, np.nan, np.inf, -1.0]),
        np.array([3.0, 3.0, np.nan, 2.0**53]),
        np.array([1.0, 0.0, 1.0, np.nan]),
        np.array(["NA", MISSING_STRING, " ü ", "NA"], dtype=object),
        np.array([0, 1_500_000, MISSING_TIMESTAMP, 1_500_000]),
    )
    profile = profile_batch(ColumnBatch(schema, dict(zip(COLUMNS, values, strict=True))), settings=settings)
    assert profile.rows == 4
    assert [column.type for column in profile.columns] == [DataType(kind) for kind in COLUMNS.values()]
    number, count, flag, name, when = profile.columns
    assert (number.name, number.missing, number.infinite, number.max) == ('a "b"\'; --', 1, 1, 0.5)
    assert (count.missing, count.max, count.distinct) == (1, 2.0**53, 2)
    assert (flag.missing, flag.mean) == (1, 2 / 3)
    assert [(value.value, value.count) for value in name.values] == [("NA", 2), (" ü ", 1)]
    assert (when.missing, when.max) == (1, 1_500_000)


def test_columns_of_several_values_and_photos_have_no_profile(settings: Settings) -> None:
    schema = Schema(
        (
            Column(name="pair", type=DataType.FLOAT, shape=(2,)),
            Column(name="photo", type=DataType.IMAGE, shape=(None, None, 3)),
        )
    )
    batch = ColumnBatch(schema, {"pair": np.zeros((3, 2)), "photo": np.zeros((3, 4, 4, 3), np.uint8)})
    assert profile_batch(batch, settings=settings).columns == ()
