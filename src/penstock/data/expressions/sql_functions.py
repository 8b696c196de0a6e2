"""What each function of the language is in DuckDB; the NumPy side is in the families, and tests compare the two."""

from collections.abc import Mapping

from penstock.data.expressions.casts import FALSE_WORDS, TRUE_WORDS
from penstock.data.expressions.json_values import json_path
from penstock.data.expressions.nested import UNIT_SEPARATOR
from penstock.data.expressions.patterns import pattern
from penstock.data.expressions.sql_call import SqlCall, SqlFunction, literal_sql, template, text_sql
from penstock.data.expressions.sql_times import SQL_TIMES
from penstock.data.expressions.text import WHITE_SPACE
from penstock.data.expressions.tree import LiteralValue
from penstock.data.schema import DataType

__all__ = ["KEEPS_INTEGERS", "REPEATS_ARGUMENTS", "SQL_FUNCTIONS"]

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

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"


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


def _text(value: LiteralValue) -> str:
    return text_sql(str(value))


def _re2(written: LiteralValue) -> str:
    return text_sql(pattern(str(written)).re2)


SQL_FUNCTIONS: Mapping[str, SqlFunction] = {
    "add": template("{0} + {1}"),
    "subtract": template("{0} - {1}"),
    "multiply": template("{0} * {1}"),
    "divide": template("{0} / {1}"),
    "floor_divide": _floor_divide,
    "modulo": _modulo,
    "power": template("pow({0}, {1})"),
    "negative": template("-{0}"),
    "abs": template("abs({0})"),
    "sign": template("CASE WHEN {0} IS NULL THEN NULL WHEN {0} > 0 THEN 1e0 WHEN {0} < 0 THEN -1e0 ELSE 0e0 END"),
    "round": _round,
    "floor": template("floor({0})"),
    "ceil": template("ceil({0})"),
    "sqrt": template("sqrt({0})"),
    "exp": template("exp({0})"),
    "log": template("ln({0})"),
    "log1p": template("ln(CAST(1 AS DOUBLE) + {0})"),
    "log2": template("log2({0})"),
    "log10": template("log10({0})"),
    "sin": template("sin({0})"),
    "cos": template("cos({0})"),
    "tan": template("tan({0})"),
    "tanh": template("tanh({0})"),
    "asin": template("asin({0})"),
    "acos": template("acos({0})"),
    "atan2": template("atan2({0}, {1})"),
    "radians": template("{0} * CAST(0.017453292519943295 AS DOUBLE)"),
    "least": _extreme("least"),
    "greatest": _extreme("greatest"),
    "clip": template(
        "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL AND {2} IS NOT NULL THEN least(greatest({0}, {1}), {2}) END"
    ),
    "bucket": _bucket,
    "equal": template("{0} = {1}"),
    "not_equal": template("{0} <> {1}"),
    "less": template("{0} < {1}"),
    "less_equal": template("{0} <= {1}"),
    "greater": template("{0} > {1}"),
    "greater_equal": template("{0} >= {1}"),
    "and": template("{0} AND {1}"),
    "or": template("{0} OR {1}"),
    "not": template("NOT {0}"),
    "is_missing": template("{0} IS NULL"),
    "in": _in,
    "if": template("CASE WHEN {0} THEN {1} ELSE {2} END"),
    "coalesce": lambda call: f"coalesce({', '.join(call.arguments)})",
    "null_if": template("nullif({0}, {1})"),
    "choose": _choose,
    "lower": template("lower({0})"),
    "upper": template("upper({0})"),
    "trim": lambda call: f"trim({call.arguments[0]}, {text_sql(WHITE_SPACE)})",
    "length": template("CAST(length({0}) AS DOUBLE)"),
    "concat": lambda call: " || ".join(call.arguments),
    "contains": template("contains({0}, {1})"),
    "starts_with": template("starts_with({0}, {1})"),
    "ends_with": template("ends_with({0}, {1})"),
    "replace": _replace,
    "slice": _slice,
    "split_part": _split_part,
    "pad_left": _pad_left,
    "regex_match": _regex_match,
    "regex_extract": _regex_extract,
    "regex_replace": _regex_replace,
    **SQL_TIMES,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "string": _string,
    "json_text": _json_text,
    "hash_fraction": _hash_fraction,
}
