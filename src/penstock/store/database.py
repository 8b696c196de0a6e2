"""Opens the metadata store: SQLite or PostgreSQL, its tables brought up to date, its failures in Penstock's words."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError

from penstock.errors import MissingExtraError, PenstockError, StoreError, UsageError
from penstock.settings import Settings
from penstock.store.revisions import NEWEST_REVISION, REVISIONS
from penstock.store.tables import revisions

__all__ = ["Database", "open_database"]

BUSY_TIMEOUT_S = 60
"""How long a writer waits for another one."""

_SQLITE = "sqlite:///"

_MIGRATION_LOCK = 0x70656E73746F636B  # "penstock", a key for PostgreSQL's advisory locks


class Database:
    """The metadata store of one process; threads may share it. Open it with `open_database`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.place = engine.url.render_as_string(hide_password=True)
        self.dialect = engine.dialect.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A transaction that sees one state of the store. Raises StoreError."""
        with _mapped(self.place), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self, subject: str) -> Generator[Connection]:
        """A transaction that changes a subject; until it ends, no other changes it. An exception undoes it.

        subject: a row of the table `revisions`, whose count goes up. Raises StoreError.
        """
        with _mapped(self.place), self._engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin="IMMEDIATE")
            with connection.begin():
                connection.execute(
                    revisions.update().where(revisions.c.subject == subject).values(value=revisions.c.value + 1)
                )
                yield connection

    def revision(self, subject: str) -> int:
        """How often the subject has changed: one small query, for those who watch for changes. Raises StoreError."""
        with self.read() as connection:
            return int(connection.execute(select(revisions.c.value).where(revisions.c.subject == subject)).scalar_one())

    def close(self) -> None:
        self._engine.dispose()


def open_database(settings: Settings) -> Database:
    """The store at `settings.database_url`, made or migrated when needed.

    Raises UsageError for a URL that cannot be used, StoreError when the store cannot be opened or was written by a
    newer Penstock, MissingExtraError for PostgreSQL without its driver.
    """
    url = _url_of(settings.database_url)
    engine = _engine_of(url)
    try:
        with _mapped(url.render_as_string(hide_password=True)):
            if _stored_revision(engine, url) != NEWEST_REVISION:
                _migrate(engine, url)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def _url_of(text_of_url: str) -> URL:
    if text_of_url.startswith(_SQLITE) and (file := text_of_url.removeprefix(_SQLITE)) not in ("", ":memory:"):
        return URL.create("sqlite", database=file)  # taken as it is: a home may be called `what?`
    try:
        url = make_url(text_of_url)
    except ArgumentError as error:
        raise UsageError(
            f"PENSTOCK_DATABASE_URL is {text_of_url!r}; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from error
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        raise UsageError(
            f"PENSTOCK_DATABASE_URL is {text_of_url!r}; expected sqlite:///FILE: a store in memory cannot be shared"
        )
    raise UsageError(
        f"PENSTOCK_DATABASE_URL names {url.get_backend_name()!r}; Penstock keeps its metadata in sqlite or postgresql"
    )


def _engine_of(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "postgresql":
            return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        file = Path(url.database or "")
        if file.exists() and not os.access(file.parent, os.W_OK):
            # Not kept open: without a shared memory file, a connection does not notice what another host writes.
            engine = create_engine(url, creator=partial(_open_read_only, file), poolclass=NullPool)
        else:
            engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    except ImportError as error:
        raise MissingExtraError("postgres", "keeping the metadata in PostgreSQL") from error
    except NoSuchModuleError as error:
        raise UsageError(f"PENSTOCK_DATABASE_URL names an unknown driver: {error}") from error
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_read_only(file: Path) -> sqlite3.Connection:
    """SQLite's way into a store on a read-only volume, where it cannot make the files that go with its log."""
    # A log that is not empty must be read too, and is when the files that go with it are there.
    log = file.with_name(f"{file.name}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"file:{quote(str(file))}?{mode}", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # sqlite3 would begin transactions by itself, late and without a lock; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")


def _stored_revision(engine: Engine, url: URL) -> str | None:
    """The migration that the store is at, None for a store without tables. Raises StoreError for a newer one."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None
    with engine.begin() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in REVISIONS:
        raise StoreError(
            f"the metadata store {url.render_as_string(hide_password=True)} was written by a newer Penstock "
            f"(schema {found}; this one knows up to {NEWEST_REVISION}); upgrade Penstock, or use another PENSTOCK_HOME"
        )
    return None if found is None else str(found)


def _migrate(engine: Engine, url: URL) -> None:
    if url.get_backend_name() == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            _upgrade(connection)
        return
    file = Path(url.database or "")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f"{file.name}.migration-lock").open("w")
    except OSError as error:
        raise StoreError(f"cannot make the metadata store {file}: {error.strerror or error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            # Kept in the file from then on. Must be set outside a transaction, and by one process at a time.
            connection.connection.dbapi_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr]
            connection = connection.execution_options(sqlite_begin="IMMEDIATE")
            with connection.begin():
                _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    # A server logs to people; which plugins Alembic sets up is not for them.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _mapped(place: str) -> Generator[None]:
    """Maps what the database says. IntegrityError passes: only the caller knows which name is taken."""
    try:
        yield
    except (PenstockError, IntegrityError):
        raise
    except DBAPIError as error:
        reason = str(error.orig).strip()
        if "database is locked" in reason:
            reason = f"another process has been writing to it for {BUSY_TIMEOUT_S} s"
        elif "disk I/O error" in reason:
            reason += "; SQLite says so when the disk is full, too"
        verb = "open" if isinstance(error, OperationalError) and "unable to open" in reason else "use"
        raise StoreError(f"cannot {verb} the metadata store {place}: {reason}") from error
