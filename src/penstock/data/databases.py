"""A table of a PostgreSQL or SQLite database as a file of JSON lines in the workspace, streamed row by row.

The URI is the database's with the table behind `#`: `sqlite:///shop.db#orders`, `postgresql://me@host/shop#sales.orders`.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from penstock.errors import DataError, MissingExtraError, NotFoundError, UsageError, did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Select

__all__ = ["copy_database_table", "is_database", "starting_from", "without_password"]

_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_BATCH_ROWS = 5_000


def is_database(uri: str) -> bool:
    return uri.partition("://")[0] in _SCHEMES


def without_password(uri: str) -> str:
    """The URI of a table as it may be written into a file; any other name of a table as it is."""
    if not is_database(uri) or uri.startswith("sqlite:"):
        return uri
    from sqlalchemy import URL

    address, separator, fragment = uri.partition("#")
    url = _url(address)
    query = {key: value for key, value in url.query.items() if key != "password"}
    if url.password is None and len(query) == len(url.query):
        return uri
    bare = URL.create(
        address.partition("://")[0],
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=query,
    )
    return f"{bare.render_as_string()}{separator}{fragment}"


def starting_from(folder: Path, name: str) -> str:
    """A table's name with the relative path in it starting from a folder, a SQLite file's as well; a URI as it is."""
    scheme, separator, path = name.partition(":///")
    if separator and scheme == "sqlite":
        return f"sqlite:///{folder / Path(path).expanduser()}"
    return name if "://" in name else str(folder / Path(name).expanduser())


def copy_database_table(uri: str, target: Path) -> str:
    """Writes all rows of the table to `target`, one JSON object each. Returns the URI without its password.

    Names go through SQLAlchemy's quoting, the database is only read. Raises NotFoundError where there is no such
    database or table, DataError where it cannot be read or holds no rows.
    """
    address, _, fragment = uri.partition("#")
    url = _url(address)
    is_file = url.drivername == "sqlite"
    shown = address if is_file else url.set(drivername=address.partition("://")[0]).render_as_string(hide_password=True)
    with _connected(url, shown) as connection:
        schema, table = _find_table(connection, unquote(fragment), shown)
        rows = _write_rows(connection, schema, table, target)
    name = f"{shown}#{fragment}"
    if not rows:
        raise DataError(f"{name} is empty: the table has no row")
    return name


def _url(address: str) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    scheme, _, rest = address.partition("://")
    try:
        url = make_url(f"{_SCHEMES[scheme]}://{rest}")
    except (ArgumentError, ValueError):
        raise UsageError(
            f"this {scheme}:// URI cannot be read; expected sqlite:///FILE#TABLE or "
            "postgresql://USER@HOST:PORT/DATABASE#TABLE"
        ) from None
    if url.drivername != "sqlite":
        return url
    if not url.database or not Path(url.database).expanduser().is_file():
        raise NotFoundError(f"there is no SQLite file {url.database}")
    path = Path(url.database).expanduser().absolute()
    return url.set(database=f"{path.as_uri()}?mode=ro", query={"uri": "true"})


@contextmanager
def _connected(url: "URL", shown: str) -> "Iterator[Connection]":
    """A connection that only reads. The driver's messages are cut to a line, and never hold the password."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(url)
    except ModuleNotFoundError as error:
        raise MissingExtraError("postgres", f"reading {shown}") from error
    try:
        with engine.connect() as connection:
            if url.drivername != "sqlite":
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise DataError(f"cannot read {shown}: {reason}") from None
    finally:
        engine.dispose()


def _find_table(connection: "Connection", wanted: str, shown: str) -> tuple[str | None, str]:
    """Schema, None for the usual one, and name of a table or view. A dot parts them, unless it is in the name."""
    from sqlalchemy import inspect

    inspector = inspect(connection)
    known = [*inspector.get_table_names(), *inspector.get_view_names()]
    if wanted in known:
        return None, wanted
    schema, dot, table = wanted.partition(".")
    if dot and schema in inspector.get_schema_names():
        known = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        if table in known:
            return schema, table
        known = [f"{schema}.{name}" for name in known]
    listed = ", ".join(sorted(known)[:20]) or "none"
    if not wanted:
        raise UsageError(f"{shown} names no table; put one behind #, as in {shown}#TABLE; it has {listed}")
    raise NotFoundError(f"there is no table {wanted!r} in {shown}; it has {listed}{did_you_mean(wanted, known)}")


def _write_rows(connection: "Connection", schema: str | None, table: str, target: Path) -> int:
    from sqlalchemy import literal_column, select
    from sqlalchemy import table as named_table

    query: Select[Any] = select(literal_column("*")).select_from(named_table(table, schema=schema))
    result = connection.execution_options(stream_results=True, yield_per=_BATCH_ROWS).execute(query)
    names = list(result.keys())
    rows = 0
    with target.open("w", encoding="utf-8") as lines:
        for batch in result.partitions():
            for row in batch:
                values = dict(zip(names, map(_plain, row), strict=True))
                lines.write(json.dumps(values, ensure_ascii=False) + "\n")
            rows += len(batch)
    return rows


def _plain(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601 in UTC, bytes in hexadecimal, what is nested as its JSON text.

    Infinities stay: DuckDB reads them as Python writes them, though JSON has none.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return None if math.isnan(value) else value
        case Decimal() if not value.is_finite():
            return _plain(float(value))
        case Decimal():
            return _plain(float(value)) if value != value.to_integral_value() else int(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | memoryview():
            return bytes(value).hex()
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)
