"""Numbers: operators and functions. Numbers are 64-bit floats; a result that is infinite or not a number is missing."""

from itertools import pairwise

import numpy as np

from penstock.data.columns import Array
from penstock.data.expressions.signature import Function, always, number, numeric, whole
from penstock.data.schema import DataType
from penstock.errors import ExpressionError

__all__ = ["ARITHMETIC"]

_FLOAT = always(DataType.FLOAT)
_INTEGER = always(DataType.INTEGER)


def _round(x: Array, digits: int | None = None) -> Array:
    """Half away from zero, as SQL rounds."""
    if not digits:
        whole = np.trunc(x)
        return whole + np.where(np.abs(x - whole) >= 0.5, np.sign(x), 0.0)
    scale = 10.0 ** abs(digits)
    rounded = _round(x * scale) / scale if digits > 0 else _round(x / scale) * scale
    return np.where(np.isfinite(rounded), rounded, x)


def _floor_divide(x: Array, y: Array) -> Array:
    return _round((x - np.mod(x, y)) / y)


def _power(x: Array, y: Array) -> Array:
    # IEEE has 1 ** NaN and NaN ** 0 be 1.
    return np.where(np.isnan(x) | np.isnan(y), np.nan, np.power(x, y))


def _clip(x: Array, low: Array, high: Array) -> Array:
    return np.minimum(np.maximum(x, low), high)


def _least(*arrays: Array) -> Array:
    result = arrays[0]
    for array in arrays[1:]:
        result = np.minimum(result, array)
    return result


def _greatest(*arrays: Array) -> Array:
    result = arrays[0]
    for array in arrays[1:]:
        result = np.maximum(result, array)
    return result


def _bucket(x: Array, *boundaries: float) -> Array:
    if any(left >= right for left, right in pairwise(boundaries)):
        raise ExpressionError(f"the boundaries {', '.join(map(str, boundaries))} do not rise")
    indices = np.searchsorted(np.asarray(boundaries, dtype=np.float64), x, side="right").astype(np.float64)
    return np.where(np.isnan(x), np.nan, indices)


