"""Steps that choose or order rows: filter, sample, sort, deduplicate."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import Symbol, call, column
from penstock.data.recipe.projection import Projection, filtered
from penstock.data.recipe.steps.base import Step, known_names, listed
from penstock.data.schema import Schema
from penstock.errors import ConfigError

__all__ = ["Deduplicate", "Filter", "OrderKey", "Sample", "Sort", "order_keys", "row_hash"]


class Filter(Step, frozen=True, kw_only=True):
    """Keeps the rows for which a condition is true; where it is missing, the row goes."""

    step: ClassVar[str] = "filter"
    content: ClassVar[str | None] = "condition"

    condition: str

    def check(self) -> None:
        parse(self.condition)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        return (filtered(schema, self.condition),)


class Sample(Step, frozen=True, kw_only=True):
    """Keeps a fraction of the rows, or a number of them, chosen by a hash of the row: always the same ones.

    by: the columns that the hash is of; all if it names none. Rows alike in these are kept or dropped together.
    """

    step: ClassVar[str] = "sample"

    fraction: float | None = None
    rows: int | None = None
    seed: int = 0
    by: tuple[str, ...] = ()

    @classmethod
    def normal(cls, value: Any) -> Any:
        if isinstance(value, float):
            return {"fraction": value}
        return {"rows": value} if isinstance(value, int) and not isinstance(value, bool) else value

    def check(self) -> None:
        if (self.fraction is None) == (self.rows is None):
            raise ConfigError("step 'sample': expected either fraction or rows")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ConfigError(f"step 'sample': fraction is {self.fraction}; expected above 0, up to 1")
        if self.rows is not None and self.rows < 1:
            raise ConfigError(f"step 'sample': rows is {self.rows}; expected at least 1")
        if self.rows is not None and self.by:
            raise ConfigError("step 'sample': 'by' goes with a fraction; a number of rows is chosen row by row")

    @property
    def is_row_wise(self) -> bool:
        return self.fraction is not None

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        assert self.fraction is not None
        names = known_names(schema, self.by, step=self.step)
        return (filtered(schema, str((row_hash(schema, names, self.seed) < self.fraction).expression)),)

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        known_names(schema, self.by, step=self.step)
        return schema


class OrderKey(msgspec.Struct, frozen=True, array_like=True):
    """A column to order by. Missing values come last either way."""

    column: str
    direction: Literal["ascending", "descending"] = "ascending"


class Sort(Step, frozen=True, kw_only=True):
    """Orders the rows. Only the order at the end of a recipe shows; rows that tie come by their other columns."""

    step: ClassVar[str] = "sort"
    content: ClassVar[str | None] = "by"

    by: tuple[OrderKey, ...]

    @classmethod
    def normal(cls, value: Any) -> Any:
        return order_keys(value)

    @property
    def is_row_wise(self) -> bool:
        return False

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        known_names(schema, [key.column for key in self.by], step=self.step)
        return schema


class Deduplicate(Step, frozen=True, kw_only=True):
    """Keeps one of the rows that are alike in some columns, or in all: the first by an order.

    Rows that tie in the order come by their other columns, so that it is always the same one that stays.
    """

    step: ClassVar[str] = "deduplicate"

    by: tuple[str, ...] = ()
    order: tuple[OrderKey, ...] = ()

    @classmethod
    def normal(cls, value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, str | list):
            return {"by": listed(value)}
        if isinstance(value, dict):
            return {**value, "by": listed(value.get("by", [])), "order": order_keys(value.get("order", []))}
        return value

    @property
    def is_row_wise(self) -> bool:
        return False

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        known_names(schema, self.by, step=self.step)
        known_names(schema, [key.column for key in self.order], step=self.step)
        return schema


def order_keys(value: Any) -> Any:
    """Order keys in full from `[a, -b]`, where the minus is for descending; other forms as they are."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    return [_order_key(key) if isinstance(key, str) else key for key in value]


def _order_key(key: str) -> list[str]:
    return [key[1:], "descending"] if key.startswith("-") else [key, "ascending"]


def row_hash(schema: Schema, names: tuple[str, ...], seed: int) -> Symbol:
    """A number from 0 to below 1 that is always the same for the same values of these columns, or of all."""
    return call("hash_fraction", f"seed {seed}", *[column(name) for name in names or schema.names])
