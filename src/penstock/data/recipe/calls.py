"""Calls such as `mean(fare * 2)` or `lag(fare, 2)` in steps that look at many rows: a name, an expression, a number."""

import re
from dataclasses import dataclass

from penstock.data.expressions.parser import parse
from penstock.data.expressions.tokens import TokenKind, tokenize
from penstock.data.expressions.tree import Literal
from penstock.data.expressions.typing import typed
from penstock.data.schema import DataType, Schema
from penstock.errors import ExpressionError, did_you_mean

__all__ = ["RowsCall", "RowsFunction", "read_call"]

_CALL = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*", re.DOTALL)

NUMBERS = frozenset({DataType.INTEGER, DataType.FLOAT})
ORDERED = NUMBERS | {DataType.BOOLEAN, DataType.STRING, DataType.TIMESTAMP}


@dataclass(frozen=True, kw_only=True)
class RowsFunction:
    """A function of many rows.

    accepts: types of its expression; empty if it takes none. is_expression_optional: whether it may be left out.
    number: what its number is called, None if it takes none; default: the number if it is left out, None if it must be
    there. result: the type it yields, None for the expression's own. is_count: never missing.
    """

    accepts: frozenset[DataType] = frozenset()
    is_expression_optional: bool = False
    number: str | None = None
    default: float | None = None
    result: DataType | None = None
    is_count: bool = False


@dataclass(frozen=True)
class RowsCall:
    """A call: its function, the expression (None if it has none) and the number (None if it has none)."""

    function: str
    expression: str | None
    number: float | None

    def type_in(self, schema: Schema, functions: dict[str, RowsFunction], *, step: str) -> DataType:
        """The type of the result. Raises ExpressionError if the expression does not fit the columns."""
        function = functions[self.function]
        if self.expression is None:
            assert function.result is not None
            return function.result
        kind = typed(parse(self.expression), schema, text=self.expression).data_type
        if kind not in function.accepts:
            expected = " or ".join(sorted(function.accepts))
            raise ExpressionError(
                f"step {step!r}: {self.function}({self.expression}) is of a {kind} column; expected {expected}"
            )
        return function.result or kind


def read_call(text: str, functions: dict[str, RowsFunction], *, step: str) -> RowsCall:
    """The call. Raises ExpressionError naming an unknown function and the nearest, or a wrong argument."""
    found = _CALL.fullmatch(text)
    name = text.strip() if found is None else found[1]
    function = functions.get(name)
    if function is None:
        known = ", ".join(functions)
        raise ExpressionError(
            f"step {step!r}: {text!r} is no call of a function it has; expected one of {known}"
            f"{did_you_mean(name, functions)}"
        )
    arguments = [] if found is None else _arguments(found[2])
    expression = None
    if arguments and function.accepts:
        expression = str(parse(arguments.pop(0)))
    elif function.accepts and not function.is_expression_optional:
        raise ExpressionError(f"step {step!r}: {name} needs an expression, such as {name}(fare)")
    number = function.default
    if arguments and function.number is not None:
        number = _number(arguments.pop(0), function.number, step)
    elif function.number is not None and number is None:
        raise ExpressionError(f"step {step!r}: {text!r} lacks the {function.number}, such as {name}(fare, 7)")
    if arguments:
        raise ExpressionError(f"step {step!r}: {text!r} has an argument too many: {arguments[0]}")
    return RowsCall(name, expression, number)


def _arguments(text: str) -> list[str]:
    """The texts between the commas that are in no bracket and no quote."""
    pieces, depth, start = [], 0, 0
    for token in tokenize(text):
        if token.kind is TokenKind.OPERATOR and token.value in ("(", "["):
            depth += 1
        elif token.kind is TokenKind.OPERATOR and token.value in (")", "]"):
            depth -= 1
        elif token.kind is TokenKind.OPERATOR and token.value == "," and depth == 0:
            pieces.append(text[start : token.position])
            start = token.position + 1
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces] if text.strip() else []


def _number(text: str, name: str, step: str) -> float:
    tree = parse(text)
    if not isinstance(tree, Literal) or isinstance(tree.value, bool) or not isinstance(tree.value, int | float):
        raise ExpressionError(f"step {step!r}: the {name} is {text}; expected a number")
    return tree.value
