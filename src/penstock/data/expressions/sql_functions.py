"""What each function of the language is in DuckDB. The NumPy side is in the families; the two are tested against each
other on the same values."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock.data.expressions.casts import FALSE_WORDS, TRUE_WORDS
from penstock.data.expressions.json_values import json_path
from penstock.data.expressions.nested import UNIT_SEPARATOR
from penstock.data.expressions.patterns import pattern
from penstock.data.expressions.text import WHITE_SPACE
from penstock.data.expressions.times import EARLIEST, LATEST, MICROSECONDS_A_DAY, time_format
from penstock.data.expressions.tree import LiteralValue
from penstock.data.schema import DataType

__all__ = [
    "KEEPS_INTEGERS",
    "REPEATS_ARGUMENTS",
    "SQL_FUNCTIONS",
    "SQL_TYPES",
    "SqlCall",
    "SqlFunction",
    "literal_sql",
    "text_sql",
]


@dataclass(frozen=True)
class SqlCall:
    """SQL of the arguments that are computed, the constants after them, and the types of all."""

    arguments: Sequence[str]
    constants: Sequence[LiteralValue]
    types: Sequence[DataType]


SqlFunction = Callable[[SqlCall], str]

KEEPS_INTEGERS = frozenset(
    {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "in", "is_missing", "if", "coalesce"}
    | {"null_if", "choose", "string", "hash_fraction"}
)
"""Functions that take BIGINT as it is."""

REPEATS_ARGUMENTS = frozenset(
    {"floor_divide", "modulo", "round", "sign", "least", "greatest", "clip", "bucket", "pad_left", "regex_extract"}
    | {"integer", "float", "boolean", "timestamp", "parse_date", "json_text"}
)
"""Functions whose SQL has an argument more than once."""


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

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_ISO = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9])(:[0-5][0-9](?:\.[0-9]+)?)?)?"
    r" ?(Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


def _template(sql: str) -> SqlFunction:
    """A function whose arguments stand as {0}, {1}, … in the SQL."""
    return lambda call: sql.format(*call.arguments)


def _modulo(call: SqlCall) -> str:
    x, y = call.arguments
    return f"CASE WHEN {x} % {y} <> 0 AND (({x} % {y}) < 0) <> ({y} < 0) THEN {x} % {y} + {y} ELSE {x} % {y} END"


def _floor_divide(call: SqlCall) -> str:
    x, y = call.arguments
    return f"round(({x} - ({_modulo(call)})) / {y})"


def _round(call: SqlCall) -> str:
    (x,) = call.arguments
    digits = int(call.constants[0] or 0) if call.constants else 0
    if digits == 0:
        return f"round({x})"
    scale = literal_sql(10.0 ** abs(digits), DataType.FLOAT)
    rounded = f"round({x} * {scale}) / {scale}" if digits > 0 else f"round({x} / {scale}) * {scale}"
    return f"CASE WHEN isfinite({rounded}) THEN {rounded} ELSE {x} END"


def _extreme(name: str) -> SqlFunction:
    """DuckDB's own ignores what is missing."""

    def sql(call: SqlCall) -> str:
        known = " AND ".join(f"{argument} IS NOT NULL" for argument in call.arguments)
        return f"CASE WHEN {known} THEN {name}({', '.join(call.arguments)}) END"

    return sql


def _bucket(call: SqlCall) -> str:
    (x,) = call.arguments
    cases = [
        f"WHEN {x} < {literal_sql(float(boundary or 0), DataType.FLOAT)} THEN {index}.0"
        for index, boundary in enumerate(call.constants)
    ]
    return f"CAST(CASE WHEN {x} IS NULL THEN NULL {' '.join(cases)} ELSE {len(call.constants)}.0 END AS DOUBLE)"


def _in(call: SqlCall) -> str:
    return f"{call.arguments[0]} IN ({', '.join(literal_sql(choice, call.types[0]) for choice in call.constants)})"


def _choose(call: SqlCall) -> str:
    pairs = zip(call.constants[0::2], call.constants[1::2], strict=True)
    cases = [f"WHEN {literal_sql(key, call.types[0])} THEN {literal_sql(value, call.types[1])}" for key, value in pairs]
    return f"CASE {call.arguments[0]} {' '.join(cases)} ELSE {call.arguments[1]} END"


