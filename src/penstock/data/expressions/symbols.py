"""Python operators that write expressions: the same tree as the text makes, from code such as `(x - 3.0) / 4.2`.

`column("RM") / 10` is a Symbol. A function written for arrays or tensors, called with Symbols, is thereby translated:
`trace(lambda x: (x - 3.0) / 4.2, "RM")`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from penstock.data.expressions.functions import FUNCTIONS
from penstock.data.expressions.parser import parse
from penstock.data.expressions.tree import Call, Expression, Literal, Reference
from penstock.data.schema import DataType
from penstock.errors import ExpressionError

__all__ = [
    "Symbol",
    "call",
    "cast",
    "coalesce",
    "column",
    "data_type_of",
    "expand_dims",
    "expression_of",
    "if_else",
    "trace",
]


class Symbol:
    """An expression that Python's operators extend. Symbols have no value: `if symbol:` raises ExpressionError."""

    __slots__ = ("expression",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    def __repr__(self) -> str:
        return f"Symbol({self.expression})"

    def __add__(self, other: object) -> "Symbol":
        return call("add", self, other)

    def __radd__(self, other: object) -> "Symbol":
        return call("add", other, self)

    def __sub__(self, other: object) -> "Symbol":
        return call("subtract", self, other)

    def __rsub__(self, other: object) -> "Symbol":
        return call("subtract", other, self)

    def __mul__(self, other: object) -> "Symbol":
        return call("multiply", self, other)

    def __rmul__(self, other: object) -> "Symbol":
        return call("multiply", other, self)

    def __truediv__(self, other: object) -> "Symbol":
        return call("divide", self, other)

    def __rtruediv__(self, other: object) -> "Symbol":
        return call("divide", other, self)

    def __floordiv__(self, other: object) -> "Symbol":
        return call("floor_divide", self, other)

    def __rfloordiv__(self, other: object) -> "Symbol":
        return call("floor_divide", other, self)

    def __mod__(self, other: object) -> "Symbol":
        return call("modulo", self, other)

    def __rmod__(self, other: object) -> "Symbol":
        return call("modulo", other, self)

    def __pow__(self, other: object) -> "Symbol":
        return call("power", self, other)

    def __rpow__(self, other: object) -> "Symbol":
        return call("power", other, self)

    def __neg__(self) -> "Symbol":
        return call("negative", self)

    def __pos__(self) -> "Symbol":
        return self

    def __abs__(self) -> "Symbol":
        return call("abs", self)

    def __round__(self, digits: int | None = None) -> "Symbol":
        return call("round", self) if digits is None else call("round", self, digits)

    def __floor__(self) -> "Symbol":
        return call("floor", self)

    def __ceil__(self) -> "Symbol":
        return call("ceil", self)

    def __eq__(self, other: object) -> "Symbol":  # type: ignore[override]
        return call("equal", self, other)

    def __ne__(self, other: object) -> "Symbol":  # type: ignore[override]
        return call("not_equal", self, other)

    def __lt__(self, other: object) -> "Symbol":
        return call("less", self, other)

    def __le__(self, other: object) -> "Symbol":
        return call("less_equal", self, other)

    def __gt__(self, other: object) -> "Symbol":
        return call("greater", self, other)

    def __ge__(self, other: object) -> "Symbol":
        return call("greater_equal", self, other)

    def __and__(self, other: object) -> "Symbol":
        return call("and", self, other)

    def __rand__(self, other: object) -> "Symbol":
        return call("and", other, self)

    def __or__(self, other: object) -> "Symbol":
        return call("or", self, other)

    def __ror__(self, other: object) -> "Symbol":
        return call("or", other, self)

    def __invert__(self) -> "Symbol":
        return call("not", self)

    def is_in(self, choices: Sequence[object]) -> "Symbol":
        return call("in", self, *choices)

    def is_missing(self) -> "Symbol":
        return call("is_missing", self)

    def fill_missing(self, value: object) -> "Symbol":
        return call("coalesce", self, value)

    def cast(self, data_type: object) -> "Symbol":
        return cast(self, data_type)

    def lower(self) -> "Symbol":
        return call("lower", self)

    def upper(self) -> "Symbol":
        return call("upper", self)

    def strip(self) -> "Symbol":
        return call("trim", self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: object, **kwargs: object) -> "Symbol":
        """NumPy's functions and operators on symbols: `np.log1p(x)`, `np.float64(2) * x`."""
        name = _UFUNCS.get(ufunc.__name__)
        if name is None or method != "__call__" or kwargs:
            raise ExpressionError(
                f"numpy.{ufunc.__name__} cannot be translated into an expression; it can have "
                f"{', '.join(sorted(_UFUNCS))}"
            )
        return call(name, *inputs)

    def __bool__(self) -> NoReturn:
        raise ExpressionError(
            f"{self.expression} has no value yet: instead of Python's if, and, or, not, in, write if_else(condition, "
            f"value, other), &, |, ~, symbol.is_in([…])"
        )

    def __float__(self) -> NoReturn:
        raise ExpressionError(
            f"{self.expression} has no value yet: instead of the math module take the functions of NumPy or of "
            f"penstock.serving_input (log, exp, sqrt, …)"
        )

    __int__ = __float__
    __index__ = __float__

    def __iter__(self) -> NoReturn:
        raise ExpressionError(f"{self.expression} is one value a row; it cannot be iterated over")


_UFUNCS = {
    "absolute": "abs",
    "add": "add",
    "arccos": "acos",
    "arcsin": "asin",
    "arctan2": "atan2",
    "ceil": "ceil",
    "cos": "cos",
    "divide": "divide",
    "equal": "equal",
    "exp": "exp",
    "fabs": "abs",
    "floor": "floor",
    "floor_divide": "floor_divide",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "less": "less",
    "less_equal": "less_equal",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "log2": "log2",
    "logical_and": "and",
    "logical_not": "not",
    "logical_or": "or",
    "maximum": "greatest",
    "minimum": "least",
    "multiply": "multiply",
    "negative": "negative",
    "not_equal": "not_equal",
    "power": "power",
    "radians": "radians",
    "remainder": "modulo",
    "rint": "round",
    "sign": "sign",
    "sin": "sin",
    "sqrt": "sqrt",
    "subtract": "subtract",
    "tan": "tan",
    "tanh": "tanh",
}


def column(name: str) -> Symbol:
    """The value of a column."""
    return Symbol(Reference(name))


def call(function: str, *arguments: object) -> Symbol:
    """A function of the language by name, applied to symbols and constants."""
    parts = tuple(expression_of(argument) for argument in arguments)
    if function == "negative" and isinstance(parts[0], Literal) and isinstance(parts[0].value, int | float):
        return Symbol(Literal(-parts[0].value))
    if function not in FUNCTIONS:
        raise ExpressionError(f"there is no function {function!r}")
    return Symbol(Call(function, parts))


def if_else(condition: object, value: object, other: object) -> Symbol:
    """value where the condition is true, other where it is false or missing."""
    return call("if", condition, value, other)


def coalesce(*values: object) -> Symbol:
    """The first of the values that is not missing."""
    return call("coalesce", *values)


def cast(symbol: object, data_type: object) -> Symbol:
    """The value as another type: a DataType, its name, a Python type, or the name of a NumPy type such as 'float32'."""
    return call(str(data_type_of(data_type)), symbol)


def expand_dims(symbol: Symbol, axis: int = -1) -> Symbol:  # noqa: ARG001
    """The symbol itself: columns are `[rows, 1]` at the graph already. For serving functions written in 2017."""
    return symbol


def trace(function: Callable[..., object], *columns: str) -> Expression:
    """What a Python function does to these columns, as an expression.

    Raises ExpressionError if it does something that expressions cannot.
    """
    result = function(*[column(name) for name in columns])
    return parse(str(expression_of(result)))


def expression_of(value: object) -> Expression:
    """The tree of a symbol, an expression or a constant. Raises ExpressionError for anything else."""
    match value:
        case Symbol():
            return value.expression
        case Literal() | Reference() | Call():
            return value
        case None | bool() | str():
            return Literal(value)
        case np.generic() | np.ndarray() if value.ndim == 0:
            return expression_of(value.item())
        case int() | float() if math.isfinite(value):
            return Literal(value)
        case _:
            raise ExpressionError(f"{value!r} cannot stand in an expression; expected a column, a number or a text")


def data_type_of(value: object) -> DataType:
    """The logical type that a DataType, its name, a Python type or a NumPy type name stands for."""
    name = value.value if isinstance(value, DataType) else getattr(value, "name", getattr(value, "__name__", value))
    known = _TYPE_NAMES.get(str(name).lower())
    if known is None:
        raise ExpressionError(f"{value!r} is no type; expected one of {', '.join(_TYPE_NAMES)}")
    return known


_TYPE_NAMES = {
    "integer": DataType.INTEGER,
    "float": DataType.FLOAT,
    "boolean": DataType.BOOLEAN,
    "string": DataType.STRING,
    "timestamp": DataType.TIMESTAMP,
    "int": DataType.INTEGER,
    "int8": DataType.INTEGER,
    "int16": DataType.INTEGER,
    "int32": DataType.INTEGER,
    "int64": DataType.INTEGER,
    "float32": DataType.FLOAT,
    "float64": DataType.FLOAT,
    "double": DataType.FLOAT,
    "bool": DataType.BOOLEAN,
    "str": DataType.STRING,
    "datetime": DataType.TIMESTAMP,
}
