"""Steps about columns as a whole: select, drop, rename, cast, derive."""

from typing import Any, ClassVar

import msgspec

from penstock.data.expressions.parser import parse
from penstock.data.expressions.tree import Call, Reference, references
from penstock.data.recipe.projection import Assignment, Projection, computed, kept, with_columns
from penstock.data.recipe.steps.base import Step, expression_text, known_names, listed, new_names
from penstock.data.schema import DataType, Schema
from penstock.errors import ConfigError, DataError, did_you_mean

__all__ = ["Cast", "Derive", "Drop", "Rename", "Select"]

CAST_TYPES = ("integer", "float", "boolean", "string", "timestamp")


class Select(Step, frozen=True, kw_only=True):
    """Keeps these columns, in this order."""

    step: ClassVar[str] = "select"
    content: ClassVar[str | None] = "columns"

    columns: tuple[str, ...]

    @classmethod
    def normal(cls, value: Any) -> Any:
        return listed(value)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        if not self.columns:
            raise DataError("step 'select' would leave no column")
        return (Projection(kept(schema.select(known_names(schema, self.columns, step=self.step)))),)


class Drop(Step, frozen=True, kw_only=True):
    """Leaves these columns out."""

    step: ClassVar[str] = "drop"
    content: ClassVar[str | None] = "columns"

    columns: tuple[str, ...]

    @classmethod
    def normal(cls, value: Any) -> Any:
        return listed(value)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        left = schema.without(*known_names(schema, self.columns, step=self.step))
        if not len(left):
            raise DataError("step 'drop' would leave no column")
        return (Projection(kept(left)),)


class Rename(Step, frozen=True, kw_only=True):
    """Gives columns other names: old to new."""

    step: ClassVar[str] = "rename"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, str]

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        known_names(schema, self.columns, step=self.step)
        new_names(schema.without(*self.columns), self.columns.values(), step=self.step)
        columns = [
            Assignment(
                msgspec.structs.replace(item.column, name=self.columns.get(item.column.name, item.column.name)),
                item.value,
            )
            for item in kept(schema)
        ]
        return (Projection(tuple(columns)),)


class Cast(Step, frozen=True, kw_only=True):
    """Converts columns to a type; a value that cannot be converted becomes missing."""

    step: ClassVar[str] = "cast"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, DataType]

    @classmethod
    def normal(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name, kind in value.items():
                if kind not in CAST_TYPES:
                    close = did_you_mean(str(kind), CAST_TYPES)
                    raise ConfigError(
                        f"step 'cast', column {name!r}: there is no type {kind!r}; there are "
                        f"{', '.join(CAST_TYPES)}{close}"
                    )
        return value

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        names = known_names(schema, self.columns, step=self.step)
        calls = {
            name: Call(str(self.columns[name]), (Reference(name),))
            for name in names
            if schema[name].type is not self.columns[name]
        }
        return (with_columns(schema, calls),)


class Derive(Step, frozen=True, kw_only=True):
    """Computes columns, new ones or in place; each may use those before it."""

    step: ClassVar[str] = "derive"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, str]

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # A number or a condition in YAML is the constant of that value.
        return {name: item if isinstance(item, str) else expression_text(item) for name, item in value.items()}

    def check(self) -> None:
        for text in self.columns.values():
            parse(text)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        stages: list[Projection] = []
        pending: dict[str, str] = {}
        for name, text in self.columns.items():
            if not name:
                raise DataError("step 'derive' would make a column without a name")
            reads = references(computed(name, text, _after(schema, pending)).expression)
            if name in pending or any(read in pending for read in reads):
                stages.append(with_columns(schema, pending))
                schema, pending = stages[-1].schema, {}
            pending[name] = text
        return (*stages, with_columns(schema, pending))


def _after(schema: Schema, expressions: dict[str, str]) -> Schema:
    return with_columns(schema, expressions).schema