def _slice(call: SqlCall) -> str:
    start = int(call.constants[0] or 0)
    first = start + 1 if start >= 0 else start
    if len(call.constants) == 1:
        return f"{call.arguments[0]}[{first}:]"
    stop = int(call.constants[1] or 0)
    if stop == 0:
        return f"CASE WHEN {call.arguments[0]} IS NOT NULL THEN '' END"
    return f"{call.arguments[0]}[{first}:{stop if stop > 0 else stop - 1}]"


def _replace(call: SqlCall) -> str:
    return f"replace({call.arguments[0]}, {_text(call.constants[0])}, {_text(call.constants[1])})"


def _split_part(call: SqlCall) -> str:
    index = int(call.constants[1] or 0)
    return f"string_split({call.arguments[0]}, {_text(call.constants[0])})[{index + 1 if index >= 0 else index}]"


def _pad_left(call: SqlCall) -> str:
    length = f"greatest(length({call.arguments[0]}), {int(call.constants[0] or 0)})"
    return f"lpad({call.arguments[0]}, CAST({length} AS INTEGER), {_text(call.constants[1])})"


def _regex_match(call: SqlCall) -> str:
    return f"regexp_matches({call.arguments[0]}, {_re2(call.constants[0])})"


def _regex_extract(call: SqlCall) -> str:
    group = int(call.constants[1] or 0) if len(call.constants) > 1 else 0
    found = f"regexp_extract({call.arguments[0]}, {_re2(call.constants[0])}, {group})"
    return f"CASE WHEN regexp_matches({call.arguments[0]}, {_re2(call.constants[0])}) THEN {found} END"


def _regex_replace(call: SqlCall) -> str:
    replacement = text_sql(str(call.constants[1]).replace("\\", "\\\\"))
    return f"regexp_replace({call.arguments[0]}, {_re2(call.constants[0])}, {replacement}, 'g')"


def _integer(call: SqlCall) -> str:
    return f"trunc({_float(call)})"


def _float(call: SqlCall) -> str:
    if call.types[0] is not DataType.STRING:
        return f"CAST({call.arguments[0]} AS DOUBLE)"
    trimmed = f"trim({call.arguments[0]}, {text_sql(WHITE_SPACE)})"
    return f"CASE WHEN regexp_full_match({trimmed}, {text_sql(_NUMBER)}) THEN TRY_CAST({trimmed} AS DOUBLE) END"


def _boolean(call: SqlCall) -> str:
    match call.types[0]:
        case DataType.BOOLEAN:
            return call.arguments[0]
        case DataType.STRING:
            word = f"lower(trim({call.arguments[0]}, {text_sql(WHITE_SPACE)}))"
            true, false = (", ".join(sorted(map(text_sql, words))) for words in (TRUE_WORDS, FALSE_WORDS))
            return f"CASE WHEN {word} IN ({true}) THEN true WHEN {word} IN ({false}) THEN false END"
        case _:
            return f"{call.arguments[0]} <> 0"


def _string(call: SqlCall) -> str:
    return _as_text(call.arguments[0], call.types[0])


def _timestamp(call: SqlCall) -> str:
    if call.types[0] is DataType.TIMESTAMP:
        return call.arguments[0]
    trimmed = f"trim({call.arguments[0]}, {text_sql(WHITE_SPACE)})"
    parts = [f"regexp_extract({trimmed}, {text_sql(f'^{_ISO}$')}, {group})" for group in range(1, 5)]
    date, minute, second, offset = parts
    clock = (
        f"{date} || ' ' || CASE WHEN {minute} = '' THEN '00:00' ELSE {minute} END || "
        f"CASE WHEN {second} = '' THEN ':00' ELSE {second}[1:10] END"
    )
    read = f"TRY_CAST({clock} AS TIMESTAMP) - {_offset(offset)}"
    return f"CASE WHEN regexp_full_match({trimmed}, {text_sql(_ISO)}) THEN {read} END"


def _part(sql: str) -> SqlFunction:
    """A part of the date, of the wall clock in a zone if one is given."""

    def of_clock(call: SqlCall) -> str:
        return f"CAST({sql.format(_clock(call.arguments[0], call.constants[0:1]))} AS DOUBLE)"

    return of_clock


