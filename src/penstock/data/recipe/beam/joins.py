"""The steps that bring in other tables, in Beam: joins by grouping both sides by key, unions by flattening."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from penstock.data.expressions.symbols import call, column
from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.projection import with_columns
from penstock.data.recipe.row_values import Row, key_of
from penstock.data.recipe.steps.combine import Join, Union
from penstock.data.schema import DataType, Schema

__all__ = ["joined", "united"]


def united(step: Union, rows: Batched, tables: Mapping[str, Batched], label: str) -> Batched:
    after = step.output(rows.schema, {source: tables[source].schema for source in step.others})
    parts = []
    for index, part in enumerate((rows, *(tables[source] for source in step.others))):
        names = part.schema.names
        places = [names.index(item.name) if item.name in names else None for item in after]
        parts.append(
            part.cast(after, label=f"{label}: cast {index}").rows
            | f"{label}: part {index}" >> beam.Map(_Arranged(places))
        )
    return Batched(after, rows=parts | label >> beam.Flatten(), label=label)


def joined(step: Join, rows: Batched, other: Batched, label: str) -> Batched:
    after = step.output(rows.schema, {step.other: other.schema})
    added = [other.schema.names.index(name) for name in step.added(rows.schema, other.schema)]
    if step.how == "cross":
        pairs = rows.rows | label >> beam.FlatMap(
            lambda row, others: [(*row, *(partner[place] for place in added)) for partner in others],
            others=beam.pvalue.AsList(other.rows),
        )
        return Batched(after, rows=pairs, label=label)
    here, there = rows, other
    for left, right in step.on.items():
        if rows.schema[left].type is not other.schema[right].type:
            here, there = (
                _with_float(here, left, f"{label}: left {left}"),
                _with_float(there, right, f"{label}: {right}"),
            )
    places = [here.schema.names.index(name) for name in step.on]
    partners = [there.schema.names.index(name) for name in step.on.values()]
    joiner = _Joiner(step.how, places, partners, added, len(rows.schema), _whole(rows.schema, here.schema, step.how))
    found = (
        {
            "here": here.rows | f"{label}: key" >> beam.Map(lambda row: (key_of(row, places), row)),
            "there": there.rows | f"{label}: other's key" >> beam.Map(lambda row: (key_of(row, partners), row)),
        }
        | f"{label}: match" >> beam.CoGroupByKey()
        | f"{label}: pairs" >> beam.FlatMap(joiner)
    )
    return Batched(after, rows=found, label=label)


class _Joiner:
    """The rows of one key from both sides to the joined rows. A key with a missing value matches nothing."""

    def __init__(
        self,
        how: str,
        places: Sequence[int],
        partners: Sequence[int],
        added: Sequence[int],
        width: int,
        whole: Sequence[int],
    ) -> None:
        self._how = how
        self._places = places
        self._partners = partners
        self._added = added
        self._width = width
        self._whole = whole

    def __call__(self, group: tuple[Row, Mapping[str, Iterable[Row]]]) -> Iterator[Row]:
        here = [self._restored(row) for row in group[1]["here"]]
        there = list(group[1]["there"])
        is_match = bool(here) and bool(there) and None not in group[0]
        if self._how in ("semi", "anti"):
            yield from here if is_match == (self._how == "semi") else ()
            return
        if is_match:
            for known in here:
                for partner in there:
                    yield (*known, *(partner[place] for place in self._added))
            return
        if self._how in ("left", "full"):
            for known in here:
                yield (*known, *([None] * len(self._added)))
        if self._how in ("right", "full"):
            for partner in there:
                row: list[Any] = [None] * self._width
                for place, source in zip(self._places, self._partners, strict=True):
                    row[place] = partner[source]
                yield (*row, *(partner[place] for place in self._added))

    def _restored(self, row: Row) -> Row:
        """Whole numbers that became floats to be compared are whole again."""
        if not self._whole:
            return row
        return tuple(
            int(value) if place in self._whole and value is not None else value for place, value in enumerate(row)
        )


class _Arranged:
    """Values of a row in another order, None where there is none."""

    def __init__(self, places: Sequence[int | None]) -> None:
        self._places = places

    def __call__(self, row: Row) -> Row:
        return tuple(None if place is None else row[place] for place in self._places)


def _with_float(rows: Batched, name: str, label: str) -> Batched:
    if rows.schema[name].type is DataType.FLOAT:
        return rows
    return rows.projected([with_columns(rows.schema, {name: call("float", column(name)).expression})], label=label)


def _whole(before: Schema, after: Schema, how: str) -> list[int]:
    """Places of whole numbers that were made floats for a join that keeps the type of the column here."""
    if how in ("right", "full"):
        return []
    return [
        place
        for place, (old, new) in enumerate(zip(before, after, strict=True))
        if old.type is DataType.INTEGER and new.type is DataType.FLOAT
    ]
