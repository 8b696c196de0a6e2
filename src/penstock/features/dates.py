"""Parts of timestamps by integer arithmetic on microseconds since 1970 UTC, before and after 1970 alike.

The civil calendar follows Howard Hinnant, "chrono-compatible low-level date algorithms" (`civil_from_days`): counted
from 0000-03-01, a leap day is the last day of its year. Timestamps outside the years 1 to 9999 count as the nearest one
inside, so that no step ever divides a negative number, which ONNX truncates and NumPy floors.
"""

from collections.abc import Mapping
from typing import Literal

from penstock.data.schema import MISSING_TIMESTAMP
from penstock.features.operators import Operators, Values

__all__ = ["DAY_US", "PART_SIZES", "PERIODS_US", "DatePartName", "PeriodName", "date_part", "is_missing_time", "phase"]

DatePartName = Literal["month", "day", "weekday", "hour", "minute"]
PeriodName = Literal["day", "week", "year"]

DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000

PART_SIZES: Mapping[DatePartName, int] = {"month": 12, "day": 31, "weekday": 7, "hour": 24, "minute": 60}
"""Ids of each part count from 0: January, the first of the month, Monday, midnight."""

PERIODS_US: Mapping[PeriodName, int] = {"day": DAY_US, "week": 7 * DAY_US, "year": 31_556_952_000_000}
"""The year is the mean one of the Gregorian calendar, 365.2425 days."""

_FIRST_US = -62_135_596_800_000_000  # 0001-01-01
_LAST_US = 253_402_300_799_999_999  # the last microsecond of 9999
_DAYS_BEFORE_1970 = 719_468  # since 0000-03-01, a Wednesday


def is_missing_time(microseconds: Values) -> Values:
    return microseconds == MISSING_TIMESTAMP


def date_part(operators: Operators, microseconds: Values, part: DatePartName) -> Values:
    """The part of each timestamp, int64 `[rows, 1]`, from 0. Of a missing one, that of 1970-01-01."""
    since_march = _since_march(operators, microseconds)
    days = since_march // DAY_US
    match part:
        case "hour":
            return since_march % DAY_US // _HOUR_US
        case "minute":
            return since_march % _HOUR_US // _MINUTE_US
        case "weekday":
            return (days + 2) % 7
        case "month":
            month, _ = _month_and_day(days)
            return (month + 2) % 12
        case "day":
            _, day = _month_and_day(days)
            return day


def phase(operators: Operators, microseconds: Values, period: PeriodName) -> Values:
    """How far each timestamp is into its day, week or mean year, float64 `[rows, 1]` in `[0, 1)`."""
    since_march = _since_march(operators, microseconds)
    # 0000-03-01 was a Wednesday: weeks begin on Monday.
    offset = 2 * DAY_US if period == "week" else 0
    within = (since_march + offset) % PERIODS_US[period]
    return operators.cast(within, "float64") / float(PERIODS_US[period])


def _since_march(operators: Operators, microseconds: Values) -> Values:
    """Microseconds since 0000-03-01, above 0."""
    present = operators.where(is_missing_time(microseconds), 0, microseconds)
    return operators.clip(present, _FIRST_US, _LAST_US) + _DAYS_BEFORE_1970 * DAY_US


def _month_and_day(days: Values) -> tuple[Values, Values]:
    """Months since March (0 to 11) and days of the month (0 to 30), of days since 0000-03-01."""
    day_of_era = days % 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (year_of_era * 365 + year_of_era // 4 - year_of_era // 100)
    month = (day_of_year * 5 + 2) // 153
    return month, day_of_year - (month * 153 + 2) // 5