def _truncate(call: SqlCall) -> str:
    start = (
        f"CAST(date_trunc({_text(call.constants[0])}, {_clock(call.arguments[0], call.constants[1:2])}) AS TIMESTAMP)"
    )
    return _from_clock(start, call.constants[1:2])


def _add(unit_us: int) -> SqlFunction:
    def sql(call: SqlCall) -> str:
        instant, amount = call.arguments
        shift = f"TRY_CAST(round_even({amount} * CAST({unit_us} AS DOUBLE), 0) AS HUGEINT)"
        return _instant(f"CAST(epoch_us({instant}) AS HUGEINT) + {shift}")

    return sql


def _from_epoch(call: SqlCall) -> str:
    return _instant(f"TRY_CAST(round_even({call.arguments[0]} * CAST(1000000 AS DOUBLE), 0) AS HUGEINT)")


def _parse_date(call: SqlCall) -> str:
    form = time_format(str(call.constants[0]))
    read = f"try_strptime({call.arguments[0]}, {text_sql(form.text)})"
    if "z" in form.directives:
        read = f"timezone('UTC', {read})"
    else:
        read = _from_clock(read, call.constants[1:2])
    regex = text_sql(form.re2)
    return f"CASE WHEN regexp_full_match({call.arguments[0]}, {regex}) THEN {read} END"


def _format_date(call: SqlCall) -> str:
    written = re.sub("%(.)", lambda found: "+0000" if found[1] == "z" else found[0], str(call.constants[0]))
    return f"strftime({_clock(call.arguments[0], call.constants[1:2])}, {text_sql(written)})"


def _json_text(call: SqlCall) -> str:
    path = text_sql(json_path(str(call.constants[0])).sql)
    return f"CASE WHEN json_valid({call.arguments[0]}) THEN json_extract_string({call.arguments[0]}, {path}) END"


def _hash_fraction(call: SqlCall) -> str:
    separator = f" || {text_sql(UNIT_SEPARATOR)} || "
    texts = [f"coalesce({_as_text(sql, kind)}, '')" for sql, kind in zip(call.arguments, call.types, strict=True)]
    return f"CAST(md5_number_lower({separator.join(texts)}) >> 11 AS DOUBLE) / CAST(9007199254740992 AS DOUBLE)"


def _as_text(sql: str, data_type: DataType) -> str:
    match data_type:
        case DataType.STRING:
            return sql
        case DataType.TIMESTAMP:
            return f"replace(strftime({sql}, '%Y-%m-%dT%H:%M:%S.%f'), '.000000', '') || 'Z'"
        case DataType.FLOAT:
            return f"CAST({sql} + CAST(0 AS DOUBLE) AS VARCHAR)"
        case _:
            return f"CAST({sql} AS VARCHAR)"


def _clock(sql: str, zone: Sequence[LiteralValue]) -> str:
    """What a clock in the zone shows at an instant."""
    return f"timezone({_text(zone[0])}, timezone('UTC', {sql}))" if zone else sql


def _from_clock(sql: str, zone: Sequence[LiteralValue]) -> str:
    """The instant at which a clock in the zone shows this."""
    return f"timezone('UTC', timezone({_text(zone[0])}, {sql}))" if zone else sql


def _instant(micros: str) -> str:
    """A timestamp, of the year 0 for what is missing or out of range; the guard on the result makes that missing."""
    return f"make_timestamp(CAST(greatest(least({micros}, {LATEST + 1}), {EARLIEST - 1}) AS BIGINT))"


def _offset(written: str) -> str:
    digits = f"replace({written}[2:], ':', '')"
    minutes = (
        f"(CAST('0' || {digits}[1:2] AS INTEGER) * 60 + CAST('0' || {digits}[3:4] AS INTEGER))"
        f" * CASE WHEN {written}[1:1] = '-' THEN -1 ELSE 1 END"
    )
    return f"to_minutes(CASE WHEN {written} IN ('', 'Z', 'UTC') THEN 0 ELSE {minutes} END)"


def _text(value: LiteralValue) -> str:
    return text_sql(str(value))


def _re2(written: LiteralValue) -> str:
    return text_sql(pattern(str(written)).re2)


