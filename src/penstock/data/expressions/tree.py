"""What an expression is once parsed: literals, columns and calls. Operators and conditionals are calls too.

The text form is the only stored form: `parse(str(expression))` is the same tree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "INFIX",
    "KEYWORDS",
    "Call",
    "Expression",
    "Literal",
    "LiteralValue",
    "Reference",
    "depth",
    "references",
    "substitute",
]

LiteralValue = None | bool | int | float | str

INFIX: Mapping[str, tuple[str, int]] = {
    "or": ("or", 1),
    "and": ("and", 2),
    "equal": ("==", 4),
    "not_equal": ("!=", 4),
    "less": ("<", 4),
    "less_equal": ("<=", 4),
    "greater": (">", 4),
    "greater_equal": (">=", 4),
    "add": ("+", 5),
    "subtract": ("-", 5),
    "multiply": ("*", 6),
    "divide": ("/", 6),
    "floor_divide": ("//", 6),
    "modulo": ("%", 6),
    "power": ("**", 8),
}
"""Calls written between their two arguments: function name to (operator, how tightly it binds)."""

KEYWORDS = frozenset({"and", "or", "not", "in", "is", "missing", "null", "true", "false"})

_NOT, _COMPARISON, _NEGATIVE, _POWER, _ATOM = 3, 4, 7, 8, 9


@dataclass(frozen=True)
class Literal:
    """A constant. None is a missing value of no type yet; numbers are finite.

    position: where it stands in the text, from 0; None for a tree made in Python.
    """

    value: LiteralValue
    position: int | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        match self.value:
            case None:
                return "null"
            case bool():
                return "true" if self.value else "false"
            case str():
                return quote_text(self.value)
            case _:
                return repr(self.value)


@dataclass(frozen=True)
class Reference:
    """The value of a column in the same row."""

    column: str
    position: int | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.column.isidentifier() and self.column.lower() not in KEYWORDS:
            return self.column
        escaped = self.column.replace("\\", "\\\\").replace("`", "\\`").replace("\n", "\\n")
        return f"`{escaped}`"


@dataclass(frozen=True)
class Call:
    """A function or operator applied to arguments; `function` is a name in `penstock.data.expressions.functions`."""

    function: str
    arguments: tuple["Expression", ...]
    position: int | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.function in INFIX:
            return self._infix()
        match self.function, self.arguments:
            case "not", (operand,):
                return f"not {_wrapped(operand, _NOT)}"
            case "negative", (operand,):
                return f"-{_wrapped(operand, _NEGATIVE)}"
            case "is_missing", (operand,):
                return f"{_wrapped(operand, _COMPARISON + 1)} is missing"
            case "in", (operand, *choices):
                return f"{_wrapped(operand, _COMPARISON + 1)} in [{', '.join(map(str, choices))}]"
        return f"{self.function}({', '.join(map(str, self.arguments))})"

    def _infix(self) -> str:
        operator, binding = INFIX[self.function]
        left, right = self.arguments
        # Comparisons do not chain; ** binds its left operand tighter, everything else its right one.
        left_binding = binding + 1 if binding in (_COMPARISON, _POWER) else binding
        right_binding = _NEGATIVE if binding == _POWER else binding + 1
        return f"{_wrapped(left, left_binding)} {operator} {_wrapped(right, right_binding)}"


Expression = Literal | Reference | Call


def references(expression: Expression) -> tuple[str, ...]:
    """The columns an expression reads, each once, in the order of first use."""
    return tuple(dict.fromkeys(node.column for node in _walk(expression) if isinstance(node, Reference)))


def depth(expression: Expression) -> int:
    """How many operations lie within each other."""
    deepest, pending = 0, [(expression, 0)]
    while pending:
        node, level = pending.pop()
        deepest = max(deepest, level)
        if isinstance(node, Call):
            pending.extend((argument, level + 1) for argument in node.arguments)
    return deepest


def substitute(expression: Expression, columns: Mapping[str, Expression]) -> Expression:
    """The expression with columns replaced by expressions; columns that are not named stay."""
    match expression:
        case Literal():
            return expression
        case Reference():
            return columns.get(expression.column, expression)
        case Call():
            arguments = tuple(substitute(argument, columns) for argument in expression.arguments)
            return Call(expression.function, arguments, expression.position)


def quote_text(text: str) -> str:
    """A string literal of the language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _walk(expression: Expression) -> Iterator[Expression]:
    yield expression
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _walk(argument)


def _wrapped(expression: Expression, binding: int) -> str:
    text = str(expression)
    return text if _binding(expression) >= binding else f"({text})"


def _binding(expression: Expression) -> int:
    match expression:
        case Call(function="not"):
            return _NOT
        case Call(function="negative"):
            return _NEGATIVE
        case Call(function="is_missing" | "in"):
            return _COMPARISON
        case Call() if expression.function in INFIX:
            return INFIX[expression.function][1]
        case Literal(value=int() | float() as number) if number < 0:
            return _NEGATIVE
        case _:
            return _ATOM
