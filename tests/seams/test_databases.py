"""What every database must do that can be the metadata store."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from penstock.errors import StoreError
from penstock.settings import Settings
from penstock.store.database import Database, open_database
from penstock.store.tables import metadata, models


@pytest.fixture
def database(settings: Settings, database_url: str) -> Generator[Database]:
    with open_database(replace(settings, database_url=database_url)) as opened:
        yield opened


ROW = {
    "project": "local",
    "name": "m",
    "description": "été 🏠 \u2028",
    "labels": {"a": "é"},
    "regions": ["r"],
    "logging": True,
    "console_logging": False,
    "next_number": 1,
    "created": datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC),
}


def insert(database: Database, **values: object) -> None:
    with database.write("registry") as connection:
        connection.execute(models.insert().values({**ROW, **values}))


def test_values_come_back_as_they_went_in(database: Database) -> None:
    insert(database)
    with database.read() as connection:
        row = connection.execute(models.select()).one()
    assert {name: getattr(row, name) for name in ROW} == ROW
    assert row.default_number is None


def test_a_failed_write_changes_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write("registry") as connection:
            connection.execute(models.insert().values(ROW))
            raise ZeroDivisionError

    before = database.revision("registry")
    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with database.read() as connection:
        assert connection.execute(models.select()).all() == []
    assert database.revision("registry") == before


def test_names_are_unique_in_either_case(database: Database) -> None:
    insert(database)
    with pytest.raises(IntegrityError):
        insert(database, name="M")
    insert(database, project="other")


def test_every_write_raises_the_revision_by_one(database: Database) -> None:
    before = database.revision("registry")
    insert(database)
    assert database.revision("registry") == before + 1


def test_writers_wait_for_each_other(database: Database) -> None:
    order: list[str] = []
    inside = threading.Event()

    def slow() -> None:
        with database.write("registry"):
            inside.set()
            time.sleep(0.2)
            order.append("first")

    def quick() -> None:
        inside.wait()
        with database.write("registry"):
            order.append("second")

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    insert(database)
    with database.write("registry") as connection:
        connection.execute(models.delete())
        started = time.monotonic()
        with database.read() as other:
            assert len(other.execute(models.select()).all()) == 1, "what is not committed is not seen"
        assert time.monotonic() - started < 5


def test_opening_again_changes_nothing(settings: Settings, database_url: str, database: Database) -> None:
    insert(database)
    with open_database(replace(settings, database_url=database_url)) as again, again.read() as connection:
        assert len(connection.execute(models.select()).all()) == 1


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_the_tables_that_the_code_declares(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_store_of_a_newer_penstock_is_refused(settings: Settings, database_url: str, database: Database) -> None:
    with database.write("registry") as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"written by a newer Penstock \(schema 9999.*upgrade Penstock"):
        open_database(replace(settings, database_url=database_url))


def test_processes_that_open_a_new_store_at_once_all_find_it_whole(database_url: str) -> None:
    words = [
        sys.executable,
        "-c",
        "from penstock.settings import load_settings\n"
        "from penstock.store.database import open_database\n"
        "print(open_database(load_settings()).revision('registry'))",
    ]
    workers = [
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PENSTOCK_DATABASE_URL": database_url},
        )
        for _ in range(3)
    ]
    assert [worker.communicate() for worker in workers] == [("0\n", "")] * 3


def test_the_password_of_a_store_is_not_shown(settings: Settings) -> None:
    url = "postgresql://penstock:secret@127.0.0.1:9/nowhere"
    with pytest.raises(StoreError) as caught:
        open_database(replace(settings, database_url=url))
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
