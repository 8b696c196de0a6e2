"""Steps about nested values, which tables hold as JSON texts: flatten, explode."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from penstock.data.expressions.symbols import call
from penstock.data.recipe.projection import Projection, with_columns
from penstock.data.recipe.steps.base import Step, new_names, text_column
from penstock.data.schema import Column, DataType, Schema

__all__ = ["Explode", "Flatten", "JsonField"]


class JsonField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value at a path such as `address.lines[0]`, read as a type."""

    path: str
    type: DataType = DataType.STRING


class Flatten(Step, frozen=True, kw_only=True):
    """Makes columns of values inside a JSON column; missing where there is none or it is of another type."""

    step: ClassVar[str] = "flatten"

    column: str
    fields: dict[str, JsonField]
    keep: bool = False

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("fields"), dict):
            return value
        # The short form gives the type; the name is the path then.
        fields = {
            name: {"path": name, "type": item} if isinstance(item, str) else item
            for name, item in value["fields"].items()
        }
        return {**value, "fields": fields}

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        source = text_column(schema, self.column, step=self.step)
        staying = schema if self.keep else schema.without(self.column)
        new_names(staying, self.fields, step=self.step)
        # A field may take the name of the column that it comes out of.
        found = {}
        for name, field in self.fields.items():
            value = call("json_text", source, field.path)
            found[name] = (value if field.type is DataType.STRING else call(str(field.type), value)).expression
        wide = with_columns(schema, found)
        return (wide.narrowed([*staying.names, *self.fields]),)


class Explode(Step, frozen=True, kw_only=True):
    """A row for each element of a JSON list in a column; rows without an element go, unless `keep_empty`.

    into: the column of the elements, in place of the list. type: what they are read as. position: a column that numbers
    the elements from 0.
    """

    step: ClassVar[str] = "explode"

    column: str
    into: str | None = None
    type: DataType = DataType.STRING
    position: str | None = None
    keep_empty: bool = False

    @classmethod
    def normal(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @property
    def is_row_wise(self) -> bool:
        return False

    @property
    def element(self) -> str:
        """The name of the column of elements."""
        return self.into or self.column

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        text_column(schema, self.column, step=self.step)
        others = schema.without(self.column)
        added = [self.element, *([] if self.position is None else [self.position])]
        new_names(others, added, step=self.step)
        columns = [
            Column(name=self.element, type=self.type, nullable=True) if item.name == self.column else item
            for item in schema
        ]
        if self.position is not None:
            columns.append(Column(name=self.position, type=DataType.INTEGER, nullable=self.keep_empty))
        return Schema(tuple(columns))
