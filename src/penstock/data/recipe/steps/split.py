"""The step that parts rows into train, validation and test: split."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import msgspec

from penstock.data.expressions.symbols import Symbol, call, column
from penstock.data.recipe.projection import Projection, with_columns
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.recipe.steps.base import Step, known_names, listed, new_names, time_text, typed_column
from penstock.data.recipe.steps.rows import Filter, row_hash
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError

__all__ = ["Split", "measured_rows"]

_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


class Split(Step, frozen=True, kw_only=True):
    """Adds a column that says which part a row belongs to; write the parts apart by `partition_by`.

    parts: names and shares. The same row always goes to the same part, on every engine and in every order.

    random: by a hash of the whole row, so that equal rows are never on two sides. key, group: by a hash of the columns
    `by`, so that rows alike in them stay together, also in files that come later. stratified: the shares hold within
    each value of the columns `by`, to the row. time: by the column `by`, the first part the earliest; cut at the
    instants `at`, or where the shares are reached; rows of one instant stay together, missing ones go to the first.
    """

    step: ClassVar[str] = "split"

    method: Literal["random", "key", "group", "stratified", "time"] = "random"
    parts: dict[str, float] = msgspec.field(default_factory=lambda: dict(_SHARES))
    by: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    seed: int = 0
    column: str = "split"

    @classmethod
    def normal(cls, value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, str):
            return {"method": value}
        if not isinstance(value, dict):
            return value
        return {**value, "by": listed(value.get("by", [])), "at": [str(item) for item in listed(value.get("at", []))]}

    def check(self) -> None:
        if len(self.parts) < 2 or not all(share > 0 for share in self.parts.values()):
            raise ConfigError(f"step 'split': parts is {self.parts}; expected two or more names with shares above 0")
        if not self.at and abs(sum(self.parts.values()) - 1.0) > 1e-9:
            raise ConfigError(
                f"step 'split': the shares {self.parts} add up to {sum(self.parts.values()):g}; expected 1"
            )
        if self.method == "random" and self.by:
            raise ConfigError("step 'split': random takes no columns 'by'; expected key, group, stratified or time")
        if self.method != "random" and not self.by:
            raise ConfigError(f"step 'split': {self.method} needs columns under 'by'")
        if self.method == "time" and len(self.by) != 1:
            raise ConfigError("step 'split': time needs one column under 'by'")
        if self.at and (self.method != "time" or len(self.at) != len(self.parts) - 1):
            raise ConfigError(
                f"step 'split': 'at' holds the {len(self.parts) - 1} instants between parts split by time"
            )

    @property
    def is_row_wise(self) -> bool:
        return self.method != "stratified" and not (self.method == "time" and not self.at)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Where in 0 to 1 each part ends, but the last."""
        ends: list[float] = []
        for share in list(self.parts.values())[:-1]:
            ends.append(share + (ends[-1] if ends else 0.0))
        return tuple(ends)

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        if self.method != "time" or self.at:
            return ()
        item = typed_column(schema, self.by[0], DataType.TIMESTAMP, step=self.step)
        return tuple(Statistic("cut", item.name, fraction) for fraction in self.thresholds)

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        """The instants of the cuts: the first after the share is reached, so that it begins the next part."""
        if self.method != "time" or self.at:
            return self
        cuts = [statistics[Statistic("cut", self.by[0], fraction)] for fraction in self.thresholds]
        at = tuple(time_text(cut + 1 if isinstance(cut, int) else 0) for cut in cuts)
        return msgspec.structs.replace(self, at=at)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        new_names(schema, [self.column], step=self.step)
        names = known_names(schema, self.by, step=self.step)
        if self.method == "time":
            return (self._parted(schema, self._by_time(schema)),)
        position = row_hash(schema, names, self.seed)
        return (self._parted(schema, [position < threshold for threshold in self.thresholds]),)

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        new_names(schema, [self.column], step=self.step)
        known_names(schema, self.by, step=self.step)
        if self.method == "time":
            typed_column(schema, self.by[0], DataType.TIMESTAMP, step=self.step)
        return Schema((*schema.columns, Column(name=self.column, type=DataType.STRING)))

    def _by_time(self, schema: Schema) -> list[Symbol]:
        item = typed_column(schema, self.by[0], DataType.TIMESTAMP, step=self.step)
        time = column(item.name)
        is_first = call("is_missing", time) | (time < self.at[0])
        return [is_first, *[time < instant for instant in self.at[1:]]]

    def _parted(self, schema: Schema, conditions: list[Symbol]) -> Projection:
        *named, last = self.parts
        symbol: object = last
        for name, condition in reversed(list(zip(named, conditions, strict=True))):
            symbol = call("if", condition, name, symbol)
        assert isinstance(symbol, Symbol)
        return with_columns(schema, {self.column: symbol.expression})


def measured_rows(step: Step, before: Iterable[Step], schema: Schema) -> Filter | None:
    """Which of the rows that reach a step its statistics are of: behind a split those of its first part, the training
    rows, so that the others tell a model nothing; None for all.

    schema: the columns that the step gets; a split whose column is no longer among them counts for nothing.
    """
    split = next((one for one in reversed(list(before)) if isinstance(one, Split)), None)
    if split is None or split.column not in schema or isinstance(step, Split):
        return None
    return Filter(condition=str((column(split.column) == next(iter(split.parts))).expression))
