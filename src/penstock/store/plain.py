"""The metadata store by plain SQL: Python's own sqlite3 where the store is a SQLite file, SQLAlchemy elsewhere.

SQLAlchemy takes 0.6 s and 25 MB to import: too much for a supervisor that waits in a queue, or between a command and
the first line of the job that it starts. What is written here is what both databases understand.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from penstock.errors import StoreError
from penstock.settings import Settings
from penstock.store.revisions import NEWEST_REVISION

__all__ = ["PlainStore", "Transaction", "open_plain_store"]

BUSY_TIMEOUT_S = 60.0

_SQLITE = "sqlite:///"
_TAKE_TURN = "UPDATE revisions SET value = value + 1 WHERE subject = :subject"


class Transaction(Protocol):
    """Statements that happen together or not at all; values are named `:name` in the SQL."""

    def rows(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:
        """The rows that a query answers with."""

    def change(self, sql: str, /, **values: Any) -> int:
        """Runs a statement; returns how many rows it touched."""


class PlainStore(Protocol):
    """An open store. Not for threads: each opens its own."""

    def rows(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:
        """The rows that a query by itself answers with. Raises StoreError."""

    def write(self, subject: str) -> Any:
        """A context of a Transaction that changes a subject: writers of a subject come one after another."""

    def close(self) -> None: ...


def open_plain_store(settings: Settings) -> PlainStore:
    """The store at `settings.database_url`, made or migrated when needed. Raises as `open_database` does."""
    url = settings.database_url
    file = Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) and "?" not in url else None
    if file is not None and _is_current(file):
        return _SqliteStore(file)
    from penstock.store.database import open_database

    database = open_database(settings)
    if file is None:
        return _AlchemyStore(database)
    database.close()
    return _SqliteStore(file)


class _SqliteStore:
    def __init__(self, file: Path) -> None:
        self._place = f"{_SQLITE}{file}"
        with self._mapped():
            self._connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.execute("PRAGMA synchronous = FULL")

    def rows(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:
        with self._mapped():
            return [dict(row) for row in self._connection.execute(sql, values)]

    def change(self, sql: str, /, **values: Any) -> int:
        return self._connection.execute(sql, values).rowcount

    @contextmanager
    def write(self, subject: str) -> Generator[Transaction]:
        with self._mapped():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self.change(_TAKE_TURN, subject=subject)
                yield self
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _mapped(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"cannot use the metadata store {self._place}: {error}") from error


class _AlchemyTransaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:
        from sqlalchemy import text

        return [dict(row) for row in self._connection.execute(text(sql), values).mappings()]

    def change(self, sql: str, /, **values: Any) -> int:
        from sqlalchemy import text

        return int(self._connection.execute(text(sql), values).rowcount)


class _AlchemyStore:
    def __init__(self, database: Any) -> None:
        self._database = database

    def rows(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:
        with self._database.read() as connection:
            return _AlchemyTransaction(connection).rows(sql, **values)

    @contextmanager
    def write(self, subject: str) -> Generator[Transaction]:
        with self._database.write(subject) as connection:
            yield _AlchemyTransaction(connection)

    def close(self) -> None:
        self._database.close()


def _is_current(file: Path) -> bool:
    """Whether the file is a store that the newest migration has seen; anything doubtful is left to `open_database`."""
    if not file.is_file():
        return False
    try:
        connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S)
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return found is not None and found[0] == NEWEST_REVISION
