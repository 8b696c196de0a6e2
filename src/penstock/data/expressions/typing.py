"""Types an expression against a schema, before anything runs. Knows no values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from penstock.data.columns import dtype_of
from penstock.data.expressions.functions import FUNCTIONS, close_function
from penstock.data.expressions.logic import COMPARISONS
from penstock.data.expressions.parser import parse
from penstock.data.expressions.signature import Function, Parameter
from penstock.data.expressions.times import parse_iso
from penstock.data.expressions.tree import Call, Expression, Literal, LiteralValue, Reference
from penstock.data.schema import MISSING_TIMESTAMP, DataType, Schema
from penstock.errors import DataError, ExpressionError

__all__ = ["Typed", "constant", "infer", "typed"]


@dataclass(frozen=True)
class Typed:
    """An expression whose every part has a type.

    type: None for a missing value that took no type from its surroundings.
    nullable: whether it can be missing.
    arguments: of a call, brought to the types it takes.
    """

    node: Expression
    type: DataType | None
    nullable: bool
    arguments: tuple["Typed", ...] = ()

    @property
    def function(self) -> Function:
        assert isinstance(self.node, Call)
        return FUNCTIONS[self.node.function]

    @property
    def data_type(self) -> DataType:
        assert self.type is not None
        return self.type


def infer(expression: Expression, schema: Schema) -> DataType:
    """The type of an expression over these columns. Raises ExpressionError as `typed` does."""
    return typed(expression, schema).data_type


def typed(expression: Expression, schema: Schema, *, text: str | None = None) -> Typed:
    """The expression with the type of each part.

    text: what the expression was parsed from, for messages; without it they quote and count in its canonical text.
    Raises ExpressionError naming the place, the offending part, what was expected and what comes close: for an unknown
    column or function, a wrong number or type of arguments, a constant expected, an expression without a type.
    """
    if text is None:
        text = str(expression)
        expression = parse(text)
    result = _Typing(text, schema).of(expression)
    if result.type is None:
        raise ExpressionError(f"expression {text!r} is always missing, so it has no type")
    return result


def constant(argument: Typed) -> LiteralValue:
    """The value of an argument that must be a constant; timestamps as microseconds."""
    node = argument.node
    if isinstance(node, Call):
        (inner,) = argument.arguments
        return parse_iso(str(constant(inner)))
    assert isinstance(node, Literal)
    return float(node.value) if argument.type is DataType.FLOAT and node.value is not None else node.value


class _Typing:
    def __init__(self, text: str, schema: Schema) -> None:
        self._text = text
        self._schema = schema

    def of(self, expression: Expression) -> Typed:
        match expression:
            case Literal():
                return Typed(expression, _literal_type(expression), expression.value is None)
            case Reference():
                return self._column(expression)
            case Call():
                return self._call(expression)

    def _column(self, reference: Reference) -> Typed:
        try:
            column = self._schema[reference.column]
        except DataError as error:
            raise self._error(reference, str(error)) from error
        if column.type is DataType.IMAGE:
            raise self._error(reference, f"column {column.name!r} holds images, which expressions do not read")
        return Typed(reference, column.type, column.nullable)

    def _call(self, call: Call) -> Typed:
        function = FUNCTIONS.get(call.function)
        if function is None:
            raise self._error(call, f"there is no function {call.function!r}{close_function(call.function)}")
        parameters = self._parameters(call, function)
        arguments = [self.of(argument) for argument in call.arguments]
        for group in sorted({parameter.group for parameter in parameters if parameter.group is not None}):
            shared = [index for index, parameter in enumerate(parameters) if parameter.group == group]
            arguments = self._to_common(call, function, shared, arguments)
        for index, (parameter, argument) in enumerate(zip(parameters, arguments, strict=True)):
            self._check(call, function, index, parameter, argument)
        types = tuple(argument.data_type for argument in arguments)
        self._check_constants(call, function, parameters, arguments)
        return Typed(call, function.result(types), _is_nullable(function, arguments), tuple(arguments))

    def _parameters(self, call: Call, function: Function) -> Sequence[Parameter]:
        """The parameter of each argument. Raises for too few or too many arguments."""
        count, most = len(call.arguments), len(function.parameters)
        fewest = sum(not parameter.is_optional for parameter in function.parameters)
        if function.repeats and count >= fewest and (count - fewest) % function.repeats == 0:
            return [function.parameter(index) for index in range(count)]
        if function.repeats or not fewest <= count <= most:
            some = str(fewest) if fewest == most else f"{fewest} to {most}"
            expected = f"at least {fewest}" if function.repeats == 1 else some
            raise self._error(call, f"{function.signature()} takes {expected} arguments, not {count}")
        return function.parameters[:count]

    def _to_common(self, call: Call, function: Function, shared: Sequence[int], arguments: list[Typed]) -> list[Typed]:
        """The arguments with those of one group brought to one type."""
        types = {arguments[i].type for i in shared} - {None}
        if not types:
            return arguments
        if function.name in COMPARISONS and any(arguments[i].type is None for i in shared):
            known = next(arguments[i] for i in shared if arguments[i].type is not None)
            raise self._error(call, f"nothing equals a missing value; write '{known.node} is missing'")
        if types == {DataType.TIMESTAMP, DataType.STRING}:
            common = DataType.TIMESTAMP
        elif types <= {DataType.INTEGER, DataType.FLOAT}:
            common = DataType.FLOAT if DataType.FLOAT in types else DataType.INTEGER
        elif len(types) == 1:
            common = next(iter(types))  # type: ignore[assignment]
        else:
            found = " and ".join(sorted({f"{arguments[i].node} ({arguments[i].type})" for i in shared}))
            raise self._error(call, f"{_spoken(function)} needs values of one type, not {found}")
        converted = list(arguments)
        for i in shared:
            converted[i] = self._converted(arguments[i], common)
        return converted

    def _converted(self, argument: Typed, common: DataType) -> Typed:
        if argument.type is DataType.STRING and common is DataType.TIMESTAMP:
            if not isinstance(argument.node, Literal):
                raise self._error(
                    argument.node, f"{argument.node} is a string; write timestamp({argument.node}) to compare it so"
                )
            return self.of(Call("timestamp", (argument.node,), argument.node.position))
        return replace(argument, type=common)

    def _check(self, call: Call, function: Function, index: int, parameter: Parameter, argument: Typed) -> None:
        place = f"argument {index + 1} ({parameter.name}) of {_spoken(function)}"
        if argument.type is None:
            raise self._error(argument.node, f"{place} is always missing; null can stand in if(…) and coalesce(…)")
        if argument.type not in parameter.accepts:
            expected = " or ".join(sorted(parameter.accepts))
            raise self._error(
                argument.node, f"{place} is {argument.node}, of type {argument.type}; expected {expected}{_hint(call)}"
            )
        if not parameter.is_literal:
            return
        if not isinstance(argument.node, Literal | Call) or (
            isinstance(argument.node, Call) and argument.node.function != "timestamp"
        ):
            raise self._error(argument.node, f"{place} must be a constant, not {argument.node}")
        if parameter.choices and isinstance(argument.node, Literal) and argument.node.value not in parameter.choices:
            raise self._error(
                argument.node, f"{place} is {argument.node}; expected one of {', '.join(parameter.choices)}"
            )

    def _check_constants(
        self, call: Call, function: Function, parameters: Sequence[Parameter], arguments: Sequence[Typed]
    ) -> None:
        """Runs the function on no rows: a pattern, format, zone or boundary that it cannot use shows now."""
        written = arguments[0].node
        if function.name == "timestamp" and isinstance(written, Literal):
            if parse_iso(str(written.value)) == MISSING_TIMESTAMP:
                raise self._error(call, f"{written} is no time; expected one such as '2024-05-31T12:00:00Z'")
            return
        if not any(parameter.is_literal for parameter in parameters):
            return
        values = [
            constant(argument) if parameter.is_literal else np.zeros(0, dtype_of(argument.data_type))
            for parameter, argument in zip(parameters, arguments, strict=True)
        ]
        types = {"types": tuple(argument.data_type for argument in arguments)} if function.is_overloaded else {}
        try:
            function.evaluate(*values, **types)
        except ExpressionError as error:
            raise self._error(call, str(error)) from error

    def _error(self, node: Expression, problem: str) -> ExpressionError:
        place = "" if node.position is None else f", character {node.position + 1}"
        return ExpressionError(f"expression {self._text!r}{place}: {problem}")


def _literal_type(literal: Literal) -> DataType | None:
    match literal.value:
        case None:
            return None
        case bool():
            return DataType.BOOLEAN
        case int():
            return DataType.INTEGER
        case float():
            return DataType.FLOAT
        case str():
            return DataType.STRING


def _is_nullable(function: Function, arguments: Sequence[Typed]) -> bool:
    anything = any(argument.nullable for argument in arguments)
    match function.name:
        case _ if function.never_missing:
            return False
        case "coalesce":
            return all(argument.nullable for argument in arguments)
        case "if" | "choose":
            return any(argument.nullable for argument in arguments[1:])
        case _:
            return anything or function.makes_missing


def _spoken(function: Function) -> str:
    return f"{function.name}(…)"


def _hint(call: Call) -> str:
    match call.function:
        case "add":
            return "; texts are joined by concat(…), time is added by add_days(…) or add_seconds(…)"
        case "subtract":
            return "; the time between timestamps is days_between(…) or seconds_between(…)"
        case _:
            return ""