SQL_FUNCTIONS: Mapping[str, SqlFunction] = {
    "add": _template("{0} + {1}"),
    "subtract": _template("{0} - {1}"),
    "multiply": _template("{0} * {1}"),
    "divide": _template("{0} / {1}"),
    "floor_divide": _floor_divide,
    "modulo": _modulo,
    "power": _template("pow({0}, {1})"),
    "negative": _template("-{0}"),
    "abs": _template("abs({0})"),
    "sign": _template("CASE WHEN {0} IS NULL THEN NULL WHEN {0} > 0 THEN 1e0 WHEN {0} < 0 THEN -1e0 ELSE 0e0 END"),
    "round": _round,
    "floor": _template("floor({0})"),
    "ceil": _template("ceil({0})"),
    "sqrt": _template("sqrt({0})"),
    "exp": _template("exp({0})"),
    "log": _template("ln({0})"),
    "log1p": _template("ln(CAST(1 AS DOUBLE) + {0})"),
    "log2": _template("log2({0})"),
    "log10": _template("log10({0})"),
    "sin": _template("sin({0})"),
    "cos": _template("cos({0})"),
    "tan": _template("tan({0})"),
    "tanh": _template("tanh({0})"),
    "asin": _template("asin({0})"),
    "acos": _template("acos({0})"),
    "atan2": _template("atan2({0}, {1})"),
    "radians": _template("{0} * CAST(0.017453292519943295 AS DOUBLE)"),
    "least": _extreme("least"),
    "greatest": _extreme("greatest"),
    "clip": _template(
        "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL AND {2} IS NOT NULL THEN least(greatest({0}, {1}), {2}) END"
    ),
    "bucket": _bucket,
    "equal": _template("{0} = {1}"),
    "not_equal": _template("{0} <> {1}"),
    "less": _template("{0} < {1}"),
    "less_equal": _template("{0} <= {1}"),
    "greater": _template("{0} > {1}"),
    "greater_equal": _template("{0} >= {1}"),
    "and": _template("{0} AND {1}"),
    "or": _template("{0} OR {1}"),
    "not": _template("NOT {0}"),
    "is_missing": _template("{0} IS NULL"),
    "in": _in,
    "if": _template("CASE WHEN {0} THEN {1} ELSE {2} END"),
    "coalesce": lambda call: f"coalesce({', '.join(call.arguments)})",
    "null_if": _template("nullif({0}, {1})"),
    "choose": _choose,
    "lower": _template("lower({0})"),
    "upper": _template("upper({0})"),
    "trim": lambda call: f"trim({call.arguments[0]}, {text_sql(WHITE_SPACE)})",
    "length": _template("CAST(length({0}) AS DOUBLE)"),
    "concat": lambda call: " || ".join(call.arguments),
    "contains": _template("contains({0}, {1})"),
    "starts_with": _template("starts_with({0}, {1})"),
    "ends_with": _template("ends_with({0}, {1})"),
    "replace": _replace,
    "slice": _slice,
    "split_part": _split_part,
    "pad_left": _pad_left,
    "regex_match": _regex_match,
    "regex_extract": _regex_extract,
    "regex_replace": _regex_replace,
    "year": _part("year({0})"),
    "quarter": _part("quarter({0})"),
    "month": _part("month({0})"),
    "week": _part("week({0})"),
    "day": _part("day({0})"),
    "day_of_year": _part("dayofyear({0})"),
    "weekday": _part("(isodow({0}) - 1)"),
    "hour": _part("hour({0})"),
    "minute": _part("minute({0})"),
    "second": _part("second({0})"),
    "truncate": _truncate,
    "seconds_between": _template("CAST(epoch_us({1}) - epoch_us({0}) AS DOUBLE) / CAST(1000000 AS DOUBLE)"),
    "days_between": _template(
        f"CAST(epoch_us({{1}}) - epoch_us({{0}}) AS DOUBLE) / CAST({MICROSECONDS_A_DAY} AS DOUBLE)"
    ),
    "add_seconds": _add(1_000_000),
    "add_days": _add(MICROSECONDS_A_DAY),
    "epoch_seconds": _template("CAST(epoch_us({0}) AS DOUBLE) / CAST(1000000 AS DOUBLE)"),
    "from_epoch": _from_epoch,
    "parse_date": _parse_date,
    "format_date": _format_date,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "string": _string,
    "timestamp": _timestamp,
    "json_text": _json_text,
    "hash_fraction": _hash_fraction,
}
