"""Values inside of JSON texts, found by path and written as yyjson, DuckDB's reader, writes them."""

import json
import math
import re
from functools import lru_cache
from typing import Any

from penstock.errors import ExpressionError

__all__ = ["JsonPath", "elements_of", "json_path", "value_at"]

_STEP = re.compile(r"(?:^|\.)([^.\[\]\"\\*]+)|\[([0-9]{1,6})\]")
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"\\u00([01][0-9a-f])")


class JsonPath:
    """A checked path such as `address.lines[0]`. steps: names and places; sql: the same for DuckDB."""

    def __init__(self, text: str) -> None:
        self.steps: list[str | int] = []
        position = 0
        while position < len(text):
            found = _STEP.match(text, position)
            if found is None or found.end() == position:
                raise ExpressionError(
                    f"path {text!r}, character {position + 1}: expected a name or a place, as in address.lines[0]"
                )
            self.steps.append(found[1] if found[2] is None else int(found[2]))
            position = found.end()
        if not self.steps:
            raise ExpressionError("the path is empty; expected one such as address.lines[0]")
        self.sql = "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in self.steps)


@lru_cache(maxsize=1_000)
def json_path(text: str) -> JsonPath:
    """The checked path. Raises ExpressionError naming the place that cannot be read."""
    return JsonPath(text)


def value_at(text: str, path: JsonPath) -> str | None:
    """The value there as text; None if it is null, if there is none or if the text is no JSON.

    Strings are taken as they are, objects and lists written compactly. Of a name that stands twice the first counts.
    """
    value = _read(text)
    for step in path.steps:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return _written(value)


def elements_of(text: str) -> list[str | None]:
    """The elements of a JSON list as texts; nothing for anything else."""
    value = _read(text)
    return [_written(element) for element in value] if isinstance(value, list) else []


class _Number(str):
    """A number as it stands in the text."""

    __slots__ = ()


def _read(text: str) -> Any:
    try:
        value = json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
            object_pairs_hook=lambda pairs: dict(reversed(pairs)),
        )
        if _LONE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def _written(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and not isinstance(value, _Number)):
        return value
    return _compact(value)


def _compact(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case _Number():
            return _number(value)
        case str():
            return _CONTROL.sub(lambda found: f"\\u00{found[1].upper()}", json.dumps(value, ensure_ascii=False))
        case list():
            return f"[{','.join(map(_compact, value))}]"
        case _:
            # `_read` reversed the pairs so that the first of two equal names wins.
            items = [f"{_compact(name)}:{_compact(item)}" for name, item in reversed(value.items())]
            return f"{{{','.join(items)}}}"


def _number(raw: str) -> str:
    """As ECMAScript writes numbers, but with '.0' after whole floats; what 64 bits cannot hold stays as it stands."""
    if raw.lstrip("-").isdecimal():
        return "0" if raw == "-0" else str(raw)
    number = float(raw)
    if not math.isfinite(number):
        return str(raw)
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    mantissa, _, exponent = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0").rstrip("0") or "0"
    if number == 0:
        return f"{sign}0.0"
    # The decimal point stands after so many of the digits.
    point = _decimal_exponent(whole, fraction) + int(exponent or 0)
    if 0 < point <= 21:
        padded = digits.ljust(point, "0")
        return f"{sign}{padded[:point]}.{padded[point:] or '0'}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e{point - 1}"


def _decimal_exponent(whole: str, fraction: str) -> int:
    """Where the point stands relative to the first digit that is not 0."""
    if whole.strip("0"):
        return len(whole.lstrip("0"))
    return len(fraction.lstrip("0")) - len(fraction)
