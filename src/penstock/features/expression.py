"""Numbers derived by an expression of raw columns: what a `normalizer_fn` was traced to.

The arithmetic part of the expression language, with the meaning that `penstock.data.expressions` gives it: a result
that is infinite or not a number is missing, and a missing value makes what is computed from it missing, as NaN.
"""

from collections.abc import Callable, Mapping
from functools import reduce

from penstock.data.expressions.tree import Call, Expression, Literal, Reference
from penstock.errors import UsageError
from penstock.features.operators import Operators, Values

__all__ = ["SUPPORTED", "check_expression", "expression_values"]

_LOG_2 = 0.6931471805599453
_LOG_10 = 2.302585092994046


def expression_values(expression: Expression, operators: Operators, columns: Mapping[str, Values]) -> Values:
    """The value of the expression, float64 `[rows, 1]`, NaN where missing; columns likewise."""
    match expression:
        case Literal(value=None):
            return operators.constant([[float("nan")]], "float64")
        case Literal(value=value):
            assert value is not None
            assert not isinstance(value, str)
            return operators.constant([[float(value)]], "float64")
        case Reference(column=name):
            return columns[name]
        case Call(function=name, arguments=arguments):
            parts = [expression_values(argument, operators, columns) for argument in arguments]
            return _FUNCTIONS[name](operators, parts)


def check_expression(expression: Expression, *, purpose: str) -> None:
    """Raises UsageError for a function or constant that cannot be computed inside a graph."""
    match expression:
        case Literal(value=str()):
            raise UsageError(f"{purpose}: text ({expression}) cannot be computed with; expected numbers")
        case Call(function=name, arguments=arguments):
            if name not in _FUNCTIONS:
                raise UsageError(f"{purpose}: {name} cannot be written into a graph; expected {', '.join(SUPPORTED)}")
            for argument in arguments:
                check_expression(argument, purpose=purpose)


def _finite(operators: Operators, values: Values) -> Values:
    """Infinite values become missing: `x - x` is NaN for these and 0 for all others."""
    return operators.where(operators.is_nan(values - values), float("nan"), values)


def _whole(compute: Callable[[Operators, Values], Values]) -> Callable[[Operators, list[Values]], Values]:
    """Whole numbers beyond what float64 tells apart are missing."""

    def evaluate(operators: Operators, parts: list[Values]) -> Values:
        values = compute(operators, parts[0])
        return operators.where(operators.abs(values) > 2.0**53, float("nan"), values)

    return evaluate


def _guarded(compute: Callable[..., Values]) -> Callable[[Operators, list[Values]], Values]:
    return lambda operators, parts: _finite(operators, compute(operators, *parts))


def _power(operators: Operators, base: Values, exponent: Values) -> Values:
    # NaN ** 0 and 1 ** NaN are 1 in IEEE 754.
    unknown = operators.is_nan(base + exponent)
    return operators.where(unknown, float("nan"), operators.power(base, exponent))


def _condition(compute: Callable[[Values, Values], Values]) -> Callable[[Operators, list[Values]], Values]:
    def evaluate(operators: Operators, parts: list[Values]) -> Values:
        left, right = parts
        unknown = operators.is_nan(left) | operators.is_nan(right)
        return operators.where(unknown, float("nan"), operators.cast(compute(left, right), "float64"))

    return evaluate


def _coalesce(operators: Operators, parts: list[Values]) -> Values:
    return reduce(lambda found, other: operators.where(operators.is_nan(found), other, found), parts)


def _least(operators: Operators, parts: list[Values]) -> Values:
    return reduce(lambda a, b: operators.where(operators.is_nan(a) | (a <= b), a, b), parts)


def _greatest(operators: Operators, parts: list[Values]) -> Values:
    return reduce(lambda a, b: operators.where(operators.is_nan(a) | (a >= b), a, b), parts)


def _both(operators: Operators, parts: list[Values]) -> Values:
    left, right = parts
    return operators.where((left == 0.0) | (right == 0.0), 0.0, left * right)


def _either(operators: Operators, parts: list[Values]) -> Values:
    left, right = parts
    return operators.where((left == 1.0) | (right == 1.0), 1.0, left + right)


_FUNCTIONS: Mapping[str, Callable[[Operators, list[Values]], Values]] = {
    "add": _guarded(lambda _, x, y: x + y),
    "subtract": _guarded(lambda _, x, y: x - y),
    "multiply": _guarded(lambda _, x, y: x * y),
    "divide": _guarded(lambda _, x, y: x / y),
    "negative": lambda _, parts: -parts[0],
    "abs": lambda operators, parts: operators.abs(parts[0]),
    "sign": lambda operators, parts: operators.sign(parts[0]),
    "floor": _whole(lambda operators, x: operators.floor(x)),
    "ceil": _whole(lambda operators, x: -operators.floor(-x)),
    "sqrt": _guarded(lambda operators, x: operators.sqrt(x)),
    "exp": _guarded(lambda operators, x: operators.exp(x)),
    "log": _guarded(lambda operators, x: operators.log(x)),
    "log1p": _guarded(lambda operators, x: operators.log(x + 1.0)),
    "log2": _guarded(lambda operators, x: operators.log(x) / _LOG_2),
    "log10": _guarded(lambda operators, x: operators.log(x) / _LOG_10),
    "power": _guarded(_power),
    "sin": lambda operators, parts: operators.sin(parts[0]),
    "cos": lambda operators, parts: operators.cos(parts[0]),
    "tanh": lambda operators, parts: operators.tanh(parts[0]),
    "radians": lambda _, parts: parts[0] * 0.017453292519943295,
    "least": _least,
    "greatest": _greatest,
    "clip": lambda operators, parts: _least(operators, [_greatest(operators, parts[:2]), parts[2]]),
    "equal": _condition(lambda x, y: x == y),
    "not_equal": _condition(lambda x, y: x != y),
    "less": _condition(lambda x, y: x < y),
    "less_equal": _condition(lambda x, y: x <= y),
    "greater": _condition(lambda x, y: x > y),
    "greater_equal": _condition(lambda x, y: x >= y),
    "and": _both,
    "or": _either,
    "not": lambda _, parts: 1.0 - parts[0],
    "is_missing": lambda operators, parts: operators.cast(operators.is_nan(parts[0]), "float64"),
    "if": lambda operators, parts: operators.where(parts[0] == 1.0, parts[1], parts[2]),
    "coalesce": _coalesce,
    "float": lambda _, parts: parts[0],
}

SUPPORTED = tuple(sorted(_FUNCTIONS))
