"""One writer at a time in a folder, on this machine or at a URI, and who that is for whoever comes second.

On this machine the system holds the lock (flock) and lets go of it when its process ends, however it ends. At a URI
there is no such thing: a small file says who holds the folder, is renewed while it does, and counts for nothing once
its process is gone, or has not been heard of for `LEASE_S`.
"""

import errno
import fcntl
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime

import msgspec

from penstock.errors import NotFoundError, PenstockError, PreconditionError, StoreError
from penstock.store import blobs
from penstock.store.owner import fate_of, this_process

__all__ = ["LEASE_S", "FolderLock", "lock_folder"]

LEASE_S = 300.0
"""How long a lock at a URI is honoured that its process, on another host, has not renewed."""

_RENEWED_EVERY_S = 20.0
_NAME = ".lock"
_MOST_BYTES = 10_000

_held: ContextVar[frozenset[str]] = ContextVar("held folders", default=frozenset())


class _Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. owner: as `store.owner` names it. renewed: when its process last said it was there."""

    owner: str
    host: str
    pid: int
    since: datetime
    renewed: datetime


class FolderLock:
    """A folder held. `check` raises PreconditionError once another process has taken the lock over."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._usurper: _Holder | None = None

    def check(self) -> None:
        if self._usurper is not None:
            raise PreconditionError(
                f"this process did not answer for {LEASE_S:.0f} s, and {_told(self._usurper)} has taken over "
                f"{self._uri!r}; nothing more is written there"
            )


@contextmanager
def lock_folder(uri: str, *, doing: str) -> Generator[FolderLock]:
    """Holds a folder, which is made if need be. Whoever holds it already may take it again.

    doing: what for, for the message that another process gets ("is being trained in").
    Raises PreconditionError naming process and host where another holds it, StoreError where it cannot be written to.
    """
    place = os.path.realpath(blobs.local_path(uri)) if blobs.is_local(uri) else uri.rstrip("/")
    if place in _held.get():
        yield FolderLock(place)
        return
    with _locked_by_system(place, doing) if blobs.is_local(uri) else _leased(place, doing) as lock:
        token = _held.set(_held.get() | {place})
        try:
            yield lock
        finally:
            _held.reset(token)


@contextmanager
def _locked_by_system(place: str, doing: str) -> Generator[FolderLock]:
    path = os.path.join(place, _NAME)  # noqa: PTH118 - a name for os.open
    is_new = not os.path.isdir(place)  # noqa: PTH112
    try:
        os.makedirs(place, exist_ok=True)  # noqa: PTH103
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise StoreError(f"cannot write to the folder {place!r}: {error.strerror or error}") from error
    is_ours = False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(place, doing, _decoded(os.pread(descriptor, _MOST_BYTES, 0))) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                raise StoreError(f"cannot lock the folder {place!r}: {error.strerror}") from error
            with _leased(place, doing) as lock:  # a file system without locks
                yield lock
            return
        if not _is_at(descriptor, path):  # the one before us found its folder empty and removed it
            raise _taken(place, doing, None)
        is_ours = True
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(_this_holder()), 0)
        yield FolderLock(place)
    finally:
        if is_ours:
            if is_new and os.listdir(place) == [_NAME]:  # noqa: PTH208 - nothing came of it: no folder is left behind
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108
                    os.rmdir(place)  # noqa: PTH106
            os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # for children too, which share the descriptor if they were forked
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116
    except FileNotFoundError:
        return False


@contextmanager
def _leased(uri: str, doing: str) -> Generator[FolderLock]:
    mine = _this_holder()
    found = _read(uri)
    if found is not None and not _is_abandoned(found):
        raise _taken(uri, doing, found)
    blobs.write_bytes(uri, _NAME, msgspec.json.encode(mine))
    found = _read(uri)  # another may have written at the same moment; the last one has it
    if found is None or found.owner != mine.owner or found.since != mine.since:
        raise _taken(uri, doing, found)
    lock = FolderLock(uri)
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(_RENEWED_EVERY_S):
            with suppress(PenstockError):  # a store that does not answer now may do so the next time
                found = _read(uri)
                if found is not None and found.owner != mine.owner:
                    lock._usurper = found
                    return
                now = datetime.now(UTC)
                blobs.write_bytes(uri, _NAME, msgspec.json.encode(msgspec.structs.replace(mine, renewed=now)))

    renewer = threading.Thread(target=renew, name="lock", daemon=True)
    renewer.start()
    try:
        yield lock
    finally:
        is_over.set()
        renewer.join()
        if lock._usurper is None:
            blobs.remove_folder(blobs.join(uri, _NAME), under=uri)


def _this_holder() -> _Holder:
    now = datetime.now(UTC)
    return _Holder(owner=this_process(), host=socket.gethostname(), pid=os.getpid(), since=now, renewed=now)


def _read(uri: str) -> _Holder | None:
    try:
        return _decoded(blobs.read_bytes(uri, _NAME, limit_bytes=_MOST_BYTES))
    except NotFoundError:
        return None


def _decoded(content: bytes) -> _Holder | None:
    try:
        return msgspec.json.decode(content, type=_Holder)
    except msgspec.MsgspecError:
        return None


def _is_abandoned(holder: _Holder) -> bool:
    fate = fate_of(holder.owner)
    silent_s = (datetime.now(UTC) - holder.renewed).total_seconds()
    return fate == "gone" or (fate == "unknown" and silent_s > LEASE_S)


def _taken(place: str, doing: str, holder: _Holder | None) -> PreconditionError:
    told = "another process" if holder is None else _told(holder)
    return PreconditionError(
        f"the folder {place!r} {doing} by {told}; wait until it is done, stop it, or use another folder"
    )


def _told(holder: _Holder) -> str:
    return f"process {holder.pid} on host {holder.host!r} (since {holder.since:%Y-%m-%d %H:%M:%S} UTC)"
