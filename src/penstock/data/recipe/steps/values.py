"""Steps that change values in place: fill, replace, clip."""

import math
from typing import Any, ClassVar, Literal, Self

import msgspec

from penstock.data.expressions.symbols import Symbol, call, column
from penstock.data.expressions.tree import Expression
from penstock.data.recipe.projection import Projection, with_columns
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.recipe.steps.base import Step, constant, known_names, time_text, typed_column
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError, DataError

__all__ = ["Clip", "Fill", "Replace"]

Scalar = bool | int | float | str

_NUMBERS = (DataType.INTEGER, DataType.FLOAT)


class FillStatistic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value taken from the column itself, over the rows that reach the step."""

    statistic: Literal["mean", "median", "mode"]


class Fill(Step, frozen=True, kw_only=True):
    """Replaces missing values by a constant or by the column's mean, median or mode.

    An integer column takes mean and median rounded; the median of a timestamp column is one of its values.
    """

    step: ClassVar[str] = "fill"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, Scalar | FillStatistic | None]

    @property
    def is_row_wise(self) -> bool:
        return not any(isinstance(value, FillStatistic) for value in self.columns.values())

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        return tuple(
            _fill_statistic(schema[name], value.statistic)
            for name, value in self.columns.items()
            if isinstance(value, FillStatistic)
        )

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        values: dict[str, Scalar | FillStatistic | None] = {}
        for name, value in self.columns.items():
            if isinstance(value, FillStatistic):
                item = schema[name]
                values[name] = _as_written(statistics[_fill_statistic(item, value.statistic)], item)
            else:
                values[name] = value
        return msgspec.structs.replace(self, columns=values)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        filled: dict[str, Expression] = {}
        for name in known_names(schema, self.columns, step=self.step):
            value = self.columns[name]
            # A column without any value has no mean: nothing is filled in.
            if value is not None and not isinstance(value, FillStatistic):
                filled[name] = call("coalesce", column(name), constant(value, schema[name])).expression
        return (with_columns(schema, filled),)

    def output(self, schema: Schema, tables: object) -> Schema:
        after = self.project(schema)[-1].schema
        columns = [
            msgspec.structs.replace(item, nullable=False)
            if isinstance(self.columns.get(item.name), FillStatistic)
            else item
            for item in after
        ]
        return Schema(tuple(columns))


class Replace(Step, frozen=True, kw_only=True):
    """Replaces whole values by others: by column, pairs of old and new; a new value of null makes it missing."""

    step: ClassVar[str] = "replace"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, tuple[tuple[Scalar, Scalar | None], ...]]

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: [list(pair) for pair in pairs.items()] if isinstance(pairs, dict) else pairs
            for name, pairs in value.items()
        }

    def check(self) -> None:
        for name, pairs in self.columns.items():
            if not pairs:
                raise ConfigError(f"step 'replace' names no value of column {name!r}; expected pairs of old and new")

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        replaced = {}
        for name in known_names(schema, self.columns, step=self.step):
            item = schema[name]
            pairs = [constant(value, item) for pair in self.columns[name] for value in pair]
            replaced[name] = call("choose", column(name), column(name), *pairs).expression
        return (with_columns(schema, replaced),)


class ClipBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where values are cut off: at constants, at quantiles, or so many interquartile ranges beyond the quartiles."""

    low: float | int | None = None
    high: float | int | None = None
    quantiles: tuple[float, float] | None = None
    iqr: float | None = None


class Clip(Step, frozen=True, kw_only=True):
    """Brings numbers that lie outside of bounds to the nearest bound; whole numbers stay whole."""

    step: ClassVar[str] = "clip"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, ClipBounds]

    def check(self) -> None:
        for name, bounds in self.columns.items():
            ways = [
                bounds.low is not None or bounds.high is not None,
                bounds.quantiles is not None,
                bounds.iqr is not None,
            ]
            if sum(ways) != 1:
                raise ConfigError(f"step 'clip', column {name!r}: expected low and high, or quantiles, or iqr")
            low, high = bounds.quantiles or (0.0, 1.0)
            if not 0 <= low < high <= 1:
                raise ConfigError(f"step 'clip', column {name!r}: quantiles {low} and {high} do not rise from 0 to 1")
            if bounds.low is not None and bounds.high is not None and bounds.low > bounds.high:
                raise ConfigError(f"step 'clip', column {name!r}: low {bounds.low} is above high {bounds.high}")

    @property
    def is_row_wise(self) -> bool:
        return not any(_clip_fractions(bounds) for bounds in self.columns.values())

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        return tuple(
            Statistic("quantile", typed_column(schema, name, *_NUMBERS, step=self.step).name, fraction)
            for name, bounds in self.columns.items()
            for fraction in _clip_fractions(bounds)
        )

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        columns = {}
        for name, bounds in self.columns.items():
            values = [statistics[Statistic("quantile", name, fraction)] for fraction in _clip_fractions(bounds)]
            if not values:
                columns[name] = bounds
            elif None not in values:
                columns[name] = _resolved_bounds(values, bounds.iqr, is_whole=schema[name].type is DataType.INTEGER)
        return msgspec.structs.replace(self, columns=columns)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        clipped = {}
        for name in known_names(schema, self.columns, step=self.step):
            typed_column(schema, name, *_NUMBERS, step=self.step)
            symbol: Symbol = column(name)
            bounds = self.columns[name]
            if bounds.low is not None:
                symbol = call("greatest", symbol, bounds.low)
            if bounds.high is not None:
                symbol = call("least", symbol, bounds.high)
            clipped[name] = symbol.expression
        return (with_columns(schema, clipped),)


def _fill_statistic(item: Column, statistic: str) -> Statistic:
    is_number = item.type in _NUMBERS
    if statistic == "mode":
        return Statistic("mode", item.name)
    if statistic == "mean" and is_number:
        return Statistic("mean", item.name)
    if statistic == "median" and is_number:
        return Statistic("quantile", item.name, 0.5)
    if statistic == "median" and item.type is DataType.TIMESTAMP:
        return Statistic("cut", item.name, 0.5)
    raise DataError(f"step 'fill': column {item.name!r} is {item.type}, which has no {statistic}; expected mode")


def _as_written(value: object, item: Column) -> Scalar | None:
    """A statistic as a value that a recipe file can hold for the column."""
    match value:
        case None:
            return None
        case int() if item.type is DataType.TIMESTAMP:
            return time_text(value)
        case float() if item.type is DataType.INTEGER:
            return math.floor(abs(value) + 0.5) * (-1 if value < 0 else 1)
        case bool() | int() | float() | str():
            return value
    raise AssertionError(value)


def _clip_fractions(bounds: ClipBounds) -> tuple[float, ...]:
    if bounds.quantiles is not None:
        return bounds.quantiles
    return (0.25, 0.75) if bounds.iqr is not None else ()


def _resolved_bounds(values: list[Any], iqr: float | None, *, is_whole: bool) -> ClipBounds:
    low, high = values
    if iqr is not None:
        low, high = low - iqr * (high - low), high + iqr * (high - low)
    return ClipBounds(low=math.ceil(low), high=math.floor(high)) if is_whole else ClipBounds(low=low, high=high)
