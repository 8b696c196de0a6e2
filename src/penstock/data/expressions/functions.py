"""Every function of the language by name. Nothing here reads a file, a clock, a network, the system or chance."""

from collections.abc import Mapping

from penstock.data.expressions.arithmetic import ARITHMETIC
from penstock.data.expressions.casts import CASTS
from penstock.data.expressions.dates import DATES
from penstock.data.expressions.logic import LOGIC
from penstock.data.expressions.nested import NESTED
from penstock.data.expressions.signature import Function
from penstock.data.expressions.text import TEXT
from penstock.errors import did_you_mean

__all__ = ["FAMILIES", "FUNCTIONS", "close_function", "function_named"]

FAMILIES: Mapping[str, tuple[Function, ...]] = {
    "Numbers": ARITHMETIC,
    "Conditions": LOGIC,
    "Texts": TEXT,
    "Timestamps": DATES,
    "Types": CASTS,
    "JSON and hashing": NESTED,
}

FUNCTIONS: Mapping[str, Function] = {function.name: function for family in FAMILIES.values() for function in family}

_ELSEWHERE = {
    "ceiling": "ceil",
    "date_trunc": "truncate",
    "if_else": "if",
    "ifnull": "coalesce",
    "isnull": "is_missing",
    "len": "length",
    "ln": "log",
    "max": "greatest",
    "mean": "a statistic of many rows: the steps aggregate, window and fill have it",
    "min": "least",
    "now": "",
    "nullif": "null_if",
    "pow": "power",
    "strip": "trim",
    "strptime": "parse_date",
    "strftime": "format_date",
    "substr": "slice",
    "substring": "slice",
    "toupper": "upper",
    "tolower": "lower",
    "where": "if",
}


def function_named(name: str) -> Function | None:
    """The function of that name, in any case; None if there is none."""
    return FUNCTIONS.get(name.lower())


def close_function(name: str) -> str:
    """The tail of an error message about an unknown function: what it is called here."""
    known = _ELSEWHERE.get(name.lower())
    if known == "":
        return "; a recipe must give the same rows tomorrow, so it has no clock: pass the time as a column"
    if known is not None:
        return f"; here it is {known!r}" if known in FUNCTIONS else f": it is {known}"
    return did_you_mean(name.lower(), FUNCTIONS)
