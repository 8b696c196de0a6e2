"""What a function of the language is: what it takes, what it yields, how columns in memory go through it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.data.columns import Array
from penstock.data.schema import DataType

__all__ = [
    "Function",
    "Parameter",
    "always",
    "boolean",
    "common",
    "number",
    "numeric",
    "second",
    "text",
    "time",
    "value",
    "whole",
]

_NUMBERS = frozenset({DataType.INTEGER, DataType.FLOAT})
_ANY = _NUMBERS | {DataType.BOOLEAN, DataType.STRING, DataType.TIMESTAMP}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of a function.

    accepts: the types it may have.
    is_literal: it must be a constant of the expression; the evaluator then gets a Python value instead of an array.
    choices: the constants it may be; empty for any.
    group: arguments of one group are brought to one type (integer and float to float), which `null` takes as well.
    is_optional: it may be left out, with everything after it.
    """

    name: str
    accepts: frozenset[DataType]
    is_literal: bool = False
    choices: tuple[str, ...] = ()
    group: str | None = None
    is_optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function or operator.

    repeats: how many parameters, from the last, may be given any number of times, in turn.
    result: the type it yields, from the types of its arguments.
    evaluate: arguments as arrays `[rows]` or `[1]` (a constant, to be broadcast), or Python values where the parameter
        is a literal; returns an array of the result's type. A missing argument yields a missing result unless
        `handles_missing`.
    is_overloaded: `evaluate` also gets `types`, the types of its arguments.
    handles_missing: the result may be present though an argument is missing (`coalesce`, `or`).
    never_missing: the result is present whatever the arguments are.
    makes_missing: the result may be missing though no argument is (a text that is no number).
    overflows: the result may be infinite or NaN, a whole number beyond 2**53 or an instant beyond the calendar; once
        guarded, it is missing then.
    carries: how many arguments, from the first, yield an infinite or NaN result whenever they are infinite or NaN
        themselves, so that these need no guard of their own.
    summary, example, answer: for the reference page; a test evaluates the example.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: Callable[[tuple[DataType, ...]], DataType]
    evaluate: Callable[..., Array]
    summary: str
    example: str
    answer: str
    repeats: int = 0
    is_overloaded: bool = False
    handles_missing: bool = False
    never_missing: bool = False
    makes_missing: bool = False
    overflows: bool = False
    carries: int = 0

    def signature(self) -> str:
        """How it is called: `round(x, [digits])`."""
        words = [f"[{parameter.name}]" if parameter.is_optional else parameter.name for parameter in self.parameters]
        return f"{self.name}({', '.join([*words, '…'] if self.repeats else words)})"

    def parameter(self, index: int) -> Parameter:
        """The parameter of the argument at this place."""
        beyond = index - len(self.parameters)
        return self.parameters[index if beyond < 0 else beyond % self.repeats - self.repeats]


def number(name: str = "x", **facts: Any) -> Parameter:
    return Parameter(name=name, accepts=_NUMBERS, **facts)


def whole(name: str, **facts: Any) -> Parameter:
    """An integer constant of the expression."""
    return Parameter(name=name, accepts=frozenset({DataType.INTEGER}), is_literal=True, **facts)


def text(name: str = "text", **facts: Any) -> Parameter:
    return Parameter(name=name, accepts=frozenset({DataType.STRING}), **facts)


def boolean(name: str = "condition", **facts: Any) -> Parameter:
    return Parameter(name=name, accepts=frozenset({DataType.BOOLEAN}), **facts)


def time(name: str = "time", **facts: Any) -> Parameter:
    return Parameter(name=name, accepts=frozenset({DataType.TIMESTAMP}), **facts)


def value(name: str = "x", accepts: frozenset[DataType] = _ANY, **facts: Any) -> Parameter:
    """An argument of any type, or of these."""
    return Parameter(name=name, accepts=accepts, **facts)


def always(data_type: DataType) -> Callable[[tuple[DataType, ...]], DataType]:
    return lambda _: data_type


def numeric(types: tuple[DataType, ...]) -> DataType:
    """Integer if every argument is, else float."""
    return DataType.INTEGER if set(types) == {DataType.INTEGER} else DataType.FLOAT


def common(types: tuple[DataType, ...]) -> DataType:
    """The type that the last argument was brought to."""
    return types[-1]


def second(types: tuple[DataType, ...]) -> DataType:
    """The type of the second argument."""
    return types[1]
