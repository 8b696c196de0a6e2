"""Files in a folder at a local path or an fsspec URI: list, read, digest, delete. Does not know what the files mean."""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from penstock.errors import MissingExtraError, NotFoundError, PenstockError, StoreError, UsageError

__all__ = [
    "CHUNK_BYTES",
    "Progress",
    "absolute",
    "child_folders",
    "copy_to_local",
    "digest_file",
    "exists",
    "file_system",
    "is_local",
    "join",
    "list_files",
    "local_path",
    "open_file",
    "open_uri",
    "read_bytes",
    "read_uri",
    "remove_empty_folder",
    "remove_folder",
    "replace_file",
    "write_bytes",
]

CHUNK_BYTES = 4 * 1024 * 1024

Progress = Callable[[int], None]
"""Told after every chunk how many bytes have passed since the last call."""

_CLOUD_SCHEMES = ("gs", "gcs", "s3", "s3a")


def is_local(uri: str) -> bool:
    """Whether this is a path of the local file system, as such or as `file://`."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The absolute path behind a local `uri`. `..` and links are kept as they are."""
    if uri.startswith("file://"):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{uri!r} names the host {parts.netloc!r}; write file:///{parts.netloc}{parts.path}")
        uri = unquote(parts.path)
    return Path(uri).absolute()


def absolute(uri: str) -> str:
    """The same place, whatever the working directory: a local path in full, a URI without its closing '/'."""
    return str(local_path(uri)) if is_local(uri) else uri.rstrip("/")


def join(uri: str, *names: str) -> str:
    """The URI of a file or folder inside `uri`; a name may hold `/`. Raises StoreError for a name that leads outside.

    >>> join("s3://bucket/models", "housing", "1")
    's3://bucket/models/housing/1'
    >>> join("/models/", "trainer/model.keras")
    '/models/trainer/model.keras'
    """
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in name or "\0" in name:
            raise StoreError(f"{name!r} is not the name of a file inside {uri}: expected names joined by single '/'")
    return "/".join([uri.rstrip("/"), *names])


def exists(uri: str) -> bool:
    """Whether there is a file or folder."""
    with _reading(uri):
        if is_local(uri):
            return os.path.lexists(local_path(uri))
        system, path = file_system(uri)
        return bool(system.exists(path))


def list_files(uri: str, *, follow_links: bool = False) -> dict[str, int]:
    """Every file under a folder, by its path in the folder, with its size in bytes; sorted.

    follow_links: symbolic links, otherwise listed (size 0) and not followed, count as what they lead to.
    Raises NotFoundError when there is no such folder.
    """
    with _reading(uri):
        if is_local(uri):
            folder = local_path(uri)
            if not folder.is_dir():
                raise NotFoundError(f"{uri} is not a folder" if folder.exists() else f"there is no folder {uri}")
            return dict(sorted(_walk_through(folder) if follow_links else _walk(folder)))
        system, path = file_system(uri)
        system.invalidate_cache()
        found = system.find(path, detail=True)
        if not found:
            raise NotFoundError(f"there is no folder {uri}, or it is empty")
        prefix = path.rstrip("/") + "/"
        return {name.removeprefix(prefix): int(facts["size"] or 0) for name, facts in sorted(found.items())}


