"""Tables of databases and sheets of workbooks are read as files are."""

import importlib
import sqlite3
import sys
from datetime import datetime
from pathlib import Path

import pytest
from tests.seams.conftest import postgres_url

from penstock.data.databases import without_password
from penstock.data.options import ReadOptions
from penstock.data.profiler import profile_source
from penstock.data.schema import DataType
from penstock.data.table import open_table
from penstock.errors import DataError, MissingExtraError, NotFoundError, PenstockError, UsageError
from penstock.settings import Settings

__all__ = ["postgres_url"]

HOSTILE = 'x"; DROP TABLE orders; --'


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "my shop.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        'CREATE TABLE orders (id INTEGER, price REAL, placed TEXT, code TEXT, "odd "" name" TEXT);'
        "CREATE TABLE blank (a INTEGER); CREATE VIEW dear AS SELECT * FROM orders WHERE price > 5;"
        f'CREATE TABLE "{HOSTILE.replace(chr(34), chr(34) * 2)}" (a INTEGER, "b\'; DROP TABLE orders; --" TEXT);'
        f'INSERT INTO "{HOSTILE.replace(chr(34), chr(34) * 2)}" VALUES (1, \'"; DROP TABLE orders\');'
    )
    rows = [(i, None if i % 10 == 0 else i / 4, f"2024-01-{i % 28 + 1:02} 10:00:00", f"00{i}", "é") for i in range(50)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


def test_a_table_of_sqlite_has_its_types(shop: str, settings: Settings) -> None:
    table, profile = profile_source(f"{shop}#orders", settings=settings)
    with table:
        types = [column.type for column in table.schema]
        assert types == [DataType.INTEGER, DataType.FLOAT, DataType.TIMESTAMP, DataType.STRING, DataType.STRING]
        assert profile.rows == 50
        assert profile["price"].missing == 5
        assert profile["code"].values[0].value == "000"
        assert 'odd " name' in table.schema
    with open_table(f"{shop}#dear", settings=settings) as view:
        assert view.count() == 27


def test_hostile_names_are_names(shop: str, settings: Settings) -> None:
    table, profile = profile_source(f"{shop}#{HOSTILE}", settings=settings)
    with table:
        assert profile.rows == 1
        assert table.schema.names == ("a", "b'; DROP TABLE orders; --")
    with open_table(f"{shop}#orders", settings=settings) as orders:
        assert orders.count() == 50


@pytest.mark.parametrize(
    ("fragment", "kind", "words"),
    [
        ("", UsageError, "names no table.*orders"),
        ("#ordres", NotFoundError, "no table 'ordres'.*did you mean 'orders'"),
        ("#orders; DROP TABLE orders", NotFoundError, "no table"),
        ("#blank", DataError, "no row"),
    ],
)
def test_what_is_not_there_is_named(
    shop: str, settings: Settings, fragment: str, kind: type[PenstockError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        open_table(shop + fragment, settings=settings)
    with pytest.raises(NotFoundError, match="no SQLite file"):
        open_table("sqlite:///nowhere.db#t", settings=settings)


@pytest.fixture
def postgres_orders(postgres_url: str) -> str:
    import psycopg

    with psycopg.connect(f"{postgres_url}/postgres", autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS sales CASCADE")
        connection.execute("CREATE SCHEMA sales")
        connection.execute(
            "CREATE TABLE sales.orders (id bigint, price numeric(8, 2), paid boolean, placed timestamptz, about jsonb)"
        )
        connection.execute(
            "INSERT INTO sales.orders SELECT i, i / 4.0, i % 2 = 0, '2024-01-01T00:00:00+02'::timestamptz + "
            "i * interval '1 hour', '{\"a\": [1]}' FROM generate_series(1, 20000) AS s(i)"
        )
    return f"{postgres_url}/postgres#sales.orders"


@pytest.mark.slow
def test_a_table_of_postgresql_is_streamed(postgres_orders: str, settings: Settings) -> None:
    table, profile = profile_source(postgres_orders, settings=settings)
    with table:
        types = [column.type for column in table.schema]
        kinds = [DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN, DataType.TIMESTAMP, DataType.STRING]
        assert types == kinds
        assert profile.rows == 20_000
        first = table.read(["placed"], limit=1)["placed"][0]
        assert first == int(datetime.fromisoformat("2023-12-31T23:00:00+00:00").timestamp() * 1e6)
    with pytest.raises(NotFoundError, match=r"did you mean 'sales\.orders'"):
        open_table(postgres_orders + "s", settings=settings)


def test_a_password_is_never_said(settings: Settings) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DataError) as caught:
        open_table("postgresql://me:sesame@127.0.0.1:9/shop#orders", settings=settings)
    assert "sesame" not in str(caught.value)
    assert "me:***@127.0.0.1:9" in str(caught.value)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    workbook.active.title = "Houses"
    workbook.active.append(["rooms", "price", "sold", "street"])
    for i in range(30):
        workbook.active.append([i % 5, 100.5 * i, datetime(2024, 1, 1 + i % 28), None if i == 3 else f"Elm {i}"])
    workbook.create_sheet("More").append(["a", "b"])
    workbook["More"].append([1, True])
    workbook.create_sheet("Blank")
    path = tmp_path / "book.xlsx"
    workbook.save(path)
    return path


def test_a_sheet_is_a_table(book: Path, settings: Settings) -> None:
    with open_table(book, settings=settings) as table:
        types = [column.type for column in table.schema]
        assert types == [DataType.INTEGER, DataType.FLOAT, DataType.TIMESTAMP, DataType.STRING]
        assert table.count() == 30
        assert table.schema["street"].nullable
    with open_table(f"{book}#More", settings=settings) as table:
        assert table.schema.names == ("a", "b")
    with open_table(book, settings=settings, options=ReadOptions(sheet="More")) as table:
        assert table.count() == 1
    with pytest.raises(NotFoundError, match=r"no sheet 'Hoses'.*did you mean 'Houses'"):
        open_table(f"{book}#Hoses", settings=settings)
    with pytest.raises(DataError, match="'Blank' is empty"):
        open_table(f"{book}#Blank", settings=settings)
    (book.parent / "fake.xlsx").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not an Excel workbook"):
        open_table(book.parent / "fake.xlsx", settings=settings)


def test_without_the_extra_a_workbook_is_refused_in_a_line(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    importlib.invalidate_caches()
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(MissingExtraError, match=r"penstock\[excel\]"):
        open_table(tmp_path / "t.xlsx", settings=settings)


def test_infinities_are_kept(tmp_path: Path, settings: Settings) -> None:
    with sqlite3.connect(tmp_path / "f.db") as connection:
        connection.execute("CREATE TABLE f (x REAL)")
        connection.executemany("INSERT INTO f VALUES (?)", [(float("inf"),), (1.5,), (float("-inf"),), (None,)])
    connection.close()
    table, profile = profile_source(f"sqlite:///{tmp_path / 'f.db'}#f", settings=settings)
    with table:
        assert (profile["x"].infinite, profile["x"].missing, profile["x"].max) == (2, 1, 1.5)


@pytest.mark.parametrize(
    ("uri", "bare"),
    [
        ("postgresql://me:p%40ss@host:5433/shop#sales.orders", "postgresql://me@host:5433/shop#sales.orders"),
        ("postgres://me:secret@host#t", "postgres://me@host#t"),
        ("postgresql://host/shop?password=secret&sslmode=require#t", "postgresql://host/shop?sslmode=require#t"),
        ("postgresql://me@host/shop#t", "postgresql://me@host/shop#t"),
        ("sqlite:///shop.db#t", "sqlite:///shop.db#t"),
        ("s3://bucket/a:b@c.csv", "s3://bucket/a:b@c.csv"),
    ],
)
def test_a_uri_can_be_written_down_without_its_password(uri: str, bare: str) -> None:
    assert without_password(uri) == bare
