"""A typed expression as SQL of DuckDB, with the meaning that `evaluation` gives it in memory.

Numbers are computed as DOUBLE, as they are in memory; only columns and constants that pass through a comparison or a
choice stay BIGINT. A part that is needed more than once is computed in a layer below the one that uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.data.expressions.sql_call import SqlCall, literal_sql
from penstock.data.expressions.sql_functions import KEEPS_INTEGERS, REPEATS_ARGUMENTS, SQL_FUNCTIONS
from penstock.data.expressions.times import EARLIEST, LATEST
from penstock.data.expressions.tokens import LARGEST_INTEGER
from penstock.data.expressions.tree import Literal, Reference
from penstock.data.expressions.typing import Typed, constant
from penstock.data.schema import DataType

__all__ = ["SqlLayers"]


@dataclass(frozen=True)
class _Fragment:
    """A piece of SQL. layer: how many layers lie below it. is_integer: a BIGINT rather than a DOUBLE."""

    sql: str
    layer: int
    is_integer: bool = False
    is_simple: bool = False


class SqlLayers:
    """Compiles expressions over one relation, and the layers of that relation in which their parts are computed.

    columns: SQL name of each column. prefix: of the names of computed parts, which no column has.
    """

    def __init__(self, columns: Mapping[str, str], *, prefix: str = "p") -> None:
        self._columns = columns
        self._prefix = prefix
        self._parts: dict[str, _Fragment] = {}
        self._layers: list[list[str]] = []

    def value(self, expression: Typed) -> str:
        """SQL of a column of that type: BIGINT, DOUBLE, BOOLEAN, VARCHAR or TIMESTAMP."""
        fragment = self._guarded(expression)
        return (_as_integer(fragment) if expression.type is DataType.INTEGER else fragment).sql

    def relation(self, source: str) -> str:
        """The source (a name, or SQL in parentheses) with the computed parts beside its columns."""
        for parts in self._layers:
            source = f"(SELECT *, {', '.join(parts)} FROM {source})"
        return source

    def _guarded(self, expression: Typed) -> _Fragment:
        fragment = self._raw(expression)
        if not expression.arguments or not expression.function.overflows:
            return fragment
        part = self._once(fragment)
        return _Fragment(f"CASE WHEN {_GUARDS[expression.data_type].format(part.sql)} THEN {part.sql} END", part.layer)

    def _raw(self, expression: Typed) -> _Fragment:
        """Without a guard against infinity on the result."""
        match expression.node:
            case Literal():
                is_integer = expression.type is DataType.INTEGER
                return _Fragment(literal_sql(constant(expression), expression.data_type), 0, is_integer, True)
            case Reference():
                name = self._columns[expression.node.column]
                if expression.type is DataType.FLOAT:
                    return _Fragment(f"CAST({name} AS DOUBLE)", 0, is_simple=True)
                return _Fragment(name, 0, expression.type is DataType.INTEGER, True)
            case _:
                return self._call(expression)

    def _call(self, expression: Typed) -> _Fragment:
        function = expression.function
        arguments: list[_Fragment] = []
        constants = []
        for index, argument in enumerate(expression.arguments):
            if function.parameter(index).is_literal:
                constants.append(constant(argument))
            else:
                arguments.append(self._raw(argument) if index < function.carries else self._guarded(argument))
        types = tuple(argument.data_type for argument in expression.arguments)
        keeps_integers = function.name in KEEPS_INTEGERS
        arguments = [
            _as_integer(argument) if keeps_integers and kind is DataType.INTEGER else _as_double(argument)
            for argument, kind in zip(arguments, types, strict=False)
        ]
        if function.name in REPEATS_ARGUMENTS:
            arguments = [self._once(argument) for argument in arguments]
        sql = SQL_FUNCTIONS[function.name](SqlCall([argument.sql for argument in arguments], constants, types))
        layer = max((argument.layer for argument in arguments), default=0)
        return _Fragment(f"({sql})", layer, keeps_integers and expression.type is DataType.INTEGER)

    def _once(self, fragment: _Fragment) -> _Fragment:
        """The fragment under a name, unless it is short enough to be repeated."""
        if fragment.is_simple:
            return fragment
        known = self._parts.get(fragment.sql)
        if known is None:
            name = f"{self._prefix}{len(self._parts)}"
            known = _Fragment(name, fragment.layer + 1, fragment.is_integer, is_simple=True)
            self._parts[fragment.sql] = known
            if len(self._layers) == fragment.layer:
                self._layers.append([])
            self._layers[fragment.layer].append(f"{fragment.sql} AS {name}")
        return known


_GUARDS = {
    DataType.FLOAT: "isfinite({0})",
    DataType.INTEGER: f"abs({{0}}) <= {LARGEST_INTEGER}",
    DataType.TIMESTAMP: f"{{0}} BETWEEN make_timestamp({EARLIEST}) AND make_timestamp({LATEST})",
}
"""What a result must meet not to be missing."""


def _as_integer(fragment: _Fragment) -> _Fragment:
    """Guarded numbers of integer type always fit."""
    if fragment.is_integer:
        return fragment
    return _Fragment(f"CAST({fragment.sql} AS BIGINT)", fragment.layer, is_integer=True, is_simple=fragment.is_simple)


def _as_double(fragment: _Fragment) -> _Fragment:
    if not fragment.is_integer:
        return fragment
    return _Fragment(f"CAST({fragment.sql} AS DOUBLE)", fragment.layer, is_simple=fragment.is_simple)
