"""What may be sent as an instance, and as what it goes."""

import datetime
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from penstock.client.instances import rows_of
from penstock.errors import InstanceError


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**64 - 1, 2**64 - 1),
        (0.1, 0.1),
        ("é", "é"),
        ("", ""),
        (float("nan"), None),
        (b"\x00\xff", {"b64": "AP8="}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05+00:00"),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        (np.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456"),
        (np.datetime64("NaT"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        (pd.Timestamp("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05+00:00"),
        (pd.NaT, None),
        (pd.NA, None),
        ((1, 2), [1, 2]),
        ({"a": {"b": np.int8(1)}}, {"a": {"b": 1}}),
    ],
)
def test_values_go_as_json_knows_them(value: Any, sent: Any) -> None:
    assert rows_of([value]) == [sent]
    assert type(rows_of([value])[0]) is type(sent)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (math.inf, "inf cannot be sent; a missing value is None or NaN"),
        (-math.inf, "-inf cannot be sent"),
        (np.float32("inf"), "inf cannot be sent"),
        (2**64, "does not fit into 64 bits"),
        (-(2**63) - 1, "does not fit into 64 bits"),
        ("\ud800", "half a character"),
        (object(), "a object cannot be sent as JSON"),
        ({1, 2}, "a set cannot be sent as JSON"),
        (1 + 2j, "a complex cannot be sent as JSON"),
    ],
)
def test_values_that_json_cannot_hold_name_their_place(value: Any, complaint: str) -> None:
    with pytest.raises(InstanceError) as caught:
        rows_of([{"RM": 1}, {"RM": value}])
    assert str(caught.value).startswith("instance 1, column 'RM': ")
    assert complaint in str(caught.value)
    assert (caught.value.index, caught.value.column) == (1, "RM")


def test_a_data_frame_goes_row_by_row() -> None:
    frame = pd.DataFrame(
        {
            "name": ["a", None],
            "rooms": [1.5, np.nan],
            "when": [pd.Timestamp("2026-01-02"), pd.NaT],
            "count": pd.array([1, None], dtype="Int64"),
        },
        index=[7, 7],
    )
    assert rows_of(frame) == [
        {"name": "a", "rooms": 1.5, "when": "2026-01-02T00:00:00", "count": 1},
        {"name": None, "rooms": None, "when": None, "count": None},
    ]


def test_columns_become_rows() -> None:
    assert rows_of({"a": [1, 2], "b": np.array([3.0, np.nan])}) == [{"a": 1, "b": 3.0}, {"a": 2, "b": None}]
    assert rows_of({}) == []


@pytest.mark.parametrize(
    ("instances", "complaint"),
    [
        ({"a": [1, 2], "b": [1]}, "the columns differ in length: a 2, b 1"),
        ({"a": 1}, "column 'a' is a int; expected a list of values"),
        ({"a": "text"}, "column 'a' is a str"),
        ("text", "instances are a str; expected a list of rows"),
        (7, "instances are a int"),
        (None, "instances are a NoneType"),
    ],
)
def test_what_is_no_rows_is_refused(instances: Any, complaint: str) -> None:
    with pytest.raises(InstanceError, match=complaint):
        rows_of(instances)
