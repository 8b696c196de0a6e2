"""The journey as a user takes it: the installed command, a server process, HTTP."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

Penstock = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands."""
    path = tmp_path / "a folder"
    path.mkdir()
    return path


@pytest.fixture
def penstock(folder: Path) -> Penstock:
    """Runs the command; `status` is what it is to exit with."""

    def run(*words: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "penstock.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=1200)
        assert done.returncode == status, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def server(folder: Path) -> Generator[str]:
    """A prediction server over this test's registry; its address."""
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", "0"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, env=os.environ)
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            found = re.search(r"http://\S+", line)
            assert found, f"no ready line: {line!r} {(folder / 'server.log').read_text()}"
            yield found.group()
        finally:
            process.terminate()
            process.wait(timeout=20)
            assert process.stdout is not None
            process.stdout.close()
