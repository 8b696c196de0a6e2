"""A normalizer_fn is traced once; both sides then compute what the expression language says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.data.columns import ColumnBatch
from penstock.data.expressions.evaluation import evaluate
from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import column, if_else
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import UsageError
from penstock.feature_column import bucketized_column, numeric_column
from penstock.features.array_operators import ARRAYS
from penstock.features.expression import SUPPORTED, expression_values

from .served import assert_sides_agree, fitted

SCHEMA = Schema((Column(name="x", type=DataType.FLOAT, nullable=True), Column(name="y", type=DataType.FLOAT)))

numbers = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 1e300, -1e300, 700.0, 1e-300])


def expressions() -> list[str]:
    """One of every function that a graph can hold, and some mixtures."""
    infix = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}
    compared = {
        "equal": "==",
        "not_equal": "!=",
        "less": "<",
        "less_equal": "<=",
        "greater": ">",
        "greater_equal": ">=",
    }
    special = {
        "and": "float(x > 0 and y > 0)",
        "or": "float(x > 0 or y > 0)",
        "not": "float(not (x > y))",
        "is_missing": "float(x is missing)",
        "if": "if(x > y, x, 2.5)",
        "coalesce": "coalesce(x, y, 0.0)",
        "clip": "clip(x, -2, y)",
        "least": "least(x, y, 3)",
        "greatest": "greatest(x, y)",
        "negative": "-x",
        "float": "float(x)",
    }
    made = []
    for name in SUPPORTED:
        if name in special:
            made.append(special[name])
        elif name in compared:
            made.append(f"float(x {compared[name]} y)")
        else:
            made.append(f"x {infix[name]} y" if name in infix else f"{name}(x)")
    return [*made, "(x - 3.0) / 4.2", "log1p(abs(x)) * sign(x)", "if(x is missing or x / y > 1, 0.0, x)"]


@pytest.mark.parametrize("text", expressions())
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
@settings(max_examples=15)
def test_a_formula_means_what_recipes_mean_by_it(text: str, rows: list[tuple[float, float]]) -> None:
    x, y = (np.asarray(values, dtype=np.float64) for values in zip(*rows, strict=True))
    expression = parse(text)
    with np.errstate(all="ignore"):
        found = expression_values(expression, ARRAYS, {"x": x.reshape(-1, 1), "y": y.reshape(-1, 1)})
    expected = evaluate(expression, ColumnBatch(SCHEMA, {"x": x, "y": y}))
    np.testing.assert_allclose(np.broadcast_to(found, (len(rows), 1))[:, 0], expected, rtol=1e-12, atol=1e-300)


NORMALIZERS: dict[str, Callable[[Any], Any]] = {
    "shift": lambda x: (x - 3.0) / 4.2,
    "log": lambda x: np.log1p(abs(x)),
    "branch": lambda x: if_else(x > 1, x / 10, -x),
    "domain": lambda x: np.sqrt(x) + np.log(x),
    "bounded": lambda x: np.minimum(np.maximum(x, -1.0), 1.0),
    "missing": lambda x: x.fill_missing(-7.0) * 2,
    "huge": lambda x: np.exp(x) * 1e30,
    "waves": lambda x: np.sin(x) * np.cos(x) + np.tanh(x) ** 3 + np.floor(x) + np.ceil(x),
}


@pytest.mark.parametrize("name", list(NORMALIZERS))
@given(values=st.lists(numbers, min_size=1, max_size=20))
@settings(max_examples=15)
def test_both_sides_normalize_alike(name: str, values: list[float]) -> None:
    features = fitted([numeric_column("x", normalizer_fn=NORMALIZERS[name])], {"x": [0.5, 2.0, np.nan, 9.0]})
    rows = ColumnBatch(SCHEMA.select(("x",)), {"x": np.asarray(values)})
    assert_sides_agree(features, rows, ulps=4)


def test_a_normalizer_replaces_the_standardization() -> None:
    features = fitted([numeric_column("x", normalizer_fn=lambda x: (x - 3.0) / 4.2)], {"x": [0.0, 100.0]})
    rows = ColumnBatch(SCHEMA.select(("x",)), {"x": np.array([3.0, 7.2, np.nan])})
    encoded = features.encode(rows)["x"]
    np.testing.assert_allclose(encoded[:, 0], [0.0, 1.0, (0.0 - 3.0) / 4.2], atol=1e-7)


def test_buckets_are_of_the_normalized_value() -> None:
    source = numeric_column("x", normalizer_fn=lambda x: x / 10)
    features = fitted([bucketized_column(source, [1.0, 2.0])], {"x": [5.0, 15.0, 25.0]})
    rows = ColumnBatch(SCHEMA.select(("x",)), {"x": np.array([5.0, 10.0, 25.0, np.nan])})
    assert features.encode(rows)["x_bucketized"].ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("normalizer", "message"),
    [
        (lambda x: np.tan(x), "tan cannot be written into a graph"),
        (lambda x: 3.0, "expected an expression of the column"),
        (lambda x: column("other") + x, "expected an expression of the column"),
        (lambda x: x if x > 1 else 0, "has no value yet"),
        (lambda x: np.arctan(x), "numpy.arctan cannot be translated"),
    ],
)
def test_what_no_graph_can_compute_is_refused(normalizer: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitted([numeric_column("x", normalizer_fn=normalizer)], {"x": [1.0, 2.0], "other": [1.0, 2.0]})
