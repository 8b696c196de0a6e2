"""The fast way in takes what it can and agrees with the careful one on all of it."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock.bundle.manifest import Signature
from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column, DataType
from penstock.errors import InstanceError
from penstock.runtime.instances import InstanceDecoder
from penstock.runtime.model import load_model
from penstock.runtime.rows import NotPlain, RowReader

SIGNATURE = Signature(
    inputs=(
        Column(name="town", type=DataType.STRING, nullable=True, null_marks=("?",)),
        Column(name="size m²", type=DataType.FLOAT),
        Column(name="class", type=DataType.INTEGER, nullable=True),
        Column(name="sold", type=DataType.TIMESTAMP, nullable=True, formats=("%d/%m/%Y",)),
        Column(name="owner", type=DataType.BOOLEAN, nullable=True),
        Column(name="zone", type=DataType.STRING),
    ),
    outputs=(),
    ignored=("price",),
)
PLAIN = {"town": "Zu\u0308rich", "size m²": 80, "class": 3, "sold": "01/02/2024", "owner": True, "zone": ""}


def read(rows: list[dict[str, Any]]) -> ColumnBatch:
    reader = RowReader(SIGNATURE)
    return reader.batch(reader.read(orjson.dumps({"instances": rows})))


def assert_same(found: ColumnBatch, expected: ColumnBatch) -> None:
    assert found.schema == expected.schema
    for name in expected.schema.names:
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"price": {"anything": [1]}},
        {"town": None},
        {"town": "?"},
        {"town": "\ue000"},
        {"class": 3.0},
        {"class": None},
        {"owner": False},
        {"sold": None},
        {"sold": "2024-02-01T00:00:00Z"},
        {"size m²": 10**18 + 1},
    ],
)
def test_plain_rows_decode_as_the_careful_decoder_decodes_them(change: dict[str, Any]) -> None:
    rows = [PLAIN | change, PLAIN]
    assert_same(read(rows), InstanceDecoder(SIGNATURE).rows(rows))


@pytest.mark.parametrize(
    "change",
    [
        {"size m²": "80"},
        {"size m²": None},
        {"size m²": True},
        {"class": 3.7},
        {"class": 2**53},
        {"zone": None},
        {"zone": "\ue000"},
        {"zone": 4},
        {"town": {"b64": "YQ=="}},
        {"sold": "soon"},
        {"owner": 1},
        {"colour": "red"},
    ],
)
def test_other_rows_are_left_to_the_careful_decoder(change: dict[str, Any]) -> None:
    with pytest.raises(NotPlain):
        read([PLAIN | change])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"instances": []}',
        b'{"instances": [1]}',
        b'{"instances": [{"x": NaN}]}',
        b'{"instances": [{"x": 1}]} and more',
        b'{"instances": [{"x": 1}], "inputs": 1}',
        b'{"instances": [{"x": 1}], "signature_name": "other"}',
        b'{"instances": [{"x": 1, "y": ' + b"[" * 10_000 + b"]" * 10_000 + b"}]}",
        b'{"instances": [{"x": "\xff"}]}',
    ],
)
def test_other_bodies_are_left_to_the_careful_decoder(body: bytes) -> None:
    signature = Signature(inputs=(Column(name="x", type=DataType.FLOAT),), outputs=(), ignored=("y",))
    with pytest.raises(NotPlain):
        RowReader(signature).read(body)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"zone": st.text(max_size=3), "size m²": st.floats(allow_nan=False, allow_infinity=False) | st.integers()},
            optional={
                "town": st.none() | st.text(max_size=3) | st.just("?"),
                "class": st.none() | st.integers() | st.floats(-5, 5),
                "owner": st.none() | st.booleans() | st.integers(0, 2),
                "sold": st.none() | st.dates().map(lambda day: day.isoformat()) | st.text(max_size=4),
            },
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=300)
def test_what_is_read_fast_is_read_the_same_and_what_is_refused_is_not_read_fast(rows: list[dict[str, Any]]) -> None:
    try:
        body = orjson.dumps({"instances": rows})
    except TypeError:
        return  # an integer beyond 64 bits
    reader = RowReader(SIGNATURE)
    try:
        expected = InstanceDecoder(SIGNATURE).rows(orjson.loads(body)["instances"])
    except InstanceError:
        with pytest.raises(NotPlain):
            reader.read(body)
        return
    try:
        found = reader.batch(reader.read(body))
    except NotPlain:
        return
    assert_same(found, expected)


def test_both_ways_in_predict_alike(tmp_path: Path) -> None:
    linear = load_model(linear_bundle(tmp_path / "linear"))
    rows = [{"A": 1, "B": 2.5, "C": 3}, {"A": 0, "B": 0, "C": -1}]
    fast = linear.predict_rows(linear.rows.read(orjson.dumps({"instances": rows})))
    np.testing.assert_array_equal(fast["predictions"], linear.predict(linear.decode(rows))["predictions"])

    mixed = load_model(mixed_bundle(tmp_path / "mixed"))
    mixed_rows = [{"age": None, "rooms": 3, "sold": "02/01/1970", "zone": "é"}, {"town": "a", "rooms": 1, "zone": "b"}]
    fast = mixed.predict_rows(mixed.rows.read(orjson.dumps({"instances": mixed_rows})))
    careful = mixed.predict(mixed.decode(mixed_rows))
    for name in careful:
        np.testing.assert_array_equal(fast[name], careful[name])


@pytest.mark.parametrize("name", ['size "big"', "back\\slash", "line\nbreak"])
def test_a_name_that_json_escapes_is_left_to_the_careful_decoder(name: str) -> None:
    column = Column(name=name, type=DataType.FLOAT)
    for signature in (Signature(inputs=(column,), outputs=()), Signature(inputs=(), outputs=(), ignored=(name,))):
        with pytest.raises(NotPlain):
            RowReader(signature).read(orjson.dumps({"instances": [{name: 1.5}]}))
