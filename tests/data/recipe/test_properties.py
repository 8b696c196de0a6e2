"""Whatever the rows: what is written is what is read, and DuckDB and the row evaluator agree on composed recipes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import IS_FULL
from tests.data.expressions.tables import hostile_batch

from penstock.data.columns import ColumnBatch, dtype_of, missing_value
from penstock.data.options import ReadOptions
from penstock.data.recipe.check import check_recipe
from penstock.data.recipe.duckdb_engine import DuckDBEngine
from penstock.data.recipe.engine import RecipeTables
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.row_values import rows_of
from penstock.data.recipe.serving import serving_plan
from penstock.data.schema import Column, DataType, Schema
from penstock.data.table import Table, open_table
from penstock.flows.prepare import prepare
from penstock.settings import Settings, load_settings

SCHEMA = Schema(
    (
        Column(name="id", type=DataType.INTEGER),
        Column(name="n", type=DataType.INTEGER, nullable=True),
        Column(name="x", type=DataType.FLOAT, nullable=True),
        Column(name="s", type=DataType.STRING, nullable=True),
        Column(name="b", type=DataType.BOOLEAN, nullable=True),
        Column(name="t", type=DataType.TIMESTAMP, nullable=True),
    )
)
VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.INTEGER: st.integers(-(2**53), 2**53),
    DataType.FLOAT: st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    # Cells are trimmed and an empty one is missing; a lone carriage return is a line break of old files.
    DataType.STRING: st.text(st.characters(blacklist_categories=["Cs", "Cc", "Co"]), min_size=1, max_size=12).filter(
        lambda text: text == text.strip() and text
    ),
    DataType.BOOLEAN: st.booleans(),
    DataType.TIMESTAMP: st.integers(-30_000_000_000_000_000, 30_000_000_000_000_000),
}
ROWS = st.lists(
    st.tuples(*[st.one_of(st.none(), VALUES[item.type]) for item in SCHEMA.columns[1:]]), min_size=1, max_size=25
)


def batch(rows: list[tuple[Any, ...]]) -> ColumnBatch:
    arrays = {}
    for item, values in zip(SCHEMA, zip(*[(i, *row) for i, row in enumerate(rows)], strict=True), strict=True):
        array = np.empty(len(rows), dtype=dtype_of(item.type))
        array[:] = [missing_value(item.type) if value is None else value for value in values]
        arrays[item.name] = array
    return ColumnBatch(SCHEMA, arrays)


def stored(rows: ColumnBatch, folder: Path) -> Path:
    from pyarrow import parquet

    from penstock.data.recipe.beam.sinks import arrow_table

    file = folder / "rows.parquet"
    parquet.write_table(arrow_table(rows), file)
    return file


def home(folder: Path) -> Settings:
    return load_settings({"PENSTOCK_HOME": str(folder / "home"), "PENSTOCK_THREADS": "1"})


@given(rows=ROWS, suffix=st.sampled_from(["csv", "parquet"]), partition=st.booleans())
@settings(max_examples=25 if IS_FULL else 10, suppress_health_check=[HealthCheck.too_slow])
def test_rows_that_are_written_are_read_again(rows: list[tuple[Any, ...]], suffix: str, partition: bool) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        here = home(folder)
        recipe = Recipe(source=str(stored(batch(rows), folder)))
        place = folder / (f"out.{suffix}" if not partition else "out")
        prepare(recipe.partition_by("b") if partition else recipe, output=str(place), settings=here)
        types = {item.name: item.type for item in SCHEMA if item.name != "b" or not partition}
        told = ReadOptions(types=types, null_marks=()) if place.suffix == ".csv" else ReadOptions()
        names = [item.name for item in SCHEMA if item.name in types]
        with open_table(str(place), settings=here, options=told) as table:
            found = sorted(rows_of(table.read(names)))
        expected = [
            tuple(value for item, value in zip(SCHEMA, (i, *row), strict=True) if item.name in types)
            for i, row in enumerate(rows)
        ]
        assert found == expected


conditions = st.sampled_from(
    ["x > 0", "not p", "s is missing or n > 1", "t > '2000-01-01'", "n in [1, 2, 3]", "length(s) > 2"]
)
numbers = st.sampled_from(
    ["x * 2 + y", "n / m", "round(x, 1)", "length(s)", "if(p, x, y)", "hour(t, 'Asia/Tokyo')", "n // 2"]
)
row_wise = st.lists(
    st.one_of(
        st.builds(lambda c: ("filter", c), conditions),
        st.builds(lambda e: ("derive", {"x": f"float({e})"}), numbers),
        st.builds(lambda e: ("derive", {"d": e, "e": "d"}), numbers),
        st.builds(lambda v: ("fill", {"y": v, "s": "none"}), st.integers(-5, 5)),
        st.builds(lambda v: ("clip", {"x": {"low": v}}), st.floats(-10, 10)),
        st.builds(lambda f: ("sample", {"fraction": f, "by": ["n", "s"]}), st.floats(0.2, 1.0)),
        st.just(("case", {"r": "upper"})),
        st.just(("trim", ["s"])),
        st.just(("replace", {"s": {"a": "A", "ß": None}})),
        st.just(("cast", {"n": "float"})),
    ),
    max_size=6,
)


@given(steps=row_wise)
@settings(max_examples=30 if IS_FULL else 10, suppress_health_check=[HealthCheck.too_slow])
def test_composed_recipes_mean_the_same_in_duckdb_and_in_memory(
    steps: list[tuple[str, Any]], tmp_path_factory: Any
) -> None:
    table, here = _hostile_table(tmp_path_factory)
    from penstock.data.recipe.steps.registry import STEPS

    kept: list[Any] = []
    for name, content in steps:
        step = STEPS[name].read(content)
        names = [other.step for other in kept]
        # `cast` twice, or a second `d`, only repeat what is tried already.
        if name not in names:
            kept.append(step)
    recipe = Recipe(source="hostile").then(kept)
    checked = check_recipe(recipe, source=table.schema, tables={})
    projections = []
    schema = table.schema
    for step in kept:
        projections.extend(step.project(schema))
        schema = projections[-1].schema
    expected = list(rows_of(RowProgram(table.schema, projections).apply(table.read())))
    found = list(rows_of(DuckDBEngine(here).preview(RecipeTables(table, {}), checked, rows=10_000)))
    assert found == expected
    plan = serving_plan(checked)
    assert plan.program.keeps_rows
    assert plan.sent == ()


_TABLES: dict[str, tuple[Table, Settings]] = {}


def _hostile_table(factory: Any) -> tuple[Table, Settings]:
    if "hostile" not in _TABLES:
        folder = factory.mktemp("hostile")
        here = home(folder)
        _TABLES["hostile"] = (open_table(str(stored(hostile_batch(), folder)), settings=here), here)
    return _TABLES["hostile"]
