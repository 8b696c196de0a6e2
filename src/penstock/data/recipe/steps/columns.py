"""Steps about columns as a whole: select, drop, rename, cast, derive."""

from typing import Any, ClassVar

import msgspec

from penstock.data.expressions.tree import Call, Reference, references
from penstock.data.recipe.projection import Assignment, Projection, computed, kept, with_columns
from penstock.data.recipe.steps.base import RowStep, expression_text, known_names, new_names
from penstock.data.schema import DataType, Schema
from penstock.errors import DataError

__all__ = ["Cast", "Derive", "Drop", "Rename", "Select"]


class Select(RowStep, frozen=True, kw_only=True):
    """Keeps these columns, in this order."""

    step: ClassVar[str] = "select"
    content: ClassVar[str | None] = "columns"

    columns: tuple[str, ...]

    @classmethod
    def normal(cls, value: Any) -> Any:
        return _listed(value)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        return (Projection(kept(schema.select(known_names(schema, self.columns)))),)


class Drop(RowStep, frozen=True, kw_only=True):
    """Leaves these columns out."""

    step: ClassVar[str] = "drop"
    content: ClassVar[str | None] = "columns"

    columns: tuple[str, ...]

    @classmethod
    def normal(cls, value: Any) -> Any:
        return _listed(value)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        left = schema.without(*known_names(schema, self.columns))
        if not len(left):
            raise DataError("step 'drop' would leave no column")
        return (Projection(kept(left)),)


class Rename(RowStep, frozen=True, kw_only=True):
    """Gives columns other names: old to new."""

    step: ClassVar[str] = "rename"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, str]

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        known_names(schema, self.columns)
        staying = schema.without(*self.columns)
        new_names(staying, self.columns.values(), step=self.step)
        columns = [
            Assignment(msgspec.structs.replace(column, name=self.columns.get(column.name, column.name)), item.value)
            for column, item in zip(schema, kept(schema), strict=True)
        ]
        return (Projection(tuple(columns)),)


class Cast(RowStep, frozen=True, kw_only=True):
    """Converts columns to a type; a value that cannot be converted becomes missing."""

    step: ClassVar[str] = "cast"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, DataType]

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        names = known_names(schema, self.columns)
        calls = {name: Call(str(self.columns[name]), (Reference(name),)) for name in names}
        return (with_columns(schema, calls),)


class Derive(RowStep, frozen=True, kw_only=True):
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

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        stages: list[Projection] = []
        pending: dict[str, str] = {}
        for name, text in self.columns.items():
            reads = references(computed(name, text, _after(schema, pending)).expression)
            if name in pending or any(read in pending for read in reads):
                stages.append(with_columns(schema, pending))
                schema, pending = stages[-1].schema, {}
            pending[name] = text
        return (*stages, with_columns(schema, pending))


def _after(schema: Schema, expressions: dict[str, str]) -> Schema:
    return with_columns(schema, expressions).schema


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value
