"""A whole recipe in a pipeline: read, every step by name, write."""

from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam

from penstock.data.columns import ColumnBatch
from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.beam.statistics import measured
from penstock.data.recipe.beam.steps import applied
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.statistics import Statistics
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.split import measured_rows
from penstock.data.schema import Schema

__all__ = ["after_steps"]


def after_steps(rows: Batched, steps: Sequence[Step], tables: Mapping[str, Batched]) -> Batched:
    """The rows after all steps. A step that needs statistics gets them from the rows in the same pipeline."""
    done: list[Step] = []
    for number, step in enumerate(steps, start=1):
        label = f"step {number} {step.step}"
        if statistics := step.statistics(rows.schema):
            chosen = measured_rows(step, done, rows.schema)
            some = rows if chosen is None else applied(chosen, rows, tables, label=f"{label}: training rows")
            found = measured(some, statistics, label=f"{label}: measure")
            after = step.output(rows.schema, {})
            batches = rows.batches | label >> beam.ParDo(_Resolved(step, rows.schema), beam.pvalue.AsSingleton(found))
            rows = Batched(after, batches=batches, label=label)
        else:
            rows = applied(step, rows, tables, label=label)
        done.append(step)
    return rows


class _Resolved(beam.DoFn):  # type: ignore[misc]
    """Runs a step once its statistics are known."""

    def __init__(self, step: Step, schema: Schema) -> None:
        self._step = step
        self._schema = schema
        self._program: RowProgram | None = None

    def process(self, element: ColumnBatch, statistics: Statistics) -> Iterator[ColumnBatch]:
        if self._program is None:
            step = self._step.resolved(self._schema, statistics)
            self._program = RowProgram(self._schema, step.project(self._schema))
        batch = self._program.apply(element)
        if batch.rows:
            yield batch
