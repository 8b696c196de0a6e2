import numpy as np
import pytest

from penstock.data.columns import ColumnBatch
from penstock.data.expressions.evaluation import evaluate
from penstock.data.expressions.functions import FUNCTIONS
from penstock.data.expressions.parser import parse
from penstock.data.expressions.typing import infer
from penstock.data.schema import Schema

from .tables import SCHEMA, hostile_batch, in_memory

EMPTY = hostile_batch().take(slice(0, 0))
ONE = hostile_batch().take(slice(0, 1))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_the_example_of_a_function_gives_the_answer_of_the_reference_page(function: object) -> None:
    example, answer = function.example, function.answer  # type: ignore[attr-defined]
    if answer == "null":
        assert in_memory(example, ONE) == [None]
        return
    assert in_memory(example, ONE) == in_memory(answer, ONE)
    assert infer(parse(example), SCHEMA) == infer(parse(answer), SCHEMA)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / 0", None),
        ("0 / 0", None),
        ("log(0)", None),
        ("1e308 * 10", None),
        ("1 / (1e308 * 10)", None),
        ("9007199254740992 + 1.0", 9007199254740992.0),
        ("9007199254740992 * 2", None),
        ("9007199254740992 * 2 - 9007199254740992 * 2", 0),
        ("true and 1 / 0 > 1", None),
        ("false and 1 / 0 > 1", False),
        ("true or 1 / 0 > 1", True),
        ("not 1 / 0 > 1", None),
        ("if(1 / 0 > 1, 'yes', 'no')", "no"),
        ("concat('a', string(1 / 0))", None),
        ("string(0.1 + 0.2)", "0.30000000000000004"),
        ("string(-0.0)", "0.0"),
        ("-7 // 2", -4),
        ("7 % -3", -2),
        ("round(-2.5)", -3),
        ("integer('3.99')", 3),
        ("add_days(timestamp('9999-12-31'), 1)", None),
        ("bucket(1, 1, 2)", 1),
        ("slice('penstock', -5, -2)", "sto"),
        ("'a' < 'B'", False),
    ],
)
def test_what_cannot_be_known_is_missing_and_never_infinite(text: str, value: object) -> None:
    assert in_memory(text, ONE) == [value]


@pytest.mark.parametrize("batch", [EMPTY, ONE, hostile_batch(60)], ids=["no rows", "one row", "many rows"])
@pytest.mark.parametrize(
    "text", ["1", "x + 1", "'a'", "concat(s, 'a')", "t", "coalesce(n, 0)", "hour(t, 'Asia/Tokyo')"]
)
def test_a_result_has_a_value_a_row(text: str, batch: ColumnBatch) -> None:
    assert len(evaluate(parse(text), batch)) == batch.rows


def test_constants_do_not_need_columns() -> None:
    assert evaluate(parse("1 + 1"), ColumnBatch(Schema(()), {})).shape == (0,)


def test_a_batch_is_never_written_to() -> None:
    batch = hostile_batch(60)
    for array in batch.arrays.values():
        array.flags.writeable = False
    for function in FUNCTIONS.values():
        evaluate(parse(function.example), batch)
    evaluate(parse("coalesce(x, 0)"), batch)
    np.testing.assert_array_equal(batch["x"], hostile_batch(60)["x"])


@pytest.mark.parametrize(
    "text",
    [
        "hour(t, 'America/New_York')",
        "truncate(t, 'day', 'Europe/Zurich')",
        "string(t)",
        "parse_date(format_date(t, '%Y-%m-%d %H:%M'), '%Y-%m-%d %H:%M', 'Europe/Zurich')",
    ],
)
def test_a_row_alone_gets_what_it_gets_among_others(text: str) -> None:
    rows = hostile_batch()
    together = in_memory(text, rows)
    assert [in_memory(text, rows.take(slice(i, i + 1)))[0] for i in range(rows.rows)] == together
