"""One row to one row, or to none: columns computed by expressions, and a condition that rows must meet.

Every row-wise step becomes projections; the engines know nothing else of them.
"""

from collections.abc import Mapping, Sequence

import msgspec

from penstock.data.expressions.parser import parse
from penstock.data.expressions.tree import Expression, Reference, references
from penstock.data.expressions.typing import Typed, typed
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ExpressionError

__all__ = ["Assignment", "Projection", "computed", "filtered", "kept", "with_columns"]


class Assignment(msgspec.Struct, frozen=True):
    """A column of the result and the expression that computes it, in canonical text."""

    column: Column
    value: str

    @property
    def expression(self) -> Expression:
        return parse(self.value)

    @property
    def source(self) -> str | None:
        """The column that is taken over as it is, or None if something is computed."""
        tree = self.expression
        return tree.column if isinstance(tree, Reference) else None


class Projection(msgspec.Struct, frozen=True, omit_defaults=True):
    """columns: the result, in order. keep: a condition on the rows before; the others are dropped."""

    columns: tuple[Assignment, ...]
    keep: str | None = None

    @property
    def schema(self) -> Schema:
        return Schema(tuple(assignment.column for assignment in self.columns))

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """The columns that must go in so that these come out."""
        trees = [assignment.expression for assignment in self.columns if assignment.column.name in names]
        if self.keep is not None:
            trees.append(parse(self.keep))
        return tuple(dict.fromkeys(name for tree in trees for name in references(tree)))

    def narrowed(self, names: Sequence[str]) -> "Projection":
        """The same, of these results only."""
        return Projection(tuple(item for item in self.columns if item.column.name in names), self.keep)


def kept(schema: Schema) -> tuple[Assignment, ...]:
    """Every column as it is."""
    return tuple(Assignment(column, str(Reference(column.name))) for column in schema)


def computed(name: str, expression: str | Expression, schema: Schema) -> Assignment:
    """A column computed over a schema. Raises ExpressionError if the expression does not fit it.

    A column taken over under another name keeps its formats, unit and description.
    """
    text = expression if isinstance(expression, str) else str(expression)
    tree = parse(text)
    if isinstance(tree, Reference) and tree.column in schema:
        return Assignment(msgspec.structs.replace(schema[tree.column], name=name), str(tree))
    result = typed(tree, schema, text=text)
    return Assignment(Column(name=name, type=result.data_type, nullable=result.nullable), str(tree))


def with_columns(schema: Schema, expressions: Mapping[str, str | Expression]) -> Projection:
    """The schema's columns with these computed: in place where the name exists, else at the end."""
    new = {name: computed(name, expression, schema) for name, expression in expressions.items()}
    columns = [new.pop(assignment.column.name, assignment) for assignment in kept(schema)]
    return Projection((*columns, *new.values()))


def filtered(schema: Schema, condition: str) -> Projection:
    """The rows that meet a condition. Raises ExpressionError unless it is one."""
    result = _condition(schema, condition)
    return Projection(kept(schema), str(result.node))


def _condition(schema: Schema, condition: str) -> Typed:
    result = typed(parse(condition), schema, text=condition)
    if result.type is not DataType.BOOLEAN:
        raise ExpressionError(f"expression {condition!r} is of type {result.type}; a condition is true or false")
    return result
