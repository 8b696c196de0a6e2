"""Profiles are read back as they were written."""

from penstock.data.profile import ColumnProfile, TableProfile, ValueCount
from penstock.data.schema import DataType


def test_an_infinite_value_does_not_make_a_profile_unreadable() -> None:
    values = (ValueCount(1.5, 2), ValueCount(float("inf"), 1), ValueCount(float("-inf"), 1))
    column = ColumnProfile(name="x", type=DataType.FLOAT, rows=4, missing=0, infinite=2, values=values)
    read = TableProfile.from_json(TableProfile(rows=4, columns=(column,)).to_json())
    assert read["x"].values == (ValueCount(1.5, 2),)
    assert read["x"].infinite == 2
