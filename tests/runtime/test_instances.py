from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from penstock.bundle.manifest import Signature
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType
from penstock.errors import InstanceError
from penstock.runtime.instances import InstanceDecoder

NAN = float("nan")


def decoder(*columns: Column, ignored: tuple[str, ...] = ()) -> InstanceDecoder:
    return InstanceDecoder(Signature(inputs=columns, outputs=(), ignored=ignored))


def column(data_type: DataType, *, nullable: bool = False, **facts: Any) -> Column:
    return Column(name="x", type=data_type, nullable=nullable, **facts)


def one(value: object, data_type: DataType, **facts: Any) -> Any:
    """What one value becomes, in the row form; the column form must agree."""
    by_row = decoder(column(data_type, **facts)).rows([{"x": value}])["x"]
    by_column = decoder(column(data_type, **facts)).columns({"x": [value]})["x"]
    np.testing.assert_array_equal(by_row, by_column)
    assert by_row.dtype == by_column.dtype
    return by_row[0]


PAIR = decoder(Column(name="n", type=DataType.FLOAT), Column(name="s", type=DataType.STRING, nullable=True))


@pytest.mark.parametrize(
    ("data_type", "sent", "kept"),
    [
        (DataType.FLOAT, 1.5, 1.5),
        (DataType.FLOAT, 3, 3.0),
        (DataType.FLOAT, "3", 3.0),
        (DataType.FLOAT, " -2.5e-3 ", -0.0025),
        (DataType.FLOAT, ".5", 0.5),
        (DataType.FLOAT, [0.5], 0.5),
        (DataType.FLOAT, [[0.5]], 0.5),
        (DataType.FLOAT, 10**300, 1e300),
        (DataType.INTEGER, 3, 3.0),
        (DataType.INTEGER, 3.0, 3.0),
        (DataType.INTEGER, "3", 3.0),
        (DataType.INTEGER, "3.0", 3.0),
        (DataType.INTEGER, 1 - 2**53, 1 - 2.0**53),
        (DataType.BOOLEAN, True, 1.0),
        (DataType.BOOLEAN, 0, 0.0),
        (DataType.BOOLEAN, "True", 1.0),
        (DataType.BOOLEAN, "no", 0.0),
        (DataType.STRING, "a", "a"),
        (DataType.STRING, "", ""),
        (DataType.STRING, "nan", "nan"),
        (DataType.STRING, 7, "7"),
        (DataType.STRING, "e\u0301", "\u00e9"),
        (DataType.STRING, {"b64": "w6k="}, "é"),
        (DataType.TIMESTAMP, "1970-01-01T00:00:01Z", 1_000_000),
    ],
)
def test_values_are_taken_without_loss(data_type: DataType, sent: object, kept: object) -> None:
    assert one(sent, data_type) == kept


@pytest.mark.parametrize(
    ("data_type", "sent", "reason"),
    [
        (DataType.FLOAT, "abc", "expected a number"),
        (DataType.FLOAT, "1_000", "expected a number"),
        (DataType.FLOAT, True, "expected a number, not a boolean"),
        (DataType.FLOAT, {"a": 1}, "expected a number"),
        (DataType.FLOAT, [1, 2], "expected a number"),
        (DataType.FLOAT, [], "expected a number"),
        (DataType.FLOAT, float("inf"), "expected a finite number"),
        (DataType.FLOAT, float("-inf"), "expected a finite number"),
        (DataType.FLOAT, "-Infinity", "expected a finite number"),
        (DataType.FLOAT, "1e999", "expected a finite number"),
        (DataType.FLOAT, 10**400, "expected a finite number"),
        (DataType.INTEGER, 3.7, "expected an integer"),
        (DataType.INTEGER, "3.7", "expected an integer"),
        (DataType.INTEGER, 2**53, r"below 2\^53"),
        (DataType.INTEGER, False, "expected an integer, not a boolean"),
        (DataType.BOOLEAN, 2, "expected true or false"),
        (DataType.BOOLEAN, "maybe", "expected true or false"),
        (DataType.STRING, 1.5, "expected a string"),
        (DataType.STRING, True, "expected a string"),
        (DataType.STRING, "a\ud800", "expected whole characters"),
        (DataType.STRING, {"b64": "!"}, "expected base64"),
        (DataType.STRING, {"b64": "/w=="}, "expected base64 of UTF-8"),
        (DataType.TIMESTAMP, 1706779800, "expected a timestamp"),
        (DataType.TIMESTAMP, "yesterday", "expected a timestamp as .*ISO 8601"),
    ],
)
@pytest.mark.parametrize("nullable", [False, True])
def test_values_that_would_lose_something_are_refused(
    data_type: DataType, sent: object, reason: str, nullable: bool
) -> None:
    with pytest.raises(InstanceError, match=f"instance 0: column 'x' is .*{reason}") as caught:
        one(sent, data_type, nullable=nullable)
    assert (caught.value.index, caught.value.column) == (0, "x")


