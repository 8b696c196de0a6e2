"""DuckDB as this product runs it: bounded memory, no extensions from the net, and only the files it was given."""

import os
import re
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from penstock.errors import DataError, PenstockError
from penstock.settings import Settings

__all__ = ["Workspace", "connect", "mapped_errors", "quote_name", "quote_text", "run_with_progress"]

_POLL_S = 0.2
_OWNER_PATTERN = re.compile(r"(\d+)-[0-9a-f]{12}")


class Workspace:
    """A folder for one table's or pipeline's temporary files, `HOME/tmp/<pid>-<random>`; gone when closed or collected.

    Folders of processes that no longer run are removed when the next workspace is made.
    """

    def __init__(self, settings: Settings) -> None:
        parent = settings.home / "tmp"
        self.path = parent / f"{os.getpid()}-{secrets.token_hex(6)}"
        _remove_orphans(parent)
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def folder(self) -> Path:
        """The folder, made on first use. Raises DataError where it cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot make the folder {self.path} for temporary files: {error.strerror}") from error
        return self.path

    def close(self) -> None:
        self._finalizer()


def connect(
    settings: Settings,
    *,
    readable: Iterable[Path | str] = (),
    writable: Iterable[Path | str] = (),
    temporary: Path,
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that sees the `readable` files, the `writable` folders and its own `temporary` one.

    Memory and threads are bounded by the settings; above the bound operators spill into `temporary`. Everything else of
    the machine (files, network, extensions, its own configuration) is closed to the SQL it runs.
    """
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "memory_limit": f"{settings.memory_limit_mb}MB",
            "threads": settings.threads,
            "temp_directory": str(temporary),
        }
    )
    folders = [str(Path(folder).absolute()) + os.sep for folder in (temporary, *writable)]
    connection.execute(f"SET allowed_paths = {_quote_list(str(path) for path in readable)}")
    connection.execute(f"SET allowed_directories = {_quote_list(folders)}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET enable_progress_bar_print = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def run_with_progress(
    connection: duckdb.DuckDBPyConnection, query: str, *, report: Callable[[float | None], None] | None
) -> tuple[Any, ...] | None:
    """The first row of a query. report: called about five times a second with the share done, None where unknown."""
    if report is None:
        return connection.execute(query).fetchone()
    is_done = threading.Event()

    def watch() -> None:
        while not is_done.wait(_POLL_S):
            percent = connection.query_progress()
            report(percent / 100 if percent >= 0 else None)

    watcher = threading.Thread(target=watch, name="query-progress", daemon=True)
    watcher.start()
    try:
        return connection.execute(query).fetchone()
    finally:
        is_done.set()
        watcher.join()


def quote_name(name: str) -> str:
    """A column name as SQL.

    >>> print(quote_name('an "odd" name'))
    "an ""odd"" name"
    """
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A string literal as SQL. NUL cannot be part of one, and of no cell of a file DuckDB reads.

    >>> quote_text("it's")
    "'it''s'"
    """
    if "\0" in text:
        raise DataError(f"{text!r} holds a NUL character, which no text in a table can")
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def mapped_errors(doing: str) -> Generator[None]:
    """Turns DuckDB's exceptions into DataError. doing: what was being done, to begin the message with."""
    try:
        yield
    except PenstockError:
        raise
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        if "interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"{doing}: the memory or disk given is not enough ({_first_line(error)}); "
            "raise PENSTOCK_MEMORY_LIMIT_MB, or free disk space under PENSTOCK_HOME"
        ) from error
    except duckdb.IOException as error:
        raise DataError(f"{doing}: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise DataError(f"{doing}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return re.sub(r"^[A-Z][\w ]+ Error: ", "", str(error).strip().split("\n")[0])


def _quote_list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(quote_text(text) for text in texts) + "]"


def _remove_orphans(parent: Path) -> None:
    if not parent.is_dir():
        return
    for folder in parent.iterdir():
        owner = _OWNER_PATTERN.fullmatch(folder.name)
        if owner and not _is_running(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
