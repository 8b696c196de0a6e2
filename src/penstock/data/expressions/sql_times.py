"""The functions on timestamps as SQL: instants are TIMESTAMP in UTC, zones are DuckDB's own."""

import re
from collections.abc import Mapping, Sequence

from penstock.data.expressions.sql_call import SqlCall, SqlFunction, template, text_sql
from penstock.data.expressions.text import WHITE_SPACE
from penstock.data.expressions.times import EARLIEST, LATEST, MICROSECONDS_A_DAY, time_format
from penstock.data.expressions.tree import LiteralValue
from penstock.data.schema import DataType

__all__ = ["SQL_TIMES"]

_ISO = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9])(:[0-5][0-9](?:\.[0-9]+)?)?)?"
    r" ?(Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


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


SQL_TIMES: Mapping[str, SqlFunction] = {
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
    "seconds_between": template("CAST(epoch_us({1}) - epoch_us({0}) AS DOUBLE) / CAST(1000000 AS DOUBLE)"),
    "days_between": template(
        f"CAST(epoch_us({{1}}) - epoch_us({{0}}) AS DOUBLE) / CAST({MICROSECONDS_A_DAY} AS DOUBLE)"
    ),
    "add_seconds": _add(1_000_000),
    "add_days": _add(MICROSECONDS_A_DAY),
    "epoch_seconds": template("CAST(epoch_us({0}) AS DOUBLE) / CAST(1000000 AS DOUBLE)"),
    "from_epoch": _from_epoch,
    "parse_date": _parse_date,
    "format_date": _format_date,
    "timestamp": _timestamp,
}
"""By name."""