@pytest.mark.parametrize(
    ("data_type", "sent"),
    [
        (DataType.FLOAT, None),
        (DataType.FLOAT, NAN),
        (DataType.FLOAT, "NaN".lower()),
        (DataType.FLOAT, ""),
        (DataType.FLOAT, "?"),
        (DataType.INTEGER, None),
        (DataType.INTEGER, NAN),
        (DataType.BOOLEAN, None),
        (DataType.STRING, None),
        (DataType.STRING, NAN),
        (DataType.STRING, "?"),
        (DataType.TIMESTAMP, None),
        (DataType.TIMESTAMP, "?"),
        (DataType.TIMESTAMP, ""),
    ],
)
def test_null_nan_and_null_marks_are_missing_and_refused_where_a_value_is_required(
    data_type: DataType, sent: object
) -> None:
    kept = one(sent, data_type, nullable=True, null_marks=("?",))
    match data_type:
        case DataType.STRING:
            assert kept == MISSING_STRING
        case DataType.TIMESTAMP:
            assert kept == MISSING_TIMESTAMP
        case _:
            assert np.isnan(kept)
    with pytest.raises(InstanceError, match=r"column 'x' is missing .*a value is required"):
        one(sent, data_type, null_marks=("?",))


def test_an_absent_nullable_column_is_missing_and_an_absent_required_one_is_refused() -> None:
    batch = PAIR.rows([{"n": 1, "s": "a"}, {"n": 2}])
    assert batch["s"].tolist() == ["a", MISSING_STRING]
    assert PAIR.columns({"n": [1, 2]})["s"].tolist() == [MISSING_STRING, MISSING_STRING]
    with pytest.raises(InstanceError, match="instance 1 has no column 'n', which is required; the model takes n, s"):
        PAIR.rows([{"n": 1, "s": "a"}, {"s": "b"}])


def test_unknown_columns_are_refused_and_ignored_ones_are_not() -> None:
    model = decoder(Column(name="RM", type=DataType.FLOAT), ignored=("MEDV",))
    assert model.rows([{"RM": 6.5, "MEDV": "whatever"}])["RM"].tolist() == [6.5]
    with pytest.raises(InstanceError, match=r"instance 0 has column 'RMS', .* takes RM; did you mean 'RM'") as caught:
        model.rows([{"RM": 6.5, "RMS": 1}])
    assert caught.value.column == "RMS"
    with pytest.raises(InstanceError, match="'inputs' has column 'RMS'"):
        model.columns({"RM": [6.5], "RMS": [1]})


def test_the_offending_instance_is_named_by_its_index() -> None:
    with pytest.raises(InstanceError, match="instance 2: column 'n' is 'x'") as caught:
        PAIR.rows([{"n": 1}, {"n": 2}, {"n": "x"}])
    assert (caught.value.index, caught.value.column) == (2, "n")
    with pytest.raises(InstanceError, match=r"instance 1: column 'n' is nan|instance 1: column 'n' is missing"):
        PAIR.rows([{"n": 1}, {"n": NAN}])


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(InstanceError) as caught:
        PAIR.rows([{"n": "x" * 100_000}])
    assert len(str(caught.value)) < 500


