"""Steps that make one row of many, or many of one: aggregate, pivot, unpivot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import msgspec

from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import Symbol, call, column
from penstock.data.recipe.calls import NUMBERS, ORDERED, RowsCall, RowsFunction, read_call
from penstock.data.recipe.projection import Assignment, Projection, computed
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.recipe.steps.base import Step, known_names, listed, new_names
from penstock.data.recipe.steps.encoding import text_of
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError, DataError

__all__ = ["AGGREGATES", "Aggregate", "Grouping", "Pivot", "Unpivot"]

AGGREGATES = {
    "count": RowsFunction(accepts=ORDERED, is_expression_optional=True, result=DataType.INTEGER, is_count=True),
    "distinct": RowsFunction(accepts=ORDERED, result=DataType.INTEGER, is_count=True),
    "sum": RowsFunction(accepts=NUMBERS),
    "mean": RowsFunction(accepts=NUMBERS, result=DataType.FLOAT),
    "min": RowsFunction(accepts=ORDERED),
    "max": RowsFunction(accepts=ORDERED),
    "median": RowsFunction(accepts=NUMBERS, result=DataType.FLOAT),
    "quantile": RowsFunction(accepts=NUMBERS, number="fraction", result=DataType.FLOAT),
    "std": RowsFunction(accepts=NUMBERS, result=DataType.FLOAT),
    "variance": RowsFunction(accepts=NUMBERS, result=DataType.FLOAT),
    "mode": RowsFunction(accepts=ORDERED),
    "any": RowsFunction(accepts=frozenset({DataType.BOOLEAN})),
    "all": RowsFunction(accepts=frozenset({DataType.BOOLEAN})),
}
"""What can be said of a group. Missing values are left out of all of them, but not of `count()`."""


@dataclass(frozen=True)
class Grouping:
    """An aggregation with its expressions computed beforehand.

    before: makes the key columns and one column an expression. keys: of the groups. calls: by result, the function, the
    column it is of (None: the rows themselves) and its number. schema: of the result.
    """

    before: Projection
    keys: tuple[str, ...]
    calls: tuple[tuple[Column, str, str | None, float | None], ...]
    schema: Schema


class Aggregate(Step, frozen=True, kw_only=True):
    """One row a group of rows that are alike in the columns `by`, or one row in all; missing is a value like others.

    columns: by new name a call such as `mean(fare)`, `count()`, `quantile(fare, 0.9)`.
    """

    step: ClassVar[str] = "aggregate"

    columns: dict[str, str]
    by: tuple[str, ...] = ()

    @classmethod
    def normal(cls, value: Any) -> Any:
        return {**value, "by": listed(value.get("by", []))} if isinstance(value, dict) else value

    def check(self) -> None:
        if not self.columns:
            raise ConfigError("step 'aggregate': expected under 'columns' what to compute, such as {rides: count()}")
        for text in self.columns.values():
            read = read_call(text, AGGREGATES, step=self.step)
            if read.function == "quantile" and not 0 <= (read.number or 0) <= 1:
                raise ConfigError(f"step 'aggregate': {text!r} has no fraction from 0 to 1")

    @property
    def is_row_wise(self) -> bool:
        return False

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        return self.grouping(schema).schema

    def grouping(self, schema: Schema) -> Grouping:
        """The step as engines run it. Raises DataError or ExpressionError if it does not fit the columns."""
        keys = schema.select(known_names(schema, self.by, step=self.step))
        new_names(keys, self.columns, step=self.step)
        calls = {name: read_call(text, AGGREGATES, step=self.step) for name, text in self.columns.items()}
        return grouping(schema, keys, calls, step=self.step)


def grouping(schema: Schema, keys: Schema, calls: Mapping[str, RowsCall], *, step: str) -> Grouping:
    before = [Assignment(item, str(column(item.name).expression)) for item in keys]
    inner: dict[str, str] = {}
    results = []
    for name, read in calls.items():
        function = AGGREGATES[read.function]
        result = Column(name=name, type=read.type_in(schema, AGGREGATES, step=step), nullable=not function.is_count)
        source = None
        if read.expression is not None:
            # No column of a table has such a name.
            source = inner.setdefault(read.expression, f"\ue001{len(inner)}")
        results.append((result, read.function, source, read.number))
    before.extend(computed(source, expression, schema) for expression, source in inner.items())
    renamed = [
        Assignment(msgspec.structs.replace(item.column, name=name), item.value)
        for item, name in zip(before, [*keys.names, *inner.values()], strict=True)
    ]
    after = Schema((*keys.columns, *(result for result, *_ in results)))
    return Grouping(Projection(tuple(renamed)), keys.names, tuple(results), after)


class Pivot(Step, frozen=True, kw_only=True):
    """One row a group, with a column a value of `column`: the call over the rows that have it.

    values: which ones get a column, named like them; else the `most` frequent of the rows that reach the step.
    """

    step: ClassVar[str] = "pivot"

    by: tuple[str, ...]
    column: str
    value: str
    values: tuple[str, ...] | None = None
    most: int = 100
    prefix: str = ""

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        normal = {**value, "by": listed(value.get("by", []))}
        if isinstance(value.get("values"), list):
            normal["values"] = [text_of(item) for item in value["values"]]
        return normal

    def check(self) -> None:
        read_call(self.value, AGGREGATES, step=self.step)
        if self.values is not None and len(set(self.values)) < len(self.values):
            raise ConfigError("step 'pivot' names a value twice")

    @property
    def is_row_wise(self) -> bool:
        return False

    @property
    def has_open_columns(self) -> bool:
        return self.values is None

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        return () if self.values is not None else (Statistic("values", schema[self.column].name, self.most),)

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        if self.values is not None:
            return self
        found = statistics[Statistic("values", self.column, self.most)]
        assert isinstance(found, tuple)
        return msgspec.structs.replace(self, values=found)

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        return self.grouping(schema).schema

    def grouping(self, schema: Schema) -> Grouping:
        """The aggregation that it is. Raises as `Aggregate.grouping` does."""
        if self.values is None:
            raise DataError("the columns that step 'pivot' makes are not known before its values are counted")
        item = schema[self.column]
        text = column(item.name) if item.type is DataType.STRING else call("string", column(item.name))
        keys = schema.select(known_names(schema, self.by, step=self.step))
        read = read_call(self.value, AGGREGATES, step=self.step)
        of: object = 1 if read.expression is None else Symbol(parse(read.expression))
        calls = {
            f"{self.prefix}{value}": RowsCall(
                read.function, str(call("if", text == value, of, None).expression), read.number
            )
            for value in self.values
        }
        new_names(keys, calls, step=self.step)
        return grouping(schema, keys, calls, step=self.step)


class Unpivot(Step, frozen=True, kw_only=True):
    """A row for each of some columns: its name in one column, its value in another; the other columns are repeated.

    The columns are of one type, or integer and float. keep_missing: whether a missing value gets a row.
    """

    step: ClassVar[str] = "unpivot"

    columns: tuple[str, ...]
    name: str = "name"
    value: str = "value"
    keep_missing: bool = True

    @classmethod
    def normal(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, list) else value

    def check(self) -> None:
        if not self.columns:
            raise ConfigError("step 'unpivot' names no column")

    @property
    def is_row_wise(self) -> bool:
        return False

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        names = known_names(schema, self.columns, step=self.step)
        types = {schema[name].type for name in names}
        if types != {next(iter(types))} and not types <= NUMBERS:
            listing = ", ".join(f"{name} ({schema[name].type})" for name in names)
            raise DataError(f"step 'unpivot' needs columns of one type, not {listing}; cast them before")
        kind = next(iter(types)) if len(types) == 1 else DataType.FLOAT
        staying = schema.without(*names)
        new_names(staying, [self.name, self.value], step=self.step)
        is_nullable = self.keep_missing and any(schema[name].nullable for name in names)
        return Schema(
            (
                *staying.columns,
                Column(name=self.name, type=DataType.STRING),
                Column(name=self.value, type=kind, nullable=is_nullable),
            )
        )
