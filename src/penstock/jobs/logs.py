"""A job's log: one JSON object a line, each with its time, severity and task; written by one process, read by any."""

import errno
import os
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

__all__ = ["LOG_NAME", "SERVICE_TASK", "LogEntry", "LogWriter", "follow_log", "read_log", "timestamp_of"]

LOG_NAME = "log.jsonl"
SERVICE_TASK = "service"
"""The task that speaks for Penstock itself."""

LIMIT_BYTES = 1 << 30
_POLL_S = 0.2
_CHUNK_BYTES = 1 << 20


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line. insert_id: counts up within the job. timestamp: RFC 3339, UTC, microseconds."""

    insert_id: str
    timestamp: str
    severity: str
    task_name: str
    message: str


class LogWriter:
    """Appends entries; those of one `flush` reach the file together.

    A disk that is full costs entries and never the job: `lost` counts them. So does the limit on a log's size.
    """

    def __init__(self, path: Path, *, clean: Callable[[str], str], limit_bytes: int = LIMIT_BYTES) -> None:
        """clean: takes secrets out of a message."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._limit = limit_bytes
        self._clean = clean
        self._pending: list[bytes] = []
        self._count = 0
        self._torn = self._size > 0  # a killed writer may have left half a line
        self.lost = 0
        self._encoder = msgspec.json.Encoder()

    def write(self, task_name: str, message: str, *, severity: str = "INFO", moment: str | None = None) -> None:
        """Takes an entry; `flush` writes it. moment: its timestamp where it was not written now."""
        entry = LogEntry(
            insert_id=f"{self._count:012d}",
            timestamp=moment or timestamp_of(time.time()),
            severity=severity,
            task_name=task_name,
            message=self._clean(message),
        )
        self._count += 1
        self._pending.append(self._encoder.encode(entry))

    def flush(self) -> None:
        """Writes what was taken."""
        if not self._pending:
            return
        lines, self._pending = self._pending, []
        data = b"\n".join(lines) + b"\n"
        if self._torn:
            data = b"\n" + data
        if self._size + len(data) > self._limit:
            self.lost += len(lines)
            return
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
                raise
            written = 0
        self._size += written
        self._torn = written < len(data) and (written > 0 or self._torn)
        if written < len(data):
            self.lost += len(lines)

    def close(self) -> None:
        self.flush()
        os.close(self._descriptor)


def timestamp_of(seconds: float) -> str:
    """RFC 3339 of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_log(path: Path, *, task_name: str | None = None) -> Generator[LogEntry]:
    """The entries so far, in the order they were written; of one task only, where it is named."""
    yield from follow_log(path, is_over=lambda: True, task_name=task_name)


def follow_log(
    path: Path, *, is_over: Callable[[], bool], task_name: str | None = None, poll_s: float = _POLL_S
) -> Generator[LogEntry]:
    """The entries so far and those to come, until `is_over` and all is read."""
    decoder = msgspec.json.Decoder(LogEntry)
    rest = b""
    position = 0
    while True:
        over = is_over()  # asked before reading: what was written before the end is then read
        while chunk := _chunk(path, position):
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                try:
                    entry = decoder.decode(line)
                except msgspec.DecodeError:
                    continue  # what a killed or disk-full writer left of a line
                if task_name in (None, entry.task_name):
                    yield entry
        if over:
            return
        time.sleep(poll_s)


def _chunk(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""
