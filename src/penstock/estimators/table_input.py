"""Inputs that read tables: a file, glob or URI and the label's name. Rows can be split for evaluation by a seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from penstock.data.columns import ColumnBatch, is_missing
from penstock.data.options import ReadOptions
from penstock.data.schema import Schema
from penstock.data.table import Table, open_table
from penstock.errors import DataError, UsageError
from penstock.estimators.example_stream import ExampleStream, StreamSource
from penstock.estimators.examples import Batching, Examples, column_labels, row_weights
from penstock.estimators.memory_budget import MemoryBudget, bytes_of_rows
from penstock.estimators.row_split import RowSplit
from penstock.settings import load_settings

__all__ = ["TableInput", "table_input_fn", "table_input_fns"]


@dataclass(frozen=True, kw_only=True)
class TableInput(StreamSource):
    """Rows of a table. features: columns to use; None for all but the label. missing_labels: "drop" leaves rows out."""

    table: Table
    label: str
    features: tuple[str, ...] | None = None
    batching: Batching = field(default_factory=Batching)
    split: RowSplit | None = None
    weight: str | None = None
    missing_labels: Literal["error", "drop"] = "error"
    memory_limit_mb: int | None = None

    def examples(self, schema: Schema | None) -> Examples:
        names, budget = self._names(schema), self._budget
        if not budget.holds(self.table.schema.select(names), self.table.count()):
            needed = bytes_of_rows(self.table.schema.select(names), self.table.count())
            raise DataError(
                f"{self.table.name} has {self.table.count():,} rows, which take about {needed / 1e9:.2f} GB in memory, "
                f"and a training may take {budget.cap_mb / 1e3:g} GB; train a network or a linear model, which read in "
                "batches, prepare fewer rows or columns, or raise PENSTOCK_TRAINING_MEMORY_MB"
            )
        batch = self._read(names)
        if self.split is not None:
            batch = batch.take(self.split.rows(batch.rows))
        if self.missing_labels == "drop":
            batch = batch.take(np.flatnonzero(~is_missing(batch[self.label], batch.schema[self.label].type)))
        names = tuple(name for name in batch.schema.names if name not in (self.label, self.weight))
        return Examples(
            features=batch.select(names),
            labels=column_labels(batch, self.label),
            label=self.label,
            weights=None if self.weight is None else row_weights(batch[self.weight], self.weight),
            batching=self.batching,
            data_digest=self.table.digest(),
            unread=tuple(name for name in self.table.schema.names if name not in (*names, self.label)),
        )

    def stream(self, schema: Schema | None) -> ExampleStream | None:
        names, budget = self._names(schema), self._budget
        if budget.holds(self.table.schema.select(names), self.table.count()):
            return None
        if self.missing_labels == "drop" and self.table.schema[self.label].nullable:
            raise DataError(
                f"{self.table.name} does not fit in memory and has rows without the label {self.label!r}; prepare it "
                "without them first: penstock data prepare, with the step drop_missing"
            )
        return ExampleStream(
            table=self.table,
            names=tuple(name for name in names if name not in (self.label, self.weight)),
            label=self.label,
            weight=self.weight,
            split=self.split,
            batching=self.batching,
            budget=budget,
        )

    @property
    def _budget(self) -> MemoryBudget:
        return MemoryBudget(self.memory_limit_mb or self.table.settings.training_memory_mb)

    def _names(self, schema: Schema | None) -> tuple[str, ...]:
        """Columns to read, the label last."""
        known = self.table.schema
        label = known[self.label].name
        wanted = schema.names if schema is not None else (self.features or known.without(label).names)
        names = [name for name in wanted if name != label]
        if self.weight is not None and self.weight not in names:
            names.append(known[self.weight].name)
        return (*names, label)

    def _read(self, names: tuple[str, ...]) -> ColumnBatch:
        known = self.table.schema
        batch = self.table.read(names)
        if batch.rows == 0:
            raise DataError(
                f"the table has columns {', '.join(known.names)} and no rows; there is nothing to learn from"
            )
        return batch


def table_input_fn(
    source: str | Sequence[str] | Table,
    *,
    label: str,
    features: Sequence[str] | None = None,
    batch_size: int | Literal["all"] | None = None,
    num_epochs: int | None = None,
    shuffle: bool = True,
    weight: str | None = None,
    memory_limit_mb: int | None = None,
    options: ReadOptions | None = None,
) -> Callable[[], TableInput]:
    """An input function over a table: CSV, TSV, Parquet, JSON lines, a glob, a URI.

    batch_size: rows a step; "all" for the whole table; None chooses by the number of rows. num_epochs: None for no end.
    weight: a column of row weights, beside the features. memory_limit_mb: put over PENSTOCK_TRAINING_MEMORY_MB; a table
    that does not fit is streamed in batches.
    """
    table = _open(source, options)
    made = TableInput(
        table=table,
        label=label,
        features=None if features is None else tuple(features),
        batching=Batching(size=batch_size or "auto", epochs=num_epochs, shuffle=shuffle),
        weight=weight,
        memory_limit_mb=memory_limit_mb,
    )
    return lambda: made


def table_input_fns(
    source: str | Sequence[str] | Table,
    *,
    label: str,
    evaluation: float | str | Sequence[str] | Table = 0.2,
    seed: int = 0,
    features: Sequence[str] | None = None,
    batch_size: int | Literal["all"] | None = None,
    weight: str | None = None,
    missing_labels: Literal["error", "drop"] = "error",
    memory_limit_mb: int | None = None,
    options: ReadOptions | None = None,
) -> tuple[Callable[[], TableInput], Callable[[], TableInput]]:
    """Two input functions: rows to train on and rows to evaluate on.

    evaluation: the share of rows held out, drawn by `seed`; or another table. missing_labels: "drop" leaves rows
    without a label out.
    """
    table = _open(source, options)
    chosen = None if features is None else tuple(features)

    def of(origin: Table, split: RowSplit | None, batching: Batching) -> Callable[[], TableInput]:
        made = TableInput(
            table=origin,
            label=label,
            features=chosen,
            batching=batching,
            split=split,
            weight=weight,
            missing_labels=missing_labels,
            memory_limit_mb=memory_limit_mb,
        )
        return lambda: made

    training = Batching(size=batch_size or "auto")
    once = Batching(size="all", epochs=1, shuffle=False)
    if isinstance(evaluation, float | int):
        if not 0.0 < evaluation < 1.0:
            raise UsageError(f"evaluation is {evaluation}; expected a share of the rows between 0 and 1, or a table")
        return (
            of(table, RowSplit(evaluation, seed, "training"), training),
            of(table, RowSplit(evaluation, seed, "evaluation"), once),
        )
    return of(table, None, training), of(_open(evaluation, options), None, once)


def _open(source: str | Sequence[str] | Table, options: ReadOptions | None) -> Table:
    return source if isinstance(source, Table) else open_table(source, settings=load_settings(), options=options)
