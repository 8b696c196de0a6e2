"""Rows in a pipeline: as batches of columns for row programs, one by one for everything that looks at many rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from penstock.data.columns import ColumnBatch
from penstock.data.expressions.symbols import column
from penstock.data.recipe.projection import Projection, with_columns
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.row_values import Row, batch_of, rows_of
from penstock.data.schema import Schema

__all__ = ["BATCH_ROWS", "Batched"]

BATCH_ROWS = 4_096
"""Rows that go through a row program at a time: enough that NumPy's cost a call does not count."""


class Batched:
    """Rows of a schema in a pipeline, as batches of columns or one by one, whichever the next step wants."""

    def __init__(self, schema: Schema, *, batches: Any = None, rows: Any = None, label: str) -> None:
        self.schema = schema
        self._batches = batches
        self._rows = rows
        self._label = label

    @property
    def batches(self) -> Any:
        """A PCollection of ColumnBatch."""
        if self._batches is None:
            self._batches = self._rows | f"{self._label}: batch" >> beam.ParDo(_ToBatches(self.schema))
        return self._batches

    @property
    def rows(self) -> Any:
        """A PCollection of tuples."""
        if self._rows is None:
            self._rows = self._batches | f"{self._label}: rows" >> beam.FlatMap(rows_of)
        return self._rows

    def projected(self, projections: Sequence[Projection], *, label: str) -> "Batched":
        """The rows after projections, all run in one go."""
        program = RowProgram(self.schema, projections)
        return Batched(program.output_schema, batches=self.batches | label >> beam.ParDo(_Run(program)), label=label)

    def cast(self, schema: Schema, *, label: str) -> "Batched":
        """The rows with whole numbers as floats where the schema has floats."""
        floats = {
            item.name: column(item.name).cast(item.type).expression
            for item in schema
            if item.name in self.schema and self.schema[item.name].type is not item.type
        }
        return self.projected([with_columns(self.schema, floats)], label=label) if floats else self


class _Run(beam.DoFn):  # type: ignore[misc]
    def __init__(self, program: RowProgram) -> None:
        self._program = program

    def process(self, element: ColumnBatch) -> Iterator[ColumnBatch]:
        batch = self._program.apply(element)
        if batch.rows:
            yield batch


class _ToBatches(beam.DoFn):  # type: ignore[misc]
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._rows: list[Row] = []

    def start_bundle(self) -> None:
        self._rows = []

    def process(self, element: Row) -> Iterator[ColumnBatch]:
        self._rows.append(element)
        if len(self._rows) >= BATCH_ROWS:
            yield batch_of(self._rows, self._schema)
            self._rows = []

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._rows:
            yield WindowedValue(batch_of(self._rows, self._schema), MIN_TIMESTAMP, [GlobalWindow()])
            self._rows = []
