import math

import numpy as np
import pytest

from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import call, cast, coalesce, column, expand_dims, expression_of, if_else, trace
from penstock.errors import ExpressionError

x, y, s = column("x"), column("y"), column("s")


@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        ((x - 3.0) / 4.2, "(x - 3.0) / 4.2"),
        (1 - x, "1 - x"),
        (2 / (x + y), "2 / (x + y)"),
        (x // 2 % 3, "x // 2 % 3"),
        (2**x, "2 ** x"),
        (-x, "-x"),
        (-x.cast("float") + (-3), "-float(x) + -3"),
        (abs(x), "abs(x)"),
        (round(x), "round(x)"),
        (round(x, 2), "round(x, 2)"),
        (math.floor(x), "floor(x)"),
        ((x > 1) & ~(y <= 2) | (s == "a"), "x > 1 and not y <= 2 or s == 'a'"),
        (x.is_in([1, 2]), "x in [1, 2]"),
        (x.is_missing(), "x is missing"),
        (x.fill_missing(0), "coalesce(x, 0)"),
        (s.lower().strip(), "trim(lower(s))"),
        (np.log1p(x), "log1p(x)"),
        (np.maximum(x, y), "greatest(x, y)"),  # type: ignore[call-overload]
        (np.float64(2) * x, "2.0 * x"),
        (np.int32(2) + x, "2 + x"),
        (if_else(x > 1, x, None), "if(x > 1, x, null)"),
        (coalesce(x, y, 0), "coalesce(x, y, 0)"),
        (cast(s, float), "float(s)"),
        (cast(s, np.float32), "float(s)"),
        (cast(x, "int64"), "integer(x)"),
        (expand_dims(x, -1), "x"),
        (call("regex_extract", s, r"\d+"), r"regex_extract(s, '\\d+')"),
    ],
)
def test_python_operators_make_the_tree_that_the_text_makes(symbol: object, text: str) -> None:
    assert str(expression_of(symbol)) == text
    assert parse(text) == expression_of(symbol)


def test_a_lambda_of_2017_is_traced() -> None:
    assert str(trace(lambda value: (value - 3.0) / 4.2, "RM")) == "(RM - 3.0) / 4.2"
    assert str(trace(lambda a, b: np.sqrt(a * a + b * b), "a", "b b")) == "sqrt(a * a + `b b` * `b b`)"
    assert str(trace(lambda _: 1, "a")) == "1"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda value: 1 if value > 3 else 0, "if_else"),
        (lambda value: value > 1 and value < 3, "if_else"),
        (math.log, "functions of NumPy"),
        (np.cumsum, "cannot be translated|cannot stand"),
        (lambda value: value + b"1", r"b'1' cannot stand in an expression"),
        (lambda value: value + float("nan"), "nan cannot stand in an expression"),
        (list, "cannot be iterated over"),
        (lambda value: value + object(), "cannot stand in an expression"),
        (lambda value: cast(value, "complex"), "'complex' is no type"),
        (lambda value: call("cumsum", value), "there is no function 'cumsum'"),
    ],
)
def test_python_that_is_no_expression_says_so(function: object, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        trace(function, "x")  # type: ignore[arg-type]
