"""Timestamps: parts of them, arithmetic, texts to and from them. All instants are UTC; a zone is always named."""

from collections.abc import Callable
from typing import Any

import numpy as np

from penstock.data.columns import Array
from penstock.data.expressions.signature import Function, always, number, text, time
from penstock.data.expressions.text import map_texts
from penstock.data.expressions.times import (
    EARLIEST,
    LATEST,
    MICROSECONDS_A_DAY,
    time_format,
    to_local,
    to_utc,
    zone_named,
)
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, DataType

__all__ = ["DATES", "TRUNCATIONS"]

TRUNCATIONS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")

_INTEGER = always(DataType.INTEGER)
_FLOAT = always(DataType.FLOAT)
_TIMESTAMP = always(DataType.TIMESTAMP)
_DAY_OF_EPOCH = 3
"""1970-01-01 was a Thursday, counting from Monday."""

_ZONE = text("zone", is_literal=True, is_optional=True)


def _local(instants: Array, zone: str | None) -> Any:
    """Wall-clock times as datetime64[us]; INT64_MIN is NumPy's NaT as it is our missing."""
    local = instants if zone is None else to_local(instants, zone_named(zone))
    return np.ascontiguousarray(local).view("M8[us]")


def _part(of_clock: Callable[[Any], Array]) -> Callable[..., Array]:
    def evaluate(instants: Array, zone: str | None = None) -> Array:
        values = of_clock(_local(instants, zone)).astype(np.float64)
        return np.where(instants == MISSING_TIMESTAMP, np.nan, values)

    return evaluate


def _counted(clock: Any, unit: str) -> Array:
    """How many whole units since 1970."""
    counted: Array = clock.astype(f"M8[{unit}]").view(np.int64)
    return counted


def _within(unit_us: int, count: int) -> Callable[[Any], Array]:
    def of_clock(clock: Any) -> Array:
        whole: Array = clock.view(np.int64) // unit_us % count
        return whole

    return of_clock


def _day(clock: Any) -> Array:
    day: Array = _counted(clock, "D") - _counted(clock.astype("M8[M]"), "D") + 1
    return day


def _day_of_year(clock: Any) -> Array:
    day: Array = _counted(clock, "D") - _counted(clock.astype("M8[Y]"), "D") + 1
    return day


def _weekday(clock: Any) -> Array:
    return (_counted(clock, "D") + _DAY_OF_EPOCH) % 7


def _iso_week(clock: Any) -> Array:
    days = _counted(clock, "D")
    thursday = days - (days + _DAY_OF_EPOCH) % 7 + 3
    return _day_of_year(thursday.view("M8[D]")) // 7 + np.where(_day_of_year(thursday.view("M8[D]")) % 7 == 0, 0, 1)


def _truncate(instants: Array, unit: str, zone: str | None = None) -> Array:
    clock = _local(instants, zone)
    match unit:
        case "year":
            start = clock.astype("M8[Y]")
        case "quarter":
            months = _counted(clock, "M")
            start = np.where(np.isnat(clock), np.datetime64("NaT"), (months - months % 3).view("M8[M]"))
        case "month":
            start = clock.astype("M8[M]")
        case "week":
            days = _counted(clock, "D")
            start = np.where(np.isnat(clock), np.datetime64("NaT"), (days - _weekday(clock)).view("M8[D]"))
        case _:
            start = clock.astype(f"M8[{ {'day': 'D', 'hour': 'h', 'minute': 'm', 'second': 's'}[unit] }]")
    local = start.astype("M8[us]").view(np.int64)
    return local if zone is None else to_utc(local, zone_named(zone))


def _between(unit_us: int) -> Callable[[Array, Array], Array]:
    def evaluate(start: Array, end: Array) -> Array:
        known = (start != MISSING_TIMESTAMP) & (end != MISSING_TIMESTAMP)
        return np.where(known, np.subtract(end, start) / unit_us, np.nan)

    return evaluate


def _add(unit_us: int) -> Callable[[Array, Array], Array]:
    def evaluate(instants: Array, amount: Array) -> Array:
        shift = amount * float(unit_us)
        known = (instants != MISSING_TIMESTAMP) & (np.abs(shift) <= LATEST - EARLIEST)
        moved = instants + np.where(known, np.rint(shift), 0).astype(np.int64)
        return np.where(known, moved, MISSING_TIMESTAMP)

    return evaluate


def _epoch_seconds(instants: Array) -> Array:
    return np.where(instants == MISSING_TIMESTAMP, np.nan, instants / 1e6)


def _from_epoch(seconds: Array) -> Array:
    micros = seconds * 1e6
    known = (micros >= EARLIEST) & (micros <= LATEST)
    return np.where(known, np.rint(np.where(known, micros, 0)).astype(np.int64), MISSING_TIMESTAMP)


def _parse_date(array: Array, written: str, zone: str | None = None) -> Array:
    parse = time_format(written).parse
    where = None if zone is None else zone_named(zone)
    return np.array(
        [MISSING_TIMESTAMP if value == MISSING_STRING else parse(value, where) for value in array.tolist()],
        dtype=np.int64,
    )


def _format_date(instants: Array, written: str, zone: str | None = None) -> Array:
    form = time_format(written)
    clock = _local(instants, zone)
    days = np.datetime_as_string(clock, unit="us").tolist()
    texts = np.empty(len(days), dtype=object)
    texts[:] = [MISSING_STRING if day == "NaT" else day for day in days]
    return map_texts(form.write, texts)


