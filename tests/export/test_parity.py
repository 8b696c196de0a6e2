"""What counts as equal, what does not, and how a difference is told."""

from typing import Any

import numpy as np
import pytest

from penstock.data.columns import ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.errors import ParityError
from penstock.export.hostile import NEVER_SEEN, hostile_rows
from penstock.export.parity import compare_answers

ROWS = ColumnBatch(
    Schema((Column(name="x", type=DataType.FLOAT), Column(name="w", type=DataType.STRING))),
    {"x": np.array([1.5, np.nan]), "w": np.array(["a", MISSING_STRING], dtype=object)},
)


def compare(own: dict[str, Any], served: dict[str, Any]) -> Any:
    def arrays(side: dict[str, Any]) -> dict[str, Any]:
        return {name: np.asarray(value) for name, value in side.items()}

    return compare_answers(arrays(own), arrays(served), ROWS, what="row")


def test_float_noise_is_equal_and_reported() -> None:
    (report,) = compare({"predictions": [[1000.0], [0.001]]}, {"predictions": [[1000.01], [0.0011]]})
    assert report.max_absolute_difference == pytest.approx(0.01)
    assert report.max_relative_difference == pytest.approx(1e-5)


def test_a_difference_names_output_row_values_and_both_numbers() -> None:
    with pytest.raises(ParityError) as failure:
        compare({"predictions": [[1.0], [2.0]]}, {"predictions": [[1.0], [2.1]]})
    message = str(failure.value)
    for part in ("'predictions'", "row 1", "[2.0]", "[2.1]", "x=missing, w=missing", "1 of 2 rows"):
        assert part in message


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.01])
def test_no_other_number_is_equal(wrong: float) -> None:
    with pytest.raises(ParityError, match=r"x=1\.5, w='a'"):
        compare({"predictions": [[1.0], [2.0]]}, {"predictions": [[wrong], [2.0]]})


def test_overflow_on_both_sides_is_equal() -> None:
    compare({"predictions": [[np.inf], [2.0]]}, {"predictions": [[np.nan], [2.0]]})
    with pytest.raises(ParityError):
        compare({"predictions": [[np.inf], [2.0]]}, {"predictions": [[1e30], [2.0]]})


def test_classes_are_equal_or_tied() -> None:
    own = {"probabilities": [[0.5, 0.5], [0.9, 0.1]], "class_ids": [[0], [0]], "classes": [["no"], ["no"]]}
    tied = {**own, "class_ids": [[1], [0]], "classes": [["yes"], ["no"]]}
    compare(own, tied)
    with pytest.raises(ParityError, match="'class_ids' of row 1"):
        compare(own, {**own, "class_ids": [[0], [1]]})


def test_outputs_and_shapes_are_the_same() -> None:
    with pytest.raises(ParityError, match=r"outputs \['a'\], the bundle with \['b'\]"):
        compare({"a": [[1.0], [1.0]]}, {"b": [[1.0], [1.0]]})
    with pytest.raises(ParityError, match=r"shape \[2, 1\] in the trainer and \[2\] in the bundle"):
        compare({"a": [[1.0], [1.0]]}, {"a": [1.0, 1.0]})


def test_hostile_rows_hold_what_breaks_models() -> None:
    schema = Schema(
        (
            Column(name="f", type=DataType.FLOAT),
            Column(name="i", type=DataType.INTEGER),
            Column(name="b", type=DataType.BOOLEAN),
            Column(name="s", type=DataType.STRING),
            Column(name="t", type=DataType.TIMESTAMP),
        )
    )
    real = ColumnBatch(
        schema,
        {
            "f": np.array([1.0, 2.0]),
            "i": np.array([1.0, 5.0]),
            "b": np.array([0.0, 1.0]),
            "s": np.array(["a", "b"], dtype=object),
            "t": np.array([0, 10**15], dtype=np.int64),
        },
    )
    hostile = hostile_rows(real)
    assert {name: array.dtype for name, array in hostile.arrays.items()} == {
        name: array.dtype for name, array in real.arrays.items()
    }
    for name in ("f", "i", "b"):
        assert np.isnan(hostile[name]).any()
        assert np.isfinite(hostile[name]).any()
    assert {MISSING_STRING, "", NEVER_SEEN, "a"} <= set(hostile["s"].tolist())
    assert {MISSING_TIMESTAMP, -1} <= set(hostile["t"].tolist())
    whole = hostile["i"][~np.isnan(hostile["i"])]
    assert (whole == np.floor(whole)).all()
    again = hostile_rows(real)
    assert all(np.array_equal(again[name], hostile[name], equal_nan=name in "fib") for name in schema.names)
    assert hostile_rows(ColumnBatch(schema, {n: a[:1] for n, a in real.arrays.items()})).rows > 20


def test_a_column_that_is_always_missing_can_be_hostile() -> None:
    schema = Schema((Column(name="f", type=DataType.FLOAT), Column(name="s", type=DataType.STRING)))
    real = ColumnBatch(schema, {"f": np.array([np.nan]), "s": np.array([MISSING_STRING], dtype=object)})
    assert hostile_rows(real).rows > 10
