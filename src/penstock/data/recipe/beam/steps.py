"""What each step that looks at more than a row is in Beam; row-wise steps run as row programs on batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import singledispatch
from typing import Any

import apache_beam as beam

from penstock.data.expressions.json_values import elements_of
from penstock.data.expressions.symbols import call, column
from penstock.data.recipe.beam.aggregates import AggregateRows
from penstock.data.recipe.beam.batched import BATCH_ROWS, Batched
from penstock.data.recipe.beam.joins import joined, united
from penstock.data.recipe.beam.windows import window_rows
from penstock.data.recipe.projection import with_columns
from penstock.data.recipe.row_values import Row, key_of, row_order, sorted_rows, total_order
from penstock.data.recipe.steps.aggregate import Aggregate, Grouping, Pivot, Unpivot
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.combine import Join, Union
from penstock.data.recipe.steps.nested import Explode
from penstock.data.recipe.steps.rows import Deduplicate, OrderKey, Sample, row_hash
from penstock.data.recipe.steps.split import Split
from penstock.data.recipe.steps.window import Window
from penstock.data.schema import DataType, Schema

__all__ = ["applied"]

_HASH = "\ue001hash"
"""No column of a table has such a name."""


def applied(step: Step, rows: Batched, tables: Mapping[str, Batched], *, label: str) -> Batched:
    """The rows after a step, whose statistics are resolved. label: prefix of the transforms' names."""
    if step.is_row_wise:
        return rows.projected(step.project(rows.schema), label=label)
    match step:
        case Join():
            return joined(step, rows, tables[step.other], label)
        case Union():
            return united(step, rows, tables, label)
        case _:
            return _applied(step, rows, label)


@singledispatch
def _applied(step: Step, rows: Batched, label: str) -> Batched:
    raise NotImplementedError(f"{step.step} over {rows.schema.names}: {label}")


@_applied.register
def _(step: Deduplicate, rows: Batched, label: str) -> Batched:
    names = step.by or rows.schema.names
    places = [rows.schema.names.index(name) for name in names]
    order = total_order(rows.schema, step.order)
    first = (
        rows.rows
        | f"{label}: key" >> beam.Map(lambda row: (key_of(row, places), row))
        | f"{label}: first" >> beam.CombinePerKey(_First(rows.schema, order))
        | f"{label}: rows" >> beam.Values()
    )
    return Batched(rows.schema, rows=first, label=label)


@_applied.register
def _(step: Sample, rows: Batched, label: str) -> Batched:
    hashed = _hashed(rows, step.seed, label)
    order = total_order(hashed.schema, [OrderKey(_HASH)])
    chosen = (
        hashed.rows
        | f"{label}: smallest" >> beam.CombineGlobally(_Smallest(hashed.schema, order, step.rows or 0))
        | f"{label}: each" >> beam.FlatMap(lambda found: [row[:-1] for row in found])
    )
    return Batched(rows.schema, rows=chosen, label=label)


@_applied.register
def _(step: Split, rows: Batched, label: str) -> Batched:
    hashed = _hashed(rows, step.seed, label)
    places = [rows.schema.names.index(name) for name in step.by]
    order = total_order(hashed.schema, [OrderKey(_HASH)])
    schema = hashed.schema
    *named, last = step.parts
    thresholds = step.thresholds

    def part(group: tuple[Row, Iterable[Row]]) -> Iterator[Row]:
        members = sorted_rows(list(group[1]), schema, order)
        for index, row in enumerate(members):
            place = (index + 1 - 0.5) / len(members)
            found = next((name for name, end in zip(named, thresholds, strict=True) if place < end), last)
            yield (*row[:-1], found)

    parted = (
        hashed.rows
        | f"{label}: key" >> beam.Map(lambda row: (key_of(row, places), row))
        | f"{label}: strata" >> beam.GroupByKey()
        | f"{label}: part" >> beam.FlatMap(part)
    )
    return Batched(step.output(rows.schema, {}), rows=parted, label=label)


@_applied.register
def _(step: Aggregate, rows: Batched, label: str) -> Batched:
    return _grouped(rows, step.grouping(rows.schema), label)


@_applied.register
def _(step: Pivot, rows: Batched, label: str) -> Batched:
    return _grouped(rows, step.grouping(rows.schema), label)


@_applied.register
def _(step: Unpivot, rows: Batched, label: str) -> Batched:
    after = step.output(rows.schema, {})
    names = rows.schema.names
    is_float = after[step.value].type is DataType.FLOAT
    staying = [place for place, name in enumerate(names) if name not in step.columns]
    turned = [(name, names.index(name)) for name in step.columns]
    keep_missing = step.keep_missing

    def unpivot(row: Row) -> Iterator[Row]:
        repeated = tuple(row[place] for place in staying)
        for name, place in turned:
            value = row[place]
            if value is not None:
                yield (*repeated, name, float(value) if is_float else value)
            elif keep_missing:
                yield (*repeated, name, None)

    return Batched(after, rows=rows.rows | label >> beam.FlatMap(unpivot), label=label)


