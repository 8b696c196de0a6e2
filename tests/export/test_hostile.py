import numpy as np

from penstock.data.columns import ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.export.hostile import hostile_rows

YEAR_US = 31_556_952_000_000


def test_every_type_gets_missing_and_never_seen_values() -> None:
    schema = Schema(
        (
            Column(name="number", type=DataType.FLOAT),
            Column(name="count", type=DataType.INTEGER),
            Column(name="flag", type=DataType.BOOLEAN),
            Column(name="word", type=DataType.STRING),
            Column(name="when", type=DataType.TIMESTAMP),
        )
    )
    noon_2015 = 1_420_113_600_000_000
    batch = ColumnBatch(
        schema,
        {
            "number": np.array([0.5, 2.5]),
            "count": np.array([1.0, 3.0]),
            "flag": np.array([0.0, 1.0]),
            "word": np.array(["a", "b"], dtype=object),
            "when": np.array([noon_2015, MISSING_TIMESTAMP], dtype=np.int64),
        },
    )
    rows = hostile_rows(batch)
    assert np.isnan(rows["number"]).any()
    assert rows["number"][np.isfinite(rows["number"])].max() > 2.5
    counts = rows["count"][np.isfinite(rows["count"])]
    assert (counts == np.floor(counts)).all()
    assert MISSING_STRING in rows["word"]
    assert not set(rows["word"]) <= {"a", "b", MISSING_STRING}
    times = rows["when"]
    assert MISSING_TIMESTAMP in times
    assert abs(times[times > noon_2015].min() - noon_2015 - YEAR_US) < YEAR_US / 100
