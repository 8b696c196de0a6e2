"""One hyperparameter: its type, range, scale, and when it is there at all. The types and scales are ML Engine's."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.errors import ConfigError

__all__ = ["Parameter", "ParameterType", "Scale", "Value"]

ParameterType = Literal["DOUBLE", "INTEGER", "CATEGORICAL", "DISCRETE"]
Scale = Literal["LINEAR", "LOG", "REVERSE_LOG"]

Value = float | int | str | bool | list[Any] | None
"""What a trial is given for a parameter. Only a CATEGORICAL one may be something else than a number."""

_MOST_DISCRETE = 1_000


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """low, high: bounds of DOUBLE and INTEGER, both within. values: of CATEGORICAL and DISCRETE.

    when: values that other parameters, named before this one, must have for this one to be there.
    """

    name: str
    type: ParameterType
    low: float = 0.0
    high: float = 0.0
    values: tuple[Any, ...] = ()
    scale: Scale = "LINEAR"
    when: Mapping[str, tuple[Any, ...]] | None = None

    def check(self, place: str) -> None:
        """Raises ConfigError naming the field. place: of this parameter in its file."""
        if self.type in ("DOUBLE", "INTEGER"):
            self._check_range(place)
        elif not self.values:
            raise ConfigError(f"{place}: a {self.type} parameter needs its values, at least one; it names none")
        elif self.type == "DISCRETE":
            rising = all(a < b for a, b in zip(self.values, self.values[1:], strict=False))
            if not rising or not all(math.isfinite(value) for value in self.values):
                raise ConfigError(
                    f"{place}: discrete values are {list(self.values)}; expected numbers, each above the last"
                )
            if len(self.values) > _MOST_DISCRETE:
                raise ConfigError(f"{place}: there are {len(self.values)} discrete values; at most 1,000 are allowed")
        elif len({_text(value) for value in self.values}) != len(self.values):
            raise ConfigError(f"{place}: two of its values are the same: {list(self.values)}")

    def _check_range(self, place: str) -> None:
        for name, bound in (("minValue", self.low), ("maxValue", self.high)):
            if not math.isfinite(bound):
                raise ConfigError(f"{place}: {name} (min, max) is {bound}; expected a finite number")
            if self.type == "INTEGER" and bound != int(bound):
                raise ConfigError(f"{place}: {name} is {bound:g}, and the type is INTEGER; expected a whole number")
        if self.low > self.high:
            raise ConfigError(
                f"{place}: minValue (min) is {self.low:g} and maxValue (max) is {self.high:g}; expected min <= max: "
                "exchange them"
            )
        if self.scale != "LINEAR" and self.low <= 0:
            raise ConfigError(
                f"{place}: minValue (min) is {self.low:g}, and a logarithmic scaleType needs a range above 0; raise "
                f"it, for instance to {self.high / 1000 if self.high > 0 else 0.001:g}, or use a linear scale"
            )

    def is_active(self, chosen: Mapping[str, Value]) -> bool:
        """Whether the parameter is there, given the values of those before it."""
        for name, allowed in (self.when or {}).items():
            if name not in chosen or _text(chosen[name]) not in {_text(value) for value in allowed}:
                return False
        return True

    def contains(self, value: Value) -> bool:
        """Whether it can have that value."""
        if self.type == "CATEGORICAL":
            return _text(value) in {_text(one) for one in self.values}
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return value in self.values if self.type == "DISCRETE" else self.low <= value <= self.high

    def of_sampler(self, raw: Any) -> Value:
        """The value that a sampler's own one stands for; see `search_space`."""
        match self.type:
            case "CATEGORICAL":
                found: Value = next(value for value in self.values if _text(value) == raw)
                return found
            case "DISCRETE":
                return float(self.values[int(raw)])
            case "INTEGER":
                return int(self.low + self.high - raw) if self.scale == "REVERSE_LOG" else int(raw)
            case _:
                return float(self.low + self.high - raw) if self.scale == "REVERSE_LOG" else float(raw)

    def to_sampler(self, value: Value) -> Any:
        """The inverse of `of_sampler`."""
        match self.type:
            case "CATEGORICAL":
                return _text(value)
            case "DISCRETE":
                return self.values.index(value)
            case _:
                assert isinstance(value, int | float)
                return self.low + self.high - value if self.scale == "REVERSE_LOG" else value

    def all_values(self) -> list[Value]:
        """Every value it can have, where they can be counted. Not for DOUBLE."""
        if self.type == "INTEGER":
            return list(range(int(self.low), int(self.high) + 1))
        return list(self.values)


def _text(value: Any) -> str:
    """One text a value: samplers take texts and numbers only, and tell 1 from True as little as Python does."""
    return value if isinstance(value, str) else json.dumps(value)
