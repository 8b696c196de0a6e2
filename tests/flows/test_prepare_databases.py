"""Recipes over tables of databases and sheets of workbooks: on every engine, and into a training."""

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.seams.conftest import postgres_url

from penstock.data.recipe.document import load_recipe
from penstock.data.recipe.prepared import NAME
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.row_values import rows_of
from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.flows.export_beam import export_beam
from penstock.flows.prepare import EngineName, check, prepare, preview
from penstock.flows.train import train_experiment
from penstock.runtime.model import load_model
from penstock.settings import Settings
from penstock.training.experiment import parse_experiment

__all__ = ["postgres_url"]

ORDERS = [(i, "AB"[i % 2], None if i % 10 == 0 else i / 4, f"2024-01-{i % 28 + 1:02} 10:00:00") for i in range(60)]
STEPS = """
steps:
  - fill: {price: {statistic: median}}
  - join: {with: zones, on: zone, how: left}
  - derive: {total: price * people, hour: hour(placed)}
"""
ON_ENGINES = pytest.mark.parametrize("engine", ["duckdb", pytest.param("beam", marks=pytest.mark.slow)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe over a database, one over a workbook of the same rows, and both."""
    openpyxl = pytest.importorskip("openpyxl")
    connection = sqlite3.connect(tmp_path / "my shop.db")
    connection.execute("CREATE TABLE orders (id INTEGER, zone TEXT, price REAL, placed TEXT)")
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS)
    connection.execute("CREATE TABLE zones (zone TEXT, people INTEGER)")
    connection.executemany("INSERT INTO zones VALUES (?, ?)", [("A", 5), ("B", 7)])
    connection.commit()
    connection.close()
    book = openpyxl.Workbook()
    book.active.title = "orders"
    book.active.append(["id", "zone", "price", "placed"])
    for number, zone, price, placed in ORDERS:
        book.active.append([number, zone, price, datetime.fromisoformat(placed)])
    zones = book.create_sheet("zones")
    for row in (["zone", "people"], ["A", 5], ["B", 7]):
        zones.append(row)
    book.save(tmp_path / "shop.xlsx")
    for name, place in (("sqlite", "sqlite:///my shop.db"), ("excel", "shop.xlsx")):
        (tmp_path / f"{name}.yaml").write_text(f"source: {place}#orders\ntables: {{zones: '{place}#zones'}}\n{STEPS}")
    return tmp_path


def expected() -> list[tuple[Any, ...]]:
    prices = sorted(price for _, _, price, _ in ORDERS if price is not None)
    median = (prices[26] + prices[27]) / 2
    rows = []
    for number, zone, price, _ in ORDERS:
        filled = median if price is None else price
        people = {"A": 5, "B": 7}[zone]
        rows.append((number, zone, filled, people, filled * people, 10))
    return rows


def rows_at(place: str, settings: Settings) -> list[tuple[Any, ...]]:
    with open_table(place, settings=settings) as table:
        found = table.read().select(("id", "zone", "price", "people", "total", "hour"))
        return sorted(rows_of(found))


@ON_ENGINES
@pytest.mark.parametrize("kind", ["sqlite", "excel"])
def test_a_recipe_reads_them_as_it_reads_files(kind: str, engine: EngineName, folder: Path, settings: Settings) -> None:
    recipe = load_recipe(folder / f"{kind}.yaml")
    checked = check(recipe, settings=settings, engine=engine)
    assert [str(item.type) for item in checked.recipe.source] == ["integer", "string", "float", "timestamp"]
    assert preview(recipe, settings=settings, engine=engine, rows=4).rows == 4
    out = str(folder / "out")
    assert prepare(recipe, output=out, settings=settings, engine=engine).rows == 60
    assert rows_at(out, settings) == expected()
    assert prepare(recipe, output=out, settings=settings, engine=engine).was_done


@pytest.mark.parametrize("kind", ["sqlite", "excel"])
def test_a_model_is_trained_on_them(kind: str, folder: Path, settings: Settings) -> None:
    text = (
        f"data: {{recipe: {kind}.yaml}}\nlabel: price\ntask: regression\nfeatures: {{id: numeric, people: numeric}}\n"
        "estimator: {type: BoostedTreesRegressor, n_trees: 3, min_rows_per_leaf: 1}\n"
    )
    trained = train_experiment(parse_experiment(text, folder=str(folder)), settings=settings, note=print)
    assert trained.rows == 60
    model = load_model(trained.uri)
    assert sorted(column.name for column in model.manifest.signature.inputs) == ["id", "people"]
    assert model.predict(model.decode([{"id": 3, "people": 7}]))["predictions"].shape == (1, 1)


def test_a_database_in_an_experiment_lies_in_its_folder(folder: Path, settings: Settings) -> None:
    text = "data: {source: 'sqlite:///my shop.db#orders'}\nlabel: id\nestimator: LinearRegressor\n"
    assert parse_experiment(text, folder=str(folder)).data.source == f"sqlite:///{folder}/my shop.db#orders"


@pytest.mark.parametrize(("kind", "words"), [("sqlite", "a table of a database"), ("excel", "a sheet of a workbook")])
def test_what_workers_cannot_read_is_not_exported(kind: str, words: str, folder: Path, settings: Settings) -> None:
    with pytest.raises(DataError, match=words):
        export_beam(load_recipe(folder / f"{kind}.yaml"), settings=settings, name="x")
    with pytest.raises(DataError, match=r"is a folder, but a pipeline reads file patterns"):
        export_beam(Recipe(source=str(folder)).select("a"), settings=settings, name="x")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "beam"])
def test_a_recipe_reads_postgresql_and_its_password_is_not_written_down(
    engine: EngineName, postgres_url: str, tmp_path: Path, settings: Settings
) -> None:
    import psycopg

    with psycopg.connect(f"{postgres_url}/postgres", autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS orders, zones")
        connection.execute("CREATE TABLE orders (id bigint, zone text, price float8, placed timestamp)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s)", ORDERS)
        connection.execute("CREATE TABLE zones AS SELECT * FROM (VALUES ('A', 5), ('B', 7)) AS z(zone, people)")
    # The server trusts whoever connects, so any password does.
    place = f"{postgres_url}/postgres".replace("penstock@", "penstock:sesame@")
    recipe = (
        Recipe(source=f"{place}#orders")
        .fill({"price": {"statistic": "median"}})
        .join(f"{place}#zones", "zone", how="left")
        .derive(total="price * people", hour="hour(placed)")
    )
    checked = check(recipe, settings=settings, engine=engine, for_serving=True)
    assert checked.serving is not None
    assert "sesame" not in str([item.reason for item in checked.serving.sent])
    out = tmp_path / "out"
    assert prepare(recipe, output=str(out), settings=settings, engine=engine).rows == 60
    assert rows_at(str(out), settings) == expected()
    assert "#zones" in (out / NAME).read_text()
    assert not any(b"sesame" in file.read_bytes() for file in out.rglob("*") if file.is_file())