def test_one_column_models_take_bare_values() -> None:
    model = decoder(column(DataType.FLOAT))
    assert model.rows([1, "2", [3.0]])["x"].tolist() == [1.0, 2.0, 3.0]
    assert model.rows([{"x": 4}])["x"].tolist() == [4.0]
    assert model.columns([1, 2])["x"].tolist() == [1.0, 2.0]
    assert model.columns([[1], [2]])["x"].tolist() == [1.0, 2.0]
    assert decoder(column(DataType.STRING)).rows([{"b64": "YQ=="}, "b"])["x"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PAIR.rows([]), "no instances"),
        (lambda: PAIR.rows([1]), "the model takes 2 columns"),
        (lambda: PAIR.rows([{"n": 1}, 2]), "instance 1 is 2; expected an object"),
        (lambda: PAIR.columns([1, 2]), "the model takes 2 columns; expected an object with n, s"),
        (lambda: PAIR.columns({"n": [1, 2], "s": ["a"]}), "differ in length: n 2, s 1"),
        (lambda: PAIR.columns({"n": []}), "holds no rows"),
        (lambda: PAIR.columns({"s": ["a"]}), "'inputs' has no column 'n'"),
        (lambda: decoder(column(DataType.FLOAT)).rows([1, {"x": 2}]), "instance 1 is an object; expected a bare value"),
    ],
)
def test_requests_of_the_wrong_form_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InstanceError, match=message):
        call()


def test_a_whole_column_and_its_values_one_by_one_decode_alike() -> None:
    rng = np.random.default_rng(0)
    for data_type in (DataType.FLOAT, DataType.INTEGER):
        values = [int(value) if data_type is DataType.INTEGER else float(value) for value in rng.integers(-99, 99, 50)]
        plain = decoder(column(data_type, nullable=True)).rows([{"x": value} for value in [*values, None]])["x"]
        as_text = decoder(column(data_type, nullable=True)).rows([{"x": str(value)} for value in [*values, ""]])["x"]
        np.testing.assert_array_equal(plain, as_text)


@pytest.mark.parametrize(
    ("data_type", "sent", "kept"),
    [
        (DataType.FLOAT, np.array([1, 2], dtype=np.int32), [1.0, 2.0]),
        (DataType.FLOAT, np.array([0.5, 2], dtype=np.float32), [0.5, 2.0]),
        (DataType.INTEGER, np.array([1, 2], dtype=np.float64), [1.0, 2.0]),
        (DataType.INTEGER, np.array([1, 2], dtype=np.uint64), [1.0, 2.0]),
        (DataType.BOOLEAN, np.array([True, False]), [1.0, 0.0]),
        (DataType.BOOLEAN, np.array([1, 0], dtype=np.int8), [1.0, 0.0]),
        (DataType.STRING, np.array(["a", "e\u0301"], dtype=object), ["a", "\u00e9"]),
        (DataType.TIMESTAMP, np.array([5, -7], dtype=np.int64), [5, -7]),
        (DataType.TIMESTAMP, np.array(["1970-01-01T00:00:01Z"], dtype=object), [1_000_000]),
    ],
)
def test_arrays_are_taken_by_the_same_rules(data_type: DataType, sent: Any, kept: list[object]) -> None:
    found = decoder(column(data_type)).columns({"x": sent})["x"]
    assert found.tolist() == kept
    assert found.dtype == decoder(column(data_type, nullable=True)).columns({"x": [None]})["x"].dtype


@pytest.mark.parametrize(
    ("data_type", "sent", "message"),
    [
        (DataType.FLOAT, np.array([1, np.inf]), "instance 1: column 'x' is inf; expected a finite number"),
        (DataType.FLOAT, np.array([1, np.nan]), "instance 1: column 'x' is missing"),
        (DataType.FLOAT, np.array([True]), "expected a number, not a boolean"),
        (DataType.INTEGER, np.array([1, 2.5]), "instance 1: column 'x' is 2.5; expected an integer"),
        (DataType.INTEGER, np.array([2**60]), "expected an integer below"),
        (DataType.TIMESTAMP, np.array([1.5]), "expected a timestamp"),
        (DataType.TIMESTAMP, np.array([MISSING_TIMESTAMP]), "instance 0: column 'x' is missing"),
        (DataType.STRING, np.array([1.5]), "expected a string"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_the_same_rules(data_type: DataType, sent: Any, message: str) -> None:
    with pytest.raises(InstanceError, match=message):
        decoder(column(data_type)).columns({"x": sent})