def _part_function(name: str, of_clock: Callable[[Any], Array], summary: str, example: str, answer: str) -> Function:
    return Function(
        name=name,
        parameters=(time(), _ZONE),
        result=_INTEGER,
        evaluate=_part(of_clock),
        summary=summary,
        example=example,
        answer=answer,
    )


_EXAMPLE = "timestamp('2024-05-31T22:10:05Z')"

DATES = (
    _part_function("year", lambda c: _counted(c, "Y") + 1970, "the year", f"year({_EXAMPLE})", "2024"),
    _part_function(
        "quarter", lambda c: _counted(c, "M") % 12 // 3 + 1, "the quarter, 1 to 4", f"quarter({_EXAMPLE})", "2"
    ),
    _part_function("month", lambda c: _counted(c, "M") % 12 + 1, "the month, 1 to 12", f"month({_EXAMPLE})", "5"),
    _part_function("week", _iso_week, "the ISO week, 1 to 53", f"week({_EXAMPLE})", "22"),
    _part_function("day", _day, "the day of the month", f"day({_EXAMPLE}, 'Asia/Tokyo')", "1"),
    _part_function("day_of_year", _day_of_year, "the day of the year, 1 to 366", f"day_of_year({_EXAMPLE})", "152"),
    _part_function("weekday", _weekday, "the day of the week, 0 for Monday", f"weekday({_EXAMPLE})", "4"),
    _part_function("hour", _within(3_600_000_000, 24), "the hour, 0 to 23", f"hour({_EXAMPLE}, 'Asia/Tokyo')", "7"),
    _part_function("minute", _within(60_000_000, 60), "the minute", f"minute({_EXAMPLE})", "10"),
    _part_function("second", _within(1_000_000, 60), "the second, without its fraction", f"second({_EXAMPLE})", "5"),
    Function(
        name="truncate",
        parameters=(time(), text("unit", is_literal=True, choices=TRUNCATIONS), _ZONE),
        result=_TIMESTAMP,
        evaluate=_truncate,
        overflows=True,
        summary=f"the beginning of its {', '.join(TRUNCATIONS[:-1])} or second; weeks begin on Monday",
        example=f"truncate({_EXAMPLE}, 'month')",
        answer="timestamp('2024-05-01T00:00:00Z')",
    ),
    Function(
        name="seconds_between",
        parameters=(time("start"), time("end")),
        result=_FLOAT,
        evaluate=_between(1_000_000),
        summary="seconds from start to end",
        example="seconds_between(timestamp('2024-05-01'), timestamp('2024-05-01T00:01:00Z'))",
        answer="60.0",
    ),
    Function(
        name="days_between",
        parameters=(time("start"), time("end")),
        result=_FLOAT,
        evaluate=_between(MICROSECONDS_A_DAY),
        summary="days of 24 hours from start to end, with their fraction",
        example="days_between(timestamp('2024-05-01'), timestamp('2024-05-02T12:00:00Z'))",
        answer="1.5",
    ),
    Function(
        name="add_seconds",
        parameters=(time(), number("seconds")),
        result=_TIMESTAMP,
        evaluate=_add(1_000_000),
        overflows=True,
        makes_missing=True,
        summary="so many seconds later",
        example="add_seconds(timestamp('2024-05-01'), 90)",
        answer="timestamp('2024-05-01T00:01:30Z')",
    ),
    Function(
        name="add_days",
        parameters=(time(), number("days")),
        result=_TIMESTAMP,
        evaluate=_add(MICROSECONDS_A_DAY),
        overflows=True,
        makes_missing=True,
        summary="so many days of 24 hours later",
        example="add_days(timestamp('2024-05-01'), -1)",
        answer="timestamp('2024-04-30T00:00:00Z')",
    ),
    Function(
        name="epoch_seconds",
        parameters=(time(),),
        result=_FLOAT,
        evaluate=_epoch_seconds,
        summary="seconds since 1970-01-01 UTC",
        example="epoch_seconds(timestamp('1970-01-02'))",
        answer="86400.0",
    ),
    Function(
        name="from_epoch",
        parameters=(number("seconds"),),
        result=_TIMESTAMP,
        evaluate=_from_epoch,
        overflows=True,
        makes_missing=True,
        summary="the instant so many seconds after 1970-01-01 UTC",
        example="from_epoch(86400)",
        answer="timestamp('1970-01-02T00:00:00Z')",
    ),
    Function(
        name="parse_date",
        parameters=(text(), text("format", is_literal=True), _ZONE),
        result=_TIMESTAMP,
        evaluate=_parse_date,
        overflows=True,
        makes_missing=True,
        summary="a text read by a strptime format, in a zone unless it has an offset; missing if it does not follow it",
        example="parse_date('31/05/2024', '%d/%m/%Y')",
        answer="timestamp('2024-05-31T00:00:00Z')",
    ),
    Function(
        name="format_date",
        parameters=(time(), text("format", is_literal=True), _ZONE),
        result=always(DataType.STRING),
        evaluate=_format_date,
        summary="the time written by a strftime format",
        example=f"format_date({_EXAMPLE}, '%d.%m.%Y', 'Asia/Tokyo')",
        answer="'01.06.2024'",
    ),
)