@_applied.register
def _(step: Explode, rows: Batched, label: str) -> Batched:
    after = step.output(rows.schema, {})
    place = rows.schema.names.index(step.column)
    is_numbered, keep_empty = step.position is not None, step.keep_empty

    def explode(row: Row) -> Iterator[Row]:
        elements = [] if row[place] is None else elements_of(row[place])
        for number, element in enumerate(elements):
            yield (*row[:place], element, *row[place + 1 :], *([number] if is_numbered else []))
        if keep_empty and not elements:
            yield (*row[:place], None, *row[place + 1 :], *([None] if is_numbered else []))

    texts = Schema(
        tuple(
            type(item)(name=item.name, type=DataType.STRING, nullable=True) if item.name == step.element else item
            for item in after
        )
    )
    exploded = Batched(texts, rows=rows.rows | label >> beam.FlatMap(explode), label=label)
    if step.type is DataType.STRING:
        return exploded
    read = call(str(step.type), column(step.element)).expression
    return exploded.projected([with_columns(texts, {step.element: read})], label=f"{label}: read")


@_applied.register
def _(step: Window, rows: Batched, label: str) -> Batched:
    schema = rows.schema
    window = step.neighbourhood(schema)
    wide = rows.projected([window.before], label=f"{label}: expressions")
    places = [schema.names.index(name) for name in step.by]
    found = (
        wide.rows
        | f"{label}: key" >> beam.Map(lambda row: (key_of(row, places), row))
        | f"{label}: partitions" >> beam.GroupByKey()
        | f"{label}: neighbours" >> beam.FlatMap(lambda group: window_rows(step, schema, list(group[1])))
    )
    return Batched(window.schema, rows=found, label=label)


def _grouped(rows: Batched, grouping: Grouping, label: str) -> Batched:
    wide = rows.projected([grouping.before], label=f"{label}: expressions").rows
    if not grouping.keys:
        one = wide | f"{label}: combine" >> beam.CombineGlobally(AggregateRows(grouping))
        return Batched(grouping.schema, rows=one, label=label)
    places = range(len(grouping.keys))
    found = (
        wide
        | f"{label}: key" >> beam.Map(lambda row: (key_of(row, places), row))
        | f"{label}: combine" >> beam.CombinePerKey(AggregateRows(grouping))
        | f"{label}: rows" >> beam.Map(lambda group: (*group[0], *group[1]))
    )
    return Batched(grouping.schema, rows=found, label=label)


class _First(beam.CombineFn):  # type: ignore[misc]
    """The first row by an order."""

    def __init__(self, schema: Schema, order: Sequence[OrderKey]) -> None:
        self._key = row_order(schema, order)
        self._arguments = (schema, tuple(order))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return _First, self._arguments

    def create_accumulator(self) -> Row | None:
        return None

    def add_input(self, mutable_accumulator: Row | None, element: Row) -> Row:
        if mutable_accumulator is None:
            return element
        return min(mutable_accumulator, element, key=self._key)

    def merge_accumulators(self, accumulators: Iterable[Row | None]) -> Row | None:
        return min((row for row in accumulators if row is not None), key=self._key, default=None)

    def extract_output(self, accumulator: Row | None) -> Row | None:
        return accumulator


class _Smallest(beam.CombineFn):  # type: ignore[misc]
    """The first so many rows by an order."""

    def __init__(self, schema: Schema, order: Sequence[OrderKey], count: int) -> None:
        self._schema = schema
        self._order = tuple(order)
        self._count = count

    def create_accumulator(self) -> list[Row]:
        return []

    def add_input(self, mutable_accumulator: list[Row], element: Row) -> list[Row]:
        mutable_accumulator.append(element)
        if len(mutable_accumulator) >= 2 * self._count + BATCH_ROWS:
            return self.extract_output(mutable_accumulator)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Row]]) -> list[Row]:
        return self.extract_output([row for rows in accumulators for row in rows])

    def extract_output(self, accumulator: list[Row]) -> list[Row]:
        return sorted_rows(accumulator, self._schema, self._order)[: self._count]


def _hashed(rows: Batched, seed: int, label: str) -> Batched:
    position = row_hash(rows.schema, (), seed).expression
    return rows.projected([with_columns(rows.schema, {_HASH: position})], label=f"{label}: hash")
