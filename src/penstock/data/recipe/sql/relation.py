"""Rows as SQL: a relation whose columns are called c0, c1, … whatever the table calls them.

DuckDB takes `a` and `A` for one name, and no name of a user's should ever be part of the SQL that computes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.data.expressions.parser import parse
from penstock.data.expressions.sql import SqlLayers
from penstock.data.expressions.sql_call import SQL_TYPES, text_sql
from penstock.data.expressions.typing import typed
from penstock.data.recipe.projection import Projection
from penstock.data.schema import DataType, Schema

__all__ = ["Relation", "outcome", "projected", "quoted"]


@dataclass(frozen=True)
class Relation:
    """sql: a name, or SQL in parentheses, to stand after FROM; its columns are c0, c1, … in the order of the schema."""

    sql: str
    schema: Schema

    @property
    def columns(self) -> Mapping[str, str]:
        """SQL of each column by its name."""
        return {name: f"c{place}" for place, name in enumerate(self.schema.names)}

    def column(self, name: str, *, of: str = "") -> str:
        """SQL of a column; of: the alias of the relation."""
        place = self.schema.names.index(name)
        return f"{of}.c{place}" if of else f"c{place}"

    def select(self, values: Sequence[str], schema: Schema, *, after: str = "", alias: str = "") -> "Relation":
        """One value a column of the schema, from these rows. after: the clauses behind FROM."""
        chosen = ", ".join(f"{value} AS c{place}" for place, value in enumerate(values))
        return Relation(f"(SELECT {chosen} FROM {self.sql} {alias} {after})", schema)


def projected(relation: Relation, projection: Projection) -> Relation:
    """The relation after a projection."""
    layers = SqlLayers(relation.columns)
    condition = None
    if projection.keep is not None:
        condition = layers.value(typed(parse(projection.keep), relation.schema, text=projection.keep))
    values = []
    for assignment in projection.columns:
        if assignment.source is not None:
            source = relation.schema[assignment.source]
            value = relation.column(assignment.source)
            values.append(cast(value, source.type, assignment.column.type))
        else:
            values.append(layers.value(typed(assignment.expression, relation.schema, text=assignment.value)))
    after = "" if condition is None else f"WHERE {condition}"
    return Relation(layers.relation(relation.sql), relation.schema).select(values, projection.schema, after=after)


def outcome(relation: Relation) -> str:
    """A SELECT of the rows under the names that the user knows, in the order that the relation has."""
    chosen = ", ".join(f"{relation.column(name)} AS {quoted(name)}" for name in relation.schema.names)
    return f"SELECT {chosen} FROM {relation.sql}"


def cast(value: str, given: DataType, wanted: DataType) -> str:
    """A column as a type that holds its values."""
    return value if given is wanted else f"CAST({value} AS {SQL_TYPES[wanted]})"


def nothing(data_type: DataType) -> str:
    """A missing value of a type."""
    return f"CAST(NULL AS {SQL_TYPES[data_type]})"


def quoted(name: str) -> str:
    """A user's name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    return text_sql(value)
