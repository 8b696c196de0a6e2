"""Steps that turn values into classes or indicators: bucketize, one_hot."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec

from penstock.data.expressions.symbols import call, column
from penstock.data.expressions.tree import Expression
from penstock.data.recipe.projection import Projection, with_columns
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.recipe.steps.base import Step, known_names, new_names, typed_column
from penstock.data.schema import DataType, Schema
from penstock.errors import ConfigError, DataError

__all__ = ["Bucketize", "OneHot", "text_of"]

_NUMBERS = (DataType.INTEGER, DataType.FLOAT)
MOST_VALUES = 1_000


class Buckets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """boundaries: rising numbers; or quantiles: into how many buckets of about equal size. into: the new column."""

    boundaries: tuple[float | int, ...] | None = None
    quantiles: int | None = None
    into: str | None = None


class Bucketize(Step, frozen=True, kw_only=True):
    """Numbers the intervals between boundaries: 0 below the first, a value on a boundary belongs above it."""

    step: ClassVar[str] = "bucketize"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, Buckets]

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"boundaries": item} if isinstance(item, list) else item for name, item in value.items()}

    def check(self) -> None:
        for name, buckets in self.columns.items():
            if (buckets.boundaries is None) == (buckets.quantiles is None):
                raise ConfigError(f"step 'bucketize', column {name!r}: expected either boundaries or quantiles")
            if buckets.quantiles is not None and not 2 <= buckets.quantiles <= MOST_VALUES:
                raise ConfigError(f"step 'bucketize', column {name!r}: expected 2 to {MOST_VALUES} quantiles")

    @property
    def is_row_wise(self) -> bool:
        return all(buckets.quantiles is None for buckets in self.columns.values())

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        return tuple(
            Statistic("quantile", typed_column(schema, name, *_NUMBERS, step=self.step).name, place / buckets.quantiles)
            for name, buckets in self.columns.items()
            if buckets.quantiles is not None
            for place in range(1, buckets.quantiles)
        )

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        columns = {}
        for name, buckets in self.columns.items():
            if buckets.quantiles is None:
                columns[name] = buckets
                continue
            found = [
                statistics[Statistic("quantile", name, place / buckets.quantiles)]
                for place in range(1, buckets.quantiles)
            ]
            # Frequent values make quantiles coincide.
            boundaries = sorted({float(value) for value in found if isinstance(value, int | float)})
            columns[name] = Buckets(boundaries=tuple(boundaries), into=buckets.into)
        return msgspec.structs.replace(self, columns=columns)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        names = {name: buckets.into or f"{name}_bucket" for name, buckets in self.columns.items()}
        new_names(schema, names.values(), step=self.step)
        found = {}
        for name in known_names(schema, self.columns, step=self.step):
            typed_column(schema, name, *_NUMBERS, step=self.step)
            boundaries = self.columns[name].boundaries or ()
            # Without a boundary there is one bucket.
            bucket = call("bucket", column(name), *boundaries) if boundaries else call("integer", column(name)) * 0
            found[names[name]] = bucket.expression
        return (with_columns(schema, found),)


class Indicators(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """values: which get a column; else the `most` frequent of the rows that reach the step. keep: the column too."""

    values: tuple[str, ...] | None = None
    most: int = 20
    keep: bool = False


class OneHot(Step, frozen=True, kw_only=True):
    """A column of 0 and 1 a value, named `column_value`; all 0 where the value is missing or another one."""

    step: ClassVar[str] = "one_hot"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, Indicators]

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {"values": [text_of(choice) for choice in item]} if isinstance(item, list) else item or {}
            for name, item in value.items()
        }

    def check(self) -> None:
        for name, item in self.columns.items():
            if item.values is not None and len(set(item.values)) < len(item.values):
                raise ConfigError(f"step 'one_hot', column {name!r} names a value twice")
            if not 1 <= item.most <= MOST_VALUES:
                raise ConfigError(f"step 'one_hot', column {name!r}: most is {item.most}; expected 1 to {MOST_VALUES}")

    @property
    def is_row_wise(self) -> bool:
        return not self.has_open_columns

    @property
    def has_open_columns(self) -> bool:
        return any(item.values is None for item in self.columns.values())

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        return tuple(
            Statistic("values", schema[name].name, item.most)
            for name, item in self.columns.items()
            if item.values is None
        )

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        columns = {}
        for name, item in self.columns.items():
            if item.values is None:
                found = statistics[Statistic("values", name, item.most)]
                assert isinstance(found, tuple)
                item = msgspec.structs.replace(item, values=found)
            columns[name] = item
        return msgspec.structs.replace(self, columns=columns)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        names = known_names(schema, self.columns, step=self.step)
        staying = schema.without(*[name for name in names if not self.columns[name].keep])
        indicators: dict[str, Expression] = {}
        for name in names:
            text = column(name) if schema[name].type is DataType.STRING else call("string", column(name))
            for value in self.columns[name].values or ():
                made = f"{name}_{value}"
                new_names(staying, [made, *indicators], step=self.step)
                indicators[made] = call("if", text == value, 1, 0).expression
        if not indicators and not len(staying):
            raise DataError("step 'one_hot' would leave no column")
        wide = with_columns(schema, indicators)
        return (wide.narrowed([*staying.names, *indicators]),)

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        if not self.is_row_wise:
            raise DataError("the columns that step 'one_hot' makes are not known before its values are counted")
        return super().output(schema, tables)


def text_of(value: object) -> str:
    """A value of a YAML list as the text that `string(…)` makes of it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
