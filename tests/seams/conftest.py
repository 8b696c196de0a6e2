"""The stores that the conformance suites run on: SQLite and PostgreSQL, a folder and an object store."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Generator[str]:
    """A private PostgreSQL server on a free port, with a superuser `penstock` and no password."""
    initdb = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    programs = Path(initdb).parent
    folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-"))
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    try:

        def run(*words: object) -> None:
            command = [str(word) for word in words]
            subprocess.run(command, user=user, check=True, capture_output=True, cwd=folder, env={"LC_ALL": "C.UTF-8"})

        run(programs / "initdb", "-D", data, "-U", "penstock", "--auth=trust", "-E", "UTF8", "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://penstock@127.0.0.1:{port}"
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, home: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{home / 'penstock.db'}"
    import psycopg

    server = str(request.getfixturevalue("postgres_url"))
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{server}/{name}"


@pytest.fixture(params=["folder", "file-uri", "memory"])
def artifacts_uri(request: pytest.FixtureRequest, home: Path) -> str:
    """An empty place for artifacts of each kind."""
    match request.param:
        case "folder":
            return str(home / "artifacts")
        case "file-uri":
            return (home / "arti facts").as_uri()
        case _:
            return f"memory://{uuid.uuid4().hex}/artifacts"
