"""Runs a typed expression on columns in memory. Typed once, run on one row or on thousands."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from penstock.data.columns import Array, ColumnBatch, dtype_of, missing_value
from penstock.data.expressions.times import EARLIEST, LATEST
from penstock.data.expressions.tokens import LARGEST_INTEGER
from penstock.data.expressions.tree import Expression, Literal, Reference
from penstock.data.expressions.typing import Typed, constant, typed
from penstock.data.schema import MISSING_TIMESTAMP, DataType

__all__ = ["Evaluator", "evaluate", "evaluator"]

Evaluator = Callable[[Mapping[str, Array]], Array]
"""From columns by name, each `[rows]`, to an array of `[rows]`, or of `[1]` if it depends on none of them."""


def evaluate(expression: Expression, batch: ColumnBatch) -> Array:
    """The values of an expression in these rows, `[rows]`, as `penstock.data.columns` holds its type.

    Raises ExpressionError if the expression does not fit the schema of the batch.
    """
    with np.errstate(all="ignore"):
        values = evaluator(typed(expression, batch.schema))(batch.arrays)
    return broadcast(values, batch.rows)


def evaluator(expression: Typed) -> Evaluator:
    """The expression as a function of columns; results that are infinite, inexact or beyond the calendar are missing.

    Call it under `np.errstate(all="ignore")`.
    """
    return _guarded(expression)


def broadcast(values: Array, rows: int) -> Array:
    """A constant as a column."""
    return values if len(values) == rows else np.repeat(values, rows)


def _guarded(expression: Typed) -> Evaluator:
    run = _raw(expression)
    if not expression.arguments or not expression.function.overflows:
        return run
    match expression.type:
        case DataType.INTEGER:
            return partial(_exact, run)
        case DataType.FLOAT:
            return partial(_finite, run)
        case _:
            return partial(_in_calendar, run)


def _raw(expression: Typed) -> Evaluator:
    """Without a guard against infinity on the result."""
    node = expression.node
    match node:
        case Literal():
            return partial(_constant, _literal_array(node, expression.data_type))
        case Reference():
            return partial(_column, node.column)
        case _:
            return _call(expression)


def _call(expression: Typed) -> Evaluator:
    function = expression.function
    compute: Callable[..., Array] = function.evaluate
    if function.is_overloaded:
        compute = partial(compute, types=tuple(argument.data_type for argument in expression.arguments))
    runs: list[Evaluator] = []
    constants = []
    for index, argument in enumerate(expression.arguments):
        if function.parameter(index).is_literal:
            constants.append(constant(argument))
        else:
            runs.append(_raw(argument) if index < function.carries else _guarded(argument))
    # Constants follow the other arguments in every signature.
    match runs:
        case [run]:
            return lambda columns: compute(run(columns), *constants)
        case [first, second]:
            return lambda columns: compute(first(columns), second(columns), *constants)
        case _:
            return lambda columns: compute(*[run(columns) for run in runs], *constants)


def _literal_array(literal: Literal, data_type: DataType) -> Array:
    value = missing_value(data_type) if literal.value is None else literal.value
    array = np.empty(1, dtype=dtype_of(data_type))
    array[0] = value
    array.flags.writeable = False
    return array


def _constant(array: Array, _: Mapping[str, Array]) -> Array:
    return array


def _column(name: str, columns: Mapping[str, Array]) -> Array:
    return columns[name]


def _finite(run: Evaluator, columns: Mapping[str, Array]) -> Array:
    values = run(columns)
    return np.where(np.isfinite(values), values, np.nan)


def _exact(run: Evaluator, columns: Mapping[str, Array]) -> Array:
    """Whole numbers beyond 2**53 would not be exact: they are missing."""
    values = run(columns)
    return np.where(np.abs(values) <= LARGEST_INTEGER, values, np.nan)


def _in_calendar(run: Evaluator, columns: Mapping[str, Array]) -> Array:
    """Instants outside of the years 1 to 9999 are missing."""
    values = run(columns)
    return np.where((values < EARLIEST) | (values > LATEST), MISSING_TIMESTAMP, values)
