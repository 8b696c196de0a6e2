"""What users write in names, texts and cells goes through every engine as a value, and is never code."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.expressions.tables import hostile_batch
from tests.seams.recipe_cases import SOURCE, TABLES
from tests.seams.recipe_runs import demand_equal, engine_named, evaluated, in_any_order, in_files, plain, run

from penstock.data.columns import ColumnBatch
from penstock.data.recipe.duckdb_engine import DuckDBEngine
from penstock.data.recipe.engine import open_tables
from penstock.data.recipe.recipe import Recipe
from penstock.data.schema import Column, DataType, Schema
from penstock.settings import Settings

HOSTILE_ROW_WISE = (
    Recipe(source="hostile")
    .derive(a="x * y - n / m", c="concat(trim(s), '|', coalesce(r, ''))", d="truncate(t, 'week', 'Asia/Tokyo')")
    .filter("not (p and q) or a is missing")
    .cast({"n": "string", "x": "integer", "s": "float"})
    .fill({"x": -1, "r": "none", "u": "2000-01-01T00:00:00Z"})
    .replace({"r": {"a": "Alpha", "ß": None}})
    .case({"c": "upper"})
    .extract("digits", "c", r"(\d+)(\D|$)", group=1)
    .parse_dates({"r": ["%Y-%m-%d", "%d/%m/%Y %H:%M"]})
    .bucketize("y", [-1, 0, 2.5])
    .one_hot("q", [True, False])
    .sample(fraction=0.7, seed=2)
    .split("key", by="m")
)


@pytest.mark.parametrize("engine", ["duckdb", "beam"])
def test_hostile_values_go_through_row_wise_steps_alike(
    engine: str, tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> None:
    tables = {"hostile": hostile_batch()}
    recipe = in_files(HOSTILE_ROW_WISE, tmp_path_factory.mktemp("hostile"), tables)
    checked, found = run(engine_named(engine, settings), recipe, settings)
    with open_tables(recipe, settings=settings) as opened:
        expected = evaluated(checked, opened.source.read())
    demand_equal(in_any_order(plain(found)), in_any_order(plain(expected)))


NAMES = [
    'a"; DROP TABLE rows; --',
    "it's",
    "c0",
    "p0",
    "a",
    "A",
    "select",
    "list",
    "place",
    "日本",
    "l.c0",
    "{0}",
    "a\nb",
]


@pytest.mark.parametrize("engine", ["duckdb", "beam"])
def test_no_column_name_is_ever_code(engine: str, tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> None:
    """Names go through joins, windows and groups as values; DuckDB alone would take `a` and `A` for one."""
    schema = Schema(tuple(Column(name=name, type=DataType.INTEGER) for name in NAMES if name != "A"))
    values = ColumnBatch(schema, {name: np.arange(4.0) + place for place, name in enumerate(schema.names)})
    first, second, *_ = NAMES
    recipe = (
        Recipe(source="named")
        .rename({"place": "A"})
        .derive({"x'": f"`{first}` + `{second}` * 2", "%s": "`{0}` / 3"})
        .window({"w; --": "rolling_sum(`l.c0`, 2)"}, by=["c0"], order=["p0"])
        .join("named", {"a": "a"}, how="left", suffix=" '\" of other")
        .deduplicate("select", "list")
    )
    found = run(
        engine_named(engine, settings), in_files(recipe, tmp_path_factory.mktemp("named"), {"named": values}), settings
    )[1]
    assert found.rows == 4
    assert sorted(found["x'"].tolist()) == [2.0, 5.0, 8.0, 11.0]
    assert {"a", "A", "it's '\" of other", "w; --"} <= set(found.schema.names)


def test_texts_in_a_recipe_are_never_code(tmp_path: Path, settings: Settings) -> None:
    evil = "x'); COPY (SELECT 1) TO '/tmp/penstock-evil'; --"
    recipe = (
        SOURCE.fill({"s_zone": evil})
        .replace({"s_name": {evil: "a", "Bob": evil}})
        .one_hot("s_zone", [evil])
        .derive(y=f"concat(s_name, '{evil.replace(chr(39), chr(92) + chr(39))}')")
        .split("key", by="n", parts={evil: 0.5, "it's": 0.5})
        .pivot("split", "count()", by="b", values=[evil])
    )
    checked, found = run(DuckDBEngine(settings), in_files(recipe, tmp_path, TABLES), settings)
    assert evil in checked.schema
    assert found.rows == 3
    assert not Path("/tmp/penstock-evil").exists()