ARITHMETIC = (
    Function(
        name="add",
        parameters=(number("x"), number("y")),
        result=numeric,
        evaluate=np.add,
        overflows=True,
        carries=2,
        summary="`x + y`",
        example="2 + 3",
        answer="5",
    ),
    Function(
        name="subtract",
        parameters=(number("x"), number("y")),
        result=numeric,
        evaluate=np.subtract,
        overflows=True,
        carries=2,
        summary="`x - y`",
        example="2 - 3.5",
        answer="-1.5",
    ),
    Function(
        name="multiply",
        parameters=(number("x"), number("y")),
        result=numeric,
        evaluate=np.multiply,
        overflows=True,
        carries=2,
        summary="`x * y`",
        example="2 * 3",
        answer="6",
    ),
    Function(
        name="divide",
        parameters=(number("x"), number("y")),
        result=_FLOAT,
        evaluate=np.divide,
        makes_missing=True,
        overflows=True,
        carries=1,
        summary="`x / y`; missing when y is 0",
        example="7 / 2",
        answer="3.5",
    ),
    Function(
        name="floor_divide",
        parameters=(number("x"), number("y")),
        result=numeric,
        evaluate=_floor_divide,
        makes_missing=True,
        overflows=True,
        summary="`x // y`, rounded down; missing when y is 0",
        example="-7 // 2",
        answer="-4",
    ),
    Function(
        name="modulo",
        parameters=(number("x"), number("y")),
        result=numeric,
        evaluate=np.mod,
        makes_missing=True,
        overflows=True,
        summary="`x % y`, with the sign of y, as in Python; missing when y is 0",
        example="-7 % 3",
        answer="2",
    ),
    Function(
        name="power",
        parameters=(number("x"), number("y")),
        result=_FLOAT,
        evaluate=_power,
        makes_missing=True,
        overflows=True,
        summary="`x ** y`; missing where it is not a real number",
        example="3 ** 2",
        answer="9.0",
    ),
    Function(
        name="negative",
        parameters=(number("x"),),
        result=numeric,
        evaluate=np.negative,
        overflows=True,
        carries=1,
        summary="`-x`",
        example="-(2 + 1)",
        answer="-3",
    ),
    Function(
        name="abs",
        parameters=(number("x"),),
        result=numeric,
        evaluate=np.abs,
        overflows=True,
        carries=1,
        summary="the value without its sign",
        example="abs(-2.5)",
        answer="2.5",
    ),
    Function(
        name="sign",
        parameters=(number("x"),),
        result=_INTEGER,
        evaluate=np.sign,
        summary="-1, 0 or 1",
        example="sign(-2.5)",
        answer="-1",
    ),
    Function(
        name="round",
        parameters=(number("x"), whole("digits", is_optional=True)),
        result=lambda types: DataType.INTEGER if len(types) == 1 else types[0],
        evaluate=_round,
        overflows=True,
        summary="to a whole number, or to a number of digits after the point; halves go away from zero",
        example="round(2.675, 1)",
        answer="2.7",
    ),
    Function(
        name="floor",
        parameters=(number("x"),),
        result=_INTEGER,
        evaluate=np.floor,
        overflows=True,
        summary="the next whole number below",
        example="floor(-2.5)",
        answer="-3",
    ),
    Function(
        name="ceil",
        parameters=(number("x"),),
        result=_INTEGER,
        evaluate=np.ceil,
        overflows=True,
        summary="the next whole number above",
        example="ceil(-2.5)",
        answer="-2",
    ),
    Function(
        name="sqrt",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.sqrt,
        makes_missing=True,
        overflows=True,
        summary="square root; missing below 0",
        example="sqrt(9)",
        answer="3.0",
    ),
    Function(
        name="exp",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.exp,
        makes_missing=True,
        overflows=True,
        summary="e to the power of x",
        example="exp(0)",
        answer="1.0",
    ),
    Function(
        name="log",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.log,
        makes_missing=True,
        overflows=True,
        summary="natural logarithm; missing unless x is above 0",
        example="log(1)",
        answer="0.0",
    ),
    Function(
        name="log1p",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=lambda x: np.log(1.0 + x),
        makes_missing=True,
        overflows=True,
        summary="natural logarithm of 1 + x; missing unless x is above -1",
        example="log1p(0)",
        answer="0.0",
    ),
    Function(
        name="log2",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.log2,
        makes_missing=True,
        overflows=True,
        summary="logarithm to base 2; missing unless x is above 0",
        example="log2(8)",
        answer="3.0",
    ),
    Function(
        name="log10",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.log10,
        makes_missing=True,
        overflows=True,
        summary="logarithm to base 10; missing unless x is above 0",
        example="log10(100)",
        answer="2.0",
    ),
    Function(
        name="sin",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.sin,
        summary="sine of an angle in radians",
        example="sin(0)",
        answer="0.0",
    ),
    Function(
        name="cos",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.cos,
        summary="cosine of an angle in radians",
        example="cos(0)",
        answer="1.0",
    ),
    Function(
        name="tan",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.tan,
        summary="tangent of an angle in radians",
        example="tan(0)",
        answer="0.0",
    ),
    Function(
        name="tanh",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.tanh,
        summary="hyperbolic tangent",
        example="tanh(0)",
        answer="0.0",
    ),
    Function(
        name="asin",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.arcsin,
        makes_missing=True,
        overflows=True,
        summary="arc sine in radians; missing outside -1 to 1",
        example="asin(0)",
        answer="0.0",
    ),
    Function(
        name="acos",
        parameters=(number("x"),),
        result=_FLOAT,
        evaluate=np.arccos,
        makes_missing=True,
        overflows=True,
        summary="arc cosine in radians; missing outside -1 to 1",
        example="acos(1)",
        answer="0.0",
    ),
    Function(
        name="atan2",
        parameters=(number("y"), number("x")),
        result=_FLOAT,
        evaluate=np.arctan2,
        summary="angle of the point (x, y) in radians",
        example="atan2(0, 1)",
        answer="0.0",
    ),
    Function(
        name="radians",
        parameters=(number("degrees"),),
        result=_FLOAT,
        evaluate=lambda x: x * (np.pi / 180.0),
        summary="degrees to radians",
        example="radians(0)",
        answer="0.0",
    ),
    Function(
        name="least",
        parameters=(number("x"),),
        repeats=1,
        result=numeric,
        evaluate=_least,
        summary="the smallest of several numbers; missing if one is",
        example="least(3, 1, 2)",
        answer="1",
    ),
    Function(
        name="greatest",
        parameters=(number("x"),),
        repeats=1,
        result=numeric,
        evaluate=_greatest,
        summary="the largest of several numbers; missing if one is",
        example="greatest(3, 1, 2)",
        answer="3",
    ),
    Function(
        name="clip",
        parameters=(number("x"), number("low"), number("high")),
        result=numeric,
        evaluate=_clip,
        summary="x, but not below low and not above high",
        example="clip(12, 0, 10)",
        answer="10",
    ),
    Function(
        name="bucket",
        parameters=(number("x"), number("boundary", is_literal=True)),
        repeats=1,
        result=_INTEGER,
        evaluate=_bucket,
        summary="how many of the rising boundaries are at or below x: 0 below the first one",
        example="bucket(5, 1, 5, 10)",
        answer="2",
    ),
)
