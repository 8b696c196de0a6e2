"""Running recipes on each engine over tables in memory, and comparing what comes out."""

import math
from pathlib import Path
from typing import Any

from pyarrow import parquet

from penstock.data.columns import ColumnBatch
from penstock.data.recipe.beam.engine import BeamEngine
from penstock.data.recipe.beam.sinks import arrow_table
from penstock.data.recipe.check import CheckedRecipe, check_recipe
from penstock.data.recipe.duckdb_engine import DuckDBEngine
from penstock.data.recipe.engine import PrepareEngine, RecipeTables, open_tables
from penstock.data.recipe.projection import Projection
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.row_values import rows_of
from penstock.settings import Settings

__all__ = ["demand_equal", "engine_named", "evaluated", "in_any_order", "in_files", "plain", "run"]


def engine_named(name: str, settings: Settings) -> PrepareEngine:
    return DuckDBEngine(settings) if name == "duckdb" else BeamEngine()


def stored(folder: Path, name: str, rows: ColumnBatch) -> str:
    file = folder / f"{name}.parquet"
    if not file.exists():
        parquet.write_table(arrow_table(rows), file)
    return str(file)


def in_files(recipe: Recipe, folder: Path, tables: dict[str, ColumnBatch]) -> Recipe:
    """The recipe with the names of tables as files."""
    assert isinstance(recipe.source, str)
    paths = {name: stored(folder, name, rows) for name, rows in tables.items()}
    steps = tuple(step.placed(lambda name: paths[name]) for step in recipe.steps)
    return Recipe(source=paths[recipe.source], steps=steps, output=recipe.output)


def run(engine: PrepareEngine, recipe: Recipe, settings: Settings) -> tuple[CheckedRecipe, ColumnBatch]:
    with open_tables(recipe, settings=settings) as tables:
        checked = check(recipe, tables, engine)
        return checked, engine.preview(tables, checked, rows=1_000_000)


def check(recipe: Recipe, tables: RecipeTables, engine: PrepareEngine) -> CheckedRecipe:
    return check_recipe(
        recipe,
        source=tables.source.schema,
        tables=tables.schemas,
        measure=lambda _, steps, statistics: engine.measure(tables, steps, statistics),
    )


def plain(rows: ColumnBatch) -> list[tuple[Any, ...]]:
    return list(rows_of(rows))


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12, abs_tol=1e-12)
    return type(left) is type(right) and left == right


def in_any_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    def key(row: tuple[Any, ...]) -> list[Any]:
        return [
            (value is None, round(value, 6) if isinstance(value, float) else value) if value is not None else (True, 0)
            for value in row
        ]

    return sorted(rows, key=key)


def demand_equal(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    assert len(found) == len(expected)
    for place, (here, there) in enumerate(zip(found, expected, strict=True)):
        assert len(here) == len(there)
        assert all(map(same, here, there)), f"row {place}: {here} is not {there}"


def evaluated(checked: CheckedRecipe, rows: ColumnBatch) -> ColumnBatch:
    """The third column: the row evaluator."""
    schema = checked.source
    stages: list[Projection] = []
    for step in checked.recipe.steps:
        stages.extend(step.project(schema))
        schema = stages[-1].schema if stages else schema
    return RowProgram.from_json(RowProgram(checked.source, stages).to_json()).apply(rows)
