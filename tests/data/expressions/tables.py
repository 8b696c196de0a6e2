"""Values that tell evaluators apart, as columns in memory and as a relation of DuckDB."""

from datetime import UTC, datetime

import duckdb
import numpy as np

from penstock.data.columns import Array, ColumnBatch, dtype_of, missing_value
from penstock.data.expressions.evaluation import evaluate
from penstock.data.expressions.parser import parse
from penstock.data.expressions.sql import SqlLayers
from penstock.data.expressions.typing import typed
from penstock.data.schema import Column, DataType, Schema

FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 0.1, 1e-7, 3.7, 1e15, 1e16, 9007199254740993.0, 1e300, -1e308]
INTEGERS = [0, 1, -1, 2, 3, 7, -7, 10, 100, -999, 2**31, 2**53, -(2**53), 5, 12, 42]
TEXTS = [
    "",
    " ",
    "a",
    "A",
    "Ab c",
    " padded\t\n",
    "12",
    " -3.5e2 ",
    "1,000",
    "nan",
    "1e999",
    "0x10",
    "true",
    "No",
    "ß",
    "İstanbul",
    "ΑΣ",
    "ŉ",
    "日本語",
    "e\u0301",
    "👩‍👩‍👧",
    "a/b//c",
    "AB-12 CD-34",
    "x'y\"z`\\",
    "2024-05-31",
    "2024-02-30",
    "31/05/2024 7:05",
    "2024-05-31T22:10:05.1234567+02:00",
    "2024-05-31 24:00",
    '{"a": {"b": [1, 2.50, "x", null]}}',
    '{"a": 1e-7}',
    "[1, true]",
    "not json",
    "1_000",
    "١٢",
    "line\nbreak",
    "tab\there",
    "%_",
    "\u00a0nbsp\u3000",
    "-0",
    ".5",
    "5.",
    "+7",
]
TIMES = [
    "1970-01-01T00:00:00",
    "1969-12-31T23:59:59.999999",
    "2024-02-29T12:34:56.789",
    "2024-03-10T07:30:00",
    "2024-11-03T06:30:00",
    "2000-12-31T23:59:59",
    "2021-01-03T10:00:00",
    "1975-06-15T00:00:00.000001",
    "9999-12-31T23:59:59",
    "0001-01-01T00:00:00",
    "2038-01-19T03:14:08",
    "2016-01-01T05:45:00",
]

SCHEMA = Schema(
    (
        Column(name="x", type=DataType.FLOAT, nullable=True),
        Column(name="y", type=DataType.FLOAT, nullable=True),
        Column(name="n", type=DataType.INTEGER, nullable=True),
        Column(name="m", type=DataType.INTEGER, nullable=True),
        Column(name="p", type=DataType.BOOLEAN, nullable=True),
        Column(name="q", type=DataType.BOOLEAN, nullable=True),
        Column(name="s", type=DataType.STRING, nullable=True),
        Column(name="r", type=DataType.STRING, nullable=True),
        Column(name="t", type=DataType.TIMESTAMP, nullable=True),
        Column(name="u", type=DataType.TIMESTAMP, nullable=True),
    )
)
_SQL_TYPES = {
    DataType.FLOAT: "DOUBLE",
    DataType.INTEGER: "BIGINT",
    DataType.BOOLEAN: "BOOLEAN",
    DataType.STRING: "VARCHAR",
    DataType.TIMESTAMP: "TIMESTAMP",
}


def micros(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution


def hostile_batch(rows: int = 400, seed: int = 0) -> ColumnBatch:
    """Every value of each kind at least once, in random company, some missing."""
    random = np.random.default_rng(seed)
    pools: dict[DataType, list[object]] = {
        DataType.FLOAT: [*FLOATS],
        DataType.INTEGER: [*INTEGERS],
        DataType.BOOLEAN: [0.0, 1.0],
        DataType.STRING: [*TEXTS],
        DataType.TIMESTAMP: [micros(text) for text in TIMES],
    }
    arrays: dict[str, Array] = {}
    for column in SCHEMA:
        pool = [*pools[column.type], missing_value(column.type)]
        picks = [*range(len(pool)), *random.integers(0, len(pool), rows - len(pool)).tolist()]
        array = np.empty(rows, dtype=dtype_of(column.type))
        array[:] = [pool[pick] for pick in random.permutation(picks)]
        arrays[column.name] = array
    return ColumnBatch(SCHEMA, arrays)


def python_values(array: Array, data_type: DataType) -> list[object]:
    """As DuckDB's client hands them out, timestamps as microseconds."""
    missing = missing_value(data_type)
    values: list[object] = []
    for value in array.tolist():
        if value == missing or value != value:
            values.append(None)
        elif data_type is DataType.INTEGER:
            values.append(int(value))
        elif data_type is DataType.BOOLEAN:
            values.append(bool(value))
        else:
            values.append(value)
    return values


def in_memory(text: str, batch: ColumnBatch) -> list[object]:
    expression = parse(text)
    data_type = typed(expression, batch.schema).data_type
    return python_values(evaluate(expression, batch), data_type)


class Database:
    """The batch as a relation `rows` of DuckDB."""

    def __init__(self, batch: ColumnBatch) -> None:
        self._schema = batch.schema
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        columns = ", ".join(f'"{item.name}" {_sql_type(item.type)}' for item in batch.schema)
        self._connection.execute(f"CREATE TABLE rows (place BIGINT, {columns})")
        values = [python_values(batch[item.name], item.type) for item in batch.schema]
        marks = ", ".join("make_timestamp(?)" if item.type is DataType.TIMESTAMP else "?" for item in batch.schema)
        if batch.rows:
            self._connection.executemany(
                f"INSERT INTO rows VALUES (?, {marks})",
                [list(row) for row in zip(range(batch.rows), *values, strict=True)],
            )

    def values(self, text: str) -> list[object]:
        expression = typed(parse(text), self._schema)
        layers = SqlLayers({name: f'"{name}"' for name in self._schema.names}, prefix="part_")
        value = layers.value(expression)
        if expression.type is DataType.TIMESTAMP:
            value = f"epoch_us({value})"
        sql = f"SELECT {value} AS v FROM {layers.relation('rows')} ORDER BY place"
        found = self._connection.execute(f"SELECT v, typeof(v) FROM ({sql})").fetchall()
        expected = {DataType.TIMESTAMP: "BIGINT"}.get(expression.data_type, _sql_type(expression.data_type))
        assert {kind for _, kind in found} <= {expected}
        return [value for value, _ in found]


def _sql_type(data_type: DataType) -> str:
    return _SQL_TYPES[data_type]
