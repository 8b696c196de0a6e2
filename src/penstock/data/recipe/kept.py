"""Prepared rows that the engine keeps for itself: held while something reads them, and removed when many are kept.

A folder's mark, a hidden file beside it, is locked (shared) for as long as the folder is in use, and says by its time
when that was last. Of the rest the ones used last stay, within bounds of number and size.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from penstock.data.recipe.staging import is_free, stagings_in
from penstock.errors import DataError

__all__ = ["MOST_FOLDERS", "hold", "making", "remove_old"]

MOST_FOLDERS = 10
_MOST_OF_DISK = 0.1
_MOST_IDLE_STAGING_S = 7 * 24 * 3600
"""A preparation that was stopped and not gone on with for so long is given up."""

_MARK = ".used"
_REMOVED = ".old-"


@contextmanager
def hold(folder: Path) -> Generator[None]:
    """Keeps the folder, which need not exist yet, from being removed. Raises DataError if nothing can be written."""
    with _locked(_beside(folder, _MARK), fcntl.LOCK_SH) as mark:
        os.utime(mark.fileno())
        yield


@contextmanager
def making(folder: Path) -> Generator[None]:
    """One process at a time makes what is in the folder; the others wait, and find it made."""
    with _locked(_beside(folder, ".making"), fcntl.LOCK_EX):
        yield


def remove_old(parent: Path, *, most_folders: int = MOST_FOLDERS, most_bytes: int | None = None) -> None:
    """Removes folders of rows in `parent` beyond the bounds, least recently used first, but none that is in use.

    most_bytes: of all together; by default a tenth of the disk.
    """
    if most_bytes is None:
        most_bytes = int(_MOST_OF_DISK * shutil.disk_usage(parent).total)
    folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    kept = size_bytes = 0
    for folder in sorted(folders, key=_last_use, reverse=True):
        own_bytes = _size_bytes(folder)
        if kept < most_folders and size_bytes + own_bytes <= most_bytes:
            kept += 1
        elif _remove(folder):
            continue
        size_bytes += own_bytes
    for path in parent.glob(f".*{_REMOVED}*"):  # of a removal that was killed
        shutil.rmtree(path, ignore_errors=True)
    for path in stagings_in(parent):
        if time.time() - path.stat().st_mtime > _MOST_IDLE_STAGING_S and is_free(path):
            shutil.rmtree(path, ignore_errors=True)


def _remove(folder: Path) -> bool:
    """Whether it could be removed: nobody uses it."""
    mark = _beside(folder, _MARK)
    with mark.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # Under its name it is whole or not at all.
        aside = _beside(folder, f"{_REMOVED}{secrets.token_hex(4)}")
        folder.rename(aside)
        mark.unlink(missing_ok=True)
        _beside(folder, ".making").unlink(missing_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    return True


@contextmanager
def _locked(path: Path, operation: int) -> Generator[IO[str]]:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise DataError(f"cannot write to {path.parent}: {error.strerror or error}") from error
        with file:
            fcntl.flock(file, operation)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return
        # It was removed while we waited for it.


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}{suffix}")


def _last_use(folder: Path) -> float:
    mark = _beside(folder, _MARK)
    return (mark if mark.exists() else folder).stat().st_mtime


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
