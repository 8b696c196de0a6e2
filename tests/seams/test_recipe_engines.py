"""Every step on every engine that claims it: the same rows from DuckDB, from Beam and, row-wise, from the evaluator.

Rows are compared as multisets, floats to 1e-12; what `sort` yields also in its order.
"""

from pathlib import Path

import pytest
from tests.seams.recipe_cases import CASES, EMPTY, SOURCE, TABLES
from tests.seams.recipe_runs import demand_equal, engine_named, evaluated, in_any_order, in_files, plain, run

from penstock.data.recipe.duckdb_engine import DuckDBEngine
from penstock.data.recipe.engine import open_tables
from penstock.data.recipe.steps.registry import STEPS
from penstock.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


# A Beam pipeline takes seconds to begin whatever it does: every day these, in the full check all.
EVERYDAY_ON_BEAM = {"deduplicate by", "join full", "window"}

ON_ENGINES = [
    pytest.param(engine, name, marks=[pytest.mark.slow] if engine == "beam" and name not in EVERYDAY_ON_BEAM else [])
    for engine in ("duckdb", "beam")
    for name in CASES
    if (engine, name.partition(" ")[0]) != ("beam", "sort")
]


@pytest.mark.parametrize(("engine", "name"), ON_ENGINES)
def test_a_step_gives_the_same_rows_on_every_engine(engine: str, name: str, folder: Path, settings: Settings) -> None:
    case = CASES[name]
    recipe = in_files(case.recipe, folder, TABLES)
    checked, found = run(engine_named(engine, settings), recipe, settings)
    assert found.schema == checked.schema
    rows = plain(found)
    if case.rows is not None:
        demand_equal(in_any_order(rows), in_any_order(case.rows))
    if engine != "duckdb":
        _, reference = run(DuckDBEngine(settings), recipe, settings)
        demand_equal(in_any_order(rows), in_any_order(plain(reference)))
    if all(step.is_row_wise for step in checked.recipe.steps):
        with open_tables(recipe, settings=settings) as tables:
            demand_equal(in_any_order(rows), in_any_order(plain(evaluated(checked, tables.source.read()))))


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        pytest.param(engine, name, marks=[pytest.mark.slow] if engine == "beam" else [])
        for engine in ("duckdb", "beam")
        for name in CASES
        if (engine, name.partition(" ")[0]) != ("beam", "sort")
    ],
)
def test_a_step_takes_a_table_without_rows(
    engine: str, name: str, tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    checked, found = run(engine_named(engine, settings), in_files(CASES[name].recipe, folder, EMPTY), settings)
    assert found.schema.names == checked.schema.names
    is_one_row = name == "aggregate all"
    assert found.rows == int(is_one_row)


def test_every_step_has_a_case() -> None:
    assert {step.step for case in CASES.values() for step in case.recipe.steps} == set(STEPS)


def test_sorted_rows_come_in_order_and_stay_so_through_row_wise_steps(folder: Path, settings: Settings) -> None:
    recipe = in_files(SOURCE.sort("-x", "s_zone").derive(y="x * 2").filter("n != 1").select("n", "y"), folder, TABLES)
    _, found = run(DuckDBEngine(settings), recipe, settings)
    assert [row[0] for row in plain(found)] == [7, 9, 11, 11, 2, 6, 5, 8, 4, 3, 10]
