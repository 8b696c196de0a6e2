"""Runs a recipe: checks it, measures what its steps ask for, writes the rows, and makes them appear whole."""

import hashlib
import json
import logging
import platform
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from penstock.data.columns import ColumnBatch
from penstock.data.options import Progress
from penstock.data.recipe.check import CheckedRecipe, CheckedStep, Measure, check_recipe
from penstock.data.recipe.document import written_recipe
from penstock.data.recipe.duckdb_engine import DuckDBEngine
from penstock.data.recipe.engine import PrepareEngine, RecipeTables, Target, Watch, open_tables
from penstock.data.recipe.kept import hold, making, remove_old
from penstock.data.recipe.output import OutputPlace
from penstock.data.recipe.prepared import PreparedTable, prepared
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.samples import caller_samples
from penstock.data.recipe.serving import ServingPlan, serving_plan
from penstock.data.recipe.staging import Staging, open_staging
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.table import Table
from penstock.errors import AlreadyExistsError, DataError, MissingExtraError, UsageError
from penstock.settings import Settings
from penstock.version import __version__

__all__ = ["Checked", "EngineName", "Prepared", "check", "kept_rows", "prepare", "preview"]

EngineName = Literal["duckdb", "beam"]


@dataclass(frozen=True)
class Checked:
    """A recipe that fits its data. serving: what of it travels with a model, None if that was not asked."""

    recipe: CheckedRecipe
    serving: ServingPlan | None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a preparation left. was_done: it had been made before, of the same recipe and data."""

    uri: str
    rows: int
    note: PreparedTable
    was_done: bool


def check(recipe: Recipe, *, settings: Settings, engine: EngineName = "duckdb", for_serving: bool = False) -> Checked:
    """The recipe with the columns after each step.

    Statistics are measured only where columns depend on them, or where a served model needs them.
    Raises DataError naming the step that does not fit or that the engine cannot run.
    """
    runner = _engine(engine, settings)
    _refuse_steps(recipe, runner)
    with open_tables(recipe, settings=settings) as tables:
        needs_values = for_serving or _has_open_columns(recipe)
        checked = _checked(recipe, tables, _measuring(tables, runner) if needs_values else None)
    return Checked(checked, serving_plan(checked) if for_serving else None)


def preview(recipe: Recipe, *, settings: Settings, engine: EngineName = "duckdb", rows: int = 10) -> ColumnBatch:
    """The first rows that a recipe makes. Raises as `check` does."""
    runner = _engine(engine, settings)
    _refuse_steps(recipe, runner)
    with open_tables(recipe, settings=settings) as tables:
        return runner.preview(tables, _checked(recipe, tables, _measuring(tables, runner)), rows=rows)


def prepare(
    recipe: Recipe,
    *,
    output: str,
    settings: Settings,
    engine: EngineName = "duckdb",
    beam_options: Sequence[str] = (),
    overwrite: bool = False,
    watch: Watch = lambda _: None,
) -> Prepared:
    """Writes the rows that a recipe makes to a folder or file, which appears whole or not at all.

    A run that ended early is gone on with: what it finished is not done again.
    output: a path or URI; a name that ends in .parquet or .csv is one file, any other a folder of them.
    beam_options: Beam's own, such as `--runner=FlinkRunner`; for that engine only.
    overwrite: whether something else at `output` is replaced; what the same recipe made of the same data is kept.
    Raises as `check` does, AlreadyExistsError, PreconditionError while another process prepares the same output.
    """
    runner = _engine(engine, settings, beam_options)
    _refuse_steps(recipe, runner)
    place = OutputPlace.of(output, recipe)
    with open_tables(recipe, settings=settings, watch=watch) as tables:
        if not _has_open_columns(recipe):
            # What does not fit shows before minutes of measuring.
            _checked(recipe, tables, None)
        digest = _digest(recipe, tables, runner, place)
        if place.finished(digest) is None and place.exists() and not overwrite:
            raise AlreadyExistsError(
                f"{place.uri} is there already and is not of this recipe and data; add --overwrite"
            )
        return _made(recipe, tables, runner, place, digest, settings, watch)


@contextmanager
def kept_rows(recipe: Recipe, *, settings: Settings) -> Generator[Prepared]:
    """The rows that a recipe makes, in a folder of the project that is found again by recipe and data.

    It stays as it is within the context; afterwards it may give way to others (`data.recipe.kept`).
    Raises as `prepare` does.
    """
    runner = _engine("duckdb", settings)
    parent = settings.home / "projects" / settings.project / "prepared"
    with ExitStack() as held:
        with open_tables(recipe, settings=settings) as tables:
            digest = _digest(recipe, tables, runner, OutputPlace.of("rows", recipe))
            folder = parent / digest[:16]
            held.enter_context(hold(folder))
            with making(folder):
                made = _made(recipe, tables, runner, OutputPlace.of(str(folder), recipe), digest, settings)
        remove_old(parent)
        yield made


def _made(
    recipe: Recipe,
    tables: RecipeTables,
    engine: PrepareEngine,
    place: OutputPlace,
    digest: str,
    settings: Settings,
    watch: Watch = lambda _: None,
) -> Prepared:
    """What is there, if it is of this digest; else it is made, in place of whatever is there."""
    if (done := place.finished(digest)) is not None:
        return Prepared(uri=place.uri, rows=done.rows, note=done, was_done=True)
    with open_staging(place.staging_folder(settings), place.name, digest) as staging:
        checked = _checked(recipe, tables, _remembering(staging, _measuring(tables, engine), watch))
        _write(checked, tables, engine, staging, place, watch)
        note = _note(checked, tables, staging, engine=engine.name, digest=digest)
        watch(Progress(stage="publishing", fraction=None))
        place.publish(staging, note)
        staging.remove()
    return Prepared(uri=place.uri, rows=note.rows, note=note, was_done=False)


def _engine(name: EngineName, settings: Settings, beam_options: Sequence[str] = ()) -> PrepareEngine:
    if name == "duckdb":
        if beam_options:
            raise UsageError(f"{beam_options[0]!r} is for Apache Beam; add --engine beam")
        return DuckDBEngine(settings)
    # On import Beam warns of the Google Cloud packages that it does not find.
    logging.disable(logging.WARNING)
    try:
        from penstock.data.recipe.beam.engine import BeamEngine
    except ImportError as error:
        raise MissingExtraError("beam", "running a recipe on Apache Beam") from error
    finally:
        logging.disable(logging.NOTSET)
    return BeamEngine(beam_options)


def _refuse_steps(recipe: Recipe, engine: PrepareEngine) -> None:
    for number, step in enumerate(recipe.steps, start=1):
        reason = engine.refusal(step)
        if reason is not None:
            raise DataError(f"step {number} ({step.step}) cannot run on the engine {engine.name}: {reason}")


def _has_open_columns(recipe: Recipe) -> bool:
    return any(step.has_open_columns for step in recipe.steps)


def _checked(recipe: Recipe, tables: RecipeTables, measure: Measure | None) -> CheckedRecipe:
    checked = check_recipe(recipe, source=tables.source.schema, tables=tables.schemas, measure=measure)
    seen: dict[str, str] = {}
    for name in checked.schema.names:
        twin = seen.setdefault(name.casefold(), name)
        if twin != name:
            raise DataError(
                f"the result has columns {twin!r} and {name!r}, which many readers take for one; rename one"
            )
    return checked


def _measuring(tables: RecipeTables, engine: PrepareEngine) -> Measure:
    def measure(_: int, steps: Sequence[CheckedStep], statistics: Sequence[Statistic]) -> Statistics:
        return engine.measure(tables, steps, statistics)

    return measure


def _remembering(staging: Staging, measure: Measure, watch: Watch) -> Measure:
    """Measures what an earlier run did not."""

    def remember(number: int, steps: Sequence[CheckedStep], statistics: Sequence[Statistic]) -> Statistics:
        known = staging.statistics_of(number)
        if known is not None and all(statistic in known for statistic in statistics):
            return known
        watch(Progress(stage=f"measuring for step {number}", fraction=None))
        found = measure(number, steps, statistics)
        staging.keep_statistics(number, found)
        return found

    return remember


def _write(
    checked: CheckedRecipe,
    tables: RecipeTables,
    engine: PrepareEngine,
    staging: Staging,
    place: OutputPlace,
    watch: Watch,
) -> None:
    pieces = 1 if place.is_file else engine.pieces(tables, checked)
    for number in range(pieces):
        if staging.rows_of(number) is not None:
            continue

        def report(progress: Progress, number: int = number) -> None:
            share = progress.fraction
            done = None if share is None else (number + share) / pieces
            watch(Progress(stage=progress.stage, fraction=done, rows=tables.source.count()))

        with staging.piece(number) as folder:
            target = Target(
                folder=folder,
                file_format=place.file_format,
                piece=number if pieces > 1 else None,
                is_single=place.is_file,
            )
            rows = engine.write(tables, checked, target, watch=report)
        staging.finish_piece(number, rows)


def _note(checked: CheckedRecipe, tables: RecipeTables, staging: Staging, *, engine: str, digest: str) -> PreparedTable:
    plan = serving_plan(checked)
    return prepared(
        plan,
        checked.recipe,
        samples=caller_samples(checked, plan, tables.source),
        source=checked.source.columns,
        columns=checked.schema.columns,
        digest=digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        engine=engine,
        rows=staging.rows,
        file_bytes=sum(file.stat().st_size for file in staging.parts.rglob("*") if file.is_file()),
        versions={"penstock": __version__, "python": platform.python_version()},
    )


def _digest(recipe: Recipe, tables: RecipeTables, engine: PrepareEngine, place: OutputPlace) -> str:
    """Of all that the result depends on."""
    facts = [
        written_recipe(recipe),
        engine.name,
        place.file_format,
        place.is_file,
        __version__,
        [_identity(table) for table in tables.all],
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _identity(table: Table) -> object:
    """What tells a table's files from others: names, sizes and times, or the bytes of those that are copies."""
    home = table.settings.home / "tmp"
    if any(Path(path).is_relative_to(home) for path in table.paths):
        return table.digest()
    facts = [(path, Path(path).stat()) for path in table.paths]
    return [(path, fact.st_size, fact.st_mtime_ns) for path, fact in facts]
