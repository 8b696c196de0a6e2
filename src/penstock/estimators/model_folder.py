"""A model folder, on this machine or at a URI: remote ones are worked on in a copy and brought back after each save."""

import shutil
import tempfile
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from penstock.errors import UsageError
from penstock.store import blobs
from penstock.store.folder_lock import FolderLock, lock_folder

__all__ = ["ModelFolder"]

_DESCRIPTION = ".json"


class ModelFolder:
    """Where checkpoints, summaries and exports of one training are kept.

    place: a path, or a URI such as `gs://bucket/run`. path: the folder on this machine to read and write.
    """

    def __init__(self, place: str | Path) -> None:
        self._sent: dict[str, tuple[int, int]] = {}
        self._lock: FolderLock | None = None
        if blobs.is_local(str(place)):
            self.uri = None
            self.path = blobs.local_path(str(Path(place).expanduser()) if "://" not in str(place) else str(place))
            if self.path.exists() and not self.path.is_dir():
                raise UsageError(f"model_dir {str(self.path)!r} is a file; expected a folder")
            return
        self.uri = str(place).rstrip("/")
        self.path = Path(tempfile.mkdtemp(prefix="penstock-model-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._fetch()

    @property
    def place(self) -> str:
        """The folder as users name it."""
        return self.uri or str(self.path)

    @contextmanager
    def held(self) -> Generator[None]:
        """Nobody else trains here meanwhile. Raises PreconditionError naming the process that does already."""
        with lock_folder(self.place, doing="is being trained in") as self._lock:
            try:
                self._fetch()  # what its last holder left since this object was made
                yield
            finally:
                self._lock = None

    def bring_back(self) -> None:
        """Writes what is new since the last time to the URI and removes there what is gone here. Local: nothing to do.

        A checkpoint's description goes after its arrays: where it is, the checkpoint is whole.
        """
        if self.uri is None:
            return
        if self._lock is not None:
            self._lock.check()
        files = self._files()
        changed = [name for name in files if files[name] != self._sent.get(name)]
        for name in sorted(changed, key=lambda name: (name.endswith(_DESCRIPTION), name)):
            blobs.write_bytes(self.uri, name, (self.path / name).read_bytes())
        for name in self._sent.keys() - files.keys():
            blobs.remove_folder(blobs.join(self.uri, name), under=self.uri)
        self._sent = files

    def _fetch(self) -> None:
        """Copies what is at the URI and was not seen there yet."""
        if self.uri is None or not blobs.exists(self.uri):
            return
        for name in blobs.list_files(self.uri):
            if name not in self._sent and not name.startswith(("export/", ".")):
                blobs.copy_to_local(self.uri, name, self.path / name)
        self._sent = self._files()

    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of each file, by its path in the folder; temporary ones left out."""
        found = {}
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                facts = path.stat()
                found[path.relative_to(self.path).as_posix()] = (facts.st_size, facts.st_mtime_ns)
        return found
