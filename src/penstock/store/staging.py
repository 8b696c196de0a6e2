"""A folder written under a temporary name and made visible whole, or not at all, whatever kills the writer."""

import errno
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.errors import AlreadyExistsError, StoreError
from penstock.store import blobs
from penstock.store.owner import fate_of, this_process

__all__ = ["ABANDONED_AFTER_S", "StagedFolder", "sweep_abandoned"]

ABANDONED_AFTER_S = 24 * 3600.0
"""Age at which a staging folder counts as abandoned when its writer ran on another host."""

_MARK = ".partial-"


class StagedFolder:
    """A local folder to write into, to be published at `target_uri`.

    Local target: the staging folder is its hidden sibling; publishing syncs every file to disk and renames, which is
    atomic. Remote target: the staging folder lies in the system's temporary folder; publishing uploads the files and,
    after all of them, the one called `last`: a remote folder without it is to be taken as absent.

    Used as a context manager, it deletes the staging folder on leaving, unless it was published. What a killed writer
    leaves is deleted by the next one that stages in the same place.
    """

    def __init__(self, target_uri: str, *, last: str) -> None:
        self.target_uri = target_uri.rstrip("/")
        self._last = last
        self._published = False
        if blobs.is_local(target_uri):
            target = blobs.local_path(self.target_uri)
            parent, name = target.parent, target.name
        else:
            parent, name = Path(tempfile.gettempdir()), "penstock-upload"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            sweep_abandoned(parent)
            # The name must also fit file systems whose names are at most 255 bytes.
            self.path = parent / f".{name[:60]}{_MARK}{this_process()}-{secrets.token_hex(4)}"
            self.path.mkdir()
        except OSError as error:
            raise StoreError(f"cannot write to {parent}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._published:
            shutil.rmtree(self.path, ignore_errors=True)

    def publish(self, *, progress: blobs.Progress | None = None) -> None:
        """Makes the folder visible at its target. Raises AlreadyExistsError when something is there already."""
        if blobs.is_local(self.target_uri):
            self._rename(blobs.local_path(self.target_uri))
        else:
            self._upload(progress)
        self._published = True

    def _rename(self, target: Path) -> None:
        taken = AlreadyExistsError(f"{target} is there already; choose another name or delete it first")
        if target.exists() or target.is_symlink():
            raise taken
        try:
            for folder, _, files in os.walk(self.path, topdown=False):
                for file in files:
                    _sync(Path(folder) / file)
                _sync(Path(folder))
            self.path.rename(target)
            _sync(target.parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise taken from error  # made since the check above
            raise StoreError(f"cannot publish {target}: {error.strerror or error}") from error

    def _upload(self, progress: blobs.Progress | None) -> None:
        system, base = blobs.file_system(self.target_uri)
        if blobs.exists(blobs.join(self.target_uri, self._last)):
            raise AlreadyExistsError(f"{self.target_uri} is there already; choose another name or delete it first")
        names = sorted(blobs.list_files(str(self.path)), key=lambda name: (name == self._last, name))
        for name in names:
            try:
                with (self.path / name).open("rb") as source, system.open(f"{base}/{name}", "wb") as target:
                    while chunk := source.read(blobs.CHUNK_BYTES):
                        target.write(chunk)
                        if progress:
                            progress(len(chunk))
            except Exception as error:
                raise StoreError(f"cannot upload {name} to {self.target_uri}: {error}") from error
        shutil.rmtree(self.path, ignore_errors=True)


def sweep_abandoned(parent: Path) -> list[Path]:
    """Deletes the staging folders in `parent` whose writers are gone, and returns them."""
    swept = []
    for folder in parent.glob(f".*{_MARK}*"):
        owner = folder.name.rpartition(_MARK)[2].rpartition("-")[0]
        fate = fate_of(owner)
        if fate == "gone" or (fate == "unknown" and _age_s(folder) > ABANDONED_AFTER_S):
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept


def _age_s(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
