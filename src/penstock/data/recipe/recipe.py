"""A recipe: where rows come from, the steps they go through, and how the result is written. A value; runs nothing.

>>> from penstock.data.expressions.symbols import column
>>> recipe = (
...     Recipe(source="rides.csv")
...     .filter(column("fare") > 0)
...     .derive(fare_per_km=column("fare") / column("km"))
...     .join("zones.csv", on="zone", how="left")
...     .split("time", by="pickup")
... )
>>> [step.step for step in recipe.steps]
['filter', 'derive', 'join', 'split']
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from penstock.data.expressions.symbols import Symbol
from penstock.data.recipe.steps.base import Step, expression_text
from penstock.data.recipe.steps.encoding import text_of
from penstock.data.recipe.steps.registry import STEPS

__all__ = ["OtherTable", "Output", "Recipe"]

Value = bool | int | float | str
ExpressionLike = str | Symbol | bool | int | float


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the result is written. partition_by: columns whose values become folders, `split=train/…`."""

    format: Literal["parquet", "csv"] | None = None
    partition_by: tuple[str, ...] = ()


class OtherTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table that steps name: where it is, and overrides of what reading it detects."""

    source: str | tuple[str, ...]
    read: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """source: a path, a glob, a URI or several; None for rows that are handed in. read: overrides of what is detected.

    tables: names for other tables, so that steps can name them and `read` options can be given.
    Every method but the last few adds a step and returns the longer recipe.
    """

    source: str | tuple[str, ...] | None = None
    read: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, OtherTable] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    output: Output = field(default_factory=Output)

    def select(self, *columns: str) -> "Recipe":
        """Keeps these columns, in this order."""
        return self._with("select", list(columns))

    def drop(self, *columns: str) -> "Recipe":
        """Leaves these columns out."""
        return self._with("drop", list(columns))

    def rename(self, columns: Mapping[str, str]) -> "Recipe":
        """Gives columns other names: old to new."""
        return self._with("rename", dict(columns))

    def cast(self, columns: Mapping[str, str]) -> "Recipe":
        """Converts columns to integer, float, boolean, string or timestamp."""
        return self._with("cast", {name: str(kind) for name, kind in columns.items()})

    def filter(self, condition: ExpressionLike) -> "Recipe":
        """Keeps the rows for which the condition is true."""
        return self._with("filter", expression_text(condition))

    def derive(self, columns: Mapping[str, ExpressionLike] | None = None, **named: ExpressionLike) -> "Recipe":
        """Computes columns from expressions."""
        return self._with(
            "derive", {name: expression_text(item) for name, item in {**(columns or {}), **named}.items()}
        )

    def fill(self, columns: Mapping[str, Value | Mapping[str, str]]) -> "Recipe":
        """Replaces missing values by constants or by `{"statistic": "mean" | "median" | "mode"}`."""
        return self._with("fill", dict(columns))

    def replace(self, columns: Mapping[str, Mapping[Value, Value | None]]) -> "Recipe":
        """Replaces whole values by others."""
        return self._with("replace", {name: dict(pairs) for name, pairs in columns.items()})

    def clip(self, columns: Mapping[str, Mapping[str, Any]]) -> "Recipe":
        """Cuts numbers off at `low` and `high`, at `quantiles`, or `iqr` ranges beyond the quartiles."""
        return self._with("clip", dict(columns))

    def trim(self, *columns: str) -> "Recipe":
        """Drops white space at both ends."""
        return self._with("trim", list(columns))

    def case(self, columns: Mapping[str, Literal["lower", "upper"]]) -> "Recipe":
        """Writes columns in lower or upper case."""
        return self._with("case", dict(columns))

    def extract(self, name: str, column: str, pattern: str, *, group: int = 0) -> "Recipe":
        """Makes a column of what a regular expression finds in another."""
        return self._with("extract", {name: {"column": column, "pattern": pattern, "group": group}})

    def split_text(self, column: str, separator: str, into: Sequence[str]) -> "Recipe":
        """Cuts a column at a separator into new ones."""
        return self._with("split_text", {"column": column, "separator": separator, "into": list(into)})

    def parse_dates(self, columns: Mapping[str, str | Sequence[str]], *, zone: str | None = None) -> "Recipe":
        """Reads texts as timestamps by strptime formats or "iso"."""
        content = {name: _given(formats=_names(item), zone=zone) for name, item in columns.items()}
        return self._with("parse_dates", content)

    def bucketize(self, column: str, boundaries: Sequence[float] | None = None, **facts: Any) -> "Recipe":
        """Numbers the intervals between boundaries, or `quantiles=4` of them of equal size; `into` names the column."""
        return self._with("bucketize", {column: _given(boundaries=boundaries and list(boundaries), **facts)})

    def one_hot(self, column: str, values: Sequence[Value] | None = None, **facts: Any) -> "Recipe":
        """A column of 0 and 1 a value; without values, for the `most` frequent."""
        return self._with("one_hot", {column: _given(values=values and [text_of(value) for value in values], **facts)})

    def flatten(self, column: str, fields: Mapping[str, Any], *, keep: bool = False) -> "Recipe":
        """Makes columns of values inside a JSON column: by name a type, or a path and a type."""
        return self._with("flatten", {"column": column, "fields": dict(fields), "keep": keep})

    def explode(self, column: str, **facts: Any) -> "Recipe":
        """A row for each element of a JSON list."""
        return self._with("explode", {"column": column, **facts})

    def sample(self, *, fraction: float | None = None, rows: int | None = None, **facts: Any) -> "Recipe":
        """Keeps a fraction of the rows, or a number of them, always the same ones."""
        return self._with("sample", _given(fraction=fraction, rows=rows, **facts))

    def sort(self, *by: str) -> "Recipe":
        """Orders the rows; `-name` for descending."""
        return self._with("sort", list(by))

    def deduplicate(self, *by: str, order: Sequence[str] = ()) -> "Recipe":
        """Keeps one of the rows that are alike in these columns, or in all."""
        return self._with("deduplicate", {"by": list(by), "order": list(order)})

    def union(self, *tables: str) -> "Recipe":
        """Adds the rows of other tables."""
        return self._with("union", list(tables))

    def join(
        self, table: str, on: str | Sequence[str] | Mapping[str, str] = (), *, how: str = "inner", **facts: Any
    ) -> "Recipe":
        """Puts the rows of another table beside those of this one."""
        keys = dict(on) if isinstance(on, Mapping) else on if isinstance(on, str) else list(on)
        return self._with("join", {"with": table, "on": keys, "how": how, **facts})

    def aggregate(self, columns: Mapping[str, str], *, by: str | Sequence[str] = ()) -> "Recipe":
        """One row a group: by new name a call such as `mean(fare)`."""
        return self._with("aggregate", {"columns": dict(columns), "by": _names(by)})

    def pivot(self, column: str, value: str, *, by: str | Sequence[str], **facts: Any) -> "Recipe":
        """One row a group, a column a value of `column`."""
        return self._with("pivot", {"column": column, "value": value, "by": _names(by), **facts})

    def unpivot(self, *columns: str, **facts: Any) -> "Recipe":
        """A row for each of these columns: its name in one column, its value in another."""
        return self._with("unpivot", {"columns": list(columns), **facts})

    def window(
        self, columns: Mapping[str, str], *, by: str | Sequence[str] = (), order: str | Sequence[str] = ()
    ) -> "Recipe":
        """Adds columns computed from a row's neighbours: by new name a call such as `lag(fare)`."""
        return self._with("window", {"columns": dict(columns), "by": _names(by), "order": _names(order)})

    def split(self, method: str = "random", *, by: str | Sequence[str] = (), **facts: Any) -> "Recipe":
        """Adds a column that says which part a row belongs to."""
        return self._with("split", {"method": method, "by": _names(by), **facts})

    def reading(self, source: str | Sequence[str], **options: Any) -> "Recipe":
        """The same steps on another source."""
        chosen = source if isinstance(source, str) else tuple(source)
        return replace(self, source=chosen, read=options)

    def partition_by(self, *columns: str) -> "Recipe":
        """Writes the result to a folder a value of these columns."""
        return replace(self, output=msgspec.structs.replace(self.output, partition_by=columns))

    def placed(self, place: Callable[[str], str]) -> "Recipe":
        """The same steps on the sources that `place` has for those that are named here."""

        def place_all(sources: str | tuple[str, ...]) -> str | tuple[str, ...]:
            return place(sources) if isinstance(sources, str) else tuple(map(place, sources))

        return replace(
            self,
            source=None if self.source is None else place_all(self.source),
            tables={
                name: msgspec.structs.replace(item, source=place_all(item.source)) for name, item in self.tables.items()
            },
            steps=tuple(step.placed(lambda name: name if name in self.tables else place(name)) for step in self.steps),
        )

    def then(self, steps: Iterable[Step]) -> "Recipe":
        """The recipe with more steps."""
        return replace(self, steps=(*self.steps, *steps))

    def _with(self, name: str, content: object) -> "Recipe":
        return self.then([STEPS[name].read(content)])


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _given(**facts: object) -> dict[str, object]:
    """The arguments that were given."""
    return {name: item for name, item in facts.items() if item is not None}
