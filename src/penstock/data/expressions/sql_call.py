"""What a function of the language is given when it is written as SQL, and constants as SQL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.data.expressions.tree import LiteralValue
from penstock.data.schema import DataType

__all__ = ["SQL_TYPES", "SqlCall", "SqlFunction", "literal_sql", "template", "text_sql"]


@dataclass(frozen=True)
class SqlCall:
    """SQL of the arguments that are computed, the constants after them, and the types of all."""

    arguments: Sequence[str]
    constants: Sequence[LiteralValue]
    types: Sequence[DataType]


SqlFunction = Callable[[SqlCall], str]


def literal_sql(value: LiteralValue, data_type: DataType) -> str:
    """A constant of that type; timestamps are given as microseconds."""
    match value:
        case None:
            return f"CAST(NULL AS {SQL_TYPES[data_type]})"
        case bool():
            return "true" if value else "false"
        case str():
            return text_sql(value)
        case _ if data_type is DataType.TIMESTAMP:
            return f"make_timestamp({int(value)})"
        case _ if data_type is DataType.INTEGER:
            return f"CAST({int(value)} AS BIGINT)"
        case _:
            # Through a text, since a decimal constant would be rounded twice.
            return f"CAST('{float(value)!r}' AS DOUBLE)"


def text_sql(text: str) -> str:
    """A text as a string literal; a NUL, which none can hold, is joined in."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "(" + quoted.replace("\0", "' || chr(0) || '") + ")" if "\0" in text else quoted


SQL_TYPES = {
    DataType.INTEGER: "BIGINT",
    DataType.FLOAT: "DOUBLE",
    DataType.BOOLEAN: "BOOLEAN",
    DataType.STRING: "VARCHAR",
    DataType.TIMESTAMP: "TIMESTAMP",
}


def template(sql: str) -> SqlFunction:
    """A function whose arguments stand as {0}, {1}, … in the SQL."""
    return lambda call: sql.format(*call.arguments)
