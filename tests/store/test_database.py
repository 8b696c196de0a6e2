"""Opening the metadata store: addresses, speed, SQLite's ways, and places that refuse."""

import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from penstock.errors import MissingExtraError, StoreError, UsageError
from penstock.settings import Settings
from penstock.store import database as database_module
from penstock.store import revisions
from penstock.store.database import Database, open_database


@pytest.fixture
def database(settings: Settings) -> Generator[Database]:
    with open_database(settings) as opened:
        yield opened


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "expected sqlite:///FILE or postgresql://"),
        ("mysql://host/db", "names 'mysql'; Penstock keeps its metadata in sqlite or postgresql"),
        ("sqlite://", "expected sqlite:///FILE: a store in memory cannot be shared"),
        ("sqlite:///", "expected sqlite:///FILE"),
        ("sqlite:///:memory:", "expected sqlite:///FILE"),
    ],
)
def test_an_address_that_cannot_be_used_is_misuse(settings: Settings, url: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        open_database(replace(settings, database_url=url))


def test_postgresql_without_its_driver_names_the_extra(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'penstock\[postgres\]'"):
        open_database(replace(settings, database_url="postgresql://host/db"))


def test_the_list_of_migrations_is_that_of_the_scripts() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).with_name("migrations")))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert tuple(script.revision for script in reversed(scripts)) == revisions.REVISIONS


def test_an_up_to_date_store_opens_without_alembic(settings: Settings, database: Database) -> None:
    code = (
        "import sys; from penstock.settings import load_settings; from penstock.store.database import open_database\n"
        "open_database(load_settings()).revision('registry'); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_sqlite_is_set_up_to_survive(settings: Settings, database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2, "FULL"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 60_000


def test_a_migration_that_fails_leaves_the_store_as_it_was(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command

    real = command.upgrade

    def fail_at_the_end(*args: object, **options: object) -> None:
        real(*args, **options)  # type: ignore[arg-type]
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", fail_at_the_end)
        with pytest.raises(RuntimeError):
            open_database(settings)
    with closing(sqlite3.connect(settings.home / "penstock.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    with open_database(settings) as database:
        assert database.revision("registry") == 0


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 2000])
def test_a_file_that_is_no_database_is_said_to_be_none(settings: Settings, content: bytes) -> None:
    settings.home.mkdir()
    (settings.home / "penstock.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"metadata store .*penstock\.db: .*(not a database|malformed)"):
        open_database(settings)
    assert (settings.home / "penstock.db").read_bytes() == content


def test_a_home_that_is_a_file_is_said_to_be_one(settings: Settings) -> None:
    settings.home.write_text("in the way")
    with pytest.raises(StoreError, match="cannot make the metadata store"):
        open_database(settings)


def test_an_empty_file_becomes_a_store(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "penstock.db").touch()
    with open_database(settings) as database:
        assert database.revision("registry") == 0
