"""What a serving function is written with: placeholders, and functions on them, in place of TensorFlow's.

>>> def serving_input_fn():
...     rooms = placeholder("float32", [None])
...     crime = placeholder("float32", [None])
...     features = {"RM": expand_dims(rooms / 10.0, -1), "CRIM": if_else(crime < 0, 0.0, crime)}
...     return ServingInputReceiver(features, {"ROOMS": rooms, "CRIM": crime})
"""

from penstock.data.expressions.symbols import Symbol, call, cast, coalesce, expand_dims, if_else
from penstock.data.recipe.serving_input import (
    Placeholder,
    ServingInputReceiver,
    build_raw_serving_input_receiver_fn,
    placeholder,
)

__all__ = [
    "Placeholder",
    "ServingInputReceiver",
    "Symbol",
    "abs_",
    "build_raw_serving_input_receiver_fn",
    "call",
    "cast",
    "clip",
    "coalesce",
    "cos",
    "exp",
    "expand_dims",
    "floor",
    "if_else",
    "is_missing",
    "length",
    "log",
    "log1p",
    "lower",
    "maximum",
    "minimum",
    "placeholder",
    "round_",
    "sin",
    "sqrt",
    "strip",
    "to_float",
    "upper",
]


def log(x: object) -> Symbol:
    """Natural logarithm; missing unless x is above 0."""
    return call("log", x)


def log1p(x: object) -> Symbol:
    """Natural logarithm of 1 + x; missing unless x is above -1."""
    return call("log1p", x)


def exp(x: object) -> Symbol:
    """e to the power of x."""
    return call("exp", x)


def sqrt(x: object) -> Symbol:
    """Square root; missing below 0."""
    return call("sqrt", x)


def sin(x: object) -> Symbol:
    """Sine of an angle in radians."""
    return call("sin", x)


def cos(x: object) -> Symbol:
    """Cosine of an angle in radians."""
    return call("cos", x)


def abs_(x: object) -> Symbol:
    """The value without its sign; Python's own `abs` does as well."""
    return call("abs", x)


def round_(x: object) -> Symbol:
    """The nearest whole number, halves away from zero; Python's own `round` does as well."""
    return call("round", x)


def floor(x: object) -> Symbol:
    """The next whole number below."""
    return call("floor", x)


def minimum(x: object, y: object) -> Symbol:
    """The smaller of two numbers; missing if one is."""
    return call("least", x, y)


def maximum(x: object, y: object) -> Symbol:
    """The larger of two numbers; missing if one is."""
    return call("greatest", x, y)


def clip(x: object, low: object, high: object) -> Symbol:
    """x, but not below low and not above high."""
    return call("clip", x, low, high)


def is_missing(x: object) -> Symbol:
    """True where x is missing."""
    return call("is_missing", x)


def to_float(x: object) -> Symbol:
    """x as a float; a text that is no number is missing."""
    return cast(x, "float")


def lower(x: object) -> Symbol:
    """The text in lower case."""
    return call("lower", x)


def upper(x: object) -> Symbol:
    """The text in upper case."""
    return call("upper", x)


def strip(x: object) -> Symbol:
    """The text without white space at both ends."""
    return call("trim", x)


def length(x: object) -> Symbol:
    """How many code points the text has."""
    return call("length", x)
