"""Runs recipes as Apache Beam pipelines, on the DirectRunner or any other that Beam's own options name."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from pyarrow import parquet

from penstock.data.columns import ColumnBatch
from penstock.data.options import Progress
from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.beam.pipeline import after_steps
from penstock.data.recipe.beam.sinks import ROWS_COUNTER, arrow_schema, write_files
from penstock.data.recipe.beam.sources import opened_rows
from penstock.data.recipe.beam.statistics import measured
from penstock.data.recipe.check import CheckedRecipe, CheckedStep
from penstock.data.recipe.engine import PrepareEngine, RecipeTables, Target, Watch
from penstock.data.recipe.row_values import Row, batch_of
from penstock.data.recipe.statistics import Statistic, Statistics, StatisticValue
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.rows import Sort
from penstock.errors import DataError, PenstockError

__all__ = ["BeamEngine"]


class BeamEngine:
    """options: Beam's own pipeline options; without a runner among them it is the DirectRunner."""

    name = "beam"

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = list(options)

    def refusal(self, step: Step) -> str | None:
        if isinstance(step, Sort):
            return "the rows of a Beam pipeline have no order; sort when the prepared rows are read, or use duckdb"
        return None

    def measure(
        self, tables: RecipeTables, steps: Sequence[CheckedStep], statistics: Sequence[Statistic]
    ) -> Statistics:
        def build(pipeline: Any, folder: Path) -> None:
            rows = self._rows(pipeline, tables, steps)
            found = measured(rows, statistics, label="measure")
            values = found | "as JSON" >> beam.Map(
                lambda one: msgspec.json.encode([one[key] for key in statistics]).decode()
            )
            _ = values | "keep" >> beam.io.WriteToText(str(folder / "statistics"))

        (line,) = self._lines(build)
        values = msgspec.json.decode(line, type=list[StatisticValue])
        return dict(zip(statistics, values, strict=True))

    def preview(self, tables: RecipeTables, checked: CheckedRecipe, *, rows: int) -> ColumnBatch:
        def build(pipeline: Any, folder: Path) -> None:
            result = self._rows(pipeline, tables, checked.steps)
            some = result.rows | "some" >> beam.combiners.Sample.FixedSizeGlobally(rows)
            lines = some | "as JSON" >> beam.FlatMap(lambda found: [_json(row) for row in found])
            _ = lines | "keep" >> beam.io.WriteToText(str(folder / "rows"))

        found: list[Row] = [tuple(msgspec.json.decode(line)) for line in self._lines(build)]
        return batch_of(found, checked.schema)

    def pieces(self, tables: RecipeTables, checked: CheckedRecipe) -> int:
        return 1

    def write(self, tables: RecipeTables, checked: CheckedRecipe, target: Target, *, watch: Watch) -> int:
        watch(Progress(stage="preparing", fraction=None))
        partition_by = checked.recipe.output.partition_by

        def build(pipeline: Any) -> None:
            write_files(
                self._rows(pipeline, tables, checked.steps),
                str(target.folder),
                file_format=target.file_format,
                partition_by=partition_by,
                is_single=target.is_single,
            )

        written = _counted(self._run(build))
        if not written and not partition_by:
            _write_nothing(target, checked)
        return written

    def _rows(self, pipeline: Any, tables: RecipeTables, steps: Sequence[CheckedStep]) -> Batched:
        source = opened_rows(pipeline, tables.source, label="source")
        others = {
            name: opened_rows(pipeline, table, label=f"table {place} {name}")
            for place, (name, table) in enumerate(tables.others.items())
        }
        return after_steps(source, [item.step for item in steps], others)

    def _lines(self, build: Callable[[Any, Path], None]) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="penstock-") as name:
            folder = Path(name)
            self._run(lambda pipeline: build(pipeline, folder))
            texts = [file.read_text(encoding="utf-8") for file in sorted(folder.iterdir())]
        return [line for text in texts for line in text.split("\n") if line]

    def _run(self, build: Callable[[Any], None]) -> Any:
        try:
            pipeline = beam.Pipeline(options=PipelineOptions(self._options))
        except ValueError as error:
            raise DataError(f"Beam does not take the options {' '.join(self._options)}: {error}") from error
        build(pipeline)
        try:
            result = pipeline.run()
            result.wait_until_finish()
        except PenstockError:
            raise
        except Exception as error:
            raise _mapped(error) from error
        return result


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _counted(result: Any) -> int:
    counters = result.metrics().query(MetricsFilter().with_name(ROWS_COUNTER))["counters"]
    return int(sum(counter.result for counter in counters))


def _write_nothing(target: Target, checked: CheckedRecipe) -> None:
    """A file without rows, so that the columns can be read."""
    file = target.folder / f"0.{target.file_format}"
    if target.file_format == "parquet":
        parquet.write_table(arrow_schema(checked.schema).empty_table(), file)
    else:
        file.write_text(",".join(checked.schema.names) + "\n", encoding="utf-8")


def _mapped(error: Exception) -> DataError:
    """Beam wraps what a worker raises, message in message; the innermost of ours says what is wrong."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PenstockError):
            return DataError(str(inner))
        inner = inner.__cause__ or inner.__context__
    return DataError(f"the Beam pipeline failed: {str(error).strip().splitlines()[-1]}")


_: PrepareEngine = BeamEngine()
