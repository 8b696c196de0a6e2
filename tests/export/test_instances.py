"""Rows become what a caller would send, and arrive as the same rows."""

import json

import numpy as np

from penstock.bundle.manifest import Signature
from penstock.data.columns import ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType, Schema
from penstock.export.instances import composed, instances_of, sendable
from penstock.runtime.instances import InstanceDecoder

SCHEMA = Schema(
    (
        Column(name="f", type=DataType.FLOAT, nullable=True),
        Column(name="i", type=DataType.INTEGER, nullable=True),
        Column(name="b", type=DataType.BOOLEAN, nullable=True),
        Column(name="s", type=DataType.STRING, nullable=True, null_marks=("?",)),
        Column(name="t", type=DataType.TIMESTAMP, nullable=True, formats=("%d/%m/%Y",), timezone="Europe/Madrid"),
    )
)

ROWS = ColumnBatch(
    SCHEMA,
    {
        "f": np.array([1.5, np.nan, -0.1]),
        "i": np.array([3.0, np.nan, -7.0]),
        "b": np.array([1.0, np.nan, 0.0]),
        "s": np.array(["a", MISSING_STRING, ""], dtype=object),
        "t": np.array([1_580_472_000_000_001, MISSING_TIMESTAMP, -1], dtype=np.int64),
    },
)


def test_rows_as_json() -> None:
    assert json.loads(json.dumps(instances_of(ROWS))) == [
        {"f": 1.5, "i": 3, "b": True, "s": "a", "t": "2020-01-31T12:00:00.000001Z"},
        {"f": None, "i": None, "b": None, "s": None, "t": None},
        {"f": -0.1, "i": -7, "b": False, "s": "", "t": "1969-12-31T23:59:59.999999Z"},
    ]


def test_a_server_reads_back_the_same_rows() -> None:
    decoded = InstanceDecoder(Signature(inputs=SCHEMA.columns, outputs=())).rows(
        json.loads(json.dumps(instances_of(ROWS)))
    )
    for name in SCHEMA.names:
        np.testing.assert_array_equal(decoded[name], ROWS[name])


def test_what_cannot_be_sent_is_known() -> None:
    assert sendable(ROWS).all()
    strict = Schema(tuple(Column(name=column.name, type=column.type) for column in SCHEMA))
    assert sendable(ColumnBatch(strict, ROWS.arrays)).tolist() == [True, False, True]
    hostile = {
        "f": np.array([np.inf, 1.0, 1.0, 1.0, 1.0]),
        "i": np.array([1.0, 2.0**53, 1.0, 1.0, 1.0]),
        "b": np.zeros(5),
        "s": np.array(["a", "a", "?", "\ud800", "a"], dtype=object),
        "t": np.array([0, 0, 0, 0, 2**62], dtype=np.int64),
    }
    assert not sendable(ColumnBatch(SCHEMA, hostile)).any()


def test_texts_are_composed() -> None:
    schema = Schema((Column(name="s", type=DataType.STRING),))
    texts = np.array(["cafe\u0301", "x", MISSING_STRING], dtype=object)
    assert composed(ColumnBatch(schema, {"s": texts}))["s"].tolist() == ["café", "x", MISSING_STRING]
    assert texts[0] == "cafe\u0301"
