"""Where prepared rows go: a folder or a file, here or in an object store; whole under its name, or not there."""

import glob
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.data.recipe.engine import FileFormat
from penstock.data.recipe.prepared import NAME, PreparedTable, note_of_file, read_prepared
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.staging import Staging, sync
from penstock.errors import DataError, NotFoundError, StoreError, UsageError
from penstock.settings import Settings
from penstock.store import blobs

__all__ = ["OutputPlace"]

_SUFFIXES: dict[str, FileFormat] = {".parquet": "parquet", ".csv": "csv"}


@dataclass(frozen=True, kw_only=True)
class OutputPlace:
    """uri: a local path in full, or a URI. is_file: one file rather than a folder of them."""

    uri: str
    is_file: bool
    file_format: FileFormat

    @staticmethod
    def of(output: str, recipe: Recipe) -> "OutputPlace":
        """The place that a command names. Raises UsageError for one that does not go with the recipe."""
        uri = blobs.absolute(output.strip()) if output.strip() else ""
        name = uri.rpartition("/")[2]
        if name in ("", ".", ".."):
            raise UsageError(
                f"the output {output!r} has no name; expected a folder, or a file ending in .parquet or .csv"
            )
        told = recipe.output.format
        suffix = next((known for known in _SUFFIXES if name.endswith(known)), None)
        if suffix is None:
            return OutputPlace(uri=uri, is_file=False, file_format=told or "parquet")
        if told is not None and told != _SUFFIXES[suffix]:
            raise UsageError(f"the output {output!r} is a {suffix} file, but the recipe says format: {told}")
        if recipe.output.partition_by:
            raise UsageError(f"the output {output!r} is one file, but the recipe partitions its rows; name a folder")
        return OutputPlace(uri=uri, is_file=True, file_format=_SUFFIXES[suffix])

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        return blobs.is_local(self.uri)

    def staging_folder(self, settings: Settings) -> Path:
        """Where unfinished work is kept: on the same disk, so that it can be renamed."""
        return Path(self.uri).parent if self.is_local else settings.home / "prepare"

    def exists(self) -> bool:
        return blobs.exists(self.uri)

    def finished(self, digest: str) -> PreparedTable | None:
        """The note of what is there, if it is whole and was made of the same recipe and data."""
        try:
            note = read_prepared(self._note(), place=self.uri)
        except (NotFoundError, StoreError, DataError):
            return None
        if note.digest != digest or (self.is_file and self._size() != note.file_bytes):
            return None
        return note

    def publish(self, staging: Staging, note: PreparedTable) -> None:
        """Makes the parts visible under the output's name, in place of whatever is there."""
        if self.is_file:
            (file,) = _files(staging.parts)
            self._publish_file(file, note)
        elif self.is_local:
            blobs.replace_file(staging.parts / NAME, note.to_json())
            self._publish_folder(staging.parts)
        else:
            self._upload_folder(staging.parts, note)

    def _note(self) -> bytes:
        if not self.is_file:
            return blobs.read_bytes(self.uri, NAME)
        return blobs.read_bytes(self.uri.rpartition("/")[0] or "/", note_of_file(Path(self.name)).name)

    def _size(self) -> int | None:
        if self.is_local:
            path = Path(self.uri)
            return path.stat().st_size if path.is_file() else None
        system, path_there = blobs.file_system(self.uri)
        return int(system.size(path_there)) if system.exists(path_there) else None

    def _publish_file(self, file: Path, note: PreparedTable) -> None:
        if self.is_local:
            target = Path(self.uri)
            if target.is_dir():
                raise DataError(f"{target} is a folder; the output is one file")
            sync(file)
            # The note first: with the old rows beside it, its size tells that it is not of them.
            blobs.replace_file(note_of_file(target), note.to_json())
            file.replace(target)
            sync(target.parent)
            return
        system, place = blobs.file_system(self.uri)
        with _storing(self.uri):
            system.put_file(str(file), place)
            system.pipe_file(f"{place.rpartition('/')[0]}/{note_of_file(Path(self.name)).name}", note.to_json())

    def _publish_folder(self, parts: Path) -> None:
        target = Path(self.uri)
        for path in [*_files(parts), *(path for path in parts.rglob("*") if path.is_dir()), parts]:
            sync(path)
        aside = target.with_name(f".{target.name[:60]}.old-{secrets.token_hex(4)}")
        try:
            if target.exists() or target.is_symlink():
                target.rename(aside)
            parts.rename(target)
            sync(target.parent)
        except OSError as error:
            if not target.exists() and aside.exists():
                aside.rename(target)
            raise DataError(f"cannot put the rows at {target}: {error.strerror or error}") from error
        # And what a run that was killed here left.
        for old in target.parent.glob(f"{glob.escape(f'.{target.name[:60]}')}.old-????????"):
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink(missing_ok=True)

    def _upload_folder(self, parts: Path, note: PreparedTable) -> None:
        """The note last: a folder without it is to be taken as absent."""
        system, place = blobs.file_system(self.uri)
        with _storing(self.uri):
            if system.exists(f"{place}/{NAME}"):
                system.rm_file(f"{place}/{NAME}")
            if system.exists(place):
                system.rm(place, recursive=True)
            for file in _files(parts):
                system.put_file(str(file), f"{place}/{file.relative_to(parts).as_posix()}")
            system.pipe_file(f"{place}/{NAME}", note.to_json())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)


@contextmanager
def _storing(uri: str) -> Iterator[None]:
    """Maps what object stores raise; their classes are their own."""
    try:
        yield
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write to {uri}: {reason}") from error
