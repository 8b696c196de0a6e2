"""Conditions: comparison, three-valued logic, choice, and what is missing. A condition is true, false or missing."""

from collections.abc import Callable

import numpy as np

from penstock.data.columns import Array, dtype_of, is_missing, missing_value
from penstock.data.expressions.signature import Function, always, boolean, common, second, value
from penstock.data.schema import DataType
from penstock.errors import ExpressionError

__all__ = ["COMPARISONS", "LOGIC"]

COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "in")

_BOOLEAN = always(DataType.BOOLEAN)


def _compared(compare: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def evaluate(left: Array, right: Array, *, types: tuple[DataType, ...]) -> Array:
        unknown = is_missing(left, types[0]) | is_missing(right, types[1])
        return np.where(unknown, np.nan, np.asarray(compare(left, right), dtype=np.float64))

    return evaluate


def _and(left: Array, right: Array) -> Array:
    return np.where((left == 0.0) | (right == 0.0), 0.0, left * right)


def _or(left: Array, right: Array) -> Array:
    return np.where((left == 1.0) | (right == 1.0), 1.0, left + right)


def _is_missing(array: Array, *, types: tuple[DataType, ...]) -> Array:
    return is_missing(array, types[0]).astype(np.float64)


def _in(array: Array, *choices: object, types: tuple[DataType, ...]) -> Array:
    if types[0] is DataType.STRING:
        known = set(choices)
        found = np.fromiter((text in known for text in array), dtype=np.float64, count=len(array))
    else:
        found = np.isin(array, np.asarray(choices, dtype=array.dtype)).astype(np.float64)
    return np.where(is_missing(array, types[0]), np.nan, found)


def _if(condition: Array, then: Array, otherwise: Array) -> Array:
    return np.where(condition == 1.0, then, otherwise)


def _coalesce(*arrays: Array, types: tuple[DataType, ...]) -> Array:
    result = arrays[-1]
    for array in reversed(arrays[:-1]):
        result = np.where(is_missing(array, types[0]), result, array)
    return result


def _null_if(array: Array, unwanted: Array, *, types: tuple[DataType, ...]) -> Array:
    return np.where(array == unwanted, missing_value(types[0]), array)


def _choose(array: Array, otherwise: Array, *pairs: object, types: tuple[DataType, ...]) -> Array:
    keys, values = pairs[0::2], pairs[1::2]
    if len(set(keys)) < len(keys):
        raise ExpressionError("a value is replaced twice")
    missing = missing_value(types[1])
    known = dict(zip(keys, [missing if value is None else value for value in values], strict=True))
    columns = [column.tolist() for column in np.broadcast_arrays(array, otherwise)]
    result = np.empty(len(columns[0]), dtype=dtype_of(types[1]))
    result[:] = [known.get(value, other) for value, other in zip(*columns, strict=True)]
    return result


def _comparison(name: str, operator: str, evaluate: Callable[..., Array], answer: str) -> Function:
    return Function(
        name=name,
        parameters=(value("x", group="x"), value("y", group="x")),
        result=_BOOLEAN,
        evaluate=_compared(evaluate),
        is_overloaded=True,
        summary=f"`x {operator} y`; texts compare by code point, a text next to a timestamp is read as one",
        example=f"2 {operator} 3",
        answer=answer,
    )


LOGIC = (
    _comparison("equal", "==", np.equal, "false"),
    _comparison("not_equal", "!=", np.not_equal, "true"),
    _comparison("less", "<", np.less, "true"),
    _comparison("less_equal", "<=", np.less_equal, "true"),
    _comparison("greater", ">", np.greater, "false"),
    _comparison("greater_equal", ">=", np.greater_equal, "false"),
    Function(
        name="and",
        parameters=(boolean("x"), boolean("y")),
        result=_BOOLEAN,
        evaluate=_and,
        handles_missing=True,
        summary="`x and y`; false if one is false, whatever the other, else missing if one is missing",
        example="true and 1 / 0 > 1",
        answer="null",
    ),
    Function(
        name="or",
        parameters=(boolean("x"), boolean("y")),
        result=_BOOLEAN,
        evaluate=_or,
        handles_missing=True,
        summary="`x or y`; true if one is true, whatever the other, else missing if one is missing",
        example="true or 1 / 0 > 1",
        answer="true",
    ),
    Function(
        name="not",
        parameters=(boolean("x"),),
        result=_BOOLEAN,
        evaluate=lambda x: 1.0 - x,
        summary="`not x`",
        example="not true",
        answer="false",
    ),
    Function(
        name="is_missing",
        parameters=(value("x"),),
        result=_BOOLEAN,
        evaluate=_is_missing,
        is_overloaded=True,
        handles_missing=True,
        never_missing=True,
        summary="`x is missing`, `x is not missing`",
        example="1 / 0 is missing",
        answer="true",
    ),
    Function(
        name="in",
        parameters=(value("x", group="x"), value("choice", group="x", is_literal=True)),
        repeats=1,
        result=_BOOLEAN,
        evaluate=_in,
        is_overloaded=True,
        summary="`x in [1, 2]`, `x not in ['a', 'b']`",
        example="'b' in ['a', 'b']",
        answer="true",
    ),
    Function(
        name="if",
        parameters=(boolean("condition"), value("value", group="x"), value("other", group="x")),
        result=common,
        evaluate=_if,
        handles_missing=True,
        summary="value where the condition is true, other where it is false or missing",
        example="if(2 > 1, 'yes', 'no')",
        answer="'yes'",
    ),
    Function(
        name="coalesce",
        parameters=(value("x", group="x"),),
        repeats=1,
        result=common,
        evaluate=_coalesce,
        is_overloaded=True,
        handles_missing=True,
        summary="the first of its arguments that is not missing",
        example="coalesce(1 / 0, 4.0)",
        answer="4.0",
    ),
    Function(
        name="choose",
        parameters=(
            value("x", group="x"),
            value("otherwise", group="y"),
            value("key", group="x", is_literal=True),
            value("value", group="y", is_literal=True),
        ),
        repeats=2,
        result=second,
        evaluate=_choose,
        is_overloaded=True,
        handles_missing=True,
        summary="the value after the key that x equals, else otherwise",
        example="choose('b', '?', 'a', 'Alpha', 'b', 'Beta')",
        answer="'Beta'",
    ),
    Function(
        name="null_if",
        parameters=(value("x", group="x"), value("unwanted", group="x")),
        result=common,
        evaluate=_null_if,
        is_overloaded=True,
        makes_missing=True,
        summary="x, but missing where it equals unwanted",
        example="null_if(-999, -999)",
        answer="null",
    ),
)