def child_folders(uri: str) -> list[str]:
    """Names of the folders directly inside a folder, sorted; none when there is no such folder."""
    with _reading(uri):
        if is_local(uri):
            folder = local_path(uri)
            return sorted(child.name for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []
        system, path = file_system(uri)
        system.invalidate_cache()
        if not system.isdir(path):
            return []
        listing = system.ls(path, detail=True)
        return sorted(facts["name"].rstrip("/").rpartition("/")[2] for facts in listing if facts["type"] == "directory")


@contextmanager
def open_file(folder_uri: str, name: str) -> Generator[IO[bytes]]:
    """A regular file of a folder, for reading.

    Raises NotFoundError when it is missing, StoreError when it, or a folder on the way to it, is a symbolic link, or
    when it is no regular file (a pipe, a device).
    """
    uri = join(folder_uri, name)
    with _reading(uri):
        if is_local(uri):
            file = _open_regular(local_path(folder_uri), name)
        else:
            system, path = file_system(uri)
            file = system.open(path, "rb")
    with file:
        yield file


@contextmanager
def open_uri(uri: str) -> Generator[IO[bytes]]:
    """A file by its whole URI, for reading; being what a user named, unlike a folder's, it may be a link.

    Raises NotFoundError when it is missing, StoreError when it cannot be opened.
    """
    with _reading(uri):
        if is_local(uri):
            file: IO[bytes] = local_path(uri).open("rb")
        else:
            system, path = file_system(uri)
            file = system.open(path, "rb")
    with file:
        yield file


def read_uri(uri: str) -> bytes:
    """The content of a file by its whole URI. Raises as `open_uri` does."""
    with open_uri(uri) as file, _reading(uri):
        return file.read()


def read_bytes(folder_uri: str, name: str, *, limit_bytes: int | None = None) -> bytes:
    """The content of a file. Raises as `open_file` does, and StoreError for one larger than `limit_bytes`."""
    with open_file(folder_uri, name) as file, _reading(join(folder_uri, name)):
        if limit_bytes is None:
            return file.read()
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise StoreError(f"{join(folder_uri, name)} is larger than {limit_bytes:,} bytes, which it should never be")
    return content


def digest_file(folder_uri: str, name: str, *, progress: Progress | None = None) -> str:
    """SHA-256 of a file, in hex. Raises as `open_file` does."""
    digest = hashlib.sha256()
    with open_file(folder_uri, name) as file, _reading(join(folder_uri, name)):
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()


def copy_to_local(folder_uri: str, name: str, target: Path, *, progress: Progress | None = None) -> str:
    """Copies a file to `target`, making its folder; returns the SHA-256 of the copied bytes. Raises as `open_file`."""
    digest = hashlib.sha256()
    with open_file(folder_uri, name) as source, _reading(join(folder_uri, name)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as copy:
                while chunk := source.read(CHUNK_BYTES):
                    copy.write(chunk)
                    digest.update(chunk)
                    if progress:
                        progress(len(chunk))
        except OSError as error:
            raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    return digest.hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: temporary name, flushed to disk, renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(folder_uri: str, name: str, content: bytes) -> None:
    """Writes a file of a folder, which is made if need be: whole or not at all."""
    uri = join(folder_uri, name)
    try:
        if is_local(uri):
            path = local_path(uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)
        else:
            system, path_in_system = file_system(uri)
            system.makedirs(path_in_system.rpartition("/")[0], exist_ok=True)
            system.pipe_file(path_in_system, content)
    except PenstockError:
        raise
    except Exception as error:
        raise StoreError(f"cannot write {uri}: {error}") from error


def remove_folder(uri: str, *, under: str) -> None:
    """Deletes a folder with all it holds, if it is there.

    under: the folder that it must lie in, at least one level down; anything else is refused, whatever a row or a
        manifest says. A symbolic link in place of the folder is unlinked, never followed.
    """
    base = under.rstrip("/") + "/"
    inside = uri.removeprefix(base)
    if inside == uri:
        raise StoreError(f"will not delete {uri}: it does not lie in {under}")
    join(under, inside)
    try:
        if is_local(uri):
            path = local_path(uri)
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
            return
        system, path_in_system = file_system(uri)
        system.invalidate_cache()
        if system.exists(path_in_system):
            system.rm(path_in_system, recursive=True)
    except FileNotFoundError:
        return  # another process deletes it too
    except Exception as error:
        raise StoreError(f"cannot delete {uri}: {error}") from error


def remove_empty_folder(uri: str) -> None:
    """Deletes a local folder if there is nothing in it; elsewhere there are no empty folders."""
    if is_local(uri):
        with suppress(OSError):
            local_path(uri).rmdir()


def file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI, and the path in it. Raises MissingExtraError, or StoreError for its scheme."""
    import fsspec

    scheme = uri.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        if scheme in _CLOUD_SCHEMES:
            raise MissingExtraError("cloud", f"reading and writing {scheme}:// addresses") from error
        raise StoreError(f"cannot open {uri}: {error}") from error
    except ValueError as error:
        raise StoreError(
            f"cannot open {uri}: {error}; expected a path, or an address such as s3://… or gs://…"
        ) from error
    return system, str(path)


@contextmanager
def _reading(uri: str) -> Generator[None]:
    """Maps what file systems raise. Object stores raise classes of their own, so everything foreign is mapped."""
    try:
        yield
    except PenstockError:
        raise
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {uri}") from error
    except NotADirectoryError as error:
        raise NotFoundError(f"{uri} is not a folder, or lies in something that is not one") from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot read {uri}: {reason}") from error


def _walk(folder: Path) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        place = Path(parent)
        links = [name for name in folders if (place / name).is_symlink()]
        for name in [*files, *links]:
            facts = (place / name).lstat()
            size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0
            found.append(((place / name).relative_to(folder).as_posix(), size))
    return found


def _walk_through(folder: Path) -> list[tuple[str, int]]:
    """The same, links being followed: a broken one is a file of no bytes, one to a folder on the way to it is none."""
    found: list[tuple[str, int]] = []
    for parent, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        place = Path(parent)
        way = {one.resolve() for one in (place, *place.parents)}
        folders[:] = [name for name in folders if (place / name).resolve() not in way]
        found += [
            (path.relative_to(folder).as_posix(), path.stat().st_size if path.is_file() else 0)
            for path in map(place.joinpath, files)
            if path.is_file() or not path.exists()
        ]
    return found


def _raise(error: OSError) -> None:
    raise error


def _open_regular(folder: Path, name: str) -> IO[bytes]:
    """Opens a file component by component, so that no link inside the folder leads out of it."""
    place = folder
    for part in name.split("/"):
        place = place / part
        if place.is_symlink():
            raise StoreError(f"{place} is a symbolic link; expected a regular file inside {folder}")
    # O_NONBLOCK: opening a pipe must not wait for a writer.
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{place} is not a regular file")
    return os.fdopen(descriptor, "rb")
