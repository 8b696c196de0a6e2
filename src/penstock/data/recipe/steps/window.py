"""Steps that look at a row's neighbours: window."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from penstock.data.recipe.calls import NUMBERS, ORDERED, RowsFunction, read_call
from penstock.data.recipe.projection import Projection, computed, kept
from penstock.data.recipe.steps.base import Step, known_names, listed, new_names
from penstock.data.recipe.steps.rows import OrderKey, order_keys
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError

__all__ = ["FRAMED", "WINDOW_FUNCTIONS", "Neighbourhood", "Window"]

FRAMED = {
    "sum": RowsFunction(accepts=NUMBERS),
    "mean": RowsFunction(accepts=NUMBERS, result=DataType.FLOAT),
    "min": RowsFunction(accepts=ORDERED),
    "max": RowsFunction(accepts=ORDERED),
    "count": RowsFunction(accepts=ORDERED, result=DataType.INTEGER, is_count=True),
    "std": RowsFunction(accepts=NUMBERS, result=DataType.FLOAT),
}
"""Aggregates over a frame of rows, without the missing values in it."""

WINDOW_FUNCTIONS = {
    "row_number": RowsFunction(result=DataType.INTEGER, is_count=True),
    "rank": RowsFunction(result=DataType.INTEGER, is_count=True),
    "dense_rank": RowsFunction(result=DataType.INTEGER, is_count=True),
    "lag": RowsFunction(accepts=ORDERED, number="number of rows", default=1),
    "lead": RowsFunction(accepts=ORDERED, number="number of rows", default=1),
    **{
        f"rolling_{name}": RowsFunction(
            accepts=f.accepts, number="number of rows", result=f.result, is_count=f.is_count
        )
        for name, f in FRAMED.items()
    },
    **{f"running_{name}": f for name, f in FRAMED.items()},
    **{f"total_{name}": f for name, f in FRAMED.items()},
}
"""By name. rolling_…(x, n): over this row and the n - 1 before it; running_…(x): over this row and all before it;
total_…(x): over the whole partition."""

WIDEST_FRAME = 100_000


@dataclass(frozen=True)
class Neighbourhood:
    """A window with its expressions computed beforehand.

    before: adds one column an expression. calls: by result, the function, the column it is of (None: the rows
    themselves) and its number of rows. schema: of the result.
    """

    before: Projection
    calls: tuple[tuple[Column, str, str | None, int], ...]
    schema: Schema


class Window(Step, frozen=True, kw_only=True):
    """Adds columns computed from a row and its neighbours: the rows alike in `by`, in an order.

    columns: by new name a call such as `lag(fare)`, `rank()`, `rolling_mean(fare, 7)`. Rows that tie in the order come
    by their other columns; for rank and dense_rank they share a place.
    """

    step: ClassVar[str] = "window"

    columns: dict[str, str]
    by: tuple[str, ...] = ()
    order: tuple[OrderKey, ...] = ()

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {**value, "by": listed(value.get("by", [])), "order": order_keys(value.get("order", []))}

    def check(self) -> None:
        if not self.columns:
            raise ConfigError("step 'window': expected under 'columns' what to compute, such as {before: lag(fare)}")
        for text in self.columns.values():
            read = read_call(text, WINDOW_FUNCTIONS, step=self.step)
            if not self.order and not read.function.startswith("total_"):
                raise ConfigError(f"step 'window': {text!r} depends on the order of rows; name columns under 'order'")
            rows = 1 if read.number is None else read.number
            if rows != int(rows) or not 1 <= rows <= WIDEST_FRAME:
                raise ConfigError(
                    f"step 'window': {text!r}: expected a whole number of rows from 1 to {WIDEST_FRAME:,}"
                )

    @property
    def is_row_wise(self) -> bool:
        return False

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        return self.neighbourhood(schema).schema

    def neighbourhood(self, schema: Schema) -> Neighbourhood:
        """The step as engines run it. Raises DataError or ExpressionError if it does not fit the columns."""
        known_names(schema, self.by, step=self.step)
        known_names(schema, [key.column for key in self.order], step=self.step)
        new_names(schema, self.columns, step=self.step)
        inner: dict[str, str] = {}
        calls = []
        for name, text in self.columns.items():
            read = read_call(text, WINDOW_FUNCTIONS, step=self.step)
            kind = read.type_in(schema, WINDOW_FUNCTIONS, step=self.step)
            source = None
            if read.expression is not None:
                # No column of a table has such a name.
                source = inner.setdefault(read.expression, f"\ue001{len(inner)}")
            result = Column(name=name, type=kind, nullable=not WINDOW_FUNCTIONS[read.function].is_count)
            calls.append((result, read.function, source, int(read.number or 0)))
        before = (*kept(schema), *(computed(source, expression, schema) for expression, source in inner.items()))
        after = Schema((*schema.columns, *(result for result, *_ in calls)))
        return Neighbourhood(Projection(before), tuple(calls), after)
