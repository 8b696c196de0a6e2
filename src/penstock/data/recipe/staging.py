"""Where a preparation keeps what it has done until all is done: beside the output, hidden, locked, and found again.

A run that ends early for whatever reason leaves its finished pieces and measured statistics; the next run of the same
recipe on the same data goes on from there. Nothing is ever under the output's own name but the whole.
"""

import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from penstock.data.recipe.statistics import Statistic, Statistics, StatisticValue
from penstock.errors import DataError, PreconditionError
from penstock.store.blobs import replace_file

__all__ = ["Staging", "is_free", "open_staging", "stagings_in"]

_MARK = ".preparing-"


class _State(msgspec.Struct):
    """pieces: rows written by each finished piece. statistics: of each step, by its number."""

    pieces: dict[str, int] = {}
    statistics: dict[str, list[tuple[Statistic, StatisticValue]]] = {}


class Staging:
    """A folder of its own for one recipe on one set of data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = path / "parts"
        self._file = path / "state.json"
        self._state = self._read()
        self.parts.mkdir(exist_ok=True)

    def rows_of(self, piece: int) -> int | None:
        """How many rows a piece wrote, None if it is not done."""
        return self._state.pieces.get(str(piece))

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return sum(self._state.pieces.values())

    def statistics_of(self, step: int) -> Statistics | None:
        """What was measured for a step, None if nothing was."""
        found = self._state.statistics.get(str(step))
        return None if found is None else dict(found)

    def keep_statistics(self, step: int, statistics: Statistics) -> None:
        self._state.statistics[str(step)] = list(statistics.items())
        self._write()

    @contextmanager
    def piece(self, number: int) -> Iterator[Path]:
        """An empty folder to write a piece into; removed if writing it fails."""
        folder = self.path / f"piece-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def finish_piece(self, number: int, rows: int) -> None:
        """Takes the files of a piece among the parts, under names of its own, and notes that it is done."""
        folder = self.path / f"piece-{number}"
        for earlier in self.parts.rglob(f"piece-{number:05}-*"):
            earlier.unlink()
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = self.parts / file.relative_to(folder).parent / f"piece-{number:05}-{file.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            sync(file)
            file.rename(target)
        shutil.rmtree(folder)
        self._state.pieces[str(number)] = rows
        self._write()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _read(self) -> _State:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            # Nothing that is noted is lost by doing it again.
            return _State()

    def _write(self) -> None:
        replace_file(self._file, msgspec.json.encode(self._state))


@contextmanager
def open_staging(folder: Path, name: str, digest: str) -> Iterator[Staging]:
    """The staging folder in `folder` for an output of that name, locked while it is open.

    Those of other recipes for the same output are removed. Raises PreconditionError if another process prepares the
    same output now, DataError if nothing can be written there.
    """
    path = folder / f".{name[:60]}{_MARK}{digest[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror or error}") from error
    with lock:
        _take(lock, path)
        for other in stagings_in(folder, name):
            if other != path and is_free(other):
                shutil.rmtree(other, ignore_errors=True)
        yield Staging(path)


def stagings_in(folder: Path, name: str | None = None) -> list[Path]:
    """The staging folders in a folder, of the output of that name or of all."""
    begin = "" if name is None else glob.escape(f".{name[:60]}")
    return list(folder.glob(f"{begin or '.*'}{_MARK}*"))


def is_free(path: Path) -> bool:
    """Whether no process works in this staging folder."""
    try:
        with (path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sync(path: Path) -> None:
    """Has the system write what it holds back."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(lock: Any, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise PreconditionError(f"another process prepares this output now (it holds {path}); wait for it") from error
