"""Steps that bring in other tables: join, union."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import msgspec

from penstock.data.databases import without_password
from penstock.data.recipe.steps.base import Step, known_names, listed
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError, DataError

__all__ = ["Join", "Union"]

_NUMBERS = {DataType.INTEGER, DataType.FLOAT}


class Join(Step, frozen=True, kw_only=True):
    """Puts the rows of another table beside those of this one that are equal in the keys; a missing key equals nothing.

    other: the other table ("with" in a recipe file). on: by column here the column there. how: inner (rows with a
    partner), left, right, full (also rows without one), semi, anti (rows here that have or lack one), cross (every
    pair). suffix: added to names of other columns that exist here.
    """

    step: ClassVar[str] = "join"

    other: str = msgspec.field(name="with")
    on: dict[str, str] = msgspec.field(default_factory=dict)
    how: Literal["inner", "left", "right", "full", "semi", "anti", "cross"] = "inner"
    suffix: str = "_right"

    @classmethod
    def normal(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("on"), str | list | tuple):
            return {**value, "on": {name: name for name in listed(value["on"])}}
        return value

    def check(self) -> None:
        if (self.how == "cross") == bool(self.on):
            raise ConfigError("step 'join': expected the key columns under 'on', and none for a cross join")

    @property
    def is_row_wise(self) -> bool:
        return False

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.other,)

    def placed(self, place: Callable[[str], str]) -> Self:
        return msgspec.structs.replace(self, other=place(self.other))

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        other = tables[self.other]
        self._check_keys(schema, other)
        if self.how in ("semi", "anti"):
            return schema
        columns = [self._here(item, other) for item in schema]
        for name, new in self.added(schema, other).items():
            item = msgspec.structs.replace(other[name], name=new)
            if self.how in ("left", "full"):
                item = msgspec.structs.replace(item, nullable=True)
            columns.append(item)
        return Schema(tuple(columns))

    def added(self, schema: Schema, other: Schema) -> dict[str, str]:
        """The other table's columns that come along, by their names there, with their names here."""
        if self.how in ("semi", "anti"):
            return {}
        names = [name for name in other.names if name not in self.on.values()]
        added = {name: f"{name}{self.suffix}" if name in schema else name for name in names}
        taken = [*schema.names]
        for name, new in added.items():
            if new in taken:
                raise DataError(f"step 'join' would make two columns {new!r} (of {name!r}); choose another suffix")
            taken.append(new)
        return added

    def _here(self, item: Column, other: Schema) -> Column:
        """A column of this table after the join."""
        if self.how not in ("right", "full"):
            return item
        partner = self.on.get(item.name)
        is_nullable = True if partner is None else item.nullable or other[partner].nullable
        kind = item.type if partner is None else _common(item, other[partner])
        return msgspec.structs.replace(item, type=kind, nullable=is_nullable)

    def _check_keys(self, schema: Schema, other: Schema) -> None:
        known_names(schema, self.on, step=self.step)
        for here, there in self.on.items():
            try:
                partner = other[there]
            except DataError as error:
                raise DataError(f"step 'join', table {without_password(self.other)}: {error}") from error
            _common(schema[here], partner)


class Union(Step, frozen=True, kw_only=True):
    """Adds the rows of other tables, column by name; a column that a table lacks is missing in its rows."""

    step: ClassVar[str] = "union"

    others: tuple[str, ...] = msgspec.field(name="with")

    @classmethod
    def normal(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            return {"with": listed(value)}
        return {**value, "with": listed(value.get("with"))} if isinstance(value, dict) else value

    def check(self) -> None:
        if not self.others:
            raise ConfigError("step 'union' names no table; expected one or several under 'with'")

    @property
    def is_row_wise(self) -> bool:
        return False

    @property
    def sources(self) -> tuple[str, ...]:
        return self.others

    def placed(self, place: Callable[[str], str]) -> Self:
        return msgspec.structs.replace(self, others=tuple(map(place, self.others)))

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        columns = {item.name: item for item in schema}
        for source in self.others:
            other = tables[source]
            for item in other:
                known = columns.get(item.name)
                if known is None:
                    columns[item.name] = msgspec.structs.replace(item, nullable=True)
                    continue
                kind = _common(known, item, table=source)
                columns[item.name] = msgspec.structs.replace(known, type=kind, nullable=known.nullable or item.nullable)
            for name, item in columns.items():
                if name not in other:
                    columns[name] = msgspec.structs.replace(item, nullable=True)
        return Schema(tuple(columns.values()))


def _common(here: Column, there: Column, *, table: str | None = None) -> DataType:
    """The type that holds the values of both. Raises DataError if there is none."""
    if here.type is there.type:
        return here.type
    if {here.type, there.type} == _NUMBERS:
        return DataType.FLOAT
    place = "the other table" if table is None else without_password(table)
    raise DataError(
        f"column {here.name!r} is {here.type} here, but {there.name!r} of {place} is {there.type}; cast one of them"
    )
